//! A disk that does what it is told in a real folder, and remembers each step.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use propense_store::{Disk, DiskFile, LocalDisk};

/// A file or a folder, whatever its name.
pub type Inode = usize;
/// The folder that all names are in.
pub const ROOT: Inode = 0;

/// One step, as a machine that stops may have brought it to the disk or not.
#[derive(Debug, Clone)]
pub enum Step {
    Create { folder: Inode, name: String, inode: Inode, is_folder: bool },
    Remove { folder: Inode, name: String },
    Rename { folder: Inode, from: String, to: String },
    Exchange { folder: Inode, one: String, other: String },
    Write { file: Inode, at: usize, bytes: Vec<u8> },
    Cut { file: Inode, bytes: usize },
    SyncFile { file: Inode },
    SyncFolder { folder: Inode },
}

#[derive(Default)]
struct History {
    steps: Vec<Step>,
    inodes: usize,
    folders: BTreeMap<Inode, BTreeMap<String, Inode>>,
    lengths: BTreeMap<Inode, usize>,
}

/// A disk under one folder of the machine's.
#[derive(Clone)]
pub struct RecordingDisk {
    root: PathBuf,
    history: Arc<Mutex<History>>,
}

struct RecordingFile {
    file: Box<dyn DiskFile>,
    inode: Inode,
    disk: RecordingDisk,
}

impl RecordingDisk {
    /// A disk on which an existing tree of files is safely stored.
    pub fn new(root: &Path) -> Self {
        let history = History { inodes: 1, folders: [(ROOT, BTreeMap::new())].into(), ..History::default() };
        let disk = Self { root: root.to_owned(), history: Arc::new(Mutex::new(history)) };
        disk.take_in(ROOT, root);
        disk
    }

    /// A disk that went through these steps, not all of which are safely stored; the folder has what a process sees.
    pub fn after(root: &Path, steps: &[Step]) -> Self {
        let mut history = History { inodes: 1, folders: [(ROOT, BTreeMap::new())].into(), ..History::default() };
        for step in steps {
            history.repeat(step);
        }
        Self { root: root.to_owned(), history: Arc::new(Mutex::new(history)) }
    }

    fn take_in(&self, folder: Inode, path: &Path) {
        let mut children: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
        children.sort_by_key(std::fs::DirEntry::file_name);
        for child in children {
            let is_folder = child.path().is_dir();
            let name = child.file_name().into_string().unwrap();
            let inode = self.lock().create(folder, &name, is_folder);
            if is_folder {
                self.take_in(inode, &child.path());
            } else {
                let bytes = std::fs::read(child.path()).unwrap();
                let mut history = self.lock();
                history.lengths.insert(inode, bytes.len());
                history.steps.push(Step::Write { file: inode, at: 0, bytes });
                history.steps.push(Step::SyncFile { file: inode });
            }
        }
        self.lock().steps.push(Step::SyncFolder { folder });
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    /// How many steps there were so far.
    pub fn steps_so_far(&self) -> usize {
        self.lock().steps.len()
    }

    /// All steps so far.
    pub fn steps(&self) -> Vec<Step> {
        self.lock().steps.clone()
    }

    /// The folder and the name of a path.
    fn place(&self, history: &History, path: &Path) -> io::Result<(Inode, String)> {
        let inside = path.strip_prefix(&self.root).map_err(|_| io::Error::other("outside the disk"))?;
        let mut names: Vec<String> = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        let last = names.pop().ok_or(ErrorKind::InvalidInput)?;
        let folder = names.iter().try_fold(ROOT, |folder, name| history.folders.get(&folder)?.get(name).copied());
        Ok((folder.ok_or(ErrorKind::NotFound)?, last))
    }

    fn inode(&self, history: &History, path: &Path) -> io::Result<Inode> {
        if path == self.root {
            return Ok(ROOT);
        }
        let (folder, name) = self.place(history, path)?;
        Ok(*history.folders.get(&folder).and_then(|names| names.get(&name)).ok_or(ErrorKind::NotFound)?)
    }

    fn file(&self, file: Box<dyn DiskFile>, inode: Inode) -> Box<dyn DiskFile> {
        Box::new(RecordingFile { file, inode, disk: self.clone() })
    }
}

impl History {
    fn create(&mut self, folder: Inode, name: &str, is_folder: bool) -> Inode {
        let inode = self.inodes;
        self.inodes += 1;
        self.folders.get_mut(&folder).unwrap().insert(name.to_owned(), inode);
        if is_folder {
            self.folders.insert(inode, BTreeMap::new());
        }
        self.lengths.insert(inode, 0);
        self.steps.push(Step::Create { folder, name: name.to_owned(), inode, is_folder });
        inode
    }

