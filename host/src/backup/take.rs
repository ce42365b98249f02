//! From running databases, or those of a host that does not run, to an archive.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{BackupError, DATABASES, STORES, VERSIONS, archive::Writer};
use crate::{
    capability::{
        key_value::{self, Stores},
        sqlite::{self, Databases, Frozen, freeze},
    },
    host::version_files::RECORD,
    telemetry,
};

/// Folder of the data folder for the copy of one database at a time.
const SCRATCH: &str = "backup";
/// How often the versions in force are looked at again because they changed meanwhile.
const TRIES_MAX: usize = 5;

/// What a backup is taken of.
#[derive(Clone)]
pub struct Source {
    /// Name of the application; may be empty.
    pub application: String,
    pub data_dir: PathBuf,
    pub databases: Arc<Databases>,
    pub stores: Arc<Stores>,
    /// The data is not in these, but on a server.
    pub on_postgres: bool,
}

/// Everything that is stored, as it was at one moment.
pub struct Moment {
    application: String,
    taken_at: String,
    scratch: PathBuf,
    databases: Vec<(String, Frozen)>,
    versions: Vec<(String, File)>,
}

impl Source {
    /// The databases of a data folder whose host does not run. Must be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn at_rest(data_dir: &Path) -> Result<Self, BackupError> {
        let folder = data_dir.join(DATABASES);
        let entries = fs::read_dir(&folder).map_err(BackupError::io(format!("cannot read {}", folder.display())))?;
        let mut labels = Vec::new();
        for entry in entries {
            let path = entry.map_err(BackupError::io(format!("cannot read {}", folder.display())))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            labels.extend(name.strip_suffix(".db").map(str::to_owned));
        }
        let databases = Databases::open(folder, sqlite::Settings::default())?;
        databases.declare(labels)?;
        let stores = Stores::open(data_dir.join(STORES), key_value::Settings::default())?;
        Ok(Self { application: String::new(), data_dir: data_dir.to_owned(), databases, stores, on_postgres: false })
    }

    /// Closes the databases, where nobody else uses them.
    ///
    /// # Errors
    ///
    /// What could not be closed; the data is sound all the same.
    pub async fn close(&self) -> Result<(), BackupError> {
        self.databases.close().await?;
        Ok(self.stores.close().await?)
    }

    /// Takes hold of everything, at one moment.
    ///
    /// # Errors
    ///
    /// A database cannot be read, or is never at rest.
    pub async fn freeze(&self) -> Result<Moment, BackupError> {
        if self.on_postgres {
            return Err(BackupError::OnPostgres);
        }
        let databases = self.databases.all().await?;
        let mut paths: Vec<String> =
            databases.iter().map(|database| format!("{DATABASES}/{}.db", database.label())).collect();
        let mut all = databases;
        if let Some(file) = self.stores.file().await? {
            paths.push(format!("{STORES}/{}.db", file.label()));
            all.push(file);
        }
        let frozen = freeze(&all).await?;
        Ok(Moment {
            application: self.application.clone(),
            taken_at: telemetry::now(),
            scratch: self.data_dir.join(SCRATCH),
            databases: paths.into_iter().zip(frozen).collect(),
            versions: versions(&self.data_dir.join(VERSIONS)).map_err(BackupError::io("cannot read the versions"))?,
        })
    }
}

impl Moment {
    /// Writes the archive. Blocks for as long as it takes to read everything.
    ///
    /// # Errors
    ///
    /// What could not be read or written.
    pub fn write<W: Write>(self, out: W) -> Result<W, BackupError> {
        let scratch = Scratch::new(self.scratch)?;
        let mut archive = Writer::new(out, self.application, self.taken_at);
        for (path, database) in self.databases {
            let copy = scratch.0.join("copy.db");
            database.copy_to(&copy)?;
            // The log of the running database may be emptied again.
            drop(database);
            let what = format!("cannot store {path}");
            File::open(&copy).and_then(|copy| archive.add(path, copy)).map_err(BackupError::io(what))?;
            fs::remove_file(&copy).map_err(BackupError::io(format!("cannot remove {}", copy.display())))?;
        }
        for (path, version) in self.versions {
            let what = format!("cannot store {path}");
            archive.add(path, version).map_err(BackupError::io(what))?;
        }
        archive.finish().map_err(BackupError::io("cannot end the archive"))
    }
}

/// The versions of components that are kept, with the record of those in force. Files
/// that are open stay readable when they are removed.
fn versions(folder: &Path) -> io::Result<Vec<(String, File)>> {
    for _ in 0..TRIES_MAX {
        let Some(mut record) = open(&folder.join(RECORD))? else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.extend(open(&path)?.map(|file| (format!("{VERSIONS}/{name}"), file)));
            }
        }
        // A swap meanwhile may have removed what the record that was read names.
        let mut text = Vec::new();
        record.read_to_end(&mut text)?;
        record.rewind()?;
        if fs::read(folder.join(RECORD))? == text {
            files.push((format!("{VERSIONS}/{RECORD}"), record));
            return Ok(files);
        }
    }
    Err(io::Error::other("components are being replaced all the time; try again"))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A folder for copies, which is not there when none are made.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: PathBuf) -> Result<Self, BackupError> {
        let what = format!("cannot make {}", folder.display());
        // What a host that was killed left behind.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(BackupError::io(what))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next backup removes it as well.
        let _ = fs::remove_dir_all(&self.0);
    }
}
