//! What an open store holds, as its readers see it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use propense_store::{Store, hash_event_id};

use super::run::{Model, identity};

/// The store's contents; panics if an event is there twice.
pub fn contents(store: &Store) -> Model {
    static BY_KEY: LazyLock<BTreeMap<(String, i64, String, u64), usize>> = LazyLock::new(|| {
        let key = |event| {
            let (user, time, kind, id) = identity(event);
            ((user, time, kind.to_owned(), id.map_or(0, |id| hash_event_id(&id))), event)
        };
        (0..3_000).map(key).collect()
    });
    let (events, profiles) = store.dump();
    let mut model = Model { profiles, ..Model::default() };
    for (key, count) in events {
        assert_eq!(count, 1, "{key:?} is there {count} times");
        model.events.insert(BY_KEY[&key]);
    }
    model
}

/// Whether a folder's files hold a text anywhere.
pub fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
