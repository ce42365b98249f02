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
}

/// An open transaction, rolled back when it is dropped: not every host does that itself
/// before somebody else gets the connection.
pub struct Transaction {
    connection: spin::Connection,
    ended: bool,
}

impl Database {
    /// The database that the host keeps for this component.
    pub fn own(address: &str) -> Self {
        Self { address: address.into(), schema: None }
    }

    /// This schema of a database.
    pub fn in_schema(address: &str, schema: &str) -> Self {
        let mark = if address.contains('?') { "&" } else { "?" };
        Self {
            address: [address, mark, "options=-csearch_path%3D", schema].concat().into(),
            schema: Some(["CREATE SCHEMA IF NOT EXISTS ", schema].concat().into()),
        }
    }

    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    fn connection(&self) -> Result<spin::Connection, DbError> {
        spin::Connection::open(&self.address).map_err(failure)
    }

    pub fn begin(&self, turn: Option<Turn>) -> Result<Transaction, DbError> {
        let connection = self.connection()?;
        connection.execute(postgres::BEGIN, &[]).map_err(failure)?;
        let tx = Transaction { connection, ended: false };
        if let Some(turn) = turn {
            tx.affected(postgres::gate(turn), Vec::new())?;
        }
        Ok(tx)
    }

    pub fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        query(&self.connection()?, statement, params)
    }

    pub fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        self.connection()?.execute(statement, &bound(params)).map_err(failure)
    }
}

impl Transaction {
    pub fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        query(&self.connection, statement, params)
    }

    pub fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        self.connection.execute(statement, &bound(params)).map_err(failure)
    }

    pub fn commit(self) -> Result<(), DbError> {
        self.end("COMMIT")
    }

    pub fn rollback(self) -> Result<(), DbError> {
        self.end("ROLLBACK")
    }

    fn end(mut self, statement: &str) -> Result<(), DbError> {
        self.connection.execute(statement, &[]).map_err(failure)?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.connection.execute("ROLLBACK", &[])
        {
            crate::log::warn("a transaction was not rolled back", &[("cause", &failure(error))]);
        }
    }
}

fn query(connection: &spin::Connection, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
    let answer = connection.query(statement, &bound(params)).map_err(failure)?;
    let columns = answer.columns.into_iter().map(|column| column.name).collect();
    let values: Result<Vec<Vec<Value>>, DbError> =
        answer.rows.into_iter().map(|row| row.into_iter().map(from_spin).collect()).collect();
    Ok(rows(columns, values?.into_iter()))
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
