//! Every way in which a database call can fail, and what a guest is told of it.

use std::{sync::Arc, time::Duration};

use rusqlite::ffi::{self, ErrorCode};

use crate::telemetry::metrics::LimitReached;

/// Why a call failed. The text is made for the author of the component.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("the application has no such database")]
    NoSuchDatabase,
    #[error("the component was not granted this database")]
    AccessDenied,
    #[error("the connection is not valid")]
    InvalidConnection,
    #[error("the database is full")]
    DatabaseFull,
    /// Nobody released the writer in time, or another process holds the file.
    #[error("database is locked")]
    Locked,
    #[error("the database is closed")]
    Closed,
    /// An earlier sync failed: what was written since is not known to be on disk.
    #[error("the database takes no more writes: {0}")]
    Poisoned(Arc<str>),
    #[error("the statement ran longer than {} ms and was interrupted", .0.as_millis())]
    Budget(Duration),
    #[error("the result has more than {0} rows")]
    TooManyRows(usize),
    #[error("the query result exceeds limit: more than {0} bytes")]
    TooManyBytes(usize),
    #[error("too many connections opened: {0} at most")]
    TooManyConnections(usize),
    #[error("the statement takes {expected} parameters, {given} were given")]
    ParameterCount { expected: usize, given: usize },
    #[error("one statement a call: more text follows the first statement")]
    SeveralStatements,
    #[error("the statement is empty")]
    EmptyStatement,
    #[error("{0}")]
    Refused(&'static str),
    #[error("column {column} holds text that is not UTF-8")]
    NotUtf8 { column: usize },
    #[error("{0:?} is not a label: 1 to 64 of a-z, 0-9, '-' and '_'")]
    InvalidLabel(String),
    /// SQLite refused; `extended_code` is its extended result code.
    #[error("{message}")]
    Sqlite { extended_code: i32, message: String },
    /// The host failed at its own part: a file, a thread, a stream. It may name
    /// paths, so guests are told only that it happened.
    #[error("{0}")]
    Internal(String),
}

/// What the authorizer refuses, in one sentence.
pub(super) const REFUSED_BY_POLICY: &str = "refused: ATTACH, DETACH, VACUUM, temporary objects, \
     loading extensions and settings (PRAGMA) that outlive a statement";

impl Error {
    /// The limit of the component that the statement ran into, if it was one.
    pub(super) fn limit(&self) -> Option<LimitReached> {
        match self {
            Self::TooManyRows(_) => Some(LimitReached::QueryRows),
            Self::TooManyBytes(_) => Some(LimitReached::QueryBytes),
            _ => None,
        }
    }

    /// True if SQLite itself reported that a sync failed.
    pub(super) fn is_failed_sync(&self) -> bool {
        matches!(self, Self::Sqlite { extended_code, .. }
            if matches!(*extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
    }

    fn from_code(error: ffi::Error, message: String) -> Self {
        match error.code {
            ErrorCode::DiskFull => Self::DatabaseFull,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked,
            ErrorCode::AuthorizationForStatementDenied => Self::Refused(REFUSED_BY_POLICY),
            _ => Self::Sqlite { extended_code: error.extended_code, message },
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error {
            rusqlite::Error::MultipleStatement => Self::SeveralStatements,
            rusqlite::Error::SqliteFailure(error, message) => Self::from_code(error, message.unwrap_or(text)),
            rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
                Self::from_code(error, format!("{msg} (at byte {offset})"))
            }
            _ => Self::Sqlite { extended_code: ffi::SQLITE_ERROR, message: text },
        }
    }
}
