//! Postgres for components: `spin:postgres/postgres@4.2.0`, and its older interfaces.
//!
//! A guest connects to an address that its manifest allows, or, where the application
//! runs on Postgres, to `postgres://cairn.internal/<label>`, its own database. It
//! knows nothing of components, requests or schemas; it is handed grants, and pools
//! for the databases of the application.
//!
//! Guests see what Spin gives them, with these differences:
//!
//! - A connection that is dropped inside a transaction, alone or with its whole
//!   instance, is rolled back before anybody else gets it.
//! - `COMMIT` of a transaction in which a statement failed is an error (code 25P02),
//!   where Postgres rolls back and calls it a success.
//! - Rows are collected before the first is streamed, and columns are named also
//!   where there is no row.
//! - `timestamptz` can be read; it is UTC.
//! - On the own database, what a statement sets on its connection (`SET`, `LISTEN`,
//!   advisory locks of the session) ends with the statement or its transaction, so
//!   that many guests share few connections.
//! - `sslmode=require` checks the certificate and the name in it, as Spin does;
//!   `prefer` checks neither.

mod address;
mod calendar;
mod counters;
mod databases;
mod error;
mod kind;
mod numeric;
mod older;
mod pool;
mod session;
mod value;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::Mutex;
use wasmtime::component::{Accessor, FutureReader, HasData, Linker, Resource, ResourceTable, StreamReader};

use super::handles::{self, Handles};
use crate::call::CurrentCall;

use self::bindings::spin::postgres::postgres as wit;
pub use self::{
    address::OWN_HOST,
    bindings::spin::postgres::postgres::{Column, DbDataType, DbValue, ParameterValue, RowSet},
    counters::Snapshot,
    databases::{Databases, Grants, Settings},
    error::Error,
    pool::{Keeping, Pool},
    session::{Limits, Outcome, Session},
};
use databases::Opening;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package host:postgres;
            world imports { import spin:postgres/postgres@4.2.0; }
        ",
        path: "../wit/deps/spin-postgres@4.2.0",
        world: "host:postgres/imports",
        imports: { default: async | trappable },
        additional_derives: [PartialEq],
        with: {
            "spin:postgres/postgres.connection": super::Connection,
            "spin:postgres/postgres.connection-builder": super::Builder,
        },
        trappable_error_type: { "spin:postgres/postgres.error" => super::Error },
    });
}

/// Bytes of a certificate that a guest hands in.
const CERTIFICATE_BYTES_MAX: usize = 256 << 10;

/// What a guest's connection handle stands for.
pub type Connection = handles::Connection<Session>;

/// What a guest's handle of a connection in the making stands for.
pub struct Builder {
    address: String,
    authority: Option<String>,
}

/// The state of one instance.
pub struct Ctx {
    databases: Arc<Databases>,
    grants: Grants,
    current: Arc<CurrentCall>,
    connections_open: Handles,
    transactions_open: Handles,
}

impl Ctx {
    /// The state of an instance that works on `current`.
    #[must_use]
    pub fn new(databases: Arc<Databases>, grants: Grants, current: Arc<CurrentCall>) -> Self {
        Self { databases, grants, current, connections_open: Handles::default(), transactions_open: Handles::default() }
    }

    /// True while a connection of this instance is in a transaction.
    #[must_use]
    pub fn has_open_transaction(&self) -> bool {
        self.transactions_open.any()
    }

    fn opening(&self, address: String, authority: Option<String>) -> Opening {
        Opening {
            databases: self.databases.clone(),
            grants: self.grants.clone(),
            address,
            authority,
            current: self.current.clone(),
            connections_open: self.connections_open.clone(),
            transactions_open: self.transactions_open.clone(),
        }
    }
}

/// The environment variable that tells a component the address of its own database.
pub const OWN_VARIABLE: &str = "CAIRN_POSTGRES";

