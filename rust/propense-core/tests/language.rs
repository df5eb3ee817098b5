//! The language says where a text is wrong and what was meant, and no text makes it panic.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

mod support;

use propense_core::events::EventLog;
use propense_core::expr::{Binder, Function, UnknownEvents, feature_name, parse};
use propense_core::features::reference::evaluate;
use propense_core::features::{DictionarySizes, Period};
use propense_core::segments::{RuleSet, SegmentDefinition};
use proptest::prelude::*;
use support::comparison::{matrix, moment};
use support::logs::{Event, Profile, log};

fn small_log() -> EventLog {
    let event = |kind| Event {
        user: 0,
        time_us: 0,
        kind,
        amount: Some(1.0),
        unit_price: None,
        category: Some("movie"),
        gift: Some(true),
        due_us: Some(0),
    };
    let profile = Profile { age: Some(30.0), country: Some("GB"), member: Some(true), joined_us: Some(0) };
    log(&[&["Log In", "buy", "view"].map(event)], &[profile])
}

/// The error of a text that is refused, by the parser or the binder.
#[track_caller]
fn refusal(text: &str) -> String {
    let log = small_log();
    let bound = parse(text).and_then(|expr| Binder::new(&log, UnknownEvents::Refuse).bind(&expr, text));
    bound.map(|_| text).unwrap_err().to_string()
}

#[track_caller]
fn assert_refused(cases: &[(&str, &[&str])]) {
    for (text, parts) in cases {
        let message = refusal(text);
        for part in *parts {
            assert!(message.contains(part), "{text}: {message:?} does not say {part:?}");
        }
        assert!(message.contains(&format!("{text:?}")), "{message:?} does not quote {text}");
    }
}

#[test]
fn an_unknown_name_is_placed_and_the_nearest_is_proposed() {
    assert_refused(&[
        ("count(buyy)", &["unknown event type \"buyy\" at column 7", "did you mean \"buy\"?"]),
        ("1 + count(\"log in\", '7d')", &["unknown event type \"log in\" at column 11", "did you mean \"Log In\"?"]),
        ("sum(buy.amuont)", &["unknown property \"amuont\" at column 9", "did you mean \"amount\"?"]),
        ("count(*) FILTER (WHERE catgory = 'x')", &["unknown property \"catgory\" at column 24", "\"category\"?"]),
        ("attr(contry) = 'GB'", &["unknown attribute \"contry\" at column 6", "did you mean \"country\"?"]),
        ("medain(buy.amount)", &["unknown function \"medain\"", "did you mean \"mean\"?"]),
        ("avg(buy.amount)", &["unknown function \"avg\" at column 1 "]),
        ("1 +\n  cout(buy)", &["unknown function \"cout\" at line 2, column 3", "did you mean \"count\"?"]),
    ]);
    assert!(!refusal("count(something_else_entirely)").contains("did you mean"));
}

#[test]
fn an_unknown_event_has_not_happened_yet_if_so_wanted() {
    let log = small_log();
    let bind = |text| Binder::new(&log, UnknownEvents::Empty).bind(&parse(text).unwrap(), text);
    assert!(bind("count(uninstall, '7d') = 0").is_ok());
    assert!(bind("sum(uninstall.nothing)").is_err());
    let empty = support::logs::log(&[&[]], &[]);
    let bound = Binder::new(&empty, UnknownEvents::Empty).bind(&parse("mean(buy.amount)").unwrap(), "");
    assert!(bound.is_ok());
}

#[test]
fn what_an_unknown_event_would_say_is_missing_whatever_its_type() {
    let empty = support::logs::log(&[&[]], &[]);
    let rules = [
        "last(message.channel, '7d') = 'email'",
        "last(message.channel) IN ('email', 'push')",
        "last(message.channel) LIKE 'e%'",
        "last(message.opened)",
        "NOT last(message.opened)",
        "last(message.delay) IN (1, 2)",
        "last(message.sent) < '2024-05-01'",
    ];
    for rule in rules {
        let definitions = [SegmentDefinition::new("waits", rule)];
        let set = RuleSet::new(&definitions, &[]).unwrap();
        let bound = set.bind(&empty, UnknownEvents::Empty, (0, 1)).unwrap_or_else(|error| panic!("{error}"));
        assert!(bound.fits(&empty, &DictionarySizes::of(&empty)), "{rule}");
    }
}

