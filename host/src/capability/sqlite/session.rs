//! A guest's connection: what of it survives from statement to statement.
//!
//! A session owns no SQLite connection. Reads run on the thread's reader, writes
//! on the database's writer, and only a transaction pins the writer to the
//! session until it ends.

use std::{sync::Arc, time::Duration};

use crate::{
    call::CurrentCall,
    capability::handles::{Counted, Handles},
};

use super::{
    Error, QueryResult, Value,
    database::{Database, WriterGuard},
    reader,
    statement::{Kind, Request},
};

/// A connection to one database. Dropping it rolls an open transaction back
/// before anyone else gets the writer.
#[derive(Debug)]
pub struct Session {
    database: Arc<Database>,
    time_max: Duration,
    /// Rows and bytes that a statement may return.
    result_max: (usize, usize),
    transaction: Option<Transaction>,
    /// Shared by the sessions of one instance: how many are in a transaction.
    transactions_open: Handles,
    /// The call that its statements are a part of.
    current: Option<Arc<CurrentCall>>,
    changes: u64,
    last_insert_rowid: i64,
}

impl Session {
    pub(super) fn new(database: Arc<Database>, time_max: Duration) -> Self {
        let settings = database.settings();
        let result_max = (settings.rows_max, settings.result_bytes_max);
        Self {
            database,
            time_max,
            result_max,
            transaction: None,
            transactions_open: Handles::default(),
            current: None,
            changes: 0,
            last_insert_rowid: 0,
        }
    }

    /// Counts its transactions together with those of other sessions.
    pub(super) fn counted_in(mut self, transactions_open: Handles) -> Self {
        self.transactions_open = transactions_open;
        self
    }

    /// Keeps results to so many rows and bytes, where that is less than the host allows.
    pub(super) fn limited_to(mut self, (rows, bytes): (usize, usize)) -> Self {
        self.result_max = (self.result_max.0.min(rows), self.result_max.1.min(bytes));
        self
    }

    /// Shows its statements in the trace of the call that an instance works on.
    pub(super) fn recorded_for(mut self, current: Arc<CurrentCall>) -> Self {
        self.current = Some(current);
        self
    }

    /// Executes one statement. If it committed changes, they are on disk when
    /// this returns.
    ///
    /// # Errors
    ///
    /// See [`Error`]. [`Error::Poisoned`] out of a commit means that nobody knows
    /// whether it will survive a crash.
    pub async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<QueryResult, Error> {
        let span = self.current.as_ref().and_then(|current| current.statement("sqlite", sql));
        let result = self.dispatch(sql, parameters).await;
        let outcome = result.as_ref().map(|result| result.rows.len()).map_err(Error::limit);
        self.database.counters().statements.end(self.current.as_deref(), span, outcome);
        result
    }

    /// Rows changed by the last INSERT, UPDATE or DELETE of this session.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Id of the row that this session inserted last, 0 before the first.
    #[must_use]
    pub fn last_insert_rowid(&self) -> i64 {
        self.last_insert_rowid
    }

    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    async fn dispatch(&mut self, sql: &str, parameters: &[Value]) -> Result<QueryResult, Error> {
        let request = Request {
            sql,
            kind: Kind::of(sql)?,
            parameters,
            time_max: self.time_max,
            rows_max: self.result_max.0,
            bytes_max: self.result_max.1,
        };
        if self.transaction.is_none() && request.kind.may_only_read() {
            if self.database.is_closed() {
                return Err(Error::Closed);
            }
            if let Some(result) = reader::run(&self.database, &request)? {
                return Ok(result);
            }
        }
        // A poisoned database lets go of a transaction, and does nothing else.
        if let Some(failure) = self.database.gate().failure()
            && !(self.transaction.is_some() && request.kind == Kind::Rollback)
        {
            return Err(failure);
        }
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => Transaction::open(self.database.clone()).await?,
        };
        self.run_on_writer(transaction, &request).await
    }

    async fn run_on_writer(
        &mut self,
        mut transaction: Transaction,
        request: &Request<'_>,
    ) -> Result<QueryResult, Error> {
        let outcome = transaction.writer.run(request);
        self.changes = outcome.changes.unwrap_or(self.changes);
        self.last_insert_rowid = outcome.inserted_rowid.unwrap_or(self.last_insert_rowid);
        if let Err(error) = &outcome.result
            && error.is_failed_sync()
        {
            self.database.poison(&format!("a sync during a commit failed: {error}"));
        }
        let ticket = outcome.committed_frames.map(|frames| {
            self.database.counters().commits.add(1);
            self.database.checkpoints().commit_noted(frames);
            self.database.gate().submit()
        });
        if transaction.writer.in_transaction() {
            transaction.counted.get_or_insert_with(|| self.transactions_open.add());
            self.transaction = Some(transaction);
        } else {
            // Others may commit while this answer waits for the disk.
            drop(transaction);
        }
        if let Some(ticket) = ticket {
            self.database.gate().wait(ticket).await?;
        }
        outcome.result
    }
}

/// The writer, held by one session.
struct Transaction {
    writer: WriterGuard,
    database: Arc<Database>,
    counted: Option<Counted>,
}

impl Transaction {
    async fn open(database: Arc<Database>) -> Result<Self, Error> {
        let mut writer = database.writer().await?;
        // Only a rollback that failed leaves a transaction behind.
        writer.rollback()?;
        Ok(Self { writer, database, counted: None })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.writer.in_transaction() {
            return;
        }
        self.database.counters().rollbacks_on_drop.add(1);
        if let Err(error) = self.writer.rollback() {
            // Whoever takes the writer next tries again before anything else.
            tracing::error!(database = self.database.label(), %error, "a rollback failed");
        }
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transaction")
    }
}
