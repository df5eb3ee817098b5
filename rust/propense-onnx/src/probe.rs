//! Does a row's score depend on the rows it is scored with?
//!
//! It should not, but it can: a model may mix rows, and a kernel may treat the last few numbers of
//! a vector otherwise than the rest, or one row otherwise than many, and round differently. The
//! probe scores the same rows alone and in batches of many sizes and offsets and compares bits.
//! It is evidence, not proof; the sizes meet the tails of 4, 8 and 16 lanes and the largest block.

use ort::session::{RunOptions, Session};

use crate::error::OnnxError;
use crate::run::run_block;

/// Batch sizes, each with the number of rows that go before the first batch.
const BATCHES: [(usize, usize); 18] = [
    (2, 0),
    (2, 1),
    (3, 0),
    (5, 0),
    (7, 0),
    (7, 3),
    (9, 1),
    (13, 0),
    (15, 0),
    (16, 1),
    (17, 2),
    (31, 0),
    (33, 5),
    (64, 0),
    (64, 3),
    (127, 0),
    (usize::MAX, 0),
    (usize::MAX, 1),
];

/// What the probe found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Invariance {
    /// Every row had the same bits alone and in every batch.
    Invariant,
    /// Some row did not; this is the first that was met.
    Variant(Difference),
}

/// A row whose score depends on what it is scored with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The row, counted from 0 in the rows probed.
    pub row: usize,
    /// The number of rows in the batch.
    pub batch_rows: usize,
    /// The row's place in the batch, counted from 0.
    pub offset: usize,
    /// Its score alone.
    pub alone: f32,
    /// Its score in the batch.
    pub in_batch: f32,
}

/// Score every row of `rows`, float32 `[any, width]`, alone and in batches of at most `block_rows`.
///
/// Equal means equal bits. NaN and infinite scores are compared like any other.
///
/// # Errors
///
/// Those of a run.
pub(crate) fn probe(
    session: &mut Session,
    options: &RunOptions,
    rows: &[f32],
    width: usize,
    block_rows: usize,
) -> Result<Invariance, OnnxError> {
    let count = rows.len() / width;
    let mut alone = vec![0.0; count];
    for (row, score) in alone.chunks_mut(1).enumerate() {
        run_block(session, options, &rows[row * width..][..width], row, score)?;
    }
    let mut batch = vec![0.0; count.min(block_rows)];
    for (size, skipped) in BATCHES {
        let size = size.min(block_rows).min(count.saturating_sub(skipped)).max(1);
        for first in (skipped..count).step_by(size) {
            let batch_rows = size.min(count - first);
            let scores = &mut batch[..batch_rows];
            run_block(session, options, &rows[first * width..][..batch_rows * width], first, scores)?;
            let differs = |offset: &usize| scores[*offset].to_bits() != alone[first + offset].to_bits();
            if let Some(offset) = (0..batch_rows).find(differs) {
                return Ok(Invariance::Variant(Difference {
                    row: first + offset,
                    batch_rows,
                    offset,
                    alone: alone[first + offset],
                    in_batch: scores[offset],
                }));
            }
        }
    }
    Ok(Invariance::Invariant)
}

/// Make `count` rows, float32 `[count, width]`, of what a feature matrix holds.
///
/// Counts, amounts over many orders of magnitude, shares and signed numbers; in every fourth row
/// a quarter of the values are missing (NaN) and a few infinite. The same rows every time.
pub(crate) fn synthetic_rows(count: usize, width: usize) -> Vec<f32> {
    let mut random = SplitMix(0x9e37_79b9_7f4a_7c15);
    let mut rows = Vec::with_capacity(count * width);
    for row in 0..count {
        for _ in 0..width {
            let unit = random.unit();
            let value = match row % 4 {
                0 => (unit * 40.0).floor(),
                1 => (unit - 0.5) * 8.0,
                2 => (unit * 24.0 - 12.0).exp(),
                _ => match random.unit() {
                    kind if kind < 0.25 => f32::NAN,
                    kind if kind < 0.26 => f32::INFINITY,
                    kind if kind < 0.27 => f32::NEG_INFINITY,
                    kind if kind < 0.40 => 0.0,
                    _ => unit,
                },
            };
            rows.push(value);
        }
    }
    rows
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): a generator small enough to write out.
struct SplitMix(u64);

impl SplitMix {
    /// A number in [0, 1), a multiple of 2⁻¹⁶.
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u16::try_from((mixed ^ (mixed >> 31)) >> 48).unwrap_or(0);
        f32::from(top) / 65_536.0
    }
}
