//! Users with a history, and twenty segments over it.

use std::path::Path;

use propense_core::segments::SegmentDefinition;
use propense_store::{EventBatch, ProfileBatch, Store, StoreOptions};

use crate::Failure;

const DAY_US: i64 = 86_400_000_000;
const BATCH_USERS: u64 = 5_000;
const TYPES: [&str; 6] = ["purchase", "view", "open", "view", "support_contact", "open"];

/// A number out of a number.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn push(batch: &mut EventBatch, user: u64, number: u64, time_us: i64) {
    let mixed = mix(number);
    // A year of history, so no row is refused.
    let Ok(row) = batch.push_event(&format!("user {user:07}"), time_us, TYPES[(mixed % 6) as usize], None) else {
        return;
    };
    let _ = batch.set_number(row, "amount", (mixed >> 8 & 0xffff) as f64 / 100.0);
    let _ = batch.set_text(row, "category", ["movie", "book", "game", "music"][(mixed >> 40 & 3) as usize]);
}

/// An event of some user, just now.
pub(crate) fn random_event(batch: &mut EventBatch, users: u64, number: u64, now_us: i64) {
    let mixed = mix(number.wrapping_mul(31));
    push(batch, mixed % users, number, now_us - (mixed >> 50) as i64);
}

/// Makes the store.
pub(crate) fn fill(folder: &Path, users: u64, events: u64, now_us: i64) -> Result<(), Failure> {
    let store = Store::open(folder, StoreOptions::default())?;
    for first in (0..users).step_by(BATCH_USERS as usize) {
        let (mut batch, mut profiles) = (EventBatch::new(), ProfileBatch::new());
        for user in first..(first + BATCH_USERS).min(users) {
            for event in 0..events {
                let number = user * events + event;
                let age_us = (mix(number ^ 0xabcd) % (365 * DAY_US as u64)) as i64;
                push(&mut batch, user, number, now_us - age_us - 1);
            }
            if let Ok(row) = profiles.push_user(&format!("user {user:07}")) {
                profiles.columns.set_number(row, "age", (18 + mix(user) % 60) as f64)?;
                profiles.columns.set_text(row, "country", ["GB", "DE", "España"][(mix(user) >> 9) as usize % 3])?;
            }
        }
        store.ingest(batch)?;
        store.put_profiles(profiles)?;
    }
    store.compact()?;
    Ok(())
}

/// Twenty segments; with another `change` all of them have other thresholds.
pub(crate) fn definitions(change: u64) -> Vec<SegmentDefinition> {
    let rule = |number: u64| {
        let some = 1 + (number + change) % 4;
        match number % 10 {
            0 => format!("count(support_contact, '30d') >= {some}"),
            1 => format!("count(purchase, '90d') >= {some} AND sum(purchase.amount, '365d') > {}", 300 * some),
            2 => format!("recency(*) > {}", 10 * some),
            3 => format!("count(\"view\", '7d') FILTER (WHERE category = 'movie') >= {some}"),
            4 => format!("attr(country) = 'GB' AND count(open, '30d') >= {some}"),
            5 => format!("attr(age) >= {} AND count(purchase) > {some}", 30 + 5 * some),
            6 => format!("distinct(\"view\".category, '90d') >= {some}"),
            7 => format!("in_segment(segment_{:02}) OR count(*, '14d') > {some}", number - 1),
            8 => format!("active_days(*, '60d') >= {some}"),
            _ => format!("tenure(*) > {} AND NOT in_segment(segment_{:02})", 60 * some, number - 2),
        }
    };
    (0..20).map(|number| SegmentDefinition::new(&format!("segment_{number:02}"), &rule(number))).collect()
}
