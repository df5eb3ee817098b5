//! All segments together: names, what reads what, and the order in which they are evaluated.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::definition::SegmentDefinition;
use super::error::{Part, SegmentError};
use super::order::order;
use super::reads::Named;
use crate::expr::{BinaryOp, ColumnNames, Expr, Externals, Literal, parse_segment_rule};

/// One segment, parsed.
#[derive(Debug, Clone)]
#[allow(clippy::struct_field_names)]
pub(super) struct Rule {
    /// As it was defined, in canonical texts; `None` for a tier of a model.
    pub(super) definition: Option<SegmentDefinition>,
    /// The texts of its rule and its `stay` as they were written: positions in errors count in them.
    written: [String; 2],
    pub(super) enter: Expr,
    pub(super) stay: Option<Expr>,
    pub(super) min_stay_us: Option<i64>,
    pub(super) named: Named,
    /// The models, as places among all, whose missing audits keep everybody out; ascending.
    unaudited: Vec<usize>,
}

impl Rule {
    fn of_tier(model: &str, tier: &str) -> Self {
        let value = Expr::Tier { name: model.to_owned(), position: 0 };
        let constant = Expr::Literal(Literal::Text(tier.to_owned()));
        let rule = Expr::Binary(BinaryOp::Equal, Box::new(value), Box::new(constant));
        let written = [rule.to_string(), String::new()];
        let named = Named::default();
        Self { definition: None, written, enter: rule, stay: None, min_stay_us: None, named, unaudited: Vec::new() }
    }

    fn of(definition: &SegmentDefinition) -> Result<Self, SegmentError> {
        let canonical = definition.canonical()?;
        TimeZone::get(&canonical.timezone).map_err(|_| SegmentError::TimeZone {
            segment: canonical.name.clone(),
            name: canonical.timezone.clone(),
        })?;
        let located = |part| {
            let segment = canonical.name.clone();
            move |source| SegmentError::Rule { segment, part, source }
        };
        let rule = parse_segment_rule(&definition.rule).map_err(located(Part::Rule))?;
        let stay = definition.stay.as_deref().map(parse_segment_rule).transpose().map_err(located(Part::Stay))?;
        let min_stay_us = canonical.min_stay_us()?;
        let written = [definition.rule.clone(), definition.stay.clone().unwrap_or_default()];
        let (named, unaudited) = (Named::default(), Vec::new());
        Ok(Self { written, enter: rule, stay, min_stay_us, named, unaudited, definition: Some(canonical) })
    }

    /// The expressions of the segment, with the texts they were written as.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Part, &Expr, &str)> {
        let [rule, stay] = &self.written;
        let rule = [(Part::Rule, &self.enter, rule.as_str())];
        rule.into_iter().chain(self.stay.iter().map(|expr| (Part::Stay, expr, stay.as_str())))
    }

    pub(super) fn timezone(&self) -> &str {
        self.definition.as_ref().map_or("UTC", |definition| &definition.timezone)
    }

    /// The first instant that is valid, and the first that is not any more.
    pub(super) fn validity_us(&self) -> (i64, i64) {
        if !self.unaudited.is_empty() {
            return (i64::MAX, i64::MAX);
        }
        let definition = self.definition.as_ref();
        let from = definition.and_then(|definition| definition.valid_from_us).unwrap_or(i64::MIN);
        (from, definition.and_then(|definition| definition.valid_until_us).unwrap_or(i64::MAX))
    }

    pub(super) fn is_path_dependent(&self) -> bool {
        self.stay.is_some() || self.min_stay_us.is_some()
    }
}

/// What a segment's rules name.
#[derive(Debug, Clone, Copy)]
pub struct Reads<'a> {
    /// Models, as places in [`RuleSet::models`], ascending.
    pub models: &'a [usize],
    /// Segments, as places in [`RuleSet::names`], ascending.
    pub segments: &'a [usize],
}

/// Segments that fit together, and the tiers of the models as segments of their own; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Arc<Inner>);

#[derive(Debug, Clone, Default)]
struct Inner {
    names: Vec<String>,
    models: Vec<String>,
    rules: Vec<Rule>,
    order: Vec<usize>,
    path_dependent: Vec<bool>,
    models_read: Vec<bool>,
}