    fn repeat(&mut self, step: &Step) {
        match step {
            Step::Create { folder, name, is_folder, .. } => {
                self.create(*folder, name, *is_folder);
                return;
            }
            Step::Remove { folder, name } => {
                self.names(*folder).remove(name);
            }
            Step::Rename { folder, from, to } => {
                let inode = self.names(*folder).remove(from).unwrap();
                self.names(*folder).insert(to.clone(), inode);
            }
            Step::Exchange { folder, one, other } => {
                let (first, second) = (self.folders[folder][one], self.folders[folder][other]);
                self.names(*folder).extend([(one.clone(), second), (other.clone(), first)]);
            }
            Step::Write { file, at, bytes } => {
                self.lengths.insert(*file, at + bytes.len());
            }
            Step::Cut { file, bytes } => {
                self.lengths.insert(*file, *bytes);
            }
            Step::SyncFile { .. } | Step::SyncFolder { .. } => {}
        }
        self.steps.push(step.clone());
    }

    fn names(&mut self, folder: Inode) -> &mut BTreeMap<String, Inode> {
        self.folders.get_mut(&folder).unwrap()
    }

    /// Removes what a folder holds, and then its name.
    fn remove(&mut self, folder: Inode, name: &str) {
        let inode = self.folders[&folder][name];
        let inside: Vec<String> = self.folders.get(&inode).map_or(Vec::new(), |names| names.keys().cloned().collect());
        for name in &inside {
            self.remove(inode, name);
        }
        self.folders.get_mut(&folder).unwrap().remove(name);
        self.steps.push(Step::Remove { folder, name: name.to_owned() });
    }
}

impl Write for RecordingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut history = self.disk.lock();
        let written = self.file.write(bytes)?;
        let at = history.lengths[&self.inode];
        *history.lengths.get_mut(&self.inode).unwrap() += written;
        history.steps.push(Step::Write { file: self.inode, at, bytes: bytes[..written].to_vec() });
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for RecordingFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.lock().steps.push(Step::SyncFile { file: self.inode });
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }
}

impl Disk for RecordingDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut history = self.lock();
        let (folder, name) = self.place(&history, path)?;
        LocalDisk.create_folder(path)?;
        history.create(folder, &name, true);
        Ok(())
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut history = self.lock();
        let (folder, name) = self.place(&history, path)?;
        let file = LocalDisk.create_file(path)?;
        let inode = history.create(folder, &name, false);
        Ok(self.file(file, inode))
    }

    fn append_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.inode(&self.lock(), path)?;
        Ok(self.file(LocalDisk.append_file(path)?, inode))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut history = self.lock();
        let file = self.inode(&history, path)?;
        LocalDisk.truncate(path, bytes)?;
        history.lengths.insert(file, bytes as usize);
        history.steps.push(Step::Cut { file, bytes: bytes as usize });
        history.steps.push(Step::SyncFile { file });
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut history = self.lock();
        let folder = self.inode(&history, path)?;
        history.steps.push(Step::SyncFolder { folder });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut history = self.lock();
        let ((folder, from_name), (to_folder, to_name)) = (self.place(&history, from)?, self.place(&history, to)?);
        assert_eq!(folder, to_folder, "a rename between folders is two changes, of which a crash may keep one");
        LocalDisk.rename(from, to)?;
        let names = history.folders.get_mut(&folder).unwrap();
        let inode = names.remove(&from_name).unwrap();
        names.insert(to_name.clone(), inode);
        history.steps.push(Step::Rename { folder, from: from_name, to: to_name });
        Ok(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let mut history = self.lock();
        let ((folder, one_name), (other_folder, other_name)) =
            (self.place(&history, one)?, self.place(&history, other)?);
        assert_eq!(folder, other_folder);
        LocalDisk.exchange(one, other)?;
        let names = history.folders.get_mut(&folder).unwrap();
        let (first, second) = (names[&one_name], names[&other_name]);
        names.extend([(one_name.clone(), second), (other_name.clone(), first)]);
        history.steps.push(Step::Exchange { folder, one: one_name, other: other_name });
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut history = self.lock();
        let (folder, name) = self.place(&history, path)?;
        LocalDisk.remove_folder(path)?;
        history.remove(folder, &name);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut history = self.lock();
        let (folder, name) = self.place(&history, path)?;
        LocalDisk.remove_file(path)?;
        history.remove(folder, &name);
        Ok(())
    }
}
