//! Several models at once: what their features have in common is computed once.

use std::ops::Range;
use std::sync::Arc;

use propense_core::events::EventLog;
use propense_core::features::{Changes, Distinguished, FeatureError, JoinedPlan, Period, Plan, Scan, ScanPlan};
use propense_core::scorer::{RowScorer, ScoreError};
use propense_core::segments::Score;
use propense_store::Gathered;

use super::bound::span_us;
use super::error::ServingError;
use super::merged::Merged;
use super::served_model::ServedModel;

/// Models bound to the columns that a store has, those of a time zone joined.
pub(crate) struct JoinedModels {
    parts: Vec<Part>,
}

/// Models whose features are columns of one plan.
struct Part {
    members: Vec<Member>,
    scan: ScanPlan,
    /// For each set of models that is asked for, when they may say something else.
    changes: Vec<(Vec<bool>, Changes)>,
}

/// A model of a part.
struct Member {
    /// Its place among all models.
    place: usize,
    model: Arc<ServedModel>,
    /// Where each run of its features lies in the joined row.
    runs: Vec<Run>,
    /// Where the conditions of its audience lie there.
    conditions: Vec<usize>,
}

/// A model and its place among all models.
type Placed<'a> = (usize, &'a Arc<ServedModel>);

/// Features that lie side by side in both rows.
struct Run {
    own: Range<usize>,
    joined: Range<usize>,
}

impl JoinedModels {
    /// Binds the models that are there to the columns of `shape`, for the events of `gathered` and most others. `wanted`
    /// holds the sets of models whose changes will be asked for, that of all first.
    pub(crate) fn new(
        models: &[Option<&Arc<ServedModel>>],
        wanted: &[&[bool]],
        shape: &EventLog,
        gathered: &Gathered,
    ) -> Result<Self, FeatureError> {
        let span_us = span_us(&gathered.log);
        // A model may say otherwise, but nearly always all of them have one time zone.
        let mut zones: Vec<(&str, Vec<Placed<'_>>)> = Vec::new();
        for (place, model) in models.iter().enumerate().filter_map(|(place, model)| Some((place, (*model)?))) {
            match zones.iter_mut().find(|(zone, _)| *zone == model.loaded().timezone()) {
                Some((_, members)) => members.push((place, model)),
                None => zones.push((model.loaded().timezone(), vec![(place, model)])),
            }
        }
        let part = |(_, members): &(_, Vec<_>)| Part::new(members, wanted, shape, span_us);
        Ok(Self { parts: zones.iter().map(part).collect::<Result<_, _>>()? })
    }

    /// Whether some instant at which the models may say something else cannot be solved for, so that every full minute is one.
    pub(crate) fn rechecks(&self) -> bool {
        self.parts.iter().flat_map(|part| &part.changes).any(|(_, changes)| changes.rechecks())
    }

    /// Whether these events are as those that it was bound for.
    pub(crate) fn fits(&self, gathered: &Gathered) -> bool {
        self.parts.iter().all(|part| part.scan.fits(&gathered.log, &gathered.sizes))
    }
}

impl Part {
    fn new(
        models: &[Placed<'_>],
        wanted: &[&[bool]],
        shape: &EventLog,
        span_us: (i64, i64),
    ) -> Result<Self, FeatureError> {
        let mut plans = Vec::with_capacity(models.len() * 2);
        for (_, model) in models {
            plans.extend(model.plans(shape, span_us)?);
        }
        let plans: Vec<&Plan> = plans.iter().collect();
        let Some(JoinedPlan { plan, columns }) = JoinedPlan::new(&plans) else {
            return Err(FeatureError::NoFeatures);
        };
        let mut members = Vec::with_capacity(models.len());
        let mut reads = vec![false; plan.width()];
        for ((place, model), columns) in models.iter().zip(columns.chunks_exact(2)) {
            let is_read = model.loaded().onnx.reads();
            for (own, &column) in columns[0].iter().enumerate() {
                reads[column] |= is_read.is_none_or(|is_read| is_read.get(own) == Some(&true));
            }
            columns[1].iter().for_each(|&condition| reads[condition] = true);
            let (runs, conditions) = (runs(&columns[0]), columns[1].clone());
            members.push(Member { place: *place, model: Arc::clone(model), runs, conditions });
        }
        let changes = wanted.iter().map(|wanted| (wanted.to_vec(), changes(shape, &plan, &members, wanted)));
        let changes = changes.collect();
        Ok(Self { members, scan: ScanPlan::new(shape, &plan, Some(&reads)), changes })
    }
}

/// When models that are wanted may say something else.
fn changes(shape: &EventLog, plan: &Plan, members: &[Member], wanted: &[bool]) -> Changes {
    let mut merged = vec![Merged::Nothing; plan.width()];
    for member in members.iter().filter(|member| wanted.get(member.place) == Some(&true)) {
        let onnx = &member.model.loaded().onnx;
        let thresholds = onnx.thresholds();
        for Run { own, joined } in &member.runs {
            for (own, joined) in own.clone().zip(joined.clone()) {
                merged[joined].add(Distinguished::by_model(onnx.reads(), thresholds.as_deref(), own));
            }
        }
        member.conditions.iter().for_each(|&condition| merged[condition].add(Distinguished::Everything));
    }
    Changes::new(shape, plan, |output| merged[output].distinguished())
}

/// Where a model's features lie in the joined row.
fn runs(columns: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (own, &joined) in columns.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.joined.end == joined => (run.own.end, run.joined.end) = (own + 1, joined + 1),
            _ => runs.push(Run { own: own..own + 1, joined: joined..joined + 1 }),
        }
    }
    runs
}

