//! What a log must say, by a map and a stable sort.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::DataType;

use super::content::Content;
use super::rows::{Row, SECOND_US, TEXTS};
use super::types::Types;

/// A user as the map orders them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Integer(i64),
    Text(String),
}

/// The same by definition: a map of users, each with rows that are sorted by time, event type and properties by name.
pub fn expected(rows: &[Row], types: &Types) -> Content {
    let kept = || rows.iter().filter(|row| row.user.is_some());
    let ranked = |texts: BTreeSet<&'static str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let event_types = ranked(kept().map(|row| TEXTS[row.event + 3]).collect());
    let categories = ranked(kept().filter_map(|row| row.category.map(|place| TEXTS[place])).collect());
    let rank = |texts: &[String], text: &str| texts.iter().position(|known| known == text).unwrap() as f64;
    let amount = |row: &Row| match row.amount {
        Some(amount) if !amount.is_nan() && types.amount == DataType::Float32 => f64::from(amount as f32),
        Some(amount) if !amount.is_nan() => amount,
        _ => f64::NAN,
    };
    let values = |row: &Row| -> [f64; 6] {
        [
            rank(&event_types, TEXTS[row.event + 3]),
            amount(row),
            row.category.map_or(f64::NAN, |place| rank(&categories, TEXTS[place])),
            row.due_s.map_or(f64::NAN, |time_s| (time_s * SECOND_US) as f64),
            row.gift.map_or(f64::NAN, |gift| f64::from(u8::from(gift))),
            row.item.map_or(f64::NAN, |item| item as f64),
        ]
    };
    let mut map: BTreeMap<User, Vec<(i64, [f64; 6])>> = BTreeMap::new();
    for row in kept() {
        let user = row.user.unwrap();
        let user = if types.user.is_integer() {
            User::Integer(user as i64)
        } else {
            User::Text(format!("{}{user}", TEXTS[user % TEXTS.len()]))
        };
        map.entry(user).or_default().push((row.time_s * SECOND_US, values(row)));
    }
    let mut offsets = vec![0];
    for events in map.values_mut() {
        events.sort_by(|a, b| {
            let columns = a.1.iter().zip(&b.1).map(|(a, b)| a.total_cmp(b));
            columns.fold(a.0.cmp(&b.0), std::cmp::Ordering::then)
        });
        offsets.push(offsets[offsets.len() - 1] + events.len() as u64);
    }
    let ordered = || map.values().flatten();
    let names = [
        ("", "event"),
        ("amount", "number"),
        ("category", "text"),
        ("due", "time"),
        ("gift", "boolean"),
        ("item", "number"),
    ];
    let column = |place: usize| ordered().map(|(_, values)| values[place]).collect::<Vec<f64>>();
    let width = |numbers: &[f64]| {
        let holds = |exactly: &dyn Fn(f64) -> bool| numbers.iter().all(|number| number.is_nan() || exactly(*number));
        let whole = |most: f64| {
            holds(&|number| number.fract() == 0.0 && number.abs() <= most && number.to_bits() != (-0.0_f64).to_bits())
        };
        match () {
            () if whole(127.0) => 1,
            () if whole(32_767.0) => 2,
            () if whole(2_147_483_647.0) || holds(&|number| f64::from(number as f32) == number) => 4,
            () => 8,
        }
    };
    Content {
        users: map
            .keys()
            .map(|user| match user {
                User::Integer(id) => id.to_string(),
                User::Text(id) => id.clone(),
            })
            .collect(),
        offsets,
        time_us: ordered().map(|(time, _)| *time).collect(),
        columns: names
            .iter()
            .enumerate()
            .map(|(place, (name, kind))| {
                let dictionary = if place == 2 { categories.clone() } else { Vec::new() };
                ((*name).to_owned(), *kind, column(place).iter().map(|number| number.to_bits()).collect(), dictionary)
            })
            .collect(),
        widths: (0..6)
            .map(|place| match place {
                0 | 2 => 1,
                3 => 8,
                _ => width(&column(place)),
            })
            .collect(),
        event_types,
        dropped: rows.len() as u64 - kept().count() as u64,
    }
}
