//! Large buffers, in large pages where the system has them to give.
#![allow(unsafe_code, reason = "advice to the system is a call of it")]

/// What most processors call a large page, and a whole number of ordinary ones everywhere.
const LARGE_PAGE_BYTES: usize = 2 << 20;
/// From this many bytes on a buffer surely has room for a large page.
const LARGE_BYTES: usize = 2 * LARGE_PAGE_BYTES;

/// A vector of so many zeros, or other defaults.
///
/// That memory is touched for the first time costs a large buffer more than what is written to it, page by page; a large
/// page is 512 of them.
pub(crate) fn zeros<T: Copy + Default>(len: usize) -> Vec<T> {
    let zeros = vec![T::default(); len];
    advise(&zeros);
    zeros
}

/// Asks for large pages behind a buffer.
fn advise<T>(buffer: &[T]) {
    #[cfg(target_os = "linux")]
    if size_of_val(buffer) >= LARGE_BYTES {
        use rustix::mm::{Advice, madvise};

        let bytes = buffer.as_ptr_range();
        let start = bytes.start.cast::<u8>();
        let start = start.wrapping_add(start.align_offset(LARGE_PAGE_BYTES));
        let len = bytes.end.addr().saturating_sub(start.addr()) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
        // SAFETY: these are whole pages, of the buffer alone. How large the system makes them changes nothing that is in them,
        // and whether it takes the advice does not matter.
        let _ = unsafe { madvise(start.cast_mut().cast(), len, Advice::LinuxHugepage) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_any_size_are_zeros() {
        for len in [0, 1, LARGE_BYTES / 8 - 1, LARGE_BYTES / 8, LARGE_BYTES + 13] {
            let mut buffer = zeros::<u64>(len);
            assert_eq!(buffer, vec![0; len]);
            buffer.fill(7);
            assert!(buffer.iter().all(|&number| number == 7));
        }
    }
}