impl RuleSet {
    /// Parses definitions and adds a segment `MODEL.TIER` for each tier of each model.
    ///
    /// # Errors
    /// A name is no name or there twice, a rule cannot be parsed or names a model, segment or tier that there is not
    /// (with the position and the nearest name), a time zone is unknown, or segments read each other in a circle.
    pub fn new(definitions: &[SegmentDefinition], models: &[String]) -> Result<Self, SegmentError> {
        let mut models = models.to_vec();
        models.sort_unstable();
        models.dedup();
        let mut segments: Vec<(String, Rule)> = Vec::new();
        for definition in definitions {
            segments.push((definition.name.clone(), Rule::of(definition)?));
        }
        for model in &models {
            let of_tier = |tier| (format!("{model}.{tier}"), Rule::of_tier(model, tier));
            segments.extend(Externals::TIERS.map(of_tier));
        }
        segments.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = segments.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(SegmentError::DuplicateName { name: pair[0].0.clone() });
        }
        let names: Vec<String> = segments.iter().map(|(name, _)| name.clone()).collect();
        let mut rules = Vec::with_capacity(segments.len());
        for (name, mut rule) in segments {
            let mut reads = Named::default();
            for (part, expr, text) in rule.parts() {
                let located = |source| SegmentError::Rule { segment: name.clone(), part, source };
                reads.add(expr, text, &models, &names).map_err(located)?;
            }
            rule.named = reads;
            rules.push(rule);
        }
        let reads: Vec<Vec<usize>> = rules.iter().map(|rule| rule.named.segments.clone()).collect();
        let order = order(&reads).map_err(|path| SegmentError::Cycle {
            path: path.into_iter().map(|segment| names[segment].clone()).collect(),
        })?;
        let path_dependent = rules.iter().map(Rule::is_path_dependent).collect();
        let mut inner = Inner { models_read: vec![false; models.len()], names, models, rules, order, path_dependent };
        let of_people = inner.closure(|segment| inner.rules[segment].definition.is_some());
        inner.models_read = inner.models_of(&of_people);
        let audits = |segment: &usize| inner.requires_audit(*segment) && inner.audited_by(*segment).is_empty();
        match (0..inner.names.len()).find(audits) {
            Some(segment) => Err(SegmentError::NothingToAudit { segment: inner.names[segment].clone() }),
            None => Ok(Self(Arc::new(inner))),
        }
    }

    /// The same segments, of which those that require audits have nobody unless every model that they read, also through
    /// other segments, has one: `is_audited` says so of a model.
    #[must_use]
    pub fn with_audits(self, is_audited: impl Fn(&str) -> bool) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        for segment in 0..inner.rules.len() {
            if inner.requires_audit(segment) {
                let mut models = inner.audited_by(segment);
                models.retain(|&model| !is_audited(&inner.models[model]));
                inner.rules[segment].unaudited = models;
            }
        }
        Self(Arc::new(inner))
    }

    /// The models, as places in [`RuleSet::models`], whose missing audits keep everybody out of a segment; ascending.
    #[must_use]
    pub fn unaudited(&self, segment: usize) -> &[usize] {
        &self.0.rules[segment].unaudited
    }

    /// The segments' names, ascending; a segment's number is its place here.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// How many segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.names.is_empty()
    }

    /// The number of a segment.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<usize> {
        self.0.names.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    /// The models' names, ascending.
    #[must_use]
    pub fn models(&self) -> &[String] {
        &self.0.models
    }

    /// Which models the rules that people wrote read, directly or through a tier.
    #[must_use]
    pub fn models_read(&self) -> &[bool] {
        &self.0.models_read
    }

    /// A segment's definition in canonical texts; `None` for a tier of a model.
    #[must_use]
    pub fn definition(&self, segment: usize) -> Option<&SegmentDefinition> {
        self.0.rules[segment].definition.as_ref()
    }

    /// A segment's rule in its canonical text, of a tier's too.
    #[must_use]
    pub fn rule_text(&self, segment: usize) -> String {
        self.0.rules[segment].enter.to_string()
    }

    /// The numbers of all segments, each after those it reads.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.0.order
    }

    /// What a segment names itself.
    #[must_use]
    pub fn reads_of(&self, segment: usize) -> Reads<'_> {
        let named = &self.0.rules[segment].named;
        Reads { models: &named.models, segments: &named.segments }
    }

    /// All segments that a segment depends on, directly or not, ascending and without itself.
    #[must_use]
    pub fn depends_on(&self, segment: usize) -> Vec<usize> {
        let closure = self.0.closure(|other| other == segment);
        (0..self.len()).filter(|&other| other != segment && closure[other]).collect()
    }

    /// Which segments have a `stay` or a `min_stay`, so that who is in them depends on who was.
    #[must_use]
    pub fn path_dependent(&self) -> &[bool] {
        &self.0.path_dependent
    }

    /// The properties and attributes that the rules name.
    #[must_use]
    pub fn columns(&self) -> ColumnNames {
        let mut columns = ColumnNames::default();
        for (_, expr, _) in self.0.rules.iter().flat_map(Rule::parts) {
            expr.name_columns(&mut columns);
        }
        columns
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.0.rules
    }

    /// Segments that are wanted and all that they depend on.
    pub(super) fn closure(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<bool> {
        self.0.closure(is_wanted)
    }

    /// The models that some segments name.
    pub(super) fn models_of(&self, segments: &[bool]) -> Vec<bool> {
        self.0.models_of(segments)
    }

    pub(super) fn externals(&self) -> Externals<'_> {
        Externals { models: &self.0.models, segments: &self.0.names }
    }
}

impl Inner {
    fn requires_audit(&self, segment: usize) -> bool {
        self.rules[segment].definition.as_ref().is_some_and(|definition| definition.requires_audit)
    }

    /// The models that a segment's audits have to be of.
    fn audited_by(&self, segment: usize) -> Vec<usize> {
        let models = self.models_of(&self.closure(|other| other == segment));
        (0..models.len()).filter(|&model| models[model]).collect()
    }

    fn closure(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut closure: Vec<bool> = (0..self.rules.len()).map(is_wanted).collect();
        // Against the order, so that a segment is reached before those it reads.
        for &segment in self.order.iter().rev() {
            if closure[segment] {
                self.rules[segment].named.segments.iter().for_each(|&read| closure[read] = true);
            }
        }
        closure
    }

    fn models_of(&self, segments: &[bool]) -> Vec<bool> {
        let mut models = vec![false; self.models.len()];
        for (rule, _) in self.rules.iter().zip(segments).filter(|(_, wanted)| **wanted) {
            rule.named.models.iter().for_each(|&model| models[model] = true);
        }
        models
    }
}