#[test]
fn every_function_says_how_it_is_called() {
    for name in Function::NAMES {
        for call in [format!("{name}()"), format!("{name}('30d')"), format!("{name}(buy, buy)"), format!("{name}(1)")] {
            let message = refusal(&call);
            assert!(message.starts_with(&format!("{name} at column 1 of {call:?}: expected ")), "{message}");
        }
    }
    assert_refused(&[
        ("sum(buy)", &["expected event.property"]),
        ("recency(buy.amount)", &["expected an event or *"]),
        ("decayed_count(buy)", &["decayed_count(event, '7d') with the half-life"]),
        ("decayed_count(buy, '7d', '30d')", &["with the half-life"]),
        ("hour_share(buy, 18, 24)", &["hours 0 to 23"]),
        ("hour_share(buy, 18.5, 20)", &["hours 0 to 23"]),
        ("weekday_share(buy, 0, 7)", &["days 1 (Monday) to 7"]),
        ("count(buy, '7d', '30d')", &["expected count(event)"]),
        ("abs()", &["expected one operand"]),
        ("coalesce(1)", &["expected two or more operands"]),
        ("attr('country')", &["expected attr(name)"]),
        ("1 + abs()", &["abs at column 5 of \"1 + abs()\": expected one operand"]),
        ("1 +\n coalesce(count(buy), ln())", &["ln at line 2, column 23"]),
        ("1 + count(buy, '7')", &["\"7\" is not an interval", "'30d', at column 5 of \"1 + count(buy, '7')\""]),
        ("1 + count(buy + 1)", &["as an argument of count is not part of the language, at column 5"]),
    ]);
    for window in ["7", "d", "-7d", "7 d", "0d", "7y", "99999999999999d"] {
        let message = refusal(&format!("count(buy, '{window}')"));
        assert!(message.contains(&format!("{window:?} is not an interval")), "{message}");
    }
}

#[test]
fn what_stands_in_the_wrong_place_is_told_where_it_belongs() {
    assert_refused(&[
        ("purchase", &["a text in single quotes"]),
        ("amount > 1", &["inside a function"]),
        ("buy.amount > 1", &["put it in a function"]),
        ("count(buy) FILTER (WHERE count(view) > 1)", &["one event at a time"]),
        ("count(buy) FILTER (WHERE attr(age) > 1)", &["attributes outside it"]),
        ("count(buy) FILTER (WHERE buy.amount > 1)", &["name a property alone"]),
        ("'movie'", &["only be compared with a text"]),
        ("count(buy) OVER ()", &["FILTER (WHERE …) and nothing else"]),
        ("count(DISTINCT buy)", &["not part of the language"]),
        ("coalesce(sum(buy.amount), 0) FILTER (WHERE gift)", &["FILTER (WHERE …) belongs to a function over events"]),
        ("ln(count(buy)) OVER ()", &["not part of the language"]),
        ("abs(DISTINCT count(buy))", &["not part of the language"]),
        ("CASE WHEN TRUE THEN 1 END", &["not part of the language"]),
        ("(SELECT 1)", &["not part of the language"]),
        ("1 || 2", &["not part of the language"]),
        ("count(buy) count(buy)", &["nothing more expected", "Column: 12"]),
        ("count(buy", &["cannot parse", "found: the end of the text"]),
        ("count(buy,, '7d')", &["cannot parse", "Column: 11"]),
        ("", &["cannot parse"]),
        ("1e999", &["finite"]),
    ]);
}

#[test]
fn operands_of_the_wrong_type_are_named() {
    assert_refused(&[
        ("count(buy) = 'one'", &["=", "a number and a text"]),
        ("count(buy) AND TRUE", &["AND", "expected boolean, found number"]),
        ("NOT count(buy)", &["NOT", "expected boolean, found number"]),
        ("1 + (count(buy) > 1)", &["+", "expected number, found boolean"]),
        ("-attr(country)", &["-", "expected number, found text"]),
        ("attr(country) = attr(country)", &["text on both"]),
        ("attr(country) > 1", &["text in single quotes"]),
        ("attr(country) IN ('GB', 1)", &["IN", "expected text"]),
        ("attr(age) IN ('GB')", &["IN", "expected number"]),
        ("attr(age) IN (1, NULL)", &["use IS NULL"]),
        ("attr(age) LIKE 'x'", &["LIKE", "expected text, found number"]),
        ("attr(joined) > 'last week'", &["'last week'", "2024-05-01"]),
        ("sum(buy.category)", &["sum", "a number or a truth value, found text"]),
        ("last(buy.due)", &["last", "found time"]),
        ("ln(attr(member))", &["ln", "expected number, found boolean"]),
        ("count(buy) FILTER (WHERE amount)", &["the condition of FILTER", "expected boolean, found number"]),
    ]);
}

/// What is parsed is carried through every step that walks it.
fn use_everywhere(text: &str) {
    let Ok(expr) = parse(text) else { return };
    assert_eq!(parse(&expr.to_string()).map(|expr| expr.to_string()).as_ref(), Ok(&expr.to_string()), "{text}");
    let _ = feature_name(&expr);
    let log = small_log();
    if Binder::new(&log, UnknownEvents::Refuse).bind(&expr, text).is_ok() {
        let period = Period::before(1);
        matrix(&log, &[text.to_owned()], "UTC", period);
        let _ = evaluate(&log, &expr, 0, &moment("UTC", period));
    }
}

