//! A guest's connection: its transaction, its statements, its limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Column as _, Either, Executor as _, PgConnection, Row as _, SqlSafeStr as _, Statement as _,
    ValueRef as _,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, types::Oid},
};

use crate::{
    call::CurrentCall,
    capability::handles::{Counted, Handles},
};

use super::{
    Error,
    kind::{Effect, Kind},
    pool::{self, Held, Keeping, Pool, TRUSTED_FOR},
    value,
    wit::{Column, DbValue, ParameterValue},
};

/// Bounds of what one call may take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of one statement.
    pub statement_time_max: Duration,
    /// Text of one statement, in bytes.
    pub statement_bytes_max: usize,
    /// Rows that one statement may return.
    pub rows_max: usize,
    /// Bytes that the result of one statement may have.
    pub result_bytes_max: usize,
}

/// Time that the server gets, after its own limit, to tell that a statement took too long.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// What a statement gave.
#[derive(Debug, Default)]
pub struct Outcome {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<DbValue>>,
    /// Rows that were changed or returned, as the server counts them.
    pub affected: u64,
}

/// A connection as a guest has it. Dropping it rolls an open transaction back before
/// anyone else gets the connection.
pub struct Session {
    pool: Arc<Pool>,
    limits: Limits,
    held: Option<Held>,
    /// The connection was lost, and with it a transaction or settings of the guest's.
    lost: bool,
    /// Shared by the sessions of one instance: how many are in a transaction.
    transactions_open: Handles,
    transaction: Option<Counted>,
    /// The call that its statements are a part of.
    current: Option<Arc<CurrentCall>>,
}

impl Session {
    #[must_use]
    pub fn new(pool: Arc<Pool>, limits: Limits, transactions_open: Handles) -> Self {
        Self { pool, limits, held: None, lost: false, transactions_open, transaction: None, current: None }
    }

    /// Shows its statements in the trace of the call that an instance works on.
    pub(super) fn recorded_for(mut self, current: Arc<CurrentCall>) -> Self {
        self.current = Some(current);
        self
    }

    /// Connects now, where the guest keeps its connection.
    ///
    /// # Errors
    /// The database cannot be reached, or all connections are in use.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.pool.keeping() == Keeping::Session && self.held.is_none() {
            self.held = Some(self.pool.acquire().await?);
        }
        Ok(())
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&mut self, sql: &str, parameters: &[ParameterValue]) -> Result<Outcome, Error> {
        let span = self.current.as_ref().and_then(|current| current.statement("postgresql", sql));
        let result = self.dispatch(sql, parameters).await;
        let outcome = result.as_ref().map(|outcome| outcome.rows.len()).map_err(Error::limit);
        self.pool.count().statements.end(self.current.as_deref(), span, outcome);
        result
    }

    async fn dispatch(&mut self, sql: &str, parameters: &[ParameterValue]) -> Result<Outcome, Error> {
        if sql.len() > self.limits.statement_bytes_max {
            return Err(Error::StatementTooLong(self.limits.statement_bytes_max));
        }
        let kind = Kind::of(sql);
        if kind.copies {
            return Err(Error::Copy);
        }
        if self.lost {
            // Whatever follows was meant for the transaction, up to its end.
            let ended = matches!(kind.effect, Effect::Commit | Effect::Rollback);
            self.lost = !ended || self.pool.keeping() == Keeping::Session;
            return if kind.effect == Effect::Rollback { Ok(Outcome::default()) } else { Err(Error::TransactionLost) };
        }
        let mut held = self.hold().await?;
        let (was_marked, in_transaction) = (held.session_marked, held.in_transaction);
        let result = self.run_on(&mut held, kind, sql, parameters).await;
        if held.connection.is_none() {
            self.lost = in_transaction && !matches!(kind.effect, Effect::Commit | Effect::Rollback);
            self.lost |= was_marked && self.pool.keeping() == Keeping::Session;
        } else if held.in_transaction || self.pool.keeping() == Keeping::Session {
            self.held = Some(held);
        }
        if self.held.as_ref().is_some_and(|held| held.in_transaction) {
            self.transaction.get_or_insert_with(|| self.transactions_open.add());
        } else {
            self.transaction = None;
        }
        result
    }

    /// The connection that the statement runs on: the one that it has to be, or any.
    async fn hold(&mut self) -> Result<Held, Error> {
        if let Some(mut held) = self.held.take()
            && held.is_alive().await
        {
            return Ok(held);
        }
        self.pool.acquire().await
    }

    /// Runs a statement, and closes the connection if it cannot be used afterwards.
    async fn run_on(
        &self,
        held: &mut Held,
        kind: Kind,
        sql: &str,
        parameters: &[ParameterValue],
    ) -> Result<Outcome, Error> {
        // Out of the guard: dropped in the middle, the connection is closed and not reused.
        let Some(connection) = held.connection.take() else {
            return Err(Error::TransactionLost);
        };
        let mut guard = Guard { connection: Some(connection), pool: &self.pool };
        let in_transaction = held.in_transaction;
        let limits = &self.limits;
        let running = async {
            let connection = guard.connection.as_deref_mut().ok_or(Error::TransactionLost)?;
            let first = run(connection, sql, parameters, limits).await;
            match first {
                Err(error) if error.is_outdated_plan() => {
                    sqlx::Connection::clear_cached_statements(&mut *connection).await.map_err(Error::running)?;
                    if in_transaction { Err(error) } else { run(connection, sql, parameters, limits).await }
                }
                other => other,
            }
        };
        let time_max = self.limits.statement_time_max;
        let result = match tokio::time::timeout(time_max + TIMEOUT_GRACE, running).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Error::Time(time_max)),
        };
        if result.as_ref().err().is_none_or(Error::leaves_connection_usable) {
            held.connection = guard.connection.take();
        }
        held.session_marked |= kind.marks_session;
        held.used_at = Instant::now();
        held.follow(kind.effect, result)
    }
}

