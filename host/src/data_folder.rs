//! The folder where a host keeps its data. It belongs to one process at a time: two that
//! write to the same databases would not know of each other.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
};

/// The file that is locked. It may stay behind; only the lock counts.
const LOCK: &str = "host.lock";

/// Holds a data folder until it is dropped or the process ends.
#[derive(Debug)]
pub struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Takes the folder, which is made where it is missing.
    ///
    /// # Errors
    ///
    /// A sentence about why it cannot be used.
    pub fn take(folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let unusable = |error| format!("the data folder {shown} cannot be used: {error}");
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(folder.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(format!("another process of cairn uses the data folder {shown}; stop it, or give another --data"))
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let held = DataFolder::take(&folder).unwrap();
        assert!(DataFolder::take(&folder).unwrap_err().contains("another process of cairn uses"));
        drop(held);
        DataFolder::take(&folder).unwrap();
    }
}
