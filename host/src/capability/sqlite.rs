//! SQLite for components: `spin:sqlite/sqlite@3.1.0`, and its older interface.
//!
//! Owns the database files of the host, one a label, and everything between a
//! guest's call and the disk. It knows nothing of components, requests or
//! schemas; it is handed a set of labels and a budget for each instance.
//!
//! Guests see what Spin gives them, with these differences:
//!
//! - A commit is answered when it is on disk (see `commit`), and waits in line
//!   for the writer in order of arrival.
//! - Rows are collected before the first is streamed, so an error of the query
//!   is the result of `execute-async`, never of its future.
//! - `BEGIN` takes the writer whatever its mode.
//! - Refused: what would leak between guests that share a connection, or undo
//!   what the host promises (see `policy`). A call executes exactly one
//!   statement.
//! - `?`, `?1`, `:name` and `$1` are bound by position, in order of first use.
//!
//! A guest connection that is dropped inside a transaction, alone or with its
//! whole instance, is rolled back before anybody else gets the writer. An
//! instance that ends a request with [`Ctx::has_open_transaction`] holds the
//! writer and should be dropped.

mod checkpoint;
mod commit;
mod counters;
mod database;
mod databases;
mod error;
mod freeze;
mod policy;
mod reader;
mod session;
mod spin2;
mod statement;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Mutex;
use wasmtime::component::{Accessor, FutureReader, HasData, Linker, Resource, ResourceTable, StreamReader};

use super::handles::{self, Handles};
use crate::call::CurrentCall;

use self::bindings::spin::sqlite::sqlite as wit;
pub(in crate::capability) use self::database::create_folder;
pub use self::{
    bindings::spin::sqlite::sqlite::{QueryResult, RowResult, Value},
    counters::{Counters, Snapshot},
    database::{Database, Health},
    databases::{Databases, Grants, Settings},
    error::Error,
    freeze::{Frozen, freeze},
    session::Session,
};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:sqlite;
            world imports { import spin:sqlite/sqlite@3.1.0; }
        ",
        path: "../wit/deps/spin-sqlite@3.1.0",
        world: "host:sqlite/imports",
        imports: { default: async | trappable },
        additional_derives: [PartialEq],
        with: { "spin:sqlite/sqlite.connection": super::Connection },
        trappable_error_type: { "spin:sqlite/sqlite.error" => super::Error },
    });
}

/// What a guest's connection handle stands for.
pub type Connection = handles::Connection<Session>;

/// The state of one instance.
pub struct Ctx {
    databases: Arc<Databases>,
    grants: Grants,
    current: Arc<CurrentCall>,
    connections_open: Handles,
    transactions_open: Handles,
}

impl Ctx {
    fn new(databases: Arc<Databases>, grants: Grants, current: Arc<CurrentCall>) -> Self {
        Self { databases, grants, current, connections_open: Handles::default(), transactions_open: Handles::default() }
    }

    /// True while a connection of this instance is in a transaction.
    #[must_use]
    pub fn has_open_transaction(&self) -> bool {
        self.transactions_open.any()
    }

    fn opening(&self, label: String) -> Opening {
        Opening {
            databases: self.databases.clone(),
            grants: self.grants.clone(),
            current: self.current.clone(),
            connections_open: self.connections_open.clone(),
            transactions_open: self.transactions_open.clone(),
            label,
        }
    }
}

/// A short-lived view of an instance's state.
pub struct View<'a> {
    ctx: &'a Ctx,
    table: &'a mut ResourceTable,
}

impl<'a> View<'a> {
    pub fn new(ctx: &'a Ctx, table: &'a mut ResourceTable) -> Self {
        Self { ctx, table }
    }

    fn session(&self, connection: &Resource<Connection>) -> Result<Arc<Mutex<Session>>, Error> {
        self.table.get(connection).map(Connection::session).map_err(|_invalid| Error::InvalidConnection)
    }

    fn push(&mut self, connection: Connection) -> Result<Resource<Connection>, Error> {
        self.table
            .push(connection)
            .map_err(|_full| Error::TooManyConnections(self.ctx.databases.settings().connections_max))
    }
}

