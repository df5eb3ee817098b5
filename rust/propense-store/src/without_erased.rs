//! Batches without the rows of erased users: nothing of these may reach a file.

use crate::batch::{EventBatch, ProfileBatch};
use crate::batch_error::BatchError;
use crate::erased::ErasedUsers;
use crate::property::{PropertyColumn, PropertyTable, PropertyValues};
use crate::texts::Texts;

/// The batch without erased users' rows, and how many these were.
pub(crate) fn events(batch: EventBatch, erased: &ErasedUsers) -> Result<(EventBatch, u64), BatchError> {
    let kept = kept_rows(&batch.user_ids, erased);
    if kept.len() == batch.len() {
        return Ok((batch, 0));
    }
    let mut left = EventBatch::new();
    for &row in &kept {
        let (user, event) = (batch.user_ids.get(row), batch.event_types.get(row));
        left.push_hashed(user, batch.time_us[row], event, batch.event_id(row))?;
    }
    copy(&batch.properties, &kept, &mut left.properties)?;
    Ok((left, (batch.len() - kept.len()) as u64))
}

/// [`events`] for profiles.
pub(crate) fn profiles(batch: ProfileBatch, erased: &ErasedUsers) -> Result<(ProfileBatch, u64), BatchError> {
    let kept = kept_rows(&batch.user_ids, erased);
    if kept.len() == batch.len() {
        return Ok((batch, 0));
    }
    let mut left = ProfileBatch::new();
    for &row in &kept {
        left.push_user(batch.user_ids.get(row))?;
    }
    copy(&batch.columns, &kept, &mut left.columns)?;
    Ok((left, (batch.len() - kept.len()) as u64))
}

fn kept_rows(users: &Texts, erased: &ErasedUsers) -> Vec<usize> {
    let (mut kept, mut last) = (Vec::with_capacity(users.len()), None);
    for (row, user) in users.iter().enumerate() {
        // Batches often come sorted by user, and a digest costs more than a comparison.
        let is_erased = match last {
            Some((known, is_erased)) if known == user => is_erased,
            _ => erased.contains(user),
        };
        last = Some((user, is_erased));
        if !is_erased {
            kept.push(row);
        }
    }
    kept
}

fn copy(columns: &[PropertyColumn], kept: &[usize], into: &mut PropertyTable) -> Result<(), BatchError> {
    for PropertyColumn { name, values } in columns {
        for (row, &from) in kept.iter().enumerate() {
            match values {
                PropertyValues::Text(places, texts) => match places.get(from) {
                    Some(&place) if place != u32::MAX => into.set_text(row, name, texts.get(place as usize))?,
                    _ => {}
                },
                PropertyValues::Number(numbers) => match numbers.get(from) {
                    Some(&number) if !number.is_nan() => into.set_number(row, name, number)?,
                    _ => {}
                },
                PropertyValues::Boolean(truths) => match truths.get(from) {
                    Some(&truth) if truth < 2 => into.set_boolean(row, name, truth == 1)?,
                    _ => {}
                },
                PropertyValues::Time(times) => match times.get(from) {
                    Some(&time) if time != i64::MIN => into.set_time(row, name, time)?,
                    _ => {}
                },
            }
        }
    }
    Ok(())
}
