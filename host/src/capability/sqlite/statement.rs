//! One statement on one connection: what kind it is, its parameters, its rows.
//!
//! This module runs inline on the calling thread and knows nothing of locks,
//! commits or durability.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, Statement,
    fallible_iterator::FallibleIterator as _,
    ffi::ErrorCode,
    limits::Limit,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    Error, QueryResult, RowResult, Settings, Value,
    error::REFUSED_BY_POLICY,
    policy::{self, Role},
};

/// Virtual machine steps between two looks at the clock.
const STEPS_PER_BUDGET_CHECK: i32 = 2_000;
/// Accounted for each value besides what it holds.
const VALUE_BYTES_OVERHEAD: usize = size_of::<Value>();
/// Prepared statements kept by a connection.
const STATEMENT_CACHE_MAX: usize = 256;
/// Text of one statement, in bytes.
const STATEMENT_BYTES_MAX: i32 = 1 << 20;
/// How long SQLite itself waits for a lock that another process holds. It
/// blocks the thread, so it is short; our own connections never contend.
const FOREIGN_LOCK_WAIT: Duration = Duration::from_millis(250);

/// What the first keyword says of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads, as far as one can see; SQLite is asked.
    Query,
    /// Starts with `WITH`: a query or a change; SQLite is asked.
    With,
    /// Some pragmas act while they are prepared, so they are never cached.
    Pragma,
    Insert,
    Change,
    Schema,
    Transaction,
    Rollback,
}

impl Kind {
    pub(super) fn of(sql: &str) -> Result<Self, Error> {
        const KINDS: &[(&str, Kind)] = &[
            ("select", Kind::Query),
            ("insert", Kind::Insert),
            ("update", Kind::Change),
            ("delete", Kind::Change),
            ("begin", Kind::Transaction),
            ("commit", Kind::Transaction),
            ("rollback", Kind::Rollback),
            ("with", Kind::With),
            ("replace", Kind::Insert),
            ("end", Kind::Transaction),
            ("savepoint", Kind::Transaction),
            ("release", Kind::Transaction),
            ("pragma", Kind::Pragma),
            ("create", Kind::Schema),
            ("drop", Kind::Schema),
            ("alter", Kind::Schema),
            ("analyze", Kind::Schema),
            ("reindex", Kind::Schema),
        ];
        let keyword = first_keyword(sql);
        if keyword.is_empty() && sql_is_blank(sql) {
            return Err(Error::EmptyStatement);
        }
        if ["vacuum", "attach", "detach"].iter().any(|refused| keyword.eq_ignore_ascii_case(refused)) {
            return Err(Error::Refused(REFUSED_BY_POLICY));
        }
        Ok(KINDS.iter().find(|(word, _)| keyword.eq_ignore_ascii_case(word)).map_or(Kind::Query, |(_, kind)| *kind))
    }

    /// True if a reader may be able to run it.
    pub(super) fn may_only_read(self) -> bool {
        matches!(self, Self::Query | Self::With | Self::Pragma)
    }

    /// True if SQLite counts the rows that it changes.
    pub(super) fn counts_changes(self) -> bool {
        matches!(self, Self::With | Self::Insert | Self::Change)
    }

    pub(super) fn may_insert(self) -> bool {
        matches!(self, Self::With | Self::Insert)
    }
}

fn first_keyword(sql: &str) -> &str {
    let sql = skip_blank(sql);
    let end = sql.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(sql.len());
    sql.split_at(end).0
}

fn sql_is_blank(sql: &str) -> bool {
    skip_blank(sql).trim_matches([';', ' ', '\t', '\r', '\n']).is_empty()
}

/// Skips white space and comments, as SQLite's tokenizer does.
fn skip_blank(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}', '\u{feff}']);
        if let Some(comment) = sql.strip_prefix("--") {
            sql = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = sql.strip_prefix("/*") {
            sql = comment.split_once("*/").map_or("", |(_, rest)| rest);
        } else {
            return sql;
        }
    }
}

/// Interrupts the statement of one connection when its time is over.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    /// Nanoseconds since [`CLOCK_START`].
    ends_at: Arc<AtomicU64>,
}

