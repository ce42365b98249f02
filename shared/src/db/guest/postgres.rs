//! Postgres as a component has it: `spin:postgres`.

use std::rc::Rc;

use spin_sdk::pg::wit::postgres as spin;

use crate::db::{DbError, Row, Turn, Value, postgres, rows};

/// A connection is opened for each statement or transaction and given back to the
/// host's pool, which all instances share.
#[derive(Clone)]
pub struct Database {
    address: Rc<str>,
    /// Makes the schema, where the address does not come from a host that did.
    schema: Option<Rc<str>>,
    calls: Calls,
}

/// How the host is called.
#[derive(Clone, Copy)]
enum Calls {
    /// One after the other: nothing else runs in an instance meanwhile.
    Alone,
    /// Other requests of the instance go on meanwhile. Spin runs many in one, and a lock
    /// may be held by the one beside. Its other `query` also never returns without rows.
    Beside,
}

/// An open transaction, rolled back when it is dropped: not every host does that itself
/// before somebody else gets the connection.
pub struct Transaction {
    connection: Connection,
    ended: bool,
}

impl Database {
    /// The database that the host keeps for this component.
    pub fn own(address: &str) -> Self {
        Self { address: address.into(), schema: None, calls: Calls::Alone }
    }

    /// This schema of a database.
    pub fn in_schema(address: &str, schema: &str) -> Self {
        let mark = if address.contains('?') { "&" } else { "?" };
        Self {
            address: [address, mark, "options=-csearch_path%3D", schema].concat().into(),
            // In quotes, since a name such as `user` is a word of SQL too.
            schema: Some(["CREATE SCHEMA IF NOT EXISTS \"", schema, "\""].concat().into()),
            calls: Calls::Beside,
        }
    }

    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    async fn connection(&self) -> Result<Connection, DbError> {
        let opened = match self.calls {
            Calls::Alone => spin::Connection::open(&self.address),
            Calls::Beside => spin::Connection::open_async(self.address.to_string()).await,
        };
        Ok(Connection { inner: opened.map_err(failure)?, calls: self.calls })
    }

    pub async fn begin(&self, turn: Option<Turn>) -> Result<Transaction, DbError> {
        let connection = self.connection().await?;
        connection.execute(postgres::BEGIN, Vec::new()).await?;
        let tx = Transaction { connection, ended: false };
        if let Some(turn) = turn {
            tx.affected(postgres::gate(turn), Vec::new()).await?;
        }
        Ok(tx)
    }

    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        self.connection().await?.query(statement, params).await
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        self.connection().await?.execute(statement, params).await
    }
}

impl Transaction {
    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        self.connection.query(statement, params).await
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        self.connection.execute(statement, params).await
    }

    pub async fn commit(self) -> Result<(), DbError> {
        self.end("COMMIT").await
    }

    pub async fn rollback(self) -> Result<(), DbError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &str) -> Result<(), DbError> {
        self.connection.execute(statement, Vec::new()).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.connection.inner.execute("ROLLBACK", &[])
        {
            crate::log::warn("a transaction was not rolled back", &[("cause", &failure(error))]);
        }
    }
}

/// A connection of the host's pool.
struct Connection {
    inner: spin::Connection,
    calls: Calls,
}

impl Connection {
    async fn execute(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        let executed = match self.calls {
            Calls::Alone => self.inner.execute(statement, &bound(params)),
            Calls::Beside => self.inner.execute_async(statement.to_owned(), bound(params)).await,
        };
        executed.map_err(failure)
    }

    async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let (columns, found) = match self.calls {
            Calls::Alone => {
                let answer = self.inner.query(statement, &bound(params)).map_err(failure)?;
                (answer.columns, answer.rows)
            }
            Calls::Beside => {
                let streaming = self.inner.query_async(statement.to_owned(), bound(params));
                let (columns, rows, end) = streaming.await.map_err(failure)?;
                let found = rows.collect().await;
                end.await.map_err(failure)?;
                (columns, found)
            }
        };
        let columns = columns.into_iter().map(|column| column.name).collect();
        let values: Result<Vec<Vec<Value>>, DbError> =
            found.into_iter().map(|row| row.into_iter().map(from_spin).collect()).collect();
        Ok(rows(columns, values?.into_iter()))
    }
}

fn bound(params: Vec<Value>) -> Vec<spin::ParameterValue> {
    let value = |value| match value {
        Value::Integer(v) => spin::ParameterValue::Int64(v),
        Value::Real(v) => spin::ParameterValue::Floating64(v),
        Value::Text(v) => spin::ParameterValue::Str(v),
        Value::Blob(v) => spin::ParameterValue::Binary(v),
        Value::Null => spin::ParameterValue::DbNull,
    };
    params.into_iter().map(value).collect()
}

fn from_spin(value: spin::DbValue) -> Result<Value, DbError> {
    Ok(match value {
        spin::DbValue::Int64(v) => Value::Integer(v),
        spin::DbValue::Int32(v) => Value::Integer(v.into()),
        spin::DbValue::Boolean(v) => Value::Integer(v.into()),
        spin::DbValue::Floating64(v) => Value::Real(v),
        // What SUM makes of BIGINT.
        spin::DbValue::Decimal(v) => match (v.parse(), v.parse()) {
            (Ok(whole), _) => Value::Integer(whole),
            (_, Ok(real)) => Value::Real(real),
            _ => Value::Text(v),
        },
        spin::DbValue::Str(v) => Value::Text(v),
        spin::DbValue::Binary(v) => Value::Blob(v),
        spin::DbValue::DbNull => Value::Null,
        other => return Err(DbError::Other(format!("a column of a type that is not used here: {other:?}"))),
    })
}

fn failure(error: spin::Error) -> DbError {
    match error {
        spin::Error::QueryFailed(spin::QueryError::DbError(error)) => {
            let table = error.extras.iter().find(|(name, _)| name == "table").map(|(_, value)| value.as_str());
            DbError::of_postgres(&error.code, &error.message, table, error.detail.as_deref())
        }
        // The host had no connection to give, or the server does not answer.
        spin::Error::ConnectionFailed(message) => {
            crate::log::warn("the database is not reached", &[("cause", &message)]);
            DbError::Busy
        }
        spin::Error::QueryFailed(spin::QueryError::Text(message))
        | spin::Error::BadParameter(message)
        | spin::Error::ValueConversionFailed(message)
        | spin::Error::Other(message) => DbError::Other(message),
    }
}
