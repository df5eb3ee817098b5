//! Users who were erased: known again by a salted digest of their id, so that no late event and no restored copy brings
//! them back, and no file holds the id.
//!
//! `erased.log` is a header and then [records](crate::wal::record) of 32-byte digests:
//!
//! ```text
//! magic 8 bytes | version u32 | CRC-32C of the rest u32 | salt of the records u64 | salt of the digests 32 bytes
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::erased::ErasedUsers;
use crate::error::StoreError;
use crate::wal::record::{RecordBuffer, Salt, array, next_record, record_at};

/// The file's name.
pub(crate) const ERASED: &str = "erased.log";
const ASIDE: &str = "erased.log.new";
const MAGIC: [u8; 8] = *b"PPERASED";
const VERSION: u32 = 1;
const HEADER: usize = 56;
const DIGEST: usize = 32;

/// What stands in the file.
struct Contents {
    users: ErasedUsers,
    digest_salt: [u8; DIGEST],
    in_order: Vec<[u8; DIGEST]>,
    salt: Salt,
    records: u64,
    valid_bytes: u64,
    torn_bytes: u64,
}

impl Contents {
    fn read(path: &Path) -> Result<Self, StoreError> {
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                StoreError::Missing { path: path.to_owned(), expected: "the list of erased users" }
            }
            _ => StoreError::Read { path: path.to_owned(), source },
        })?;
        let corrupt = |place: usize, problem: &str| StoreError::corrupt(path, place as u64, problem);
        let header = bytes.get(..HEADER).ok_or_else(|| corrupt(0, "the header is cut short"))?;
        if header[..8] != MAGIC || header[8..12] != VERSION.to_le_bytes() || header[12..16] != checksum(header) {
            return Err(corrupt(0, "the header is not that of a list of erased users"));
        }
        let salt = Salt(u64::from_le_bytes(array(&header[16..24])));
        let digest_salt: [u8; DIGEST] = array(&header[24..]);
        let mut users = ErasedUsers::with_salt(&digest_salt);
        let (mut place, mut records, mut in_order) = (HEADER, 0, Vec::new());
        while let Some(record) = record_at(&bytes, place, salt) {
            if record.sequence != records + 1 || record.payload.len() % DIGEST != 0 {
                return Err(corrupt(place, "a record is not the one expected"));
            }
            let digests = record.payload.chunks_exact(DIGEST).map(array);
            in_order.extend(digests.filter(|digest| users.insert(*digest)));
            records += 1;
            place = record.end;
        }
        if next_record(&bytes, place, salt).is_some() {
            return Err(corrupt(place, "a record fails its checksum, and a later one is whole"));
        }
        let (valid_bytes, torn_bytes) = (place as u64, (bytes.len() - place) as u64);
        Ok(Self { users, digest_salt, in_order, salt, records, valid_bytes, torn_bytes })
    }
}

fn checksum(header: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]).to_le_bytes()
}

/// The salt of digests, and the digests.
pub(crate) type SaltedDigests = ([u8; DIGEST], Vec<[u8; DIGEST]>);

/// The file of the erased users, open for more.
pub(crate) struct ErasedLog {
    disk: Arc<dyn Disk + Send + Sync>,
    folder: PathBuf,
    contents: Contents,
    /// None once anything failed: the file is then written anew.
    file: Option<Box<dyn DiskFile>>,
}

impl ErasedLog {
    /// Begins the file of a new store.
    pub(crate) fn create(disk: Arc<dyn Disk + Send + Sync>, folder: &Path) -> Result<Self, StoreError> {
        let random = || Salt::random().0.to_le_bytes();
        Self::create_with(disk, folder, array(&[random(), random(), random(), random()].concat()), Vec::new())
    }

    /// Begins the file with these digests.
    pub(crate) fn create_with(
        disk: Arc<dyn Disk + Send + Sync>,
        folder: &Path,
        digest_salt: [u8; DIGEST],
        mut digests: Vec<[u8; DIGEST]>,
    ) -> Result<Self, StoreError> {
        let mut users = ErasedUsers::with_salt(&digest_salt);
        digests.retain(|digest| users.insert(*digest));
        let contents = Contents {
            users,
            digest_salt,
            in_order: digests,
            salt: Salt(0),
            records: 0,
            valid_bytes: 0,
            torn_bytes: 0,
        };
        let mut log = Self { disk, folder: folder.to_owned(), contents, file: None };
        log.write_anew().map_err(|source| log.failed(source))?;
        Ok(log)
    }