static CLOCK_START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn clock_ns() -> u64 {
    u64::try_from(CLOCK_START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Budget {
    fn install(connection: &Connection) -> Self {
        let ends_at = Arc::new(AtomicU64::new(u64::MAX));
        let watched = ends_at.clone();
        connection.progress_handler(STEPS_PER_BUDGET_CHECK, Some(move || clock_ns() > watched.load(Relaxed)));
        Self { ends_at }
    }

    fn start(&self, budget: Duration) {
        let budget = u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX);
        self.ends_at.store(clock_ns().saturating_add(budget), Relaxed);
    }

    fn end(&self) {
        self.ends_at.store(u64::MAX, Relaxed);
    }
}

/// Sets up a connection that guests' statements will run on.
pub(super) fn prepare_connection(connection: &Connection, role: Role, settings: &Settings) -> Result<Budget, Error> {
    use rusqlite::config::DbConfig;
    connection.busy_timeout(FOREIGN_LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    let value_bytes_max = i32::try_from(settings.result_bytes_max).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, value_bytes_max)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    policy::install(connection, role);
    Ok(Budget::install(connection))
}

/// A statement with everything that it needs to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) sql: &'a str,
    pub(super) kind: Kind,
    pub(super) parameters: &'a [Value],
    pub(super) time_max: Duration,
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

impl Request<'_> {
    /// Runs the statement.
    pub(super) fn run(&self, connection: &Connection, budget: &Budget) -> Result<QueryResult, Error> {
        self.prepared(connection, |statement| self.run_prepared(statement, budget))
    }

    /// Runs the statement if it only reads; `None` if it does not.
    pub(super) fn run_if_it_only_reads(
        &self,
        connection: &Connection,
        budget: &Budget,
    ) -> Result<Option<QueryResult>, Error> {
        self.prepared(connection, |statement| {
            statement.readonly().then(|| self.run_prepared(statement, budget)).transpose()
        })
    }

    fn prepared<R>(
        &self,
        connection: &Connection,
        run: impl FnOnce(&mut Statement<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.kind == Kind::Pragma {
            return run(&mut connection.prepare(self.sql)?);
        }
        let mut statement = connection.prepare_cached(self.sql).map_err(|error| self.explain(connection, error))?;
        run(&mut statement)
    }

    /// A second statement that does not compile on its own (a table that the
    /// first would have made) is reported by SQLite as that second error.
    fn explain(&self, connection: &Connection, error: rusqlite::Error) -> Error {
        match rusqlite::Batch::new(connection, self.sql).next() {
            Ok(Some(_first)) => Error::SeveralStatements,
            Ok(None) | Err(_) => error.into(),
        }
    }

    fn run_prepared(&self, statement: &mut Statement<'_>, budget: &Budget) -> Result<QueryResult, Error> {
        self.bind(statement)?;
        budget.start(self.time_max);
        let result = self.collect(statement);
        budget.end();
        result
    }

    fn bind(&self, statement: &mut Statement<'_>) -> Result<(), Error> {
        let expected = statement.parameter_count();
        let given = self.parameters.len();
        if expected != given {
            return Err(Error::ParameterCount { expected, given });
        }
        for (index, value) in self.parameters.iter().enumerate() {
            let value = match value {
                Value::Null => ValueRef::Null,
                Value::Integer(integer) => ValueRef::Integer(*integer),
                Value::Real(real) => ValueRef::Real(*real),
                Value::Text(text) => ValueRef::Text(text.as_bytes()),
                Value::Blob(blob) => ValueRef::Blob(blob),
            };
            statement.raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(value))?;
        }
        Ok(())
    }

    fn collect(&self, statement: &mut Statement<'_>) -> Result<QueryResult, Error> {
        // SQLite may compile a cached statement again at its first step, after a
        // change of the schema, so the columns are known only then.
        let mut columns = None;
        let mut collected = Vec::new();
        let mut bytes = 0;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.interrupted(error))? {
            let columns = columns.get_or_insert_with(|| column_names(row.as_ref()));
            if collected.len() == self.rows_max {
                return Err(Error::TooManyRows(self.rows_max));
            }
            let mut values = Vec::with_capacity(columns.len());
            for column in 0..columns.len() {
                let value = value_of(row.get_ref(column)?, column)?;
                bytes += value_bytes(&value);
                values.push(value);
            }
            if bytes > self.bytes_max {
                return Err(Error::TooManyBytes(self.bytes_max));
            }
            collected.push(RowResult { values });
        }
        drop(rows);
        Ok(QueryResult { columns: columns.unwrap_or_else(|| column_names(statement)), rows: collected })
    }

    fn interrupted(&self, error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Error::Budget(self.time_max),
            _ => error.into(),
        }
    }
}

fn column_names(statement: &Statement<'_>) -> Vec<String> {
    statement.column_names().into_iter().map(str::to_owned).collect()
}

fn value_of(value: ValueRef<'_>, column: usize) -> Result<Value, Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => {
            Value::Text(std::str::from_utf8(text).map_err(|_| Error::NotUtf8 { column })?.to_owned())
        }
        ValueRef::Blob(blob) => Value::Blob(blob.to_owned()),
    })
}

fn value_bytes(value: &Value) -> usize {
    VALUE_BYTES_OVERHEAD
        + match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_keyword_decides_where_a_statement_goes() {
        let cases = [
            ("select 1", Kind::Query),
            ("  \n-- a comment; insert\n SELECT 1", Kind::Query),
            ("/* begin */ Insert into t values(1)", Kind::Insert),
            ("with x as (select 1) delete from t", Kind::With),
            ("BEGIN;", Kind::Transaction),
            ("begin immediate", Kind::Transaction),
            ("ROLLBACK TO s", Kind::Rollback),
            ("end", Kind::Transaction),
            ("explain query plan select 1", Kind::Query),
            ("nonsense", Kind::Query),
            ("pragma user_version", Kind::Pragma),
        ];
        for (sql, kind) in cases {
            assert_eq!(Kind::of(sql).unwrap(), kind, "{sql}");
        }
    }

    #[test]
    fn empty_text_is_refused_with_a_reason() {
        for sql in ["", "  ", "-- only a comment", ";", "/* open"] {
            assert!(matches!(Kind::of(sql), Err(Error::EmptyStatement)), "{sql}");
        }
    }
}
