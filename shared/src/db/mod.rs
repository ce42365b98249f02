//! A component's own database: SQLite or Postgres.
//!
//! Portable SQL: `$1` placeholders numbered in the order they appear, TEXT ids,
//! BIGINT for integers, flags and instants, JSON as TEXT, `ON CONFLICT`, `RETURNING`,
//! `NULLS FIRST` where the order of NULLs shows. [`Sql`] is what both [`Db`] (each
//! statement by itself) and [`Tx`] can do, so a query is written once and used in and
//! out of transactions.
//!
//! A transaction sees no other one, on either engine: SQLite has one writer, and on
//! Postgres a transaction that others got in the way of is done again. So what runs in
//! one must bear being run again, and changes nothing but the database.

mod error;
mod postgres;
#[cfg(test)]
mod tests;
mod value;

#[cfg(target_family = "wasm")]
#[path = "guest/mod.rs"]
mod engine;
#[cfg(not(target_family = "wasm"))]
#[path = "native/mod.rs"]
mod engine;

use std::{cell::RefCell, rc::Rc};

#[cfg(target_family = "wasm")]
pub use engine::SHARED_POSTGRES;
pub use error::DbError;
pub use value::{FromValue, Row, Value};

/// How often a transaction is begun before it is given up for the changes of others.
/// From the second time on it has the database to itself, so the second is the last,
/// except where a program that does not pass the gate writes as well.
const TRIES_MAX: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Who else may change the database during a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Shared,
    Alone,
}

/// A component's database.
#[derive(Clone)]
pub struct Db(engine::Database);

/// An open transaction. Dropped without an end, it is rolled back.
///
/// A statement that fails ends it, on either engine: whatever follows fails too, and
/// nothing is committed.
pub struct Tx {
    inner: engine::Transaction,
    engine: Engine,
    failure: RefCell<Option<DbError>>,
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
    pub fn engine(&self) -> Engine {
        self.0.engine()
    }

    /// Runs `work` in a transaction: committed when it answers `Ok`, rolled back
    /// when it answers `Err` or is dropped. After `Ok` the change is on disk.
    ///
    /// `work` is run again when changes of others came in between. Nothing but this
    /// database may be awaited inside: others wait for it.
    ///
    /// # Errors
    /// Those of `work`, and those of beginning and committing; [`DbError::Conflict`]
    /// when others came in between too often.
    pub async fn transaction<T, E: From<DbError>>(&self, work: impl AsyncFn(&Tx) -> Result<T, E>) -> Result<T, E> {
        self.run(Turn::Shared, work).await
    }

    /// As [`Db::transaction`], with nobody else in the database from the start.
    pub(crate) async fn transaction_alone<T>(
        &self,
        work: impl AsyncFn(&Tx) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.run(Turn::Alone, work).await
    }

    async fn run<T, E: From<DbError>>(&self, mut turn: Turn, work: impl AsyncFn(&Tx) -> Result<T, E>) -> Result<T, E> {
        for _ in 1..TRIES_MAX {
            match self.attempt(turn, &work).await {
                Attempt::Done(outcome) => return outcome,
                Attempt::Conflict(_) => turn = Turn::Alone,
            }
        }
        match self.attempt(turn, &work).await {
            Attempt::Done(outcome) | Attempt::Conflict(outcome) => outcome,
        }
    }

    async fn attempt<T, E: From<DbError>>(
        &self,
        turn: Turn,
        work: &impl AsyncFn(&Tx) -> Result<T, E>,
    ) -> Attempt<Result<T, E>> {
        let tx = match self.0.begin(Some(turn)).await {
            Ok(inner) => Tx { inner, engine: self.engine(), failure: RefCell::default() },
            Err(error) => return Attempt::of(error),
        };
        let outcome = work(&tx).await;
        let failure = tx.failure.take();
        match (outcome, failure) {
            (Ok(value), None) => match tx.inner.commit().await {
                Ok(()) => Attempt::Done(Ok(value)),
                Err(error) => Attempt::of(error),
            },
            (outcome, failure) => {
                if let Err(failed) = tx.inner.rollback().await {
                    crate::log::error("rollback failed; the connection was dropped", &[("cause", &failed)]);
                }
                match (outcome, failure) {
                    (Ok(_), Some(failure)) => Attempt::of(failure),
                    (outcome, Some(DbError::Conflict)) => Attempt::Conflict(outcome),
                    (outcome, _) => Attempt::Done(outcome),
                }
            }
        }
    }

    /// Makes the table of applied migrations, which is also where transactions pass.
    pub(crate) async fn make_journal(&self) -> Result<(), DbError> {
        let inner = self.0.begin(None).await?;
        if self.engine() == Engine::Postgres {
            inner.query(postgres::JOURNAL_LOCK, Vec::new()).await?;
        }
        if let Some(schema) = self.0.schema() {
            inner.query(schema, Vec::new()).await?;
        }
        inner.query(postgres::JOURNAL, Vec::new()).await?;
        inner.commit().await
    }
}

/// One run of a transaction.
enum Attempt<T> {
    Done(T),
    /// Rolled back for changes of others.
    Conflict(T),
}

impl<T, E: From<DbError>> Attempt<Result<T, E>> {
    fn of(error: DbError) -> Self {
        match error {
            DbError::Conflict => Self::Conflict(Err(error.into())),
            error => Self::Done(Err(error.into())),
        }
    }
}

impl Sql for Db {
    async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        checked(&params)?;
        if self.by_itself(statement) {
            return self.0.query(statement, params).await;
        }
        self.transaction(async |tx| tx.query(statement, params.clone()).await).await
    }

    async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        checked(&params)?;
        if self.by_itself(statement) {
            return self.0.affected(statement, params).await;
        }
        self.transaction(async |tx| tx.affected(statement, params.clone()).await).await
    }
}

impl Db {
    /// Whether a statement needs no transaction around it. On Postgres one that writes
    /// does: by itself it would not be seen by those that run beside it.
    fn by_itself(&self, statement: &str) -> bool {
        self.engine() == Engine::Sqlite || postgres::only_reads(statement)
    }
}

impl Tx {
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// The end of a SELECT whose rows this transaction is going to take: those that
    /// another one is taking are left out. Empty where there is no other one.
    pub fn skip_locked(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "",
            Engine::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    fn usable(&self) -> Result<(), DbError> {
        match &*self.failure.borrow() {
            None => Ok(()),
            Some(failure) => {
                Err(DbError::Other(format!("the transaction has ended with an earlier failure: {failure}")))
            }
        }
    }

    /// Remembers a failure, which ends the transaction.
    fn noted<T>(&self, outcome: Result<T, DbError>) -> Result<T, DbError> {
        outcome.inspect_err(|error| *self.failure.borrow_mut() = Some(error.clone()))
    }
}

impl Sql for Tx {
    async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        self.usable()?;
        self.noted(checked(&params))?;
        self.noted(self.inner.query(statement, params).await)
    }

    async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        self.usable()?;
        self.noted(checked(&params))?;
        self.noted(self.inner.affected(statement, params).await)
    }
}

/// Refuses what only one of the engines can store.
fn checked(params: &[Value]) -> Result<(), DbError> {
    if params.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0'))) {
        return Err(DbError::Value("text with the character U+0000".into()));
    }
    Ok(())
}

fn rows(columns: Vec<String>, values: impl Iterator<Item = Vec<Value>>) -> Vec<Row> {
    let columns: Rc<[String]> = columns.into();
    values.map(|values| Row::new(columns.clone(), values)).collect()
}