    /// The salt and the digests of a damaged file; nothing if its header is damaged.
    pub(crate) fn salvage(path: &Path) -> Result<Option<SaltedDigests>, StoreError> {
        let bytes = fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
        let header = bytes.get(..HEADER).filter(|header| header[..8] == MAGIC && header[12..16] == checksum(header));
        let Some(header) = header else { return Ok(None) };
        let salt = Salt(u64::from_le_bytes(array(&header[16..24])));
        let (mut digests, mut at) = (Vec::new(), HEADER);
        while let Some(record) = next_record(&bytes, at, salt).and_then(|found| record_at(&bytes, found, salt)) {
            digests.extend(record.payload.chunks_exact(DIGEST).map(array));
            at = record.end;
        }
        Ok(Some((array(&header[24..]), digests)))
    }

    /// Opens the file; a torn end is cut off, and all that is read is on the disk.
    pub(crate) fn open(disk: Arc<dyn Disk + Send + Sync>, folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(ERASED);
        let contents = Contents::read(&path)?;
        let opened = || -> io::Result<Box<dyn DiskFile>> {
            if contents.torn_bytes > 0 {
                disk.truncate(&path, contents.valid_bytes)?;
            }
            let mut file = disk.append_file(&path)?;
            file.sync()?;
            Ok(file)
        };
        let file = opened().map_err(|source| StoreError::Write { path: path.clone(), source })?;
        Ok(Self { disk, folder: folder.to_owned(), contents, file: Some(file) })
    }

    /// Notes that a user is erased; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Write`]; after a crash the user may nevertheless be erased.
    pub(crate) fn erase(&mut self, user: &str) -> Result<(), StoreError> {
        if self.contents.users.contains(user) {
            return Ok(());
        }
        if self.file.is_none() {
            self.write_anew().map_err(|source| self.failed(source))?;
        }
        let digest = self.contents.users.digest(user);
        let mut record = RecordBuffer::new();
        record.payload().extend_from_slice(&digest);
        let sealed = record.seal(self.contents.salt, self.contents.records + 1);
        let written = match (self.file.take(), sealed) {
            (Some(mut file), Some(bytes)) => file.write_all(bytes).and_then(|()| file.sync_data()).map(|()| file),
            _ => Err(io::ErrorKind::NotConnected.into()),
        };
        self.file = Some(written.map_err(|source| self.failed(source))?);
        self.contents.records += 1;
        self.contents.users.insert(digest);
        self.contents.in_order.push(digest);
        Ok(())
    }

    /// The users so far.
    pub(crate) fn users(&self) -> &ErasedUsers {
        &self.contents.users
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let (path, aside) = (self.folder.join(ERASED), self.folder.join(ASIDE));
        let salt = Salt::random();
        let parts: [&[u8]; 5] =
            [&MAGIC, &VERSION.to_le_bytes(), &[0; 4], &salt.0.to_le_bytes(), &self.contents.digest_salt];
        let mut bytes = parts.concat();
        let checksum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum);
        let mut record = RecordBuffer::new();
        record.payload().extend(self.contents.in_order.iter().flatten());
        let has_users = record.payload_bytes() > 0;
        if has_users {
            bytes.extend_from_slice(record.seal(salt, 1).ok_or(io::ErrorKind::FileTooLarge)?);
        }
        if aside.exists() {
            self.disk.remove_file(&aside)?;
        }
        let mut file = self.disk.create_file(&aside)?;
        file.write_all(&bytes)?;
        file.sync()?;
        self.disk.rename(&aside, &path)?;
        self.disk.sync_folder(&self.folder)?;
        (self.contents.salt, self.contents.records, self.file) = (salt, u64::from(has_users), Some(file));
        Ok(())
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Write { path: self.folder.join(ERASED), source }
    }
}

/// How many users a store's list of erased ones holds, and how many bytes of it are a torn end; changes nothing.
pub(crate) fn inspect(folder: &Path) -> Result<(usize, u64), StoreError> {
    let contents = Contents::read(&folder.join(ERASED))?;
    Ok((contents.users.len(), contents.torn_bytes))
}
