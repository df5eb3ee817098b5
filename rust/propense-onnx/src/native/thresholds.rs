//! The test of a branch over float32 values, for a threshold that may be a double.

use propense_core::forest::Test;

use super::stop::Stop;

/// A number of a tree as its file has it: a float32 or a double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Threshold(pub(super) f64);

impl From<f32> for Threshold {
    fn from(value: f32) -> Self {
        Self(f64::from(value))
    }
}

impl Threshold {
    pub(super) fn is_nan(self) -> bool {
        self.0.is_nan()
    }

    pub(super) fn nearest(self) -> f32 {
        self.0 as f32
    }

    /// The greatest float32 that is at most this.
    fn below(self) -> f32 {
        let nearest = self.nearest();
        if f64::from(nearest) > self.0 { nearest.next_down() } else { nearest }
    }

    /// The least float32 that is at least this.
    fn above(self) -> f32 {
        let nearest = self.nearest();
        if f64::from(nearest) < self.0 { nearest.next_up() } else { nearest }
    }

    fn exact(self) -> Result<f32, Stop> {
        let nearest = self.nearest();
        if f64::from(nearest) == self.0 {
            return Ok(nearest);
        }
        Err(Stop::because(format!("it compares for equality with {}, which is no float32", self.0)))
    }
}

/// The test that takes every float32 the way the file's own does; `None` for a leaf.
pub(super) fn test(mode: &[u8], threshold: Threshold) -> Result<Option<Test>, Stop> {
    Ok(Some(match mode {
        b"LEAF" => return Ok(None),
        b"BRANCH_LEQ" => Test::LessEqual(threshold.below()),
        b"BRANCH_LT" => Test::Less(threshold.above()),
        b"BRANCH_GTE" => Test::GreaterEqual(threshold.above()),
        b"BRANCH_GT" => Test::Greater(threshold.below()),
        b"BRANCH_EQ" => Test::Equal(threshold.exact()?),
        b"BRANCH_NEQ" => Test::NotEqual(threshold.exact()?),
        other => {
            let mode = String::from_utf8_lossy(&other[..other.len().min(40)]).into_owned();
            return Err(Stop::because(format!("mode {mode:?} is not known")));
        }
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn passes(test: Test, x: f32) -> bool {
        match test {
            Test::LessEqual(t) => x <= t,
            Test::Less(t) => x < t,
            Test::GreaterEqual(t) => x >= t,
            Test::Greater(t) => x > t,
            _ => panic!("{test:?}"),
        }
    }

    #[test]
    fn doubles_take_every_float_the_same_way() {
        let ties = [0.1_f64, -0.1, 1e-50, -1e-50, 1e300, -1e300, 0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY];
        for t in ties {
            let near = t as f32;
            for x in [near, near.next_up(), near.next_down(), 0.0, -0.0, f32::MAX, f32::MIN, f32::INFINITY] {
                let wide = f64::from(x);
                let expected = [wide <= t, wide < t, wide >= t, wide > t];
                let modes: [&[u8]; 4] = [b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT"];
                for (mode, expected) in modes.into_iter().zip(expected) {
                    assert_eq!(passes(test(mode, Threshold(t)).unwrap().unwrap(), x), expected, "{mode:?} {t} {x}");
                }
            }
        }
    }

    #[test]
    fn equality_is_with_floats_only() {
        assert!(matches!(test(b"BRANCH_EQ", Threshold(0.5)), Ok(Some(Test::Equal(0.5)))));
        assert!(test(b"BRANCH_EQ", Threshold(0.1)).is_err());
        assert!(test(b"BRANCH_SIDEWAYS", Threshold(0.1)).is_err());
        assert!(matches!(test(b"LEAF", Threshold(f64::NAN)), Ok(None)));
    }
}
