//! Both engines natively, through sqlx, for tests and for the native twin.

mod postgres;
mod sqlite;

use super::{Db, DbError, Engine, Row, Turn, Value, postgres::only_reads};
use crate::conduct::{self, Step};

/// Names the administrator's URL of the Postgres that tests are to use.
const TEST_POSTGRES: &str = "CAIRN_TEST_POSTGRES";

#[derive(Clone)]
pub enum Database {
    Sqlite(sqlite::Database),
    Postgres(postgres::Database),
}

pub enum Transaction {
    Sqlite(sqlite::Transaction),
    Postgres(postgres::Transaction),
}

impl Db {
    /// Opens, or makes, a SQLite file. Every commit is on disk when it returns.
    ///
    /// # Errors
    /// The file cannot be opened as a database.
    pub async fn open_file(path: &std::path::Path) -> Result<Self, DbError> {
        sqlite::Database::open_file(path).await.map(|database| Self(Database::Sqlite(database)))
    }

    /// A SQLite database of its own in memory, gone when dropped.
    ///
    /// # Errors
    /// SQLite does not start.
    pub async fn open_memory() -> Result<Self, DbError> {
        sqlite::Database::open_memory().await.map(|database| Self(Database::Sqlite(database)))
    }

    /// An empty database for a test: a schema of its own on the Postgres that
    /// `CAIRN_TEST_POSTGRES` names by an administrator's URL, else SQLite in memory.
    /// The schema stays behind: tests get a server that is thrown away.
    ///
    /// # Errors
    /// The server is not reached.
    pub async fn for_test() -> Result<Self, DbError> {
        match Self::on_test_server().await? {
            Some(db) => Ok(db),
            None => Self::open_memory().await,
        }
    }

    /// As [`Db::for_test`] where requests are to run side by side: SQLite in a file
    /// of this name has a connection for each.
    ///
    /// # Errors
    /// The server is not reached, or the file cannot be made.
    pub async fn for_test_in(file: &std::path::Path) -> Result<Self, DbError> {
        match Self::on_test_server().await? {
            Some(db) => Ok(db),
            None => Self::open_file(file).await,
        }
    }

    async fn on_test_server() -> Result<Option<Self>, DbError> {
        let Ok(url) = std::env::var(TEST_POSTGRES) else { return Ok(None) };
        let db = Self(Database::Postgres(postgres::Database::fresh(&url).await?));
        db.make_journal().await?;
        Ok(Some(db))
    }
}

impl Database {
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The statement that makes the place of its tables, where nobody else does.
    pub fn schema(&self) -> Option<&str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(database) => Some(database.schema()),
        }
    }

    /// Begins a transaction; without a turn, where there is no gate yet.
    pub async fn begin(&self, turn: Option<Turn>) -> Result<Transaction, DbError> {
        conduct::pass(Step::Begin).await?;
        match self {
            Self::Sqlite(database) => database.begin().await.map(Transaction::Sqlite),
            Self::Postgres(database) => database.begin(turn).await.map(Transaction::Postgres),
        }
    }

    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        conduct::pass(Step::Begin).await?;
        let rows = match self {
            Self::Sqlite(database) => database.query(statement, params).await,
            Self::Postgres(database) => database.query(statement, params).await,
        }?;
        if !only_reads(statement) {
            conduct::pass(Step::Committed).await?;
        }
        Ok(rows)
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        conduct::pass(Step::Begin).await?;
        let affected = match self {
            Self::Sqlite(database) => database.affected(statement, params).await,
            Self::Postgres(database) => database.affected(statement, params).await,
        }?;
        conduct::pass(Step::Committed).await?;
        Ok(affected)
    }
}

impl Transaction {
    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Sqlite(tx) => tx.query(statement, params).await,
            Self::Postgres(tx) => tx.query(statement, params).await,
        }
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        match self {
            Self::Sqlite(tx) => tx.affected(statement, params).await,
            Self::Postgres(tx) => tx.affected(statement, params).await,
        }
    }

    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }?;
        conduct::pass(Step::Committed).await
    }

    pub async fn rollback(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
    }
}