/// A call of `open`, apart from the store, so that it can wait for a file.
struct Opening {
    databases: Arc<Databases>,
    grants: Grants,
    current: Arc<CurrentCall>,
    connections_open: Handles,
    transactions_open: Handles,
    label: String,
}

impl Opening {
    async fn run(self) -> Result<Connection, Error> {
        if !self.grants.labels.contains(&self.label) {
            return Err(Error::AccessDenied);
        }
        let connections_max = self.databases.settings().connections_max;
        let too_many = Error::TooManyConnections(connections_max);
        let counted = self.connections_open.take(connections_max).ok_or(too_many)?;
        let database = self.databases.database(&self.label).await?;
        let session = database
            .connect(self.grants.statement_time_max)
            .counted_in(self.transactions_open)
            .limited_to(self.grants.result_max)
            .recorded_for(self.current);
        Ok(Connection::new(session, counted))
    }
}

impl wit::Host for View<'_> {
    /// The one place where a guest's error is made.
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(match error {
            Error::NoSuchDatabase => wit::Error::NoSuchDatabase,
            Error::AccessDenied => wit::Error::AccessDenied,
            Error::InvalidConnection => wit::Error::InvalidConnection,
            Error::DatabaseFull => wit::Error::DatabaseFull,
            Error::Locked
            | Error::Closed
            | Error::Poisoned(_)
            | Error::Budget(_)
            | Error::TooManyRows(_)
            | Error::TooManyBytes(_)
            | Error::TooManyConnections(_)
            | Error::ParameterCount { .. }
            | Error::SeveralStatements
            | Error::EmptyStatement
            | Error::Refused(_)
            | Error::NotUtf8 { .. }
            | Error::InvalidLabel(_)
            | Error::Sqlite { .. } => wit::Error::Io(error.to_string()),
            Error::Internal(reason) => {
                tracing::error!(reason, "a database call failed in the host");
                wit::Error::Io("the database is not available".to_owned())
            }
        })
    }
}

impl wit::HostConnection for View<'_> {
    async fn open(&mut self, database: String) -> Result<Resource<Connection>, Error> {
        let connection = self.ctx.opening(database).run().await?;
        self.push(connection)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<QueryResult, Error> {
        let session = self.session(&connection)?;
        session.lock().await.execute(&statement, &parameters).await
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> wasmtime::Result<i64> {
        let session = self.session(&connection)?;
        Ok(session.lock().await.last_insert_rowid())
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        let session = self.session(&connection)?;
        Ok(session.lock().await.changes())
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for Sqlite {
    async fn open_async(accessor: &Accessor<T, Self>, database: String) -> Result<Resource<Connection>, Error> {
        let opening = accessor.with(|mut access| access.get().ctx.opening(database));
        let connection = opening.run().await?;
        accessor.with(|mut access| access.get().push(connection))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<Rows, Error> {
        let session = session(accessor, &connection)?;
        let result = session.lock().await.execute(&statement, &parameters).await?;
        accessor
            .with(|mut access| {
                let rows = StreamReader::new(&mut access, result.rows)?;
                let end = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
                wasmtime::error::Ok((result.columns, rows, end))
            })
            .map_err(|error| Error::Internal(format!("cannot make a stream: {error}")))
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
    ) -> wasmtime::Result<i64> {
        let session = session(accessor, &connection)?;
        Ok(session.lock().await.last_insert_rowid())
    }

    async fn changes_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> wasmtime::Result<u64> {
        let session = session(accessor, &connection)?;
        Ok(session.lock().await.changes())
    }
}

/// Names of the columns, the rows, and how the query ended.
type Rows = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), wit::Error>>);

fn session<T: Send + 'static>(
    accessor: &Accessor<T, Sqlite>,
    connection: &Resource<Connection>,
) -> Result<Arc<Mutex<Session>>, Error> {
    accessor.with(|mut access| access.get().session(connection))
}

/// Adds the interfaces to a linker. `view` finds the state of an instance.
///
/// # Errors
///
/// The linker has one of them already.
pub fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> View<'_>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, Sqlite>(linker, view)?;
    spin2::add_to_linker(linker, view)
}

struct Sqlite;

impl HasData for Sqlite {
    type Data<'a> = View<'a>;
}
