//! The archive file: written entry by entry, and read only if every checksum holds.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::{Component, Path},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BackupError, CONTENTS, DATABASES, FORMAT, STORES, VERSIONS};

/// Files of one archive.
const FILES_MAX: usize = 10_000;
/// Size of the list at its end, in bytes.
const CONTENTS_BYTES_MAX: u64 = 4 << 20;

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    pub format: u32,
    /// Name of the application; empty where the copy was made without its manifest.
    pub application: String,
    /// Version of cairn that made it.
    pub host: String,
    /// The moment that it is of, such as `2026-11-26T06:30:00Z`.
    pub taken_at: String,
    pub files: Vec<StoredFile>,
}

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to the data folder.
    pub path: String,
    pub bytes: u64,
    /// In hex.
    pub sha256: String,
}

impl Contents {
    /// Size of all files, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// An archive that is being written.
pub(super) struct Writer<W: Write> {
    tar: tar::Builder<W>,
    contents: Contents,
    /// Seconds since 1970.
    written_at: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, application: String, taken_at: String) -> Self {
        let contents = Contents {
            format: FORMAT,
            application,
            host: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at,
            files: Vec::new(),
        };
        let written_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { tar: tar::Builder::new(out), contents, written_at }
    }

    /// Adds a file under a path in the data folder.
    pub(super) fn add(&mut self, path: String, mut file: File) -> io::Result<()> {
        let bytes = file.metadata()?.len();
        let mut reader = Hashing::new(&mut file);
        self.tar.append_data(&mut self.header(bytes), &path, &mut reader)?;
        let sha256 = reader.finish();
        self.contents.files.push(StoredFile { path, bytes, sha256 });
        Ok(())
    }

    /// Ends the archive with what is in it.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let text = serde_json::to_vec_pretty(&self.contents)?;
        self.tar.append_data(&mut self.header(text.len() as u64), CONTENTS, text.as_slice())?;
        self.tar.into_inner()
    }

    fn header(&self, bytes: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        // Its owner's alone: a backup holds everything that anybody entrusted to it.
        header.set_mode(0o600);
        header.set_mtime(self.written_at);
        header
    }
}

/// Reads an archive and holds it against its checksums.
///
/// # Errors
///
/// What is wrong with it.
pub fn verify(archive: &Path) -> Result<Contents, BackupError> {
    read(archive, |_path, reader| io::copy(reader, &mut io::sink()).map(drop))
}

/// Reads an archive through `take`, which is given each file with its path, and holds
/// what was read against the checksums at the end.
pub(super) fn read(
    archive: &Path,
    mut take: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<Contents, BackupError> {
    let shown = archive.display().to_string();
    let damaged = |error: io::Error| BackupError::Damaged(error.to_string());
    let file = File::open(archive).map_err(BackupError::io(format!("cannot open {shown}")))?;
    let mut tar = tar::Archive::new(io::BufReader::new(file));
    let mut found = BTreeMap::new();
    let mut contents: Option<Contents> = None;
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.to_string_lossy().into_owned();
        if contents.is_some() {
            return Err(BackupError::Damaged(format!("{path} comes after the list of its files")));
        }
        if path == CONTENTS {
            let mut text = String::new();
            (&mut entry).take(CONTENTS_BYTES_MAX).read_to_string(&mut text).map_err(damaged)?;
            contents = Some(serde_json::from_str(&text).map_err(|error| BackupError::Damaged(error.to_string()))?);
            continue;
        }
        check_path(&path)?;
        if found.len() == FILES_MAX || found.contains_key(&path) {
            return Err(BackupError::Damaged(format!("{path} is one file too many")));
        }
        let mut reader = Hashing::new(&mut entry);
        take(&path, &mut reader).map_err(BackupError::io(format!("cannot unpack {path}")))?;
        let bytes = reader.bytes;
        found.insert(path, (bytes, reader.finish()));
    }
    let contents = contents.ok_or_else(|| BackupError::Damaged("it was cut off".to_owned()))?;
    check_contents(&contents, &found)?;
    Ok(contents)
}

fn check_contents(contents: &Contents, found: &BTreeMap<String, (u64, String)>) -> Result<(), BackupError> {
    if contents.format != FORMAT {
        return Err(BackupError::Format(contents.format));
    }
    for StoredFile { path, bytes, sha256 } in &contents.files {
        if found.get(path) != Some(&(*bytes, sha256.clone())) {
            return Err(BackupError::Damaged(format!("{path} is missing or not what was stored")));
        }
    }
    if contents.files.len() != found.len() {
        return Err(BackupError::Damaged("it has files that nobody stored".to_owned()));
    }
    Ok(())
}

/// Whether a path is one of those that are stored: anything else would be written to
/// wherever the maker of the archive wishes.
fn check_path(path: &str) -> Result<(), BackupError> {
    let mut parts = Path::new(path).components();
    let known = match (parts.next(), parts.next(), parts.next()) {
        (Some(Component::Normal(folder)), Some(Component::Normal(_)), None) => {
            [DATABASES, STORES, VERSIONS].iter().any(|known| folder == *known)
        }
        _ => false,
    };
    known.then_some(()).ok_or_else(|| BackupError::Damaged(format!("{path} is no file of an application")))
}

/// A reader that knows the checksum of what was read.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        self.hash.update(read);
        self.bytes += read.len() as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with one file, and the folder it is in.
    fn archive() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        std::fs::write(&source, "a database").unwrap();
        let path = dir.path().join("backup.tar");
        let mut writer = Writer::new(File::create(&path).unwrap(), "app".to_owned(), "2026-11-26T06:30:00Z".to_owned());
        writer.add("sqlite/a.db".to_owned(), File::open(&source).unwrap()).unwrap();
        writer.finish().unwrap();
        (dir, path)
    }

    #[test]
    fn what_was_stored_is_verified() {
        let (_dir, path) = archive();
        let contents = verify(&path).unwrap();
        assert_eq!((contents.application.as_str(), contents.bytes()), ("app", 10));
        assert_eq!(contents.taken_at, "2026-11-26T06:30:00Z");
        assert_eq!(contents.files[0].path, "sqlite/a.db");
    }

    #[test]
    fn no_changed_byte_and_no_missing_end_is_accepted() {
        let (_dir, path) = archive();
        let whole = std::fs::read(&path).unwrap();
        let data = whole.windows(10).position(|window| window == b"a database").unwrap();
        let mut changed = whole.clone();
        changed[data] = b'A';
        std::fs::write(&path, changed).unwrap();
        let error = verify(&path).unwrap_err().to_string();
        assert!(error.contains("sqlite/a.db is missing or not what was stored"), "{error}");
        for end in [0, 100, data, data + 512, data + 600] {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(verify(&path), Err(BackupError::Damaged(_) | BackupError::Io { .. })), "{end}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_data_folder() {
        for path in ["sqlite/../../x", "/etc/passwd", "sqlite/a/b", "other/a.db", "a.db", "sqlite"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        assert!(check_path("sqlite/a.db").is_ok() && check_path("key_value/key_value.db").is_ok());
    }
}
