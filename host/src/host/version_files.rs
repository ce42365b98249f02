//! The versions of components on disk: their bytes by SHA-256, and the record of which
//! are in force.
//!
//! The record is one file that is replaced in one step, so that after a crash at any
//! moment all versions of a swap are in force or none is. Bytes that the record names
//! are on disk before the record is.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::record::Record;
use crate::precompiled::content_hash;

/// The file of the record.
pub const RECORD: &str = "versions.json";
/// What files are called until they are complete.
const INCOMPLETE: &str = "incomplete";

/// A folder of versions. A host has one of its own.
#[derive(Debug)]
pub struct VersionFiles {
    dir: PathBuf,
    temporaries: AtomicU64,
    /// Held while versions are added or removed.
    changing: Mutex<()>,
}

impl VersionFiles {
    /// Uses `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or what an interrupted host left not be removed.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == INCOMPLETE) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { dir, temporaries: AtomicU64::new(0), changing: Mutex::default() })
    }

    /// The record that was written last; an empty one before the first.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    pub fn record(&self) -> Result<Record, String> {
        let path = self.dir.join(RECORD);
        let advice = "remove it to start with the files that the manifest names";
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if record.is_known_format() => Ok(record),
            Ok(_) => Err(format!("{} was written by another version of cairn; {advice}", path.display())),
            Err(error) => Err(format!("{} is damaged ({error}); {advice}", path.display())),
        }
    }

    /// Makes `record` the one that the next start finds. The current versions that the
    /// manifest's files do not have are on disk then.
    ///
    /// # Errors
    /// When it cannot be written; the one before may or may not still be in place.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        for (_, kept) in record.iter().filter(|(_, kept)| kept.current.hash != kept.deployed) {
            File::open(self.path(&kept.current.hash))?.sync_all()?;
        }
        self.sync_names()?;
        let path = self.dir.join(RECORD);
        let temporary = self.write_temporary(&path, &serde_json::to_vec_pretty(record)?)?;
        File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, path)?;
        self.sync_names()
    }

    /// Keeps the bytes of a version. They survive a power cut from the time on that a
    /// record makes the version current.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(&self, hash: &str, bytes: &[u8]) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bytes(hash).is_ok() {
            return Ok(());
        }
        let path = self.path(hash);
        let temporary = self.write_temporary(&path, bytes)?;
        fs::rename(&temporary, path)
    }

    /// The bytes of a version.
    ///
    /// # Errors
    /// When they are not there, or not as they were.
    pub fn bytes(&self, hash: &str) -> Result<Vec<u8>, String> {
        let path = self.path(hash);
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if content_hash(&bytes) == hash {
            Ok(bytes)
        } else {
            Err(format!("{} is damaged: its SHA-256 is not its name", path.display()))
        }
    }

    /// Removes the versions that are not `needed`. That is asked for when no version
    /// can be added any more.
    ///
    /// # Errors
    /// When the folder cannot be read or a file not be removed.
    pub fn prune(&self, needed: impl FnOnce() -> BTreeSet<String>) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = needed();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let is_version = path.extension().is_some_and(|extension| extension == "wasm");
            let hash = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if is_version && !needed.contains(hash) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.wasm"))
    }

    /// Writes what is to take the place of `path` once it is whole.
    fn write_temporary(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let number = self.temporaries.fetch_add(1, Relaxed);
        let temporary = path.with_extension(format!("{number}.{INCOMPLETE}"));
        fs::write(&temporary, bytes)?;
        Ok(temporary)
    }

    /// Forces to disk which files there are.
    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Change;
    use super::*;

    fn change(hash: &str) -> Change {
        Change { component: "a".into(), hash: hash.into(), deployed: "file".into() }
    }

    fn files(dir: &tempfile::TempDir) -> VersionFiles {
        VersionFiles::open(dir.path().join("versions")).unwrap()
    }

    #[test]
    fn what_was_written_last_is_found_and_what_was_not_finished_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (hash, mut record) = (content_hash(b"bytes"), Record::default());
        {
            let files = files(&dir);
            assert_eq!(files.record(), Ok(Record::default()));
            files.keep(&hash, b"bytes").unwrap();
            record.replace(&[change(&hash)], 1);
            files.write_record(&record).unwrap();
        }
        // What a crash leaves: a record and a version that were not renamed yet.
        for name in ["versions.7.incomplete", "00.8.incomplete"] {
            fs::write(dir.path().join("versions").join(name), b"{").unwrap();
        }
        let files = files(&dir);
        assert_eq!(files.record(), Ok(record));
        assert_eq!(files.bytes(&hash), Ok(b"bytes".to_vec()));
        assert_eq!(fs::read_dir(dir.path().join("versions")).unwrap().count(), 2);
    }

    #[test]
    fn a_record_that_names_bytes_that_are_not_there_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (files, mut record) = (files(&dir), Record::default());
        record.replace(&[change("00")], 1);
        assert!(files.write_record(&record).is_err());
        assert_eq!(files.record(), Ok(Record::default()));
    }

    #[test]
    fn damage_is_told_and_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        let hash = content_hash(b"bytes");
        files.keep(&hash, b"bytes").unwrap();
        fs::write(dir.path().join(format!("versions/{hash}.wasm")), b"other").unwrap();
        assert!(files.bytes(&hash).unwrap_err().contains("is damaged"));
        for (text, problem) in [("{", "is damaged"), (r#"{"format":9,"step":0,"components":{}}"#, "another version")] {
            fs::write(dir.path().join("versions").join(RECORD), text).unwrap();
            assert!(files.record().unwrap_err().contains(problem), "{text}");
        }
    }

    #[test]
    fn only_what_is_needed_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        for hash in ["aa", "bb"] {
            files.keep(hash, b"x").unwrap();
        }
        files.write_record(&Record::default()).unwrap();
        files.prune(|| BTreeSet::from(["aa".to_owned()])).unwrap();
        assert!(files.bytes("bb").unwrap_err().contains("cannot read"));
        assert!(dir.path().join("versions/aa.wasm").exists() && files.record().is_ok());
    }
}