/// Closes a connection whose statement did not come to its end.
struct Guard<'a> {
    connection: Option<sqlx::pool::PoolConnection<sqlx::Postgres>>,
    pool: &'a Pool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            pool::close(connection, self.pool);
        }
    }
}

impl Held {
    /// False if the connection died while it was not used. One that a transaction or
    /// settings depend on counts as alive: nothing can take its place.
    async fn is_alive(&mut self) -> bool {
        let replaceable = !self.in_transaction && !self.session_marked && self.used_at.elapsed() > TRUSTED_FOR;
        match &mut self.connection {
            Some(connection) if replaceable => sqlx::Connection::ping(&mut **connection).await.is_ok(),
            Some(_) => true,
            None => false,
        }
    }

    /// Notes what a statement did to the transaction.
    fn follow(&mut self, effect: Effect, result: Result<Outcome, Error>) -> Result<Outcome, Error> {
        let committed = effect == Effect::Commit && result.is_ok();
        match (effect, &result) {
            (Effect::Begin, Ok(_)) => self.in_transaction = true,
            (Effect::Commit | Effect::Rollback, Ok(_)) => self.in_transaction = false,
            (Effect::RollbackTo, Ok(_)) => self.failed_in_transaction = false,
            (_, Err(Error::Database(_))) => self.failed_in_transaction |= self.in_transaction,
            _ => {}
        }
        if self.in_transaction {
            return result;
        }
        let failed = std::mem::take(&mut self.failed_in_transaction);
        if committed && failed { Err(Error::CommitOfFailed) } else { result }
    }
}

async fn run(
    connection: &mut PgConnection,
    sql: &str,
    parameters: &[ParameterValue],
    limits: &Limits,
) -> Result<Outcome, Error> {
    let text = AssertSqlSafe(sql).into_sql_str();
    // The server tells which types it expects, and the values must be of them.
    let statement = (&mut *connection).prepare(text).await.map_err(Error::running)?;
    let expected = match statement.parameters() {
        Some(Either::Left(types)) => types,
        _ => &[],
    };
    if expected.len() != parameters.len() {
        return Err(Error::ParameterCount { expected: expected.len(), given: parameters.len() });
    }
    let mut arguments = PgArguments::default();
    for (index, (parameter, info)) in parameters.iter().zip(expected).enumerate() {
        let refused = |reason| Error::Parameter { position: index + 1, reason };
        let bytes = value::encode(parameter, info).map_err(refused)?;
        sqlx::Arguments::add(&mut arguments, Encoded { bytes, info }).map_err(|error| refused(error.to_string()))?;
    }
    let mut outcome = Outcome { columns: statement.columns().iter().map(column).collect(), ..Outcome::default() };
    let mut bytes = 0;
    let mut answers = connection.fetch_many(statement.query_with(arguments));
    while let Some(answer) = answers.try_next().await.map_err(Error::running)? {
        match answer {
            Either::Left(done) => outcome.affected += done.rows_affected(),
            Either::Right(row) => {
                let row = decode(&row)?;
                bytes += row.iter().map(value::size).sum::<usize>();
                if outcome.rows.len() == limits.rows_max {
                    return Err(Error::TooManyRows(limits.rows_max));
                }
                if bytes > limits.result_bytes_max {
                    return Err(Error::TooManyBytes(limits.result_bytes_max));
                }
                outcome.rows.push(row);
            }
        }
    }
    Ok(outcome)
}

fn column(column: &sqlx::postgres::PgColumn) -> Column {
    Column { name: column.name().to_owned(), data_type: value::data_type(column.type_info()) }
}

fn decode(row: &PgRow) -> Result<Vec<DbValue>, Error> {
    (0..row.len())
        .map(|index| {
            let raw = row.try_get_raw(index).map_err(Error::running)?;
            if raw.is_null() {
                return Ok(DbValue::DbNull);
            }
            let info = raw.type_info().into_owned();
            let bytes = raw.as_bytes().map_err(|error| Error::Driver(error.to_string()))?;
            let name = || row.columns().get(index).map(|column| column.name().to_owned()).unwrap_or_default();
            value::decode(bytes, &info).map_err(|reason| Error::Value { column: name(), reason })
        })
        .collect()
}

/// A parameter that is in the format of its type already.
struct Encoded<'a> {
    bytes: Option<Vec<u8>>,
    info: &'a PgTypeInfo,
}

impl sqlx::Type<sqlx::Postgres> for Encoded<'_> {
    fn type_info() -> PgTypeInfo {
        // Unspecified: the statement was prepared before, and its own types count.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl<'q> sqlx::Encode<'q, sqlx::Postgres> for Encoded<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }
}
