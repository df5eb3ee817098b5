//! A disk that a test fills and clears.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use propense_store::{Disk, DiskFile, LocalDisk};

#[derive(Clone, Default)]
pub struct Breakable {
    pub full: Arc<AtomicBool>,
}

struct File(Box<dyn DiskFile>, Breakable);

impl Breakable {
    fn check(&self) -> io::Result<()> {
        if self.full.load(SeqCst) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.check()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.1.check()
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.1.check()
    }
}

impl Disk for Breakable {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        LocalDisk.create_folder(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        Ok(Box::new(File(LocalDisk.create_file(path)?, self.clone())))
    }

    fn append_file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File(LocalDisk.append_file(path)?, self.clone())))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        LocalDisk.truncate(path, bytes)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.check()?;
        LocalDisk.exchange(one, other)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_folder(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_file(path)
    }
}
