//! What a disk may hold after the machine stopped: all that was synced, and any part of what was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::disk::{Inode, ROOT, Step};
use super::random::Random;

/// Which of the changes that were not synced are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    None,
    All,
    /// Those before some moment.
    First,
    /// Any of them: as if they had been brought to the disk in another order.
    Some,
    /// Any of them, writes in any of their sectors and cut anywhere.
    Torn,
}

/// How names and contents fared.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    pub names: Kept,
    pub contents: Kept,
}

/// Fates that differ in what can go wrong.
pub const FATES: [Fate; 8] = [
    Fate { names: Kept::None, contents: Kept::None },
    Fate { names: Kept::All, contents: Kept::All },
    Fate { names: Kept::All, contents: Kept::None },
    Fate { names: Kept::None, contents: Kept::All },
    Fate { names: Kept::Some, contents: Kept::Some },
    Fate { names: Kept::First, contents: Kept::Torn },
    Fate { names: Kept::All, contents: Kept::Torn },
    Fate { names: Kept::Some, contents: Kept::Torn },
];

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct FileState {
    safe: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut { bytes: usize },
}

type Names = BTreeMap<String, Inode>;

#[derive(Clone, Default)]
struct FolderState {
    safe: Names,
    /// As running processes see it.
    seen: Names,
    /// Each: names that get another inode, or none.
    unsynced: Vec<Vec<(String, Option<Inode>)>>,
}

/// The disk after some steps, synced or not.
#[derive(Clone, Default)]
pub struct DiskState {
    files: BTreeMap<Inode, FileState>,
    folders: BTreeMap<Inode, FolderState>,
}

impl DiskState {
    pub fn new() -> Self {
        Self { files: BTreeMap::new(), folders: [(ROOT, FolderState::default())].into() }
    }

    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Create { folder, name, inode, is_folder } => {
                if *is_folder {
                    self.folders.insert(*inode, FolderState::default());
                } else {
                    self.files.insert(*inode, FileState::default());
                }
                self.rename(*folder, vec![(name.clone(), Some(*inode))]);
            }
            Step::Remove { folder, name } => self.rename(*folder, vec![(name.clone(), None)]),
            Step::Rename { folder, from, to } => {
                let inode = self.folders[folder].seen[from];
                self.rename(*folder, vec![(from.clone(), None), (to.clone(), Some(inode))]);
            }
            Step::Exchange { folder, one, other } => {
                let seen = &self.folders[folder].seen;
                let changes = vec![(one.clone(), Some(seen[other])), (other.clone(), Some(seen[one]))];
                self.rename(*folder, changes);
            }
            Step::Write { file, at, bytes } => {
                self.file(*file).unsynced.push(Change::Write { at: *at, bytes: bytes.clone() });
            }
            Step::Cut { file, bytes } => self.file(*file).unsynced.push(Change::Cut { bytes: *bytes }),
            Step::SyncFile { file } => {
                let file = self.file(*file);
                for change in std::mem::take(&mut file.unsynced) {
                    change.apply(&mut file.safe);
                }
            }
            Step::SyncFolder { folder } => {
                let folder = self.folders.get_mut(folder).unwrap();
                folder.unsynced.clear();
                folder.safe = folder.seen.clone();
            }
        }
    }

    fn file(&mut self, file: Inode) -> &mut FileState {
        self.files.get_mut(&file).unwrap()
    }

    fn rename(&mut self, folder: Inode, changes: Vec<(String, Option<Inode>)>) {
        let folder = self.folders.get_mut(&folder).unwrap();
        for change in &changes {
            change_name(&mut folder.seen, change);
        }
        folder.unsynced.push(changes);
    }

    /// Whether everything that has a name is synced, so that every fate is the same.
    pub fn is_safe(&self) -> bool {
        self.is_safe_below(ROOT)
    }

    fn is_safe_below(&self, folder: Inode) -> bool {
        let folder = &self.folders[&folder];
        folder.unsynced.is_empty()
            && folder.seen.values().all(|inode| match self.files.get(inode) {
                Some(file) => file.unsynced.is_empty(),
                None => self.is_safe_below(*inode),
            })
    }

    /// Makes the files of one fate.
    pub fn materialise(&self, fate: Fate, random: &mut Random, at: &Path) {
        self.materialise_folder(ROOT, fate, random, at);
    }

    fn materialise_folder(&self, folder: Inode, fate: Fate, random: &mut Random, at: &Path) {
        let state = &self.folders[&folder];
        let mut names = state.safe.clone();
        let kept = keep(fate.names, state.unsynced.len(), random);
        let changes = state.unsynced.iter().zip(kept).filter(|(_, kept)| *kept);
        changes.flat_map(|(changes, _)| changes).for_each(|change| change_name(&mut names, change));
        for (name, inode) in names {
            let path = at.join(name);
            if self.folders.contains_key(&inode) {
                fs::create_dir(&path).unwrap();
                self.materialise_folder(inode, fate, random, &path);
            } else {
                fs::write(path, self.files[&inode].fated(fate.contents, random)).unwrap();
            }
        }
    }
}

impl FileState {
    fn fated(&self, fate: Kept, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        for (change, kept) in self.unsynced.iter().zip(keep(fate, self.unsynced.len(), random)) {
            match change {
                _ if !kept => {}
                Change::Write { at, bytes: written } if fate == Kept::Torn => {
                    tear(&mut bytes, *at, written, random);
                }
                change => change.clone().apply(&mut bytes),
            }
        }
        bytes
    }
}

impl Change {
    fn apply(self, file: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            Self::Cut { bytes } => file.resize(bytes, 0),
        }
    }
}

/// Some sectors of a write arrive, and the file's length is anything up to what it would be.
fn tear(file: &mut Vec<u8>, at: usize, written: &[u8], random: &mut Random) {
    let length = random.below(written.len() + 1);
    file.resize(file.len().max(at + length), 0);
    let all = random.below(2) == 0;
    for (place, byte) in written[..length].iter().enumerate() {
        let starts_sector = place == 0 || (at + place).is_multiple_of(SECTOR);
        if starts_sector && !all {
            random.flip();
        }
        if all || random.coin {
            file[at + place] = *byte;
        }
    }
}

fn keep(kept: Kept, changes: usize, random: &mut Random) -> Vec<bool> {
    let first = random.below(changes + 1);
    let one = |place| match kept {
        Kept::None => false,
        Kept::All => true,
        Kept::First => place < first,
        Kept::Some => random.below(2) == 0,
        Kept::Torn => random.below(4) != 0,
    };
    (0..changes).map(one).collect()
}

fn change_name(names: &mut Names, (name, inode): &(String, Option<Inode>)) {
    match inode {
        Some(inode) => names.insert(name.clone(), *inode),
        None => names.remove(name),
    };
}
