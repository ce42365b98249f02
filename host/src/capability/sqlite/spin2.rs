//! The same databases as components made for Spin 2 and 3 see them:
//! `fermyon:spin/sqlite@2.0.0`.

use wasmtime::component::{Linker, Resource};

use self::bindings::fermyon::spin::sqlite as wit;
use super::{Connection, Error, QueryResult, Sqlite, Value, View, wit as current};

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:sqlite-spin2;
            world imports { import fermyon:spin/sqlite@2.0.0; }
        ",
        path: "../wit/deps/fermyon-spin@2.0.0",
        world: "host:sqlite-spin2/imports",
        imports: { default: async | trappable },
        with: { "fermyon:spin/sqlite.connection": super::super::Connection },
        trappable_error_type: { "fermyon:spin/sqlite.error" => super::Error },
    });
}

impl wit::Host for View<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(match current::Host::convert_error(self, error)? {
            current::Error::NoSuchDatabase => wit::Error::NoSuchDatabase,
            current::Error::AccessDenied => wit::Error::AccessDenied,
            current::Error::InvalidConnection => wit::Error::InvalidConnection,
            current::Error::DatabaseFull => wit::Error::DatabaseFull,
            current::Error::Io(reason) => wit::Error::Io(reason),
        })
    }
}

impl wit::HostConnection for View<'_> {
    async fn open(&mut self, database: String) -> Result<Resource<Connection>, Error> {
        current::HostConnection::open(self, database).await
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Result<wit::QueryResult, Error> {
        let parameters = parameters.into_iter().map(Value::from).collect();
        current::HostConnection::execute(self, connection, statement, parameters).await.map(wit::QueryResult::from)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        current::HostConnection::drop(self, connection).await
    }
}

impl From<wit::Value> for Value {
    fn from(value: wit::Value) -> Self {
        match value {
            wit::Value::Integer(value) => Self::Integer(value),
            wit::Value::Real(value) => Self::Real(value),
            wit::Value::Text(value) => Self::Text(value),
            wit::Value::Blob(value) => Self::Blob(value),
            wit::Value::Null => Self::Null,
        }
    }
}

impl From<Value> for wit::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
            Value::Blob(value) => Self::Blob(value),
            Value::Null => Self::Null,
        }
    }
}

impl From<QueryResult> for wit::QueryResult {
    fn from(result: QueryResult) -> Self {
        let row = |row: current::RowResult| wit::RowResult { values: row.values.into_iter().map(Into::into).collect() };
        Self { columns: result.columns, rows: result.rows.into_iter().map(row).collect() }
    }
}

/// Adds the interface to a linker.
///
/// # Errors
///
/// The linker has the interface already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, Sqlite>(linker, view)
}