/// The address of the database that a component calls its own: the one named as
/// itself, or else the first that it is granted.
#[must_use]
pub fn own_address(component: &str, labels: &BTreeSet<String>) -> Option<String> {
    let label = labels.get(component).or_else(|| labels.first())?;
    Some(format!("postgres://{OWN_HOST}/{label}"))
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

    fn building(&self, builder: &Resource<Builder>) -> Result<Opening, Error> {
        let builder = self.table.get(builder).map_err(|_invalid| Error::InvalidConnection)?;
        Ok(self.ctx.opening(builder.address.clone(), builder.authority.clone()))
    }
}

impl wit::Host for View<'_> {
    /// The one place where a guest's error is made.
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<wit::Error> {
        Ok(error.into_wit())
    }
}

impl wit::HostConnectionBuilder for View<'_> {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<Builder>> {
        Ok(self.table.push(Builder { address, authority: None })?)
    }

    async fn set_ca_root(&mut self, builder: Resource<Builder>, certificate: String) -> Result<(), Error> {
        if certificate.len() > CERTIFICATE_BYTES_MAX || !certificate.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Error::Address("the root certificate is not in PEM".to_owned()));
        }
        let builder = self.table.get_mut(&builder).map_err(|_invalid| Error::InvalidConnection)?;
        builder.authority = Some(certificate);
        Ok(())
    }

    async fn build(&mut self, builder: Resource<Builder>) -> Result<Resource<Connection>, Error> {
        let connection = self.building(&builder)?.run().await?;
        self.push(connection)
    }

    async fn drop(&mut self, builder: Resource<Builder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl wit::HostConnection for View<'_> {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        let connection = self.ctx.opening(address, None).run().await?;
        self.push(connection)
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        let session = self.session(&connection)?;
        let outcome = session.lock().await.run(&statement, &params).await?;
        Ok(RowSet { columns: outcome.columns, rows: outcome.rows })
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let session = self.session(&connection)?;
        let outcome = session.lock().await.run(&statement, &params).await?;
        Ok(outcome.affected)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send + 'static> wit::HostConnectionBuilderWithStore<T> for Postgres {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<Builder>,
    ) -> Result<Resource<Connection>, Error> {
        let opening = accessor.with(|mut access| access.get().building(&builder))?;
        let connection = opening.run().await?;
        accessor.with(|mut access| access.get().push(connection))
    }
}

impl<T: Send + 'static> wit::HostConnectionWithStore<T> for Postgres {
    async fn open_async(accessor: &Accessor<T, Self>, address: String) -> Result<Resource<Connection>, Error> {
        let opening = accessor.with(|mut access| access.get().ctx.opening(address, None));
        let connection = opening.run().await?;
        accessor.with(|mut access| access.get().push(connection))
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<Rows, Error> {
        let session = session(accessor, &connection)?;
        let outcome = session.lock().await.run(&statement, &params).await?;
        accessor
            .with(|mut access| {
                let rows = StreamReader::new(&mut access, outcome.rows)?;
                let end = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
                wasmtime::error::Ok((outcome.columns, rows, end))
            })
            .map_err(|error| Error::Driver(format!("cannot make a stream: {error}")))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let session = session(accessor, &connection)?;
        let outcome = session.lock().await.run(&statement, &params).await?;
        Ok(outcome.affected)
    }
}

/// The columns, the rows, and how the query ended.
type Rows = (Vec<Column>, StreamReader<Vec<DbValue>>, FutureReader<Result<(), wit::Error>>);

fn session<T: Send + 'static>(
    accessor: &Accessor<T, Postgres>,
    connection: &Resource<Connection>,
) -> Result<Arc<Mutex<Session>>, Error> {
    accessor.with(|mut access| access.get().session(connection))
}

/// Adds the interface to a linker. `view` finds the state of an instance.
///
/// # Errors
///
/// The linker has the interface already.
pub fn add_to_linker<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> View<'_>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, Postgres>(linker, view)?;
    older::add_to_linker(linker, view)
}

struct Postgres;

impl HasData for Postgres {
    type Data<'a> = View<'a>;
}
