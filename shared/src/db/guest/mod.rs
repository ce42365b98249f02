//! The database as a component has it.

mod postgres;
mod sqlite;

use super::{Db, DbError, Engine, Row, Turn, Value};

/// Where the host says that the component's own database is on Postgres.
const OWN_POSTGRES: &str = "CAIRN_POSTGRES";

/// The variable that says so on a host that has no such place: the address of a
/// database that all components share, each in the schema of its name.
pub const SHARED_POSTGRES: &str = "database_url";

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
    /// The component's own database: on Postgres where the host or the variable
    /// [`SHARED_POSTGRES`] says so, else the SQLite database of this label.
    pub fn open(label: &str, shared: Option<String>) -> Self {
        Self(match (std::env::var(OWN_POSTGRES), shared) {
            (Ok(address), _) => Database::Postgres(postgres::Database::own(&address)),
            (Err(_), Some(address)) => Database::Postgres(postgres::Database::in_schema(&address, label)),
            (Err(_), None) => Database::Sqlite(sqlite::Database::open(label)),
        })
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
            Self::Postgres(database) => database.schema(),
        }
    }

    /// Begins a transaction; without a turn, where there is no gate yet.
    pub async fn begin(&self, turn: Option<Turn>) -> Result<Transaction, DbError> {
        match self {
            Self::Sqlite(database) => database.begin().map(Transaction::Sqlite),
            Self::Postgres(database) => database.begin(turn).await.map(Transaction::Postgres),
        }
    }

    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Sqlite(database) => database.query(statement, params),
            Self::Postgres(database) => database.query(statement, params).await,
        }
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        match self {
            Self::Sqlite(database) => database.affected(statement, params),
            Self::Postgres(database) => database.affected(statement, params).await,
        }
    }
}

impl Transaction {
    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Sqlite(tx) => tx.query(statement, params),
            Self::Postgres(tx) => tx.query(statement, params).await,
        }
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        match self {
            Self::Sqlite(tx) => tx.affected(statement, params),
            Self::Postgres(tx) => tx.affected(statement, params).await,
        }
    }

    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.commit(),
            Self::Postgres(tx) => tx.commit().await,
        }
    }

    pub async fn rollback(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(tx) => tx.rollback(),
            Self::Postgres(tx) => tx.rollback().await,
        }
    }
}
