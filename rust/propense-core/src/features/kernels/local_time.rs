//! Days and hours of instants on the wall clock, in loops that become vectors.

use crate::DAY_US;

/// Both a day and an hour are whole numbers of 1,024 microseconds.
const UNIT_SHIFT: u32 = 10;
const DAY_UNITS: f64 = (DAY_US >> UNIT_SHIFT) as f64;
const HOUR_UNITS: f64 = ((DAY_US / 24) >> UNIT_SHIFT) as f64;
/// Leaves a whole number, in two's complement, in the low bits of a small f64 that it is added to.
const TO_BITS: f64 = 1.5 * (1_u64 << 52) as f64;

/// Days since 1970-01-01, hours from 0 to 23 and days of the week from 0 (Monday) to 6, one of each an instant.
///
/// Exact for any instant. Its units fit an f64 without loss. The quotient of two whole numbers `a` and `b` is at least
/// 1/b below the next whole number, and that of units and a day rounds by less: it is below 2^27, so by at most 2^-27.
/// The others are half a unit or more away from any whole number, which is far more than they round by.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(in crate::features) fn local_times(local_us: &[i64], days: &mut [i32], hours: &mut [u8], weekdays: &mut [u8]) {
    let places = local_us.iter().zip(days).zip(hours).zip(weekdays);
    for (((&local_us, day), hour), weekday) in places {
        let units = (local_us >> UNIT_SHIFT) as f64;
        let whole_days = (units / DAY_UNITS).floor();
        let whole_hours = ((units - whole_days * DAY_UNITS + 0.5) * (1.0 / HOUR_UNITS)).floor();
        // 1970-01-01 was a Thursday.
        let since_monday = whole_days + 3.0;
        let weeks = ((since_monday + 0.5) * (1.0 / 7.0)).floor();
        *day = whole_number(whole_days);
        *hour = whole_number(whole_hours) as u8;
        *weekday = whole_number(since_monday - weeks * 7.0) as u8;
    }
}

#[allow(clippy::inline_always)]
#[inline(always)]
fn whole_number(number: f64) -> i32 {
    (number + TO_BITS).to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_whole_number_division() {
        let hours = (-30..30_i64).chain([24 * 365 * 5_000, -24 * 365 * 5_000]).map(|hour| hour * DAY_US / 24);
        let edges = hours.flat_map(|start| (-1_025..1_026).map(move |step| start + step));
        let ends = (0..3_000_i64).flat_map(|step| [i64::MIN + step, i64::MAX - step]);
        let days_near =
            |edge: i64| (edge / DAY_US - 50..edge / DAY_US).flat_map(|day| [day * DAY_US - 1, day * DAY_US]);
        let far = days_near(i64::MAX).chain(days_near(i64::MAX).map(|time| -time));
        let local_us: Vec<i64> = edges.chain(ends).chain(far).collect();
        let n = local_us.len();
        let (mut days, mut hours, mut weekdays) = (vec![0; n], vec![0; n], vec![0; n]);
        local_times(&local_us, &mut days, &mut hours, &mut weekdays);
        for (place, &local) in local_us.iter().enumerate() {
            let day = local.div_euclid(DAY_US);
            let hour = local.rem_euclid(DAY_US) / (DAY_US / 24);
            let found = (days[place].into(), hours[place].into(), weekdays[place].into());
            assert_eq!(found, (day, hour, (day + 3).rem_euclid(7)), "{local}");
        }
    }
}