/// Where goes, by user, when time alone may change what all models together say, if that is earlier than what is there.
pub(crate) enum Next<'a> {
    /// Nowhere.
    Unasked,
    /// The first such instant.
    Change(&'a mut [i64]),
    /// An instant not after it, which is quicker to know.
    NotBefore(&'a mut [i64]),
}

/// The models at work on some users' events.
pub(crate) struct JoinedScans<'a> {
    models: &'a JoinedModels,
    /// One a part.
    scans: Vec<Scan<'a>>,
    /// For each part, the user whom its scan has gathered, and at which instant.
    looked: Vec<Option<(u32, i64)>>,
    log: &'a EventLog,
    joined_rows: Vec<f32>,
    rows: Vec<f32>,
    users: Vec<u32>,
    scores: Vec<f32>,
}

impl<'a> JoinedScans<'a> {
    pub(crate) fn new(models: &'a JoinedModels, log: &'a EventLog) -> Self {
        let scan = |part: &'a Part| Scan::new(&part.scan, log, Period::before(0));
        let scans: Vec<_> = models.parts.iter().map(scan).collect();
        let looked = vec![None; scans.len()];
        let (joined_rows, rows, users, scores) = Default::default();
        Self { models, scans, looked, log, joined_rows, rows, users, scores }
    }

    /// Scores and tiers (0 least, 1 moderately, 2 most likely) of those of some users, each at an instant, who are in a
    /// model's audience, by each model that is wanted: gives the user, the model's place and the score.
    pub(crate) fn score(
        &mut self,
        users: &[(u32, i64)],
        is_wanted: impl Fn(usize) -> bool,
        mut next: Next<'_>,
        mut each: impl FnMut(u32, usize, Score),
    ) -> Result<(), ServingError> {
        let models = self.models;
        for (number, Part { members, .. }) in models.parts.iter().enumerate() {
            let wanted = || members.iter().filter(|member| is_wanted(member.place));
            let Some(tile) = wanted().map(|member| member.model.loaded().onnx.tile_rows()).max() else { continue };
            for users in users.chunks(tile.max(1)) {
                self.write(number, users, &mut next);
                wanted().try_for_each(|member| self.score_by(member, number, users, &mut each))?;
            }
        }
        Ok(())
    }

    /// Writes in `next_us`, by user, when time alone may change what all models together say, if that is earlier than what is
    /// there.
    pub(crate) fn look(&mut self, users: &[(u32, i64)], next_us: &mut [i64]) {
        (0..self.scans.len()).for_each(|part| self.write(part, users, &mut Next::Change(&mut *next_us)));
    }

    /// The first instant after another at which time alone may change what the models say that are in a set, one of
    /// those that they were bound for.
    pub(crate) fn next_change_us(&self, user: usize, after_us: i64, set: &[bool]) -> i64 {
        let next_us = |(number, part): (usize, &Part)| match part.changes.iter().find(|(wanted, _)| wanted == set) {
            Some((_, changes)) if self.looked[number] == Some((user as u32, after_us)) => {
                changes.next_us_by(&self.scans[number..=number], self.log, user, after_us)
            }
            Some((_, changes)) => changes.next_us(self.log, user, after_us),
            // What is not known of may be at any time.
            None => after_us.saturating_add(1),
        };
        self.models.parts.iter().enumerate().map(next_us).min().unwrap_or(i64::MAX)
    }

    /// Writes the joined rows of some users.
    fn write(&mut self, part: usize, users: &[(u32, i64)], next: &mut Next<'_>) {
        let Self { models, scans, looked, log, joined_rows, .. } = self;
        let Part { scan: plan, changes, .. } = &models.parts[part];
        let width = plan.width();
        let scan = &mut scans[part..=part];
        joined_rows.resize(users.len() * width, f32::NAN);
        for (row, &(user, as_of_us)) in joined_rows.chunks_exact_mut(width).zip(users) {
            scan[0].move_to(as_of_us);
            scan[0].write_row(user as usize, row);
            let Some((_, changes)) = changes.first() else { continue };
            let user = user as usize;
            match next {
                Next::Unasked => {}
                Next::Change(us) => us[user] = changes.next_us_by(scan, log, user, as_of_us).min(us[user]),
                Next::NotBefore(us) => us[user] = changes.not_before_us_by(scan, log, user, as_of_us).min(us[user]),
            }
        }
        looked[part] = users.last().copied();
    }

    /// Scores those in a model's audience of the users whose joined rows are there.
    fn score_by(
        &mut self,
        member: &Member,
        part: usize,
        users: &[(u32, i64)],
        each: &mut impl FnMut(u32, usize, Score),
    ) -> Result<(), ServingError> {
        let Self { models, joined_rows, rows, users: audience, scores, .. } = self;
        let loaded = member.model.loaded();
        let (width, joined_width) = (loaded.onnx.width(), models.parts[part].scan.width());
        rows.resize(users.len() * width, f32::NAN);
        audience.clear();
        for (joined, &(user, _)) in joined_rows.chunks_exact(joined_width).zip(users) {
            if member.conditions.iter().all(|&condition| joined[condition] == 1.0) {
                let row = &mut rows[audience.len() * width..][..width];
                for run in &member.runs {
                    row[run.own.clone()].copy_from_slice(&joined[run.joined.clone()]);
                }
                audience.push(user);
            }
        }
        scores.resize(audience.len(), 0.0);
        loaded.onnx.score(&rows[..audience.len() * width], scores).map_err(ScoreError::Model)?;
        for (&user, &score) in audience.iter().zip(scores.iter()) {
            each(user, member.place, (score, member.model.tier(score) as u8));
        }
        Ok(())
    }
}
