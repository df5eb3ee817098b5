//! Every engine of the machine beside the reference, to the bit, on rows that tell them apart.

use propense_core::forest::{Ensemble, Forest, Node, Test, reference};

use super::dice::Dice;

/// Rows on the thresholds of the ensemble, a float to either side of them, and on special values.
pub fn rows(ensemble: &Ensemble, count: usize, seed: u64) -> Vec<f32> {
    let mut pools: Vec<Vec<f32>> = vec![vec![f32::NAN, -f32::NAN, 0.3]; ensemble.width];
    for node in &ensemble.nodes {
        let Node::Branch { feature, test, .. } = *node else { continue };
        let pool = &mut pools[feature as usize];
        match test {
            Test::LessEqual(t)
            | Test::Less(t)
            | Test::GreaterEqual(t)
            | Test::Greater(t)
            | Test::Equal(t)
            | Test::NotEqual(t) => pool.push(t),
            Test::Member { first, count } => pool.extend(&ensemble.members[first as usize..(first + count) as usize]),
        }
    }
    let mut dice = Dice(seed ^ 0x5eed);
    (0..count * ensemble.width)
        .map(|place| {
            let t = dice.pick(&pools[place % ensemble.width]);
            match dice.below(6) {
                0 | 1 => t,
                2 => t.next_up(),
                3 => t.next_down(),
                4 => -t,
                _ => dice.number(),
            }
        })
        .collect()
}

pub fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

pub fn compiled(ensemble: &Ensemble) -> Forest {
    Forest::compile(ensemble).unwrap_or_else(|error| panic!("a sound ensemble was refused: {error}"))
}

/// Scores `rows` on every engine in batches of each of `sizes`, and compares with the reference.
pub fn compare(ensemble: &Ensemble, rows: &[f32], sizes: &[usize]) {
    let expected = bits(&reference::score(ensemble, rows));
    let mut forest = compiled(ensemble);
    let chosen = forest.engine();
    let count = rows.len() / ensemble.width;
    let mut scores = vec![f32::NAN; count * ensemble.outputs];
    for forced in std::iter::once(None).chain(forest.engines().into_iter().map(Some)) {
        if let Some(engine) = forced {
            assert!(forest.run_on(engine));
        }
        for &size in sizes {
            scores.fill(f32::NAN);
            let rows = &rows[..size.min(count) * ensemble.width];
            let scores = &mut scores[..size.min(count) * ensemble.outputs];
            forest.score(rows, scores);
            assert_eq!(bits(scores), expected[..scores.len()], "{size} rows on {forced:?}, chosen {chosen}");
        }
    }
}
