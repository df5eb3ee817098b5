//! Random texts of the language, well typed for the logs of [`super::logs`].

use proptest::prelude::*;
use proptest::sample::select;

use super::logs::{NUMBERS, TEXTS};
use super::moments::WINDOWS;

type Texts = BoxedStrategy<String>;

/// What an aggregate can be called on: every event type of the logs, all, and one that never happened.
pub const SUBJECTS: [&str; 5] = ["*", "buy", "view", "\"Log In\"", "ghost"];
const NUMERIC: [&str; 3] = ["amount", "\"unit price\"", "gift"];
const PROPERTIES: [&str; 5] = ["amount", "\"unit price\"", "gift", "category", "due"];
const OF_NUMBERS: [&str; 7] = ["sum", "mean", "min", "max", "std", "first", "last"];
const OF_EVENTS: [&str; 7] = ["count", "recency", "tenure", "active_days", "gap_mean", "gap_std", "count"];
const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<", "<=", ">", ">="];
const PATTERNS: [&str; 9] = ["%", "_", "", "mov%", "%o%", "_oo_", "%_%e", "a_b%", "Ä%"];
const INSTANTS: [&str; 4] = ["2024-03-31", "2018-11-04T00:30:00", "2011-12-30T10:00:00Z", "1970-01-01T00:00+05:45"];

fn quoted(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(texts).prop_map(|text| format!("'{}'", text.replace('\'', "''")))
}

fn constant() -> impl Strategy<Value = String> {
    let numbers = select(&NUMBERS[..]).prop_map(|number| number.to_string());
    prop_oneof![8 => numbers, 2 => select(&["-0.0", "-9", ".5", "1e-7", "1e300", "NULL"][..]).prop_map(str::to_owned)]
}

fn comparison() -> impl Strategy<Value = &'static str> {
    select(&COMPARISONS[..])
}

/// Every function with its own arguments, then perhaps a window, then perhaps a filter.
fn aggregate_of(call: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let window = prop_oneof![1 => Just(String::new()), 3 => select(&WINDOWS[..]).prop_map(|w| format!(", '{w}'"))];
    (call, window, filter()).prop_map(|(call, window, filter)| {
        // A half-life is already an interval, and no window may follow it.
        let window = if call.starts_with("decayed_count") { String::new() } else { window };
        format!("{call}{window}){filter}")
    })
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => filter_condition().prop_map(|text| format!(" FILTER (WHERE {text})"))]
}

fn subject() -> impl Strategy<Value = &'static str> {
    select(&SUBJECTS[..])
}

/// The subject of a function with a property: `*.property` is not SQL.
fn typed_subject() -> impl Strategy<Value = &'static str> {
    select(&SUBJECTS[1..])
}

fn numeric_call() -> impl Strategy<Value = String> {
    let property = |function: &'static [&'static str], property: &'static [&'static str]| {
        (select(function), typed_subject(), select(property))
            .prop_map(|(function, event, property)| format!("{function}({event}.{property}"))
    };
    prop_oneof![
        4 => property(&OF_NUMBERS, &NUMERIC[..2]),
        1 => property(&OF_NUMBERS[..5], &NUMERIC[2..]),
        2 => property(&["count", "distinct"], &PROPERTIES),
        4 => (select(&OF_EVENTS[..]), subject()).prop_map(|(function, event)| format!("{function}({event}")),
        1 => (subject(), select(&WINDOWS[..])).prop_map(|(event, life)| format!("decayed_count({event}, '{life}'")),
        2 => (subject(), 0..24, select(&[0, 1, 5, 22][..]))
            .prop_map(|(event, from, more)| format!("hour_share({event}, {from}, {}", (from + more) % 24)),
        1 => (subject(), 1..8, 1..8).prop_map(|(event, from, to)| format!("weekday_share({event}, {from}, {to}")),
    ]
}

fn end_of(property: &'static str) -> impl Strategy<Value = String> {
    let call = (select(&["first", "last"][..]), typed_subject());
    aggregate_of(call.prop_map(move |(function, event)| format!("{function}({event}.{property}")))
}

