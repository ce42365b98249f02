//! Files that pages show, read from a folder.
//!
//! Only plain names below the folder are served, and only kinds of files that a
//! browser shows without running anything.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Bytes of a file that is served.
const FILE_BYTES_MAX: u64 = 20 * 1024 * 1024;

/// Characters of an address below the folder.
const PATH_CHARS_MAX: usize = 300;

/// A file to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedFile {
    pub content_type: &'static str,
    pub content: Vec<u8>,
}

/// Why a file is not served.
#[derive(Debug)]
pub enum FileError {
    /// There is none, or none that is served.
    NotFound,
    Unreadable(std::io::Error),
}

/// The file at this address below the folder.
///
/// # Errors
/// [`FileError::NotFound`] for everything that is not a file of a known kind.
pub fn read(folder: &Path, address: &str) -> Result<ServedFile, FileError> {
    let (path, content_type) = located(folder, address).ok_or(FileError::NotFound)?;
    let found = std::fs::metadata(&path)
        .and_then(|found| if found.is_file() { Ok(found) } else { Err(ErrorKind::NotFound.into()) });
    match found {
        Ok(found) if found.len() > FILE_BYTES_MAX => Err(FileError::NotFound),
        Ok(_) => {
            std::fs::read(&path).map(|content| ServedFile { content_type, content }).map_err(FileError::Unreadable)
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(FileError::NotFound)
        }
        Err(error) => Err(FileError::Unreadable(error)),
    }
}

fn located(folder: &Path, address: &str) -> Option<(PathBuf, &'static str)> {
    if address.chars().count() > PATH_CHARS_MAX || !address.split('/').all(is_plain) {
        return None;
    }
    let content_type = content_type(address.rsplit_once('.')?.1)?;
    Some((address.split('/').fold(folder.to_owned(), |path, name| path.join(name)), content_type))
}

/// A name that means nothing to a file system but itself.
fn is_plain(name: &str) -> bool {
    let unusual = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
    !name.is_empty() && !name.starts_with('.') && !name.contains(unusual)
}

fn content_type(extension: &str) -> Option<&'static str> {
    match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => Some("image/jpeg"),
        "png" => Some("image/png"),
        "gif" => Some("image/gif"),
        "webp" => Some("image/webp"),
        "pdf" => Some("application/pdf"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("outside.png"), b"secret").unwrap();
        let shown = folder.path().join("shown");
        std::fs::create_dir_all(shown.join("images/folder.png")).unwrap();
        for name in ["images/fort.JPG", "images/page.svg", "images/.hidden.png", "cv.pdf"] {
            std::fs::write(shown.join(name), name).unwrap();
        }
        folder
    }

    #[test]
    fn files_of_known_kinds_are_served() {
        let folder = folder();
        let read = |address| read(&folder.path().join("shown"), address).unwrap();
        assert_eq!(
            read("images/fort.JPG"),
            ServedFile { content_type: "image/jpeg", content: b"images/fort.JPG".into() }
        );
        assert_eq!(read("cv.pdf").content_type, "application/pdf");
    }

    #[test]
    fn nothing_else_is_and_nothing_outside_the_folder() {
        let folder = folder();
        for address in [
            "",
            "images",
            "images/",
            "images/none.png",
            "images/page.svg",
            "images/.hidden.png",
            "images/folder.png",
            "../outside.png",
            "images/../../outside.png",
            "..\\outside.png",
            "/etc/passwd.png",
            "images//fort.JPG",
            "./cv.pdf",
            "cv.pdf/x.png",
            "cv.pdf\0.png",
            "fort",
        ] {
            assert!(matches!(read(&folder.path().join("shown"), address), Err(FileError::NotFound)), "{address}");
        }
    }
}
