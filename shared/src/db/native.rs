//! The database natively, for tests and for the native twin: SQLite through sqlx.

use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, Column, Row as _, Sqlite, SqlitePool, TypeInfo, ValueRef,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{DbError, Row, Sql, Value};

/// A database file.
#[derive(Clone)]
pub struct Db {
    pool: SqlitePool,
    /// SQLite has one writer. Transactions take turns here, in the order they ask;
    /// SQLite itself lets waiting connections sleep and try again.
    writer: Arc<Mutex<()>>,
}

/// An open transaction. Dropped without an end, it is rolled back.
pub struct Tx {
    inner: Mutex<sqlx::Transaction<'static, Sqlite>>,
    turn: OwnedMutexGuard<()>,
}

impl Db {
    /// Opens, or makes, a database file. Every commit is on disk when it returns.
    ///
    /// # Errors
    /// The file cannot be opened as a database.
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

    /// A database of its own in memory, gone when dropped.
    ///
    /// # Errors
    /// SQLite does not start.
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

    pub(super) async fn begin(&self) -> Result<Tx, DbError> {
        let turn = self.writer.clone().lock_owned().await;
        let inner = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
        Ok(Tx { inner: Mutex::new(inner), turn })
    }
}

impl Tx {
    pub(super) async fn commit(self) -> Result<(), DbError> {
        let ended = self.inner.into_inner().commit().await.map_err(failure);
        drop(self.turn);
        ended
    }

    pub(super) async fn rollback(self) -> Result<(), DbError> {
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
    Ok(super::rows(columns.unwrap_or_default(), values.map_err(failure)?.into_iter()))
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

impl Sql for Db {
    async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        converted(bound(statement, params).fetch_all(&self.pool).await.map_err(failure)?)
    }

    async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        Ok(bound(statement, params).execute(&self.pool).await.map_err(failure)?.rows_affected())
    }
}

impl Sql for Tx {
    async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let mut tx = self.inner.lock().await;
        converted(bound(statement, params).fetch_all(&mut **tx).await.map_err(failure)?)
    }

    async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        let mut tx = self.inner.lock().await;
        Ok(bound(statement, params).execute(&mut **tx).await.map_err(failure)?.rows_affected())
    }
}

fn failure(error: sqlx::Error) -> DbError {
    match &error {
        sqlx::Error::Database(inner) => DbError::from_message(inner.message()),
        other => DbError::Other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    async fn fresh() -> Db {
        let db = Db::open_memory().await.unwrap();
        db.execute("CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT)", params![]).await.unwrap();
        db
    }

    async fn count(db: &Db) -> i64 {
        db.query_one("SELECT count(*) AS n FROM t", params![]).await.unwrap().get("n").unwrap()
    }

    #[tokio::test]
    async fn a_failed_transaction_leaves_nothing() {
        let db = fresh().await;
        let result: Result<(), DbError> = db
            .transaction(async |tx| {
                tx.execute("INSERT INTO t (id, n) VALUES ($1, $2)", params!["a", 1]).await?;
                Err(DbError::Busy)
            })
            .await;
        assert!(result.is_err());
        assert_eq!(count(&db).await, 0);
    }

    #[tokio::test]
    async fn a_successful_transaction_stays() {
        let db = fresh().await;
        db.transaction(async |tx| tx.execute("INSERT INTO t (id, n) VALUES ($1, $2)", params!["a", 1]).await)
            .await
            .unwrap();
        assert_eq!(count(&db).await, 1);
    }

    #[tokio::test]
    async fn a_unique_constraint_names_its_column() {
        let db = fresh().await;
        let insert = async || db.affected("INSERT INTO t (id, n) VALUES ($1, $2)", params!["a", 1]).await;
        assert_eq!(insert().await.unwrap(), 1);
        assert!(insert().await.unwrap_err().is_unique("t.id"));
    }
}
