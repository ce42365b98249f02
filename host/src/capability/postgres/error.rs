//! Every way in which a call can fail, and what a guest is told of it.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::wit;
use crate::telemetry::metrics::LimitReached;

/// Why a call failed. The text is made for the author of the component.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the address cannot be used: {0}")]
    Address(String),
    #[error("address postgres://{host}:{port} is not permitted; add it to `allowed_outbound_hosts`")]
    NotAllowed { host: String, port: u16 },
    #[error("the application does not run on Postgres: start it with a database URL, or use SQLite")]
    NoOwnDatabase,
    #[error("the component was not granted the database {0:?}")]
    NotGranted(String),
    #[error("the connection is not valid")]
    InvalidConnection,
    #[error("too many connections opened: {0} at most")]
    TooManyConnections(usize),
    #[error("too many different addresses are connected: {0} at most")]
    TooManyAddresses(usize),
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error(
        "no connection was to be had within {} ms: the server does not answer, or all {connections_max} are in use",
        .waited.as_millis()
    )]
    NoneFree { waited: Duration, connections_max: u32 },
    /// The statement was sent: whether it took effect is unknown.
    #[error("the connection was lost while the statement ran: {0}")]
    Lost(String),
    #[error("the connection was lost, and with it its transaction and settings; nothing of the transaction was kept")]
    TransactionLost,
    /// What Postgres answers with a plain `ROLLBACK`, which a guest would take for success.
    #[error("the transaction was rolled back, because a statement in it had failed")]
    CommitOfFailed,
    #[error("the statement ran longer than {} ms; its connection was closed", .0.as_millis())]
    Time(Duration),
    #[error("the result has more than {0} rows")]
    TooManyRows(usize),
    #[error("the result has more than {0} bytes")]
    TooManyBytes(usize),
    #[error("the statement is longer than {0} bytes")]
    StatementTooLong(usize),
    #[error("COPY between client and server is not supported")]
    Copy,
    #[error("the statement takes {expected} parameters, {given} were given")]
    ParameterCount { expected: usize, given: usize },
    #[error("parameter ${position}: {reason}")]
    Parameter { position: usize, reason: String },
    #[error("column {column:?}: {reason}")]
    Value { column: String, reason: String },
    #[error("{}", .0.as_text)]
    Database(Box<wit::DbError>),
    /// Anything of the driver that is none of the above.
    #[error("{0}")]
    Driver(String),
}

/// Class and code of a transaction that takes no more statements.
const IN_FAILED_TRANSACTION: &str = "25P02";

impl Error {
    /// The limit of the component that the statement ran into, if it was one.
    pub(super) fn limit(&self) -> Option<LimitReached> {
        match self {
            Self::TooManyRows(_) => Some(LimitReached::QueryRows),
            Self::TooManyBytes(_) => Some(LimitReached::QueryBytes),
            _ => None,
        }
    }

    /// What went wrong before a statement could be sent.
    pub(super) fn connecting(error: sqlx::Error, waited: Duration, connections_max: u32) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::NoneFree { waited, connections_max },
            sqlx::Error::PoolClosed => Self::Unreachable("the host is stopping".to_owned()),
            error => Self::Unreachable(error.to_string()),
        }
    }

    /// What went wrong with a statement.
    pub(super) fn running(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
                Ok(error) => Self::Database(Box::new(db_error(&error))),
                Err(error) => Self::Driver(error.to_string()),
            },
            sqlx::Error::Io(error) => Self::Lost(error.to_string()),
            error => Self::Driver(error.to_string()),
        }
    }

    /// Whether the connection is still in step with the server.
    pub(super) fn leaves_connection_usable(&self) -> bool {
        match self {
            Self::Database(error) => error.severity == "ERROR",
            Self::ParameterCount { .. }
            | Self::Parameter { .. }
            | Self::Value { .. }
            | Self::CommitOfFailed
            | Self::StatementTooLong(_)
            | Self::Copy => true,
            _ => false,
        }
    }

    /// The statement was prepared before a table that it reads was altered.
    pub(super) fn is_outdated_plan(&self) -> bool {
        matches!(self, Self::Database(error) if error.code == "0A000" && error.message.contains("cached plan"))
    }

    /// The one place where a guest's error is made.
    pub(super) fn into_wit(self) -> wit::Error {
        let text = self.to_string();
        match self {
            Self::Address(_)
            | Self::NotAllowed { .. }
            | Self::NoOwnDatabase
            | Self::NotGranted(_)
            | Self::InvalidConnection
            | Self::TooManyConnections(_)
            | Self::TooManyAddresses(_)
            | Self::Unreachable(_)
            | Self::NoneFree { .. } => wit::Error::ConnectionFailed(text),
            Self::ParameterCount { .. } | Self::Parameter { .. } => wit::Error::BadParameter(text),
            Self::Value { .. } => wit::Error::ValueConversionFailed(text),
            Self::Database(error) => wit::Error::QueryFailed(wit::QueryError::DbError(*error)),
            Self::CommitOfFailed => wit::Error::QueryFailed(wit::QueryError::DbError(wit::DbError {
                as_text: text.clone(),
                severity: "ERROR".to_owned(),
                code: IN_FAILED_TRANSACTION.to_owned(),
                message: text,
                detail: None,
                extras: Vec::new(),
            })),
            Self::Lost(_)
            | Self::TransactionLost
            | Self::Time(_)
            | Self::TooManyRows(_)
            | Self::TooManyBytes(_)
            | Self::StatementTooLong(_)
            | Self::Copy
            | Self::Driver(_) => wit::Error::QueryFailed(wit::QueryError::Text(text)),
        }
    }
}

fn db_error(error: &PgDatabaseError) -> wit::DbError {
    let severity = severity(error.severity());
    let mut as_text = format!("{severity}: {} ({})", error.message(), error.code());
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        as_text.push_str("; ");
        as_text.push_str(more);
    }
    let extras = [
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("routine", error.routine()),
        ("hint", error.hint()),
        ("table", error.table()),
        ("datatype", error.data_type()),
        ("schema", error.schema()),
        ("file", error.file()),
        ("where_", error.r#where()),
    ];
    wit::DbError {
        as_text,
        severity: severity.to_owned(),
        code: error.code().to_owned(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        extras: extras.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect(),
    }
}

fn severity(severity: PgSeverity) -> &'static str {
    match severity {
        PgSeverity::Panic => "PANIC",
        PgSeverity::Fatal => "FATAL",
        PgSeverity::Error => "ERROR",
        PgSeverity::Warning => "WARNING",
        PgSeverity::Notice => "NOTICE",
        PgSeverity::Debug => "DEBUG",
        PgSeverity::Info => "INFO",
        PgSeverity::Log => "LOG",
    }
}
