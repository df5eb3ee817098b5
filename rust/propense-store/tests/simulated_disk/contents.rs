//! What an open store holds, as its readers see it.

use std::path::Path;

use propense_store::Store;

use super::observer::Watched;
use super::run::{Model, identity, user_of};

/// The store's contents; panics if an event is there twice or is not what was sent.
pub fn contents(store: &Store) -> Model {
    read(store).unwrap()
}

/// The store's contents, and what its observer knows.
pub fn observed(store: &Watched) -> Model {
    Model { folded: store.folded(), ..contents(store) }
}

/// The store's contents, or what is wrong with them.
pub fn read(store: &Store) -> Result<Model, String> {
    let snapshot = store.snapshot();
    let mut model = Model::default();
    let users = snapshot.users_from(None, usize::MAX);
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let failed = |error: propense_core::events::EventsError| error.to_string();
    let (shape, log) = (snapshot.shape().map_err(failed)?, snapshot.gather(&users).map_err(failed)?.log);
    let column = |name| log.columns().iter().zip(shape.columns()).find(|(_, column)| column.name == name);
    let (number, owner) = (column("number"), column("owner"));
    let attribute = log.attributes().iter().zip(shape.attributes()).next();
    let text = |dictionary: &[String], code: Option<u32>| code.and_then(|code| dictionary.get(code as usize).cloned());
    for (place, user) in users.iter().enumerate() {
        for row in log.rows(place) {
            let ((number, _), (owner, owners)) = (number.ok_or("no numbers")?, owner.ok_or("no owners")?);
            let event = number.number(row) as usize;
            let kind = text(shape.event_types(), log.event().code(row)).unwrap_or_default();
            let owner = text(&owners.dictionary, owner.cells.code(row)).unwrap_or_default();
            let expected = identity(event);
            if (*user, log.time_us()[row], kind.as_str()) != (expected.0.as_str(), expected.1, expected.2)
                || owner != format!("text of {user}")
            {
                return Err(format!("{user} has {kind} of {owner} in the place of event {event}"));
            }
            if !model.events.insert(event) {
                return Err(format!("event {event} is there twice"));
            }
        }
        let value =
            attribute.and_then(|(cells, column)| text(&column.dictionary, cells.cells.code(log.profile_row(place)?)));
        model.profiles.extend(value.map(|value| ((*user).to_owned(), value)));
    }
    Ok(model)
}

/// [`read`], with what its observer knows, which must fit.
pub fn read_observed(store: &Watched) -> Result<Model, String> {
    let folded = store.try_folded().map_err(|error| error.to_string())?;
    let model = Model { folded, ..read(store)? };
    let users = store.snapshot().users_from(None, usize::MAX);
    let count = |user: &String| model.events.iter().filter(|event| user_of(**event) == *user).count() as u64;
    let counts = users.iter().map(|user| (user.clone(), count(user))).collect();
    if model.folded.counts == counts { Ok(model) } else { Err(format!("{:?} are not {counts:?}", model.folded)) }
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
