//! Backups: everything an application has stored, of one moment, in one file.
//!
//! The file is a tar archive. It holds a copy of every database, the components that
//! were replaced since the start, and at its end [`CONTENTS`], which names each with its size and checksum: an archive without it was
//! cut off. What the copies agree on is told in [`crate::capability::sqlite::freeze`].
//! Stores in memory are not in it, and neither is what the manifest brings: its own
//! components, files and settings. Of an application on Postgres it is a file of
//! another kind, see [`postgres`].

mod archive;
pub mod postgres;
mod restore;
mod serve;
mod take;

pub use self::{
    archive::{Contents, StoredFile, verify},
    restore::restore,
    serve::Backups,
    take::{Moment, Source},
};

/// The last entry of an archive.
pub const CONTENTS: &str = "backup.json";
/// The version of the archives that are written, and the only one that is read.
pub const FORMAT: u32 = 1;
/// Folder of the data folder where databases are, a file `<label>.db` each.
pub const DATABASES: &str = "sqlite";
/// Folder of the data folder where the file of the key-value stores is.
pub const STORES: &str = "key_value";

/// Folder of the data folder with replaced components, and which are in force.
pub const VERSIONS: &str = "versions";

/// Why there is no backup, or none was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
    #[error("a database could not be copied: {0}")]
    Database(#[from] crate::capability::sqlite::Error),
    #[error("the key-value stores could not be copied: {0}")]
    Stores(#[from] crate::capability::key_value::Error),
    #[error("the application keeps its data on Postgres; copy that with `cairn backup <file> --database <url>`")]
    OnPostgres,
    #[error(
        "{0} is not installed; install the client tools of Postgres (on Debian: postgresql-client), \
         or name their folder with {tools}",
        tools = postgres::TOOLS_VARIABLE
    )]
    NoTool(&'static str),
    #[error("{0}")]
    Tool(String),
    #[error(transparent)]
    OfDatabase(#[from] crate::database::DatabaseError),
    #[error("the database that was copied is not one that an application lives on")]
    NotOfApplication,
    #[error("the archive is damaged: {0}; take another one")]
    Damaged(String),
    #[error("the archive has format {0}; this version of cairn reads format {FORMAT}")]
    Format(u32),
    #[error("{0} is not empty; restore into a new folder")]
    NotEmpty(String),
}

impl BackupError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
