//! Functions of local days and hours.

use super::segments;

/// Distinct days. Days descend but for the hour that daylight saving time repeats, which can step back over
/// midnight and lead to the same two days in turn; so the last two new days are remembered, not only one.
pub(in crate::features) fn days(days: &[f64], bounds: &[usize], mut each: impl FnMut(usize, f64)) {
    let mut count = 0.0;
    let mut seen = [f64::NAN; 2];
    segments(days, bounds, |window, _, days| {
        for &day in days {
            if !seen.contains(&day) {
                count += 1.0;
                seen = [day, seen[0]];
            }
        }
        each(window, count);
    });
}

/// Share of values from `from` to `to`, both included; past the end of the cycle where `from` is above `to`.
pub(in crate::features) fn share(values: &[f64], bounds: &[usize], from: u8, to: u8, mut each: impl FnMut(usize, f64)) {
    let (from, to) = (f64::from(from), f64::from(to));
    let within = |value: f64| if from <= to { from <= value && value <= to } else { value >= from || value <= to };
    let mut hits = 0_usize;
    segments(values, bounds, |window, count, values| {
        hits += values.iter().filter(|&&value| within(value)).count();
        each(window, hits as f64 / count as f64);
    });
}
