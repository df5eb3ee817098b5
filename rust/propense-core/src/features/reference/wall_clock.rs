//! Local time, event by event.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

use crate::DAY_US;

const HOUR_US: i64 = 3_600_000_000;

/// The wall clock at an instant.
pub(super) struct Local {
    /// Days since 1970-01-01.
    pub(super) day: i64,
    /// 1 is Monday.
    pub(super) weekday: u8,
    pub(super) hour: u8,
}

/// The wall clock of a time zone; UTC's for seconds before year -9999 or after 9999, which `jiff` cannot hold.
pub(super) fn local(time_us: i64, timezone: &TimeZone) -> Local {
    let Ok(instant) = Timestamp::from_second(time_us.div_euclid(1_000_000)) else {
        let day = time_us.div_euclid(DAY_US);
        let hour = (time_us.rem_euclid(DAY_US) / HOUR_US) as u8;
        // 1970-01-01 was a Thursday.
        return Local { day, weekday: (day + 3).rem_euclid(7) as u8 + 1, hour };
    };
    let civil = instant.to_zoned(timezone.clone()).datetime();
    let day = i64::from((civil.date() - date(1970, 1, 1)).get_days());
    Local { day, weekday: civil.weekday().to_monday_one_offset() as u8, hour: civil.hour() as u8 }
}
