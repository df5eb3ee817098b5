//! Local days and hours of instants, from a table of a time zone's offsets.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::FeatureError;
use super::kernels::local_time::local_times;

const HOUR_US: i64 = 3_600_000_000;

/// A time zone's offsets over a span of time.
///
/// Instants beyond the years −9999 to 9999 have offset 0, as no calendar reaches them.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    /// Where each offset begins to hold, ascending; the first holds from the beginning of time.
    starts_us: Vec<i64>,
    offsets_us: Vec<i64>,
    /// The instants it was made for, microseconds.
    covered: RangeInclusive<i64>,
}

/// An offset, and the first and the last instant at which it holds.
#[allow(clippy::struct_field_names, reason = "times carry their unit")]
struct Span {
    first_us: i64,
    last_us: i64,
    offset_us: i64,
}

/// A local hour and day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// 0 to 23.
    pub(super) hour: u8,
    /// 0 (Monday) to 6.
    pub(super) weekday: u8,
}

impl Calendar {
    /// The offsets that hold between two instants, in microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// The IANA database does not hold the time zone.
    pub(super) fn new(timezone: &str, first_us: i64, last_us: i64) -> Result<Self, FeatureError> {
        let rules = TimeZone::get(timezone).map_err(|_| FeatureError::TimeZone { name: timezone.to_owned() })?;
        let (min_us, max_us) = (Timestamp::MIN.as_microsecond(), Timestamp::MAX.as_microsecond());
        // The last second that can be represented is cut short, so an instant is taken at its whole second.
        let clamp = |time_us: i64| {
            let second = time_us.clamp(min_us, max_us).div_euclid(1_000_000);
            Timestamp::from_second(second).unwrap_or(if time_us < 0 { Timestamp::MIN } else { Timestamp::MAX })
        };
        let (first, last) = (clamp(first_us), clamp(last_us));
        let utc_offset_us = |instant: Timestamp| i64::from(rules.to_offset(instant).seconds()) * 1_000_000;
        let mut starts_us = vec![i64::MIN, first.as_microsecond()];
        let mut offsets_us = vec![if first_us < min_us { 0 } else { utc_offset_us(first) }, utc_offset_us(first)];
        for transition in rules.following(first).take_while(|transition| transition.timestamp() <= last) {
            starts_us.push(transition.timestamp().as_microsecond());
            offsets_us.push(utc_offset_us(transition.timestamp()));
        }
        if last_us > max_us {
            starts_us.push(max_us + 1);
            offsets_us.push(0);
        }
        Ok(Self { starts_us, offsets_us, covered: first_us..=last_us })
    }

    /// Whether an instant is within the span that the calendar was made for.
    pub(super) fn covers(&self, time_us: i64) -> bool {
        self.covered.contains(&time_us)
    }

    /// The first instant after another at which a local hour begins, or the offset changes.
    pub(super) fn next_hour_us(&self, after_us: i64) -> i64 {
        let next = self.starts_us.partition_point(|&start| start <= after_us);
        let since_us = after_us.saturating_add(self.offsets_us[next - 1]).rem_euclid(HOUR_US);
        let hour_us = after_us.saturating_add(HOUR_US - since_us);
        self.starts_us.get(next).map_or(hour_us, |&start| start.min(hour_us))
    }

    /// Writes what the clock on the wall showed at some instants, as microseconds since 1970-01-01; `hint` is where the
    /// first of the last instants was found, which makes it cheap to begin near it.
    pub(super) fn wall_us(&self, times_us: &[i64], hint: &mut usize, wall_us: &mut [i64]) {
        let mut span = self.span(*hint);
        for (place, (wall_us, &time_us)) in wall_us.iter_mut().zip(times_us).enumerate() {
            if time_us < span.first_us || span.last_us < time_us {
                let found = self.starts_us.partition_point(|&start| start <= time_us) - 1;
                if place == 0 {
                    *hint = found;
                }
                span = self.span(found);
            }
            *wall_us = time_us.saturating_add(span.offset_us);
        }
    }

    /// Where an offset holds.
    fn span(&self, place: usize) -> Span {
        let last_us = self.starts_us.get(place + 1).map_or(i64::MAX, |&next| next - 1);
        Span { first_us: self.starts_us[place], last_us, offset_us: self.offsets_us[place] }
    }

    /// Local time of an instant.
    pub(super) fn local(&self, time_us: i64) -> LocalTime {
        let (mut wall_us, mut days, mut hours, mut weekdays) = ([0], [0], [0], [0]);
        self.wall_us(&[time_us], &mut 0, &mut wall_us);
        local_times(&wall_us, &mut days, &mut hours, &mut weekdays);
        LocalTime { hour: hours[0], weekday: weekdays[0] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_daylight_saving_time_to_the_second() {
        let instant = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_microsecond).unwrap_or_default();
        let (first, last) = (instant("2024-01-01T00:00:00Z"), instant("2024-12-31T00:00:00Z"));
        let calendar = Calendar::new("Europe/London", first, last).expect("a known zone");
        let hour = |text: &str| calendar.local(instant(text)).hour;
        assert_eq!(hour("2024-03-31T00:59:59Z"), 0);
        assert_eq!(hour("2024-03-31T01:00:00Z"), 2);
        assert_eq!(hour("2024-10-27T00:59:59Z"), 1);
        assert_eq!(hour("2024-10-27T01:00:00Z"), 1);
        assert_eq!(calendar.local(instant("2024-07-01T23:30:00Z")).weekday, 1);
    }

    #[test]
    fn refuses_an_unknown_zone() {
        assert!(matches!(Calendar::new("Mars/Olympus", 0, 1), Err(FeatureError::TimeZone { .. })));
    }
}
