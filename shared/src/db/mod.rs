//! A component's own database.
//!
//! Portable SQL: `$1` placeholders numbered in the order they appear, TEXT ids,
//! BIGINT for integers, flags and instants, JSON as TEXT, `ON CONFLICT`, `RETURNING`.
//! [`Sql`] is what both [`Db`] (each statement by itself) and [`Tx`] can do, so a
//! query is written once and used in and out of transactions.

mod value;

#[cfg(target_family = "wasm")]
#[path = "guest.rs"]
mod engine;
#[cfg(not(target_family = "wasm"))]
#[path = "native.rs"]
mod engine;

use std::rc::Rc;

pub use engine::{Db, Tx};
pub use value::{FromValue, Row, Value};

/// Why a statement did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// A unique constraint; names the columns, as `users.email`.
    #[error("unique constraint on {0}")]
    Unique(String),
    /// Any other constraint.
    #[error("constraint: {0}")]
    Constraint(String),
    /// Somebody else kept the database locked for too long. Nothing was done.
    #[error("the database is locked")]
    Busy,
    /// A column that is missing or of another type than asked for.
    #[error("column {column}: {problem}")]
    Column { column: String, problem: String },
    #[error("database: {0}")]
    Other(String),
}

impl DbError {
    /// Whether it is the unique constraint on this column, such as `users.email`.
    pub fn is_unique(&self, column: &str) -> bool {
        matches!(self, Self::Unique(columns) if columns.split(", ").any(|c| c == column))
    }

    fn from_message(message: &str) -> Self {
        const UNIQUE: &str = "UNIQUE constraint failed: ";
        if let Some(at) = message.find(UNIQUE) {
            let columns = message[at + UNIQUE.len()..].trim();
            return Self::Unique(columns.split(['\n', '(']).next().unwrap_or_default().trim().to_owned());
        }
        if message.contains("constraint failed") {
            return Self::Constraint(message.to_owned());
        }
        if message.contains("database is locked") || message.contains("database table is locked") {
            return Self::Busy;
        }
        Self::Other(message.to_owned())
    }
}

/// Values for the placeholders of a statement: `params![id, name, now]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}

/// Runs statements. Implemented by [`Db`] and [`Tx`].
#[expect(async_fn_in_trait, reason = "components run on one thread, so no future need be Send")]
pub trait Sql {
    /// All rows of a statement.
    async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError>;

    /// Runs a statement and tells how many rows it changed.
    async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError>;

    /// Runs a statement for its effect.
    async fn execute(&self, statement: &str, params: Vec<Value>) -> Result<(), DbError> {
        self.query(statement, params).await.map(drop)
    }

    /// The first row, if there is one.
    async fn query_opt(&self, statement: &str, params: Vec<Value>) -> Result<Option<Row>, DbError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// The first row of a statement that always has one, such as a count.
    async fn query_one(&self, statement: &str, params: Vec<Value>) -> Result<Row, DbError> {
        let row = self.query_opt(statement, params).await?;
        row.ok_or_else(|| DbError::Other("a statement that should answer a row had none".into()))
    }
}

impl Db {
    /// Runs `work` in a transaction: committed when it answers `Ok`, rolled back
    /// when it answers `Err` or is dropped. After `Ok` the change is on disk.
    ///
    /// Nothing but this database may be awaited inside: it has one writer.
    ///
    /// # Errors
    /// Those of `work`, and those of beginning and committing.
    pub async fn transaction<T, E: From<DbError>>(&self, work: impl AsyncFnOnce(&Tx) -> Result<T, E>) -> Result<T, E> {
        let tx = self.begin().await?;
        match work(&tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                if let Err(failed) = tx.rollback().await {
                    crate::log::error("rollback failed; the connection was dropped", &[("cause", &failed)]);
                }
                Err(error)
            }
        }
    }
}

fn rows(columns: Vec<String>, values: impl Iterator<Item = Vec<Value>>) -> Vec<Row> {
    let columns: Rc<[String]> = columns.into();
    values.map(|values| Row::new(columns.clone(), values)).collect()
}
