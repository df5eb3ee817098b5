//! Making a damaged store usable again with all that is whole; what is not is put aside, never removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::{Problem, Report, lock_store, look};
use crate::commit::{Item, decode, without_notes};
use crate::disk::{Disk, LocalDisk};
use crate::erasure::{ERASED, ErasedLog};
use crate::error::StoreError;
use crate::notes::Entry;
use crate::notes::file::notes_folder;
use crate::notes::salvage::salvage as salvage_notes;
use crate::store_manifest::{StoreManifest, part_path, wal_folder};
use crate::wal::record::RecordBuffer;
use crate::wal::salvage::salvage;
use crate::wal::segment::segment_path;
use crate::wal::writer::WalWriter;

/// Where damaged files go. They may hold what users were erased of: remove the folder once it is of no more use.
const QUARANTINE: &str = "quarantine";

/// Repairs what [`crate::check()`] finds and can be repaired; gives what was wrong.
///
/// Parts that are damaged, and segments, notes and lists of erased users in so far as they cannot be read, are lost and moved
/// to the folder `quarantine` of the store. A damaged `store.json` cannot be repaired.
///
/// # Errors
/// As [`crate::check()`], and [`StoreError::Write`].
pub fn repair(folder: &Path) -> Result<Report, StoreError> {
    let _lock = lock_store(folder)?;
    let (report, manifest) = look(folder)?;
    let Some(manifest) = manifest else { return Ok(report) };
    let mut is_log_damaged = false;
    let mut repair = Repair { folder, disk: Arc::new(LocalDisk), manifest };
    for Problem { path, .. } in &report.problems {
        if *path == folder.join(ERASED) {
            repair.erased(path)?;
        } else if *path == wal_folder(folder) || *path == notes_folder(folder) {
            is_log_damaged = true;
        } else {
            repair.part(path)?;
        }
    }
    if is_log_damaged {
        repair.log()?;
    }
    Ok(report)
}

struct Repair<'a> {
    folder: &'a Path,
    disk: Arc<LocalDisk>,
    manifest: StoreManifest,
}

impl Repair<'_> {
    /// Publishes the manifest without the part, then moves the part away.
    fn part(&mut self, path: &Path) -> Result<(), StoreError> {
        let folder = self.folder;
        self.manifest.parts.retain(|&part| part_path(folder, part) != *path);
        self.manifest.write(&*self.disk, folder)?;
        if path.exists() { self.put_aside(path) } else { Ok(()) }
    }

    /// Begins a new list with the digests that can still be read.
    fn erased(&self, path: &Path) -> Result<(), StoreError> {
        let salvaged = if path.exists() {
            // The new list takes the old one's place in one step.
            fs::copy(path, self.free_place(path)?).map_err(|source| StoreError::Write { path: path.into(), source })?;
            ErasedLog::salvage(path)?
        } else {
            None
        };
        let disk: Arc<dyn Disk + Send + Sync> = Arc::clone(&self.disk) as _;
        match salvaged {
            Some((salt, digests)) => ErasedLog::create_with(disk, self.folder, salt, digests).map(drop),
            None => ErasedLog::create(disk, self.folder).map(drop),
        }
    }

    /// Writes the records that are whole into a new segment, and the notes into a new file, then moves the old ones away.
    fn log(&mut self) -> Result<(), StoreError> {
        let wal = wal_folder(self.folder);
        if !wal.exists() {
            self.disk.create_folder(&wal).map_err(|source| StoreError::Write { path: wal.clone(), source })?;
        }
        let salvaged = salvage(&wal, self.manifest.first_segment)?;
        let mut notes = salvage_notes(self.folder)?;
        for (sequence, payload) in &salvaged.payloads {
            let added = decode(payload, &mut |item| {
                if let Item::Note { number, position, payload } = item {
                    notes.add(Entry { number, sequence: *sequence, position, payload: payload.to_vec() });
                }
                Ok(())
            });
            // What cannot be understood is left out below.
            drop(added);
        }
        let old_notes = notes.files.clone();
        let next_sequence = salvaged.next_sequence.max(notes.last_sequence() + 1);
        self.manifest.notes = notes.write(&*self.disk, self.folder)?;
        // The notes fit the events no longer, or may not.
        self.manifest.is_observed = false;
        let old = self.manifest.first_segment..=salvaged.last_segment;
        let number = salvaged.last_segment + 1;
        let disk: Arc<dyn Disk + Send + Sync> = Arc::clone(&self.disk) as _;
        let mut writer = WalWriter::create(disk, wal.clone(), number, next_sequence)?;
        for (_, payload) in salvaged.payloads {
            let batches = decode(&payload, &mut |_| Ok(())).and_then(|()| without_notes(&payload));
            if let Some(batches) = batches.ok().filter(|batches| !batches.is_empty()) {
                let mut record = RecordBuffer::new();
                record.payload().extend_from_slice(&batches);
                writer.append(&mut record)?;
            }
        }
        self.manifest.first_segment = number;
        self.manifest.write(&*self.disk, self.folder)?;
        let old = old.map(|number| segment_path(&wal, number)).filter(|path| path.exists());
        for path in old.chain(old_notes) {
            self.put_aside(&path)?;
        }
        Ok(())
    }

    /// Moves something into the quarantine.
    fn put_aside(&self, path: &Path) -> Result<(), StoreError> {
        let target = self.free_place(path)?;
        let failed = |source| StoreError::Write { path: path.to_owned(), source };
        self.disk.rename(path, &target).map_err(failed)?;
        let folders = [path.parent(), target.parent(), Some(self.folder)];
        folders.into_iter().flatten().try_for_each(|folder| self.disk.sync_folder(folder)).map_err(failed)
    }

    /// A name in the quarantine that is free.
    fn free_place(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let quarantine = self.folder.join(QUARANTINE);
        fs::create_dir_all(&quarantine).map_err(|source| StoreError::Write { path: quarantine.clone(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let places = (1_u32..).map(|number| quarantine.join(format!("{name}.{number}")));
        Ok(places.into_iter().find(|place| !place.exists()).unwrap_or(quarantine))
    }
}
