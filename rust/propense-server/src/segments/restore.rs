//! The engine's state as a fold over its notes, and as one note.

use std::collections::HashMap;
use std::sync::Arc;

use propense_store::Note as StoreNote;
use serde_json::json;

use super::engine::Engine;
use super::note::{Base, Kind, Note, Step, UserNote};
use super::owed::Owed;
use super::rules::Rules;
use super::shared::State;
use super::standings::Standings;
use super::transition::Cause;

/// A store whose last evaluation is this far ahead of the clock was served by another clock: a simulated one, or one that
/// was wrong.
const AHEAD_US: i64 = 60_000_000;

/// Takes in a note from the last time that the store was open.
pub(super) fn replay(engine: &mut Engine, position: u64, payload: &[u8]) -> Result<(), String> {
    let note = Note::decode(payload)?;
    let shared = Arc::clone(&engine.shared);
    let mut state = shared.write();
    if note.kind == Kind::Checkpoint {
        state.standings = Standings::new();
        if let Some(base) = &note.base {
            state.rules = Arc::new(rules_of(engine, base)?);
            let rules = Arc::clone(&state.rules);
            state.standings.relayout(&rules.names, &rules.lasting);
        }
    }
    fold(&mut state.standings, &note);
    if let (Kind::Change, Some(base)) = (note.kind, &note.base) {
        state.rules = Arc::new(rules_of(engine, base)?);
        let rules = Arc::clone(&state.rules);
        state.standings.relayout(&rules.names, &rules.lasting);
    }
    engine.number = position;
    (engine.at_us, engine.until_us) = (note.at_us, note.until_us);
    Ok(())
}

fn rules_of(engine: &mut Engine, base: &Base) -> Result<Rules, String> {
    engine.versions.clone_from(&base.models);
    engine.unfinished.clone_from(&base.pass);
    let names = base.models.keys().cloned();
    let definitions = base.definitions.clone();
    // Every tier of these models has its place, whether a rule reads it or not.
    let names: Vec<String> = names.collect();
    let mut rules = Rules::placed(&definitions, &names).map_err(|error| error.to_string())?;
    rules.columns.clone_from(&base.columns);
    Ok(rules)
}

/// What a note says of users.
fn fold(standings: &mut Standings, note: &Note) {
    let numbers: HashMap<&str, usize> =
        standings.names().iter().enumerate().map(|(segment, name)| (name.as_ref(), segment)).collect();
    let places: Vec<Option<usize>> = note.names.iter().map(|name| numbers.get(name.as_str()).copied()).collect();
    for UserNote { id, transitions, lasting, .. } in note.users.iter().filter(|user| !user.id.is_empty()) {
        let user = standings.add(id);
        standings.last_us[user as usize] = note.at_us;
        for step in transitions {
            if let Some(segment) = places[step.segment as usize] {
                standings.set_member(user, segment, step.enter);
            }
            if note.kind == Kind::Checkpoint {
                standings.last_us[user as usize] = step.time_us;
            }
        }
        for &(segment, since_us) in lasting {
            if let Some(segment) = places[segment as usize] {
                standings.set_since(user, segment, since_us);
            }
        }
        if transitions.iter().any(|step| step.cause == Cause::Erased) {
            standings.forget(user);
        }
    }
}

/// Everything is replayed; the engine sleeps until it is told of the models.
pub(super) fn opened(engine: &mut Engine, behind: bool) -> Option<StoreNote> {
    let shared = Arc::clone(&engine.shared);
    let mut state = shared.write();
    let now_us = shared.clock.now_us();
    let is_ahead = !shared.clock.is_simulated() && engine.at_us > now_us.saturating_add(AHEAD_US);
    if is_ahead {
        let problem =
            "segments were last evaluated at an instant that the clock has not reached: everybody is evaluated anew";
        let ahead_s = (engine.at_us - now_us) / 1_000_000;
        shared.log.line("error", "segments_clock", json!({"problem": problem, "ahead_s": ahead_s}));
        (engine.at_us, engine.until_us) = (now_us, now_us);
    }
    let behind = behind || is_ahead;
    let (at_us, until_us) = (engine.at_us, engine.until_us);
    state.standings.base_us = until_us;
    state.standings.last_us.iter_mut().for_each(|last_us| *last_us = until_us.max(at_us.min(*last_us)));
    shared.published.begin(engine.number);
    // A simulated clock goes on from where it was.
    shared.clock.advance_to(engine.at_us);
    if !behind {
        return None;
    }
    engine.unfinished.get_or_insert_default().behind = true;
    let base = Some(base(engine, &state));
    let note = Note { base, at_us: engine.at_us, until_us, first_number: engine.number + 1, ..Note::default() };
    Some(StoreNote { position: engine.number, payload: note.encode() })
}

/// The whole state as one note.
pub(super) fn checkpoint(engine: &Engine) -> Vec<u8> {
    let state = engine.shared.read();
    let standings = &state.standings;
    let base = Some(base(engine, &state));
    let mut users = Vec::new();
    for user in 0..standings.users.len() as u32 {
        let enter = |segment: usize| Step {
            segment: segment as u32,
            enter: true,
            cause: Cause::Event,
            time_us: standings.last_us[user as usize],
        };
        let members = (0..standings.names().len()).filter(|&segment| standings.is_member(user, segment));
        let transitions: Vec<Step> = members.map(enter).collect();
        if transitions.is_empty() {
            continue;
        }
        let lasting = standings.lasting().iter().zip(standings.since_of(user));
        let lasting = lasting.filter(|(_, since)| **since != 0).map(|(&segment, &since)| (segment as u32, since));
        let id = standings.users.id(user).to_owned();
        users.push(UserNote { id, skipped: 0, transitions, lasting: lasting.collect() });
    }
    let names = standings.names().iter().map(ToString::to_string).collect();
    let (at_us, until_us) = (engine.at_us, engine.until_us);
    let first_number = engine.number + 1;
    Note { kind: Kind::Checkpoint, at_us, until_us, first_number, base, names, users }.encode()
}

/// What is in force, and what is still to be evaluated.
pub(super) fn base(engine: &Engine, state: &State) -> Base {
    let mut pass = match &state.pass {
        Some(pass) => Some(pass.base(&state.rules)),
        None => engine.unfinished.clone(),
    };
    if engine.owed != Owed::Nobody {
        pass.get_or_insert_default().behind = true;
    }
    Base {
        definitions: state.rules.definitions.clone(),
        models: engine.versions.clone(),
        columns: state.rules.columns.clone(),
        pass,
    }
}
