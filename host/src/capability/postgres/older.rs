//! The same databases through the interfaces of Spin 2 and 3:
//! `fermyon:spin/postgres@2.0.0` and `spin:postgres/postgres@3.0.0`.
//!
//! They know fewer types: a value of another one is read as unsupported, as under Spin.

use wasmtime::component::{Linker, Resource};

use super::{Column, Connection, DbDataType, DbValue, Error, ParameterValue, Postgres, RowSet, View, wit as current};

/// Implements an older interface. It has the `types` that are given, each by the same
/// name and with the same content as today's, and others that Postgres has `no` type for.
macro_rules! older {
    ($($variant:ident)*; no $($refused:ident)*) => {
        impl wit::HostConnection for View<'_> {
            async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
                current::HostConnection::open(self, address).await
            }

            async fn query(
                &mut self,
                connection: Resource<Connection>,
                statement: String,
                params: Vec<types::ParameterValue>,
            ) -> Result<types::RowSet, Error> {
                let rows = current::HostConnection::query(self, connection, statement, parameters(params)?).await?;
                Ok(row_set(rows))
            }

            async fn execute(
                &mut self,
                connection: Resource<Connection>,
                statement: String,
                params: Vec<types::ParameterValue>,
            ) -> Result<u64, Error> {
                current::HostConnection::execute(self, connection, statement, parameters(params)?).await
            }

            async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
                current::HostConnection::drop(self, connection).await
            }
        }

        fn parameters(params: Vec<types::ParameterValue>) -> Result<Vec<ParameterValue>, Error> {
            (1..).zip(params).map(|(position, value)| parameter(position, value)).collect()
        }

        #[allow(unused_variables, reason = "only the older of the two refuses values")]
        fn parameter(position: usize, value: types::ParameterValue) -> Result<ParameterValue, Error> {
            match value {
                $(types::ParameterValue::$variant(value) => Ok(ParameterValue::$variant(value)),)*
                $(types::ParameterValue::$refused(_) => {
                    let reason = "Postgres has no unsigned numbers; pass a signed one".to_owned();
                    Err(Error::Parameter { position, reason })
                })*
                types::ParameterValue::DbNull => Ok(ParameterValue::DbNull),
            }
        }

        fn row_set(rows: RowSet) -> types::RowSet {
            let column = |column: Column| types::Column { name: column.name, data_type: data_type(&column.data_type) };
            types::RowSet {
                columns: rows.columns.into_iter().map(column).collect(),
                rows: rows.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect(),
            }
        }

        fn data_type(data_type: &DbDataType) -> types::DbDataType {
            match data_type {
                $(DbDataType::$variant => types::DbDataType::$variant,)*
                _ => types::DbDataType::Other,
            }
        }

        fn value(value: DbValue) -> types::DbValue {
            match value {
                $(DbValue::$variant(value) => types::DbValue::$variant(value),)*
                DbValue::DbNull => types::DbValue::DbNull,
                _ => types::DbValue::Unsupported,
            }
        }

        fn error(error: Error) -> types::Error {
            match error.into_wit() {
                current::Error::ConnectionFailed(reason) => types::Error::ConnectionFailed(reason),
                current::Error::BadParameter(reason) => types::Error::BadParameter(reason),
                current::Error::QueryFailed(current::QueryError::Text(reason)) => types::Error::QueryFailed(reason),
                current::Error::QueryFailed(current::QueryError::DbError(error)) => {
                    types::Error::QueryFailed(error.as_text)
                }
                current::Error::ValueConversionFailed(reason) => types::Error::ValueConversionFailed(reason),
                current::Error::Other(reason) => types::Error::Other(reason),
            }
        }
    };
}

mod spin2 {
    use super::*;

    mod bindings {
        wasmtime::component::bindgen!({
            inline: "
                package host:postgres-spin2;
                world imports { import fermyon:spin/postgres@2.0.0; }
            ",
            path: "../wit/deps/fermyon-spin@2.0.0",
            world: "host:postgres-spin2/imports",
            imports: { default: async | trappable },
            with: { "fermyon:spin/postgres.connection": super::super::super::Connection },
            trappable_error_type: { "fermyon:spin/rdbms-types.error" => super::Error },
        });
    }

    pub(super) use bindings::fermyon::spin::{postgres as wit, rdbms_types as types};

    older!(Boolean Int8 Int16 Int32 Int64 Floating32 Floating64 Str Binary; no Uint8 Uint16 Uint32 Uint64);

    impl wit::Host for View<'_> {}

    impl types::Host for View<'_> {
        fn convert_error(&mut self, failure: Error) -> wasmtime::Result<types::Error> {
            Ok(error(failure))
        }
    }
}

mod spin3 {
    use super::*;

    mod bindings {
        wasmtime::component::bindgen!({
            inline: "
                package host:postgres-spin3;
                world imports { import spin:postgres/postgres@3.0.0; }
            ",
            path: "../wit/deps/spin-postgres@3.0.0",
            world: "host:postgres-spin3/imports",
            imports: { default: async | trappable },
            with: { "spin:postgres/postgres.connection": super::super::super::Connection },
            trappable_error_type: { "spin:postgres/postgres.error" => super::Error },
        });
    }

    pub(super) use bindings::spin::postgres::postgres as wit;
    use wit as types;

    older!(Boolean Int8 Int16 Int32 Int64 Floating32 Floating64 Str Binary Date Time Datetime Timestamp; no);

    impl wit::Host for View<'_> {
        fn convert_error(&mut self, failure: Error) -> wasmtime::Result<wit::Error> {
            Ok(error(failure))
        }
    }
}

/// Adds the interfaces to a linker.
///
/// # Errors
///
/// The linker has one of them already.
pub(super) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    spin2::types::add_to_linker::<_, Postgres>(linker, view)?;
    spin2::wit::add_to_linker::<_, Postgres>(linker, view)?;
    spin3::wit::add_to_linker::<_, Postgres>(linker, view)
}
