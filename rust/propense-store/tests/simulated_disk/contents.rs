//! What an open store holds, as its readers see it.

use std::path::Path;

use propense_store::Store;

use super::run::{Model, identity};

/// The store's contents; panics if an event is there twice or is not what was sent.
pub fn contents(store: &Store) -> Model {
    let snapshot = store.snapshot();
    let mut model = Model::default();
    let users = snapshot.users_from(None, usize::MAX);
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let (shape, log) = (snapshot.shape().unwrap(), snapshot.gather(&users).unwrap().log);
    let column = |name| log.columns().iter().zip(shape.columns()).find(|(_, column)| column.name == name);
    let (number, owner) = (column("number"), column("owner"));
    let attribute = log.attributes().iter().zip(shape.attributes()).next();
    let mut of_user = 0;
    for (place, user) in users.iter().enumerate() {
        for row in log.rows(place) {
            let event = number.unwrap().0.number(row) as usize;
            let (owner, dictionary) = (&owner.unwrap().0.cells, &owner.unwrap().1.dictionary);
            let kind = &shape.event_types()[log.event().code(row).unwrap() as usize];
            let expected = identity(event);
            assert_eq!((*user, log.time_us()[row], kind.as_str()), (expected.0.as_str(), expected.1, expected.2));
            assert_eq!(dictionary[owner.code(row).unwrap() as usize], format!("text of {user}"));
            assert!(model.events.insert(event), "event {event} is there twice");
            of_user += 1;
        }
        let code = attribute.and_then(|(cells, _)| cells.cells.code(log.profile_row(place)?));
        if let Some(code) = code {
            model.profiles.insert((*user).to_owned(), attribute.unwrap().1.dictionary[code as usize].clone());
        }
    }
    assert_eq!(of_user, log.len());
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
