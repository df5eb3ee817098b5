//! Files that stand beside a model's folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The bytes of a file under a root; `None` if there is none.
pub(crate) fn read_beside(root: &Path, file: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, String> {
    let path = root.join(file);
    let unreadable = |error: std::io::Error| format!("{file} cannot be read: {}", error.kind());
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(format!("{file} is no file; links are not followed")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let mut bytes = Vec::new();
    File::open(&path).and_then(|open| open.take(most_bytes + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > most_bytes {
        return Err(format!("{file} is larger than {most_bytes} bytes"));
    }
    Ok(Some(bytes))
}