#[test]
fn long_and_deep_texts_are_read_or_refused_without_running_out_of_stack() {
    assert!(refusal(&"1+".repeat(5_000)).contains("at most 8192"));
    let repeated = |first: &str, part: &str| first.to_owned() + &part.repeat((8_192 - first.len()) / part.len());
    for text in [
        repeated("1", "+1"),
        repeated("1", "-1"),
        repeated("TRUE", " OR TRUE"),
        repeated("TRUE", " AND FALSE"),
        repeated("1", " = 1"),
        repeated("1", " IS NULL"),
        "count(*) FILTER (WHERE ".to_owned() + &repeated("amount", " * amount")[..8_000] + " > 1)",
        "- ".repeat(4_000) + "1",
        "NOT ".repeat(2_000) + "TRUE",
        "(".repeat(4_000) + "1" + &")".repeat(4_000),
        "abs(".repeat(1_600) + "1" + &")".repeat(1_600),
        "(".repeat(8_192),
    ] {
        use_everywhere(&text);
    }
}

#[test]
fn what_is_read_is_no_larger_than_what_was_written() {
    let text = "1".to_owned() + &" BETWEEN 1 AND 1".repeat(12);
    let length = parse(&text).map_or(0, |expr| expr.to_string().len());
    assert!(length < 10 * text.len(), "{} bytes became {length}", text.len());
}

#[test]
fn a_long_list_of_alternatives_survives_its_canonical_text() {
    for operator in [" OR ", " AND "] {
        let text = ["attr(country) = 'GB'"; 100].join(operator);
        let canonical = parse(&text).unwrap().to_string();
        assert_eq!(parse(&canonical).map(|expr| expr.to_string()), Ok(canonical));
        assert_eq!(matrix(&small_log(), &[text], "UTC", Period::before(1)), [1.0]);
    }
}

#[test]
fn distinct_is_a_function_wherever_it_stands() {
    for text in
        ["ln(distinct(view.category))", "coalesce(distinct(view.category, '7d'), 0)", "abs(DISTINCT(view.gift))"]
    {
        assert!(parse(text).is_ok(), "{:?}", parse(text));
    }
}

/// Whether a name comes back from its canonical text as event, property and attribute.
fn assert_name_reads_back(name: &str) {
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let text = format!("sum({quoted}.{quoted}, '7d') FILTER (WHERE {quoted} = 1) > 0 AND attr({quoted}) = 2");
    let canonical = parse(&text).unwrap().to_string();
    let again = parse(&canonical).unwrap_or_else(|error| panic!("{canonical}: {error}"));
    assert_eq!(again.to_string(), canonical);
}

#[test]
fn names_that_are_words_of_sql_read_back() {
    for word in sqlparser::keywords::ALL_KEYWORDS {
        assert_name_reads_back(word);
        assert_name_reads_back(&word.to_lowercase());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        use_everywhere(&text);
    }

    #[test]
    fn every_name_reads_back(name in "[a-zA-Z_][a-zA-Z0-9_]{0,9}|[a-z]{1,4}|[ -~]{1,6}") {
        assert_name_reads_back(&name);
    }

    #[test]
    fn no_text_of_the_languages_own_words_panics(words in proptest::collection::vec(proptest::sample::select(&[
        "count", "sum", "hour_share", "decayed_count", "attr", "coalesce", "ln", "(", ")", ",", ".", "*", "buy", "view",
        "amount", "category", "\"Log In\"", "'30d'", "'movie'", "''", "1", "-1", "1e308", "0", "+", "-", "/", "%", "=",
        "<", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "TRUE", "FILTER", "WHERE", "--", "/*", "é", ";",
    ][..]), 0..16)) {
        use_everywhere(&words.join(" "));
        use_everywhere(&words.concat());
    }
}

#[test]
fn awaited_events_may_be_counted_by_the_properties_they_will_have() {
    let (log, awaited) = (small_log(), UnknownEvents::RefuseBut("message"));
    let bound = |text: &str| {
        let bound = parse(text).and_then(|expr| Binder::new(&log, awaited).bind(&expr, text));
        bound.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(bound("count(message, '7d') FILTER (WHERE channel = 'email' AND segment <> 'vip') < 3"), Ok(()));
    assert_eq!(bound("recency(message) > 1 OR count(message) FILTER (WHERE destination IN ('a', 'b')) = 0"), Ok(()));
    let misspelt = bound("count(message) FILTER (WHERE chanel = 'email') < 3").unwrap_err();
    assert!(misspelt.contains("unknown property \"chanel\""), "{misspelt}");
    assert!(misspelt.contains("did you mean \"channel\"?"), "{misspelt}");
    assert!(bound("count(message) FILTER (WHERE channel = 3) < 3").is_err());
    assert!(bound("count(massage) FILTER (WHERE channel = 'email') < 3").is_err());
}
