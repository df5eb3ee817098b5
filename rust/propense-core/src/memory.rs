//! Large buffers, in large pages where the system has them to give.
#![allow(unsafe_code, reason = "advice to the system is a call of it")]

/// What most processors call a large page, and a whole number of ordinary ones everywhere.
#[cfg(target_os = "linux")]
const LARGE_PAGE_BYTES: usize = 2 << 20;
/// From this many bytes on a buffer surely has room for a large page.
#[cfg(target_os = "linux")]
const LARGE_BYTES: usize = 2 * LARGE_PAGE_BYTES;

/// A vector of so many zeros, or other defaults.
///
/// That memory is touched for the first time costs a large buffer more than what is written to it, page by page; a large
/// page is 512 of them.
pub(crate) fn zeros<T: Copy + Default>(len: usize) -> Vec<T> {
    let zeros = vec![T::default(); len];
    #[cfg(target_os = "linux")]
    advise(&zeros);
    zeros
}

/// Asks for large pages behind a buffer.
#[cfg(target_os = "linux")]
fn advise<T>(buffer: &[T]) {
    use rustix::mm::{Advice, madvise};

    if size_of_val(buffer) < LARGE_BYTES {
        return;
    }
    let bytes = buffer.as_ptr_range();
    let start = bytes.start.cast::<u8>();
    let start = start.wrapping_add(start.align_offset(LARGE_PAGE_BYTES));
    let len = bytes.end.addr().saturating_sub(start.addr()) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    // SAFETY: these are whole pages, of the buffer alone. How large the system makes them changes nothing that is in them,
    // and whether it takes the advice does not matter.
    let _ = unsafe { madvise(start.cast_mut().cast(), len, Advice::LinuxHugepage) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Whether the system was asked for large pages where this address is.
    fn is_advised(address: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bound = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(start, end)| (bound(start), bound(end))) {
                is_here = (start..end).contains(&address);
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_here) {
                return flags.split_whitespace().any(|flag| flag == "hg");
            }
        }
        false
    }

    #[test]
    fn large_buffers_ask_for_large_pages_and_all_are_zeros() {
        let has_large_pages = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        for len in [0, 1, LARGE_BYTES / 8 - 1, LARGE_BYTES / 8, LARGE_BYTES] {
            let buffer = zeros::<u64>(len);
            assert!(buffer.iter().all(|&number| number == 0));
            if len >= LARGE_BYTES / 8 && has_large_pages {
                assert!(is_advised(buffer[len / 2..].as_ptr().addr()), "{len} numbers");
            }
        }
        if !has_large_pages {
            eprintln!("whether large pages are asked for was not seen: this system has none");
        }
    }
}
