//! Random numbers, and random segments out of them.

use propense_core::segments::SegmentDefinition;

pub const DAY_US: i64 = 86_400_000_000;
pub const MODEL: &str = "buys_again";
const NAMES: [&str; 5] = ["keen", "at-risk", "quiet", "b2b", "_late"];
const WINDOWS: [&str; 6] = ["1h", "6h", "1d", "2d", "7d", "30d"];

/// Knuth's generator, with the high bits.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }

    pub fn within_us(&mut self, span_us: i64) -> i64 {
        (self.below(1 << 20) as i64 * (span_us >> 20)) + self.below(1 << 20) as i64 % (span_us >> 20).max(1)
    }
}

/// What a set of segments may read.
#[derive(Debug, Clone, Copy)]
pub struct Reads {
    pub clock: bool,
    pub model: bool,
}

fn comparison(dice: &mut Dice, reads: Reads, earlier: &[&str]) -> String {
    let window = dice.pick(&WINDOWS);
    let count = dice.below(4);
    let op = dice.pick(&[">=", ">", "<", "="]);
    match dice.below(13) {
        0 | 1 => format!("count(purchase, '{window}') {op} {count}"),
        2 => format!("count(\"view\", '{window}') FILTER (WHERE category = 'category {}') >= 1", dice.below(4)),
        3 => format!("sum(purchase.amount, '{window}') > {}", dice.below(12)),
        4 => format!("recency({}) {op} {}", dice.pick(&["*", "open"]), dice.pick(&["0.25", "1", "2.5", "7"])),
        5 => format!("tenure(*) > {}", dice.below(20)),
        6 => format!("decayed_count(\"view\", '1d') > 0.{}", 1 + dice.below(9)),
        7 => format!("attr(age) >= {}", 10 + dice.below(8)),
        8 => format!("attr(country) = '{}'", dice.pick(&["DE", "GB"])),
        9 if reads.clock => format!("hour_now() {op} {}", dice.below(24)),
        10 if reads.clock => format!("weekday_now() > {}", dice.below(7)),
        9 | 10 if reads.model => match dice.below(3) {
            0 => format!("score({MODEL}) > 0.{}", 1 + dice.below(9)),
            1 => format!("tier({MODEL}) = 'most_likely'"),
            _ => format!("in_segment(\"{MODEL}.least_likely\")"),
        },
        11 if !earlier.is_empty() => format!("in_segment(\"{}\")", dice.pick(earlier)),
        _ => format!("count(*, '{window}') >= {count}"),
    }
}

fn rule(dice: &mut Dice, reads: Reads, earlier: &[&str]) -> String {
    let first = comparison(dice, reads, earlier);
    match dice.below(4) {
        0 => first,
        1 => format!("NOT ({first})"),
        _ => format!("({first}) {} ({})", dice.pick(&["AND", "OR"]), comparison(dice, reads, earlier)),
    }
}

/// One segment, which reads none but earlier ones.
pub fn segment(dice: &mut Dice, place: usize, reads: Reads, now_us: i64) -> SegmentDefinition {
    let earlier = &NAMES[..place];
    let text = rule(dice, reads, earlier);
    let mut definition = SegmentDefinition::new(NAMES[place], &text);
    if dice.one_in(3) {
        definition.stay = Some(format!("({text}) OR ({})", rule(dice, reads, earlier)));
    }
    if dice.one_in(4) {
        definition.min_stay = Some(dice.pick(&["30m", "6h", "2d"]).to_owned());
    }
    if dice.one_in(7) {
        definition.valid_from_us = Some(now_us + dice.within_us(2 * DAY_US) - DAY_US);
    }
    if dice.one_in(7) {
        definition.valid_until_us = Some(now_us + DAY_US + dice.within_us(3 * DAY_US));
    }
    if reads.clock && dice.one_in(2) {
        dice.pick(&["Europe/London", "Asia/Kathmandu"]).clone_into(&mut definition.timezone);
    }
    definition
}

/// One to five segments.
pub fn segments(dice: &mut Dice, reads: Reads, now_us: i64) -> Vec<SegmentDefinition> {
    let count = 1 + dice.below(NAMES.len() as u64) as usize;
    (0..count).map(|place| segment(dice, place, reads, now_us)).collect()
}
