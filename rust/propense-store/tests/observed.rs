//! What an observer sees and what others see, at which time; who follows the notes while files come and go.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "simulated_disk/observer.rs"]
mod observer;
#[path = "simulated_disk/random.rs"]
mod random;
#[path = "simulated_disk/run.rs"]
mod run;

use std::any::Any;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use observer::Watched;
use propense_store::{LocalDisk, Note, NotesError, Observer, Snapshot, Store, StoreOptions, Touched, WriteError};
use run::{batch, folder, options, user_of};

/// Says what it is told and waits for a word.
struct Waiting {
    told: Sender<String>,
    go_on: Receiver<()>,
}

impl Waiting {
    fn tell(&self, what: String) {
        self.told.send(what).unwrap();
        self.go_on.recv().unwrap();
    }
}

impl Observer for Waiting {
    fn staged(&mut self, view: &Snapshot, touched: &[Touched<'_>]) -> Option<Note> {
        let sees = touched.iter().all(|touched| view.has_user(touched.user));
        self.tell(format!("staged {} of {} events, {sees}", touched.len(), view.event_count()));
        None
    }

    fn asked(&mut self, _view: &Snapshot, message: Box<dyn Any + Send>) -> Result<Option<Note>, String> {
        Err(*message.downcast::<String>().unwrap())
    }

    fn erasing(&mut self, _user: &str) -> Option<Note> {
        None
    }

    fn settled(&mut self, sequence: Option<u64>) {
        self.told.send(format!("settled {sequence:?}")).unwrap();
    }

    fn replay(&mut self, _sequence: u64, _position: u64, _payload: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn opened(&mut self, _view: &Snapshot, _behind: bool) -> Option<Note> {
        None
    }

    fn checkpoint(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn without(&self, _user: &str, _payload: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[test]
fn staged_rows_are_seen_by_the_observer_alone_until_they_are_on_the_disk() {
    let root = folder();
    let ((told, hear), (go, go_on)) = (channel(), channel());
    let observer = Box::new(Waiting { told, go_on });
    let store = Store::open_observed(root.path().join("store"), options(LocalDisk), observer).unwrap();
    assert_eq!(hear.recv().unwrap(), "settled Some(0)");
    thread::scope(|scope| {
        let ingest = scope.spawn(|| store.ingest(batch(&[0, 1, 2])).unwrap());
        assert_eq!(hear.recv().unwrap(), "staged 2 of 3 events, true");
        let before = store.snapshot();
        assert_eq!((before.event_count(), before.user_count(), before.has_user(&user_of(0))), (0, 0, false));
        assert!(before.users_from(None, 9).is_empty());
        // What others do meanwhile does not show them either.
        store.declare(&[("later".to_owned(), propense_core::events::ColumnKind::Text)].into(), &[].into()).unwrap();
        assert_eq!(store.snapshot().event_count(), 0);
        go.send(()).unwrap();
        assert_eq!(ingest.join().unwrap().accepted, 3);
        assert_eq!(before.event_count(), 0);
        assert_eq!((store.snapshot().event_count(), store.snapshot().user_count()), (3, 2));
    });
    assert_eq!(hear.recv().unwrap(), "settled Some(1)");
    // Nobody is touched by what is there already.
    assert_eq!(store.ingest(batch(&[0, 2])).unwrap().duplicates, 2);
    let refused = store.ask(Box::new("it rains".to_owned())).unwrap_err();
    assert!(matches!(refused, WriteError::Refused(reason) if reason == "it rains"));
    assert_eq!(hear.recv().unwrap(), "settled None");
    drop(store);
    let store = Store::open(root.path().join("store"), options(LocalDisk)).unwrap();
    assert!(matches!(store.ask(Box::new(1)), Err(WriteError::Refused(_))));
    assert_eq!(store.snapshot().event_count(), 3);
}

fn many_files(folder: &Path) -> Watched {
    let options = StoreOptions { background: true, notes_bytes: 4_000, keep_notes: 4, ..options(LocalDisk) };
    Watched::open(folder, options).unwrap()
}

#[test]
fn those_who_follow_miss_nothing_while_files_come_and_go() {
    let root = folder();
    let store = many_files(&root.path().join("store"));
    thread::scope(|scope| {
        let followers: Vec<_> = (1..4_usize)
            .map(|number| {
                let store = &store;
                scope.spawn(move || {
                    let (mut position, mut seen, mut gone) = (0, 0, 0);
                    while position < 3_000 {
                        match store.notes_after(position, 300 * number) {
                            Ok(notes) if notes.is_empty() => thread::yield_now(),
                            Ok(notes) => {
                                for (next, payload) in notes {
                                    let lines = std::str::from_utf8(&payload).unwrap().lines().count() as u64;
                                    assert_eq!(next, position + lines);
                                    (position, seen) = (next, seen + 1);
                                }
                            }
                            Err(NotesError::Gone { first }) => {
                                assert!(first > position);
                                (position, gone) = (first, gone + 1);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    (seen, gone)
                })
            })
            .collect();
        let mut event = 0;
        while store.notes_position() < 3_000 {
            match store.ingest(batch(&(event..event + 20).collect::<Vec<_>>())) {
                Ok(_) => event += 20,
                // Sealing is behind.
                Err(WriteError::Busy) => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
        store.erase(&user_of(3)).unwrap();
        for follower in followers {
            let (seen, gone) = follower.join().unwrap();
            println!("{seen} notes, {gone} gaps");
            assert!(seen > 10);
        }
    });
    let files = std::fs::read_dir(root.path().join("store/notes")).unwrap().count();
    assert!((2..=5).contains(&files), "{files}");
    let folded = store.folded();
    drop(store);
    assert_eq!(many_files(&root.path().join("store")).folded(), folded);
}
