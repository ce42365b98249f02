//! SQLite natively.

use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, Column, Row as _, Sqlite, SqlitePool, TypeInfo, ValueRef,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::db::{DbError, Row, Value, rows};

#[derive(Clone)]
pub struct Database {
    pool: SqlitePool,
    /// SQLite has one writer. Transactions take turns here, in the order they ask;
    /// SQLite itself lets waiting connections sleep and try again.
    writer: Arc<Mutex<()>>,
}

pub struct Transaction {
    inner: Mutex<sqlx::Transaction<'static, Sqlite>>,
    turn: OwnedMutexGuard<()>,
}

impl Database {
    pub async fn open_file(path: &std::path::Path) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(std::time::Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await.map_err(failure)?;
        Ok(Self { pool, writer: Arc::default() })
    }

    pub async fn open_memory() -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new().in_memory(true).shared_cache(false);
        // One connection, never closed: another one would see another database.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(failure)?;
        Ok(Self { pool, writer: Arc::default() })
    }

    pub async fn begin(&self) -> Result<Transaction, DbError> {
        let turn = self.writer.clone().lock_owned().await;
        let inner = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
        Ok(Transaction { inner: Mutex::new(inner), turn })
    }

    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        converted(bound(statement, params).fetch_all(&self.pool).await.map_err(failure)?)
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        Ok(bound(statement, params).execute(&self.pool).await.map_err(failure)?.rows_affected())
    }
}

impl Transaction {
    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let mut tx = self.inner.lock().await;
        converted(bound(statement, params).fetch_all(&mut **tx).await.map_err(failure)?)
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        let mut tx = self.inner.lock().await;
        Ok(bound(statement, params).execute(&mut **tx).await.map_err(failure)?.rows_affected())
    }

    pub async fn commit(self) -> Result<(), DbError> {
        let ended = self.inner.into_inner().commit().await.map_err(failure);
        drop(self.turn);
        ended
    }

    pub async fn rollback(self) -> Result<(), DbError> {
        let ended = self.inner.into_inner().rollback().await.map_err(failure);
        drop(self.turn);
        ended
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

fn bound(statement: &str, params: Vec<Value>) -> Query<'_> {
    params.into_iter().fold(sqlx::query(AssertSqlSafe(statement.to_owned())), |query, value| match value {
        Value::Integer(v) => query.bind(v),
        Value::Real(v) => query.bind(v),
        Value::Text(v) => query.bind(v),
        Value::Blob(v) => query.bind(v),
        Value::Null => query.bind(None::<i64>),
    })
}

fn converted(found: Vec<SqliteRow>) -> Result<Vec<Row>, DbError> {
    let columns = found.first().map(|row| row.columns().iter().map(|c| c.name().to_owned()).collect());
    let values: Result<Vec<_>, _> = found.iter().map(row_values).collect();
    Ok(rows(columns.unwrap_or_default(), values.map_err(failure)?.into_iter()))
}

fn row_values(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.len())
        .map(|at| {
            let raw = row.try_get_raw(at)?;
            Ok(match raw.type_info().name() {
                _ if raw.is_null() => Value::Null,
                "INTEGER" => Value::Integer(row.try_get(at)?),
                "REAL" => Value::Real(row.try_get(at)?),
                "BLOB" => Value::Blob(row.try_get(at)?),
                _ => Value::Text(row.try_get_unchecked(at)?),
            })
        })
        .collect()
}

fn failure(error: sqlx::Error) -> DbError {
    match &error {
        sqlx::Error::Database(inner) => DbError::of_sqlite(inner.message()),
        other => DbError::Other(other.to_string()),
    }
}