/// Arithmetic and functions of numbers over some numbers.
fn numbers(leaf: Texts) -> Texts {
    leaf.prop_recursive(3, 8, 2, |inner| {
        let operator = select(&["+", "-", "*", "/", "%"][..]);
        prop_oneof![
            4 => (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            2 => (select(&["abs", "ln", "sqrt"][..]), inner.clone()).prop_map(|(name, a)| format!("{name}({a})")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
        ]
    })
    .boxed()
}

/// Conditions over numbers, texts, instants and truth values, joined by logic.
fn conditions(number: &Texts, text: &Texts, instant: &Texts, truth: &Texts) -> Texts {
    let operand = prop_oneof![number.clone(), constant()];
    let not = || select(&["", "NOT "][..]);
    let any = prop_oneof![number.clone(), text.clone(), instant.clone(), truth.clone()];
    let leaf = prop_oneof![
        4 => (number.clone(), comparison(), operand.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => (number.clone(), not(), operand.clone(), operand)
            .prop_map(|(a, not, low, high)| format!("({a}) {not}BETWEEN ({low}) AND ({high})")),
        1 => (number.clone(), not()).prop_map(|(a, not)| format!("({a}) {not}IN (1, -3, 0, 2.5)")),
        2 => (text.clone(), comparison(), quoted(&TEXTS)).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (quoted(&TEXTS), comparison(), text.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (text.clone(), not(), quoted(&TEXTS)).prop_map(|(a, not, b)| format!("{a} {not}IN ({b}, 'zebra')")),
        1 => (text.clone(), not(), quoted(&PATTERNS)).prop_map(|(a, not, b)| format!("{a} {not}LIKE {b}")),
        1 => (instant.clone(), comparison(), quoted(&INSTANTS)).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (instant.clone(), comparison(), instant.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => truth.clone(),
        1 => (truth.clone(), comparison(), truth.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        1 => (any, not()).prop_map(|(a, not)| format!("({a}) IS {not}NULL")),
        1 => select(&["TRUE", "FALSE", "NULL = 1"][..]).prop_map(ToOwned::to_owned),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), select(&["AND", "OR"][..]), inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
    .boxed()
}

fn filter_condition() -> Texts {
    let name = |names: &'static [&'static str]| select(names).prop_map(ToOwned::to_owned).boxed();
    let number = numbers(prop_oneof![3 => name(&NUMERIC[..2]), 1 => constant()].boxed());
    conditions(&number, &name(&["category", "event"]), &name(&["due"]), &name(&["gift"]))
}

fn attribute(name: &'static str) -> Texts {
    Just(format!("attr({name})")).boxed()
}

/// What a number leaves after the last multiple of a tiny one. The remainder is exact, so it brings the last bits of
/// an f64 into the f32 of the matrix.
pub fn low_bits(number: &str) -> String {
    format!("({number}) % 1e-9")
}

/// A bare function over events that gives a number.
pub fn aggregate() -> Texts {
    aggregate_of(numeric_call()).boxed()
}

/// Numbers of a user, bare aggregates the most.
pub fn number() -> Texts {
    let aggregate = aggregate_of(numeric_call()).boxed();
    let leaf = prop_oneof![6 => aggregate.clone(), 1 => attribute("age"), 1 => constant()].boxed();
    prop_oneof![3 => aggregate.clone(), 1 => aggregate.prop_map(|text| low_bits(&text)), 2 => numbers(leaf)].boxed()
}

/// Conditions over a user.
pub fn condition() -> Texts {
    let text = prop_oneof![2 => end_of("category"), 1 => attribute("country")].boxed();
    let truth = prop_oneof![2 => end_of("gift"), 1 => attribute("member")].boxed();
    conditions(&number(), &text, &attribute("joined"), &truth)
}

/// Features of every type.
pub fn feature() -> Texts {
    let text = prop_oneof![2 => end_of("category"), 1 => attribute("country")];
    prop_oneof![6 => number(), 2 => condition(), 1 => text].boxed()
}

/// Every function over every window and all history, for one event type and one filter.
pub fn grid(event: &str, filter: &str) -> Vec<String> {
    let of_numbers = OF_NUMBERS.iter().map(|function| format!("{function}({event}.amount"));
    let of_all = PROPERTIES
        .iter()
        .flat_map(|property| ["count", "distinct"].map(|function| format!("{function}({event}.{property}")));
    let ends = ["gift", "category"].map(|property| format!("last({event}.{property}"));
    let of_events = OF_EVENTS[..6].iter().map(|function| format!("{function}({event}"));
    let hours = (0..24).step_by(5).map(|hour| format!("hour_share({event}, {hour}, {}", (hour + 3) % 24));
    let weekdays = [format!("weekday_share({event}, 6, 1")];
    let calls: Vec<String> =
        of_numbers.chain(of_all).chain(ends).chain(of_events).chain(hours).chain(weekdays).collect();
    let windowed = calls.iter().flat_map(|call| {
        let windows = WINDOWS.iter().map(move |window| format!("{call}, '{window}'){filter}"));
        windows.chain([format!("{call}){filter}")])
    });
    let decayed = WINDOWS.iter().map(|life| format!("decayed_count({event}, '{life}'){filter}"));
    let grid: Vec<String> = windowed.chain(decayed).collect();
    let accumulates = |text: &&String| ["sum", "mea", "std", "gap", "dec"].contains(&&text[..3]);
    grid.iter().cloned().chain(grid.iter().filter(accumulates).map(|text| low_bits(text))).collect()
}
