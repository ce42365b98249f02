//! Readers: a connection for each database and thread, used inline.
//!
//! A statement that only reads runs on the thread that serves the request,
//! without a lock and without a hand-over. Each sees what is committed at the
//! moment it starts, and never an open transaction. That includes commits whose
//! sync is still under way: a reader may see a change a few milliseconds before
//! the one who made it is told that it is durable.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Weak},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    Error, QueryResult,
    database::Database,
    policy::Role,
    statement::{Budget, Request, prepare_connection},
};

thread_local! {
    static READERS: RefCell<HashMap<u64, Reader>> = RefCell::default();
}

struct Reader {
    connection: Connection,
    budget: Budget,
    database: Weak<Database>,
}

/// Runs the statement on this thread's reader. `None` if it does not only read.
pub(super) fn run(database: &Arc<Database>, request: &Request<'_>) -> Result<Option<QueryResult>, Error> {
    READERS.with_borrow_mut(|readers| {
        if !readers.contains_key(&database.serial()) {
            retain_open(readers);
        }
        let reader = match readers.entry(database.serial()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Reader::open(database)?),
        };
        request.run_if_it_only_reads(&reader.connection, &reader.budget)
    })
}

/// Closes this thread's readers of databases that are gone. A thread whose
/// readers are idle does so when it next opens one.
pub(super) fn forget_closed() {
    READERS.with_borrow_mut(retain_open);
}

fn retain_open(readers: &mut HashMap<u64, Reader>) {
    readers.retain(|_, reader| reader.database.upgrade().is_some_and(|database| !database.is_closed()));
}

impl Reader {
    fn open(database: &Arc<Database>) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(
            database.path(),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.pragma_update(None, "query_only", true)?;
        let budget = prepare_connection(&connection, Role::Reader, database.settings())?;
        Ok(Self { connection, budget, database: Arc::downgrade(database) })
    }
}
