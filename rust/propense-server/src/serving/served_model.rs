//! A model that scores users on demand.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use propense_core::features::{FeatureSpec, ParsedSpec, Period, Progress, Scan, members};
use propense_core::scorer::score_ready;
use propense_onnx::model_directory::{LoadedModel, Tier};

use super::bound::Bound;
use super::error::ServingError;
use super::source::{Gathered, UserEvents};

/// Columns rarely grow between gathering a user's events and binding a plan, and hardly ever so many times.
const ATTEMPTS: usize = 8;

/// A model, with its plan bound to the columns of the store.
pub struct ServedModel {
    loaded: LoadedModel,
    features: ParsedSpec,
    audience: ParsedSpec,
    bound: ArcSwapOption<Bound>,
}

/// What a model says of a user.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The user is not in the model's audience at the `as_of`.
    NotInAudience,
    /// The user is.
    Scored {
        /// The calibrated probability, in [0, 1].
        score: f32,
        /// The share of the audience at training with a score at or below this one, in [0, 100].
        percentile: f32,
        /// The tier.
        tier: Tier,
        /// One value a feature, in the plan's order, NaN for missing; empty unless asked for.
        features: Vec<f32>,
    },
}

impl ServedModel {
    /// Readies a model; it is bound to columns when it is first asked for a score.
    ///
    /// # Errors
    /// [`ServingError::Unfit`] if an expression of its plan or audience cannot be parsed.
    pub fn new(loaded: LoadedModel) -> Result<Self, ServingError> {
        let unfit = |source| ServingError::Unfit { model: loaded.name.clone(), source };
        let conditions: Vec<_> = loaded.audience.iter().map(|text| (None, text.clone())).collect();
        let audience = FeatureSpec::declare(&conditions, &loaded.spec.timezone).map_err(unfit)?;
        let audience = ParsedSpec::new(&audience).map_err(unfit)?;
        let features = ParsedSpec::new(&loaded.spec).map_err(unfit)?;
        Ok(Self { loaded, features, audience, bound: ArcSwapOption::empty() })
    }

    /// The model as it was loaded.
    #[must_use]
    pub fn loaded(&self) -> &LoadedModel {
        &self.loaded
    }

    /// What the model says of each of these users, who ascend and are distinct, from their events before `as_of_us`
    /// (microseconds since 1970 UTC); with each feature's value if `with_features`.
    ///
    /// A user without an event before the `as_of` is in no audience.
    ///
    /// # Errors
    /// The model does not fit the events' columns, or fails on a row.
    pub fn standings(
        &self,
        source: &dyn UserEvents,
        users: &[&str],
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Vec<Standing>, ServingError> {
        for _ in 0..ATTEMPTS {
            let gathered = source.gather(users);
            if let Some(standings) = self.standings_of(source, &gathered, as_of_us, with_features)? {
                return Ok(standings);
            }
        }
        Err(ServingError::Unsettled { model: self.loaded.name.clone(), attempts: ATTEMPTS })
    }

    /// [`Self::standings`] of users whose events are gathered already; `None` if the source's columns have grown since
    /// in such a way that they must be gathered again.
    ///
    /// # Errors
    /// As [`Self::standings`].
    pub fn standings_of(
        &self,
        source: &dyn UserEvents,
        gathered: &Gathered,
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Option<Vec<Standing>>, ServingError> {
        match self.bound_for(source, gathered)? {
            Some(bound) => self.score(&bound, gathered, as_of_us, with_features).map(Some),
            None => Ok(None),
        }
    }

    fn bound_for(&self, source: &dyn UserEvents, gathered: &Gathered) -> Result<Option<Arc<Bound>>, ServingError> {
        if let Some(bound) = self.bound.load_full().filter(|bound| bound.fits(gathered)) {
            return Ok(Some(bound));
        }
        let reads = propense_core::scorer::RowScorer::reads(&self.loaded.onnx);
        let bound = Bound::new(&self.features, &self.audience, reads, &source.shape(), gathered)
            .map_err(|source| ServingError::Unfit { model: self.loaded.name.clone(), source })?;
        let bound = Arc::new(bound);
        self.bound.store(Some(Arc::clone(&bound)));
        Ok(Some(bound).filter(|bound| bound.fits(gathered)))
    }

    fn score(
        &self,
        bound: &Bound,
        gathered: &Gathered,
        as_of_us: i64,
        with_features: bool,
    ) -> Result<Vec<Standing>, ServingError> {
        let (log, period, progress) = (&gathered.log, Period::before(as_of_us), Progress::default());
        let failed = |source| ServingError::Model { model: self.loaded.name.clone(), source };
        let users: Vec<u32> = (0..log.users().len() as u32).collect();
        let members = members(log, &bound.audience, period, &users, &progress).map_err(|error| failed(error.into()))?;
        let scores =
            score_ready(log, &bound.features, period, &members, &self.loaded.onnx, &progress).map_err(failed)?;
        let mut scan = with_features.then(|| Scan::new(&bound.all_features, log, period));
        let mut standings = vec![Standing::NotInAudience; users.len()];
        for (&user, &score) in members.iter().zip(&scores) {
            let features = scan.as_mut().map_or_else(Vec::new, |scan| {
                let mut row = vec![f32::NAN; bound.all_features.width()];
                scan.write_row(user as usize, &mut row);
                row
            });
            let (percentile, tier) = (self.loaded.percentile(score), self.loaded.tier(score));
            standings[user as usize] = Standing::Scored { score, percentile, tier, features };
        }
        Ok(standings)
    }
}
