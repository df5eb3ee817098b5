//! Intervals such as `'30d'`, in microseconds.

use super::error::ExprError;

/// Units from the longest to the shortest, with their lengths in microseconds.
const UNITS: [(char, i64); 5] =
    [('w', 604_800_000_000), ('d', 86_400_000_000), ('h', 3_600_000_000), ('m', 60_000_000), ('s', 1_000_000)];

/// The length in microseconds of an interval: a whole number above 0 and one of `s`, `m` (minutes), `h`, `d`, `w`.
///
/// A day is 24 hours and a week 7 such days, whatever the time zone.
///
/// # Errors
/// The text has another form, or the interval is longer than i64 microseconds hold (292,000 years).
///
/// ```
/// assert_eq!(propense_core::expr::parse_duration_us("90m").unwrap(), 5_400_000_000);
/// ```
pub fn parse_duration_us(text: &str) -> Result<i64, ExprError> {
    let refused = || ExprError::Duration { text: text.to_owned() };
    let unit = text.chars().last().ok_or_else(refused)?;
    let (_, unit_us) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(refused)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let number: i64 = digits.parse().map_err(|_| refused())?;
    number.checked_mul(*unit_us).filter(|&length_us| length_us > 0).ok_or_else(refused)
}

/// The shortest text of an interval: the largest unit that divides it, but days rather than weeks.
#[must_use]
pub fn format_duration(length_us: i64) -> String {
    let unit = UNITS[1..].iter().find(|(_, unit_us)| length_us % unit_us == 0);
    unit.map_or_else(|| format!("{length_us}us"), |(letter, unit_us)| format!("{}{letter}", length_us / unit_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit_and_writes_the_shortest() {
        for (text, length_us, shortest) in [
            ("1s", 1_000_000, "1s"),
            ("60s", 60_000_000, "1m"),
            ("36h", 129_600_000_000, "36h"),
            ("2w", 1_209_600_000_000, "14d"),
        ] {
            assert_eq!(parse_duration_us(text), Ok(length_us));
            assert_eq!(format_duration(length_us), shortest);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "d", "30", "0d", "-1d", "1.5d", "30 d", "30y", "9999999999999999999d", "300000000000w", "3µ"]
        {
            assert!(parse_duration_us(text).is_err(), "{text:?}");
        }
    }
}
