//! The one connection of a database that writes.
//!
//! SQLite has one writer at a time anyway. With one connection behind a fair
//! lock they queue in order of arrival instead of polling the file, share its
//! prepared statements, and never see `SQLITE_BUSY` from each other.

use std::{
    cell::Cell,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rusqlite::{
    Connection, OpenFlags,
    hooks::{Action, Wal},
};

use super::{
    Error, QueryResult, Settings,
    policy::Role,
    statement::{Budget, Kind, Request, prepare_connection},
};

thread_local! {
    /// Frames in the log after the last commit on this thread. SQLite calls the
    /// hook that sets it on the thread that commits, inside the statement.
    static FRAMES_AFTER_COMMIT: Cell<Option<u32>> = const { Cell::new(None) };
}

#[expect(clippy::unnecessary_wraps, reason = "the type of the hook is given by rusqlite")]
fn note_commit(_wal: &Wal, frames: std::ffi::c_int) -> rusqlite::Result<()> {
    FRAMES_AFTER_COMMIT.set(Some(u32::try_from(frames).unwrap_or(0)));
    Ok(())
}

pub(super) struct Writer {
    /// `None` once the database is closed.
    connection: Option<Open>,
}

struct Open {
    connection: Connection,
    budget: Budget,
    row_inserted: Arc<AtomicBool>,
}

/// What a statement on the writer did.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<QueryResult, Error>,
    /// Frames in the log, if the statement committed changes to it.
    pub(super) committed_frames: Option<u32>,
    /// Rows changed, if the statement is one that counts them.
    pub(super) changes: Option<u64>,
    /// Id of the row inserted last, if the statement inserted one.
    pub(super) inserted_rowid: Option<i64>,
}

impl Writer {
    /// Opens or creates the file and puts it into WAL mode.
    pub(super) fn open(path: &Path, settings: &Settings) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(Error::Internal(format!(
                "{}: the file system allows no write-ahead log (journal mode is {mode})",
                path.display()
            )));
        }
        connection.pragma_update(None, "synchronous", "normal")?;
        limit_size(&connection, settings.database_bytes_max)?;
        // The first read creates the log file, which the output gate opens next.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_row| Ok(()))?;
        let row_inserted = Arc::new(AtomicBool::new(false));
        let seen = row_inserted.clone();
        connection.update_hook(Some(move |action, _: &str, _: &str, _| {
            if action == Action::SQLITE_INSERT {
                seen.store(true, Relaxed);
            }
        }));
        // This also turns SQLite's own checkpoints off: it runs them in this hook.
        connection.wal_hook(Some(note_commit));
        let budget = prepare_connection(&connection, Role::Writer, settings)?;
        Ok(Self { connection: Some(Open { connection, budget, row_inserted }) })
    }

    pub(super) fn run(&mut self, request: &Request<'_>) -> Outcome {
        let Some(open) = &self.connection else {
            return Outcome::failed(Error::Closed);
        };
        FRAMES_AFTER_COMMIT.set(None);
        open.row_inserted.store(false, Relaxed);
        let result = open.run(request);
        let counted = result.is_ok() && open.counts_changes(request);
        let inserted = counted && request.kind.may_insert() && open.row_inserted.load(Relaxed);
        Outcome {
            committed_frames: FRAMES_AFTER_COMMIT.take(),
            changes: counted.then(|| open.connection.changes()),
            inserted_rowid: inserted.then(|| open.connection.last_insert_rowid()),
            result,
        }
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|open| !open.connection.is_autocommit())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_none()
    }

    /// Ends an open transaction without its changes.
    pub(super) fn rollback(&mut self) -> Result<(), Error> {
        if self.in_transaction()
            && let Some(open) = &self.connection
        {
            open.control("ROLLBACK")?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.connection.take() else {
            return Ok(());
        };
        open.connection.close().map_err(|(_connection, error)| error.into())
    }
}

impl Outcome {
    fn failed(error: Error) -> Self {
        Self { result: Err(error), committed_frames: None, changes: None, inserted_rowid: None }
    }
}

impl Open {
    fn run(&self, request: &Request<'_>) -> Result<QueryResult, Error> {
        if !self.connection.is_autocommit() || !returns_rows_of_a_change(request) {
            return request.run(&self.connection, &self.budget);
        }
        self.control("BEGIN IMMEDIATE")?;
        let result =
            request.run(&self.connection, &self.budget).and_then(|result| self.control("COMMIT").map(|()| result));
        if result.is_err() && !self.connection.is_autocommit() {
            self.control("ROLLBACK")?;
        }
        result
    }

    /// True if the count of changes is of this statement: `WITH` may start a
    /// query, which leaves the count of whoever changed something last.
    fn counts_changes(&self, request: &Request<'_>) -> bool {
        request.kind.counts_changes()
            && (request.kind != Kind::With
                || self.connection.prepare_cached(request.sql).is_ok_and(|statement| !statement.readonly()))
    }

    /// Runs a statement of the host's own.
    fn control(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.raw_execute()?;
        Ok(())
    }
}

/// A change that returns rows is done before its first row comes, and would be
/// committed even if the result then breaks a limit. In a transaction of its own
/// it is undone, and the error means what it says. Taking a mention of the word
/// for the clause costs a needless transaction and nothing else.
fn returns_rows_of_a_change(request: &Request<'_>) -> bool {
    const CLAUSE: &[u8] = b"returning";
    request.kind.counts_changes()
        && request.sql.as_bytes().windows(CLAUSE.len()).any(|window| window.eq_ignore_ascii_case(CLAUSE))
}

fn limit_size(connection: &Connection, bytes_max: u64) -> Result<(), Error> {
    let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages_max = (bytes_max / page_bytes.max(1)).clamp(1, u64::from(u32::MAX) - 1);
    connection.pragma_update_and_check(None, "max_page_count", pages_max, |_row| Ok(()))?;
    Ok(())
}
