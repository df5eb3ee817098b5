//! What several models together make of one value.

use propense_core::features::Distinguished;

/// What all models added so far distinguish.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Merged {
    /// None reads it.
    Nothing,
    /// Their thresholds; none at all if they ask only whether the value is missing.
    Steps(Vec<f32>),
    /// At least one of them tells any two values apart.
    Everything,
}

impl Merged {
    /// Adds what one more model distinguishes.
    pub(super) fn add(&mut self, more: Distinguished<'_>) {
        match (&mut *self, more) {
            (Self::Everything, _) | (_, Distinguished::Nothing) => {}
            (_, Distinguished::Everything) => *self = Self::Everything,
            (Self::Nothing, Distinguished::Steps(new)) => *self = Self::Steps(new.to_vec()),
            (Self::Steps(steps), Distinguished::Steps(new)) => steps.extend_from_slice(new),
        }
    }

    pub(super) fn distinguished(&self) -> Distinguished<'_> {
        match self {
            Self::Nothing => Distinguished::Nothing,
            Self::Steps(steps) => Distinguished::Steps(steps),
            Self::Everything => Distinguished::Everything,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(all: &[Distinguished<'_>]) -> Merged {
        let mut merged = Merged::Nothing;
        for &one in all {
            merged.add(one);
        }
        merged
    }

    #[test]
    fn a_value_that_is_only_asked_whether_it_is_missing_is_read() {
        let (nothing, missing) = (Distinguished::Nothing, Distinguished::Steps(&[]));
        assert_eq!(merged(&[nothing, nothing]), Merged::Nothing);
        assert_eq!(merged(&[nothing, missing]), Merged::Steps(vec![]));
        assert_eq!(merged(&[missing, nothing]), Merged::Steps(vec![]));
    }

    #[test]
    fn the_thresholds_of_all_models_count_unless_one_tells_everything_apart() {
        let (one, other) = (Distinguished::Steps(&[1.0]), Distinguished::Steps(&[0.5, 2.0]));
        assert_eq!(merged(&[one, other]), Merged::Steps(vec![1.0, 0.5, 2.0]));
        assert_eq!(merged(&[one, Distinguished::Everything, other]), Merged::Everything);
    }
}
