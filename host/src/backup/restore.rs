//! From an archive back to a data folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{BackupError, Contents, archive};

/// Restores an archive as the data folder `target`, which must be empty or not there.
///
/// Everything is unpacked beside it first, and only moved into place when all checksums
/// hold. What stands in its place before stays as it is otherwise. Blocks.
///
/// # Errors
///
/// What is wrong with the archive, or why the folder cannot be written.
pub fn restore(archive: &Path, target: &Path) -> Result<Contents, BackupError> {
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) || target.is_file() {
        return Err(BackupError::NotEmpty(target.display().to_string()));
    }
    let staging = beside(target);
    let shown = staging.display().to_string();
    // What an attempt that was killed left behind.
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(BackupError::io(format!("cannot remove {shown}")))?;
    }
    create_folder(&staging).map_err(BackupError::io(format!("cannot make {shown}")))?;
    let unpacked = archive::read(archive, |path, reader| unpack(&staging.join(path), reader));
    let contents = match unpacked {
        Ok(contents) => contents,
        Err(error) => {
            // It is in nobody's way, and the next attempt removes it as well.
            let _ = fs::remove_dir_all(&staging);
            return Err(error);
        }
    };
    let put = || {
        sync_folders(&staging)?;
        fs::rename(&staging, target)?;
        File::open(target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            .sync_all()
    };
    put().map_err(BackupError::io(format!("cannot put {} into place", target.display())))?;
    Ok(contents)
}

/// A folder on the same file system, so that moving it into place is one step.
fn beside(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    target.with_file_name(name)
}

fn unpack(path: &Path, reader: &mut dyn Read) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(reader, &mut file)?;
    file.sync_all()
}

fn create_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes the names in a folder and in those below it durable.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    File::open(folder)?.sync_all()
}
