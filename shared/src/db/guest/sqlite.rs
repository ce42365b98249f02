//! SQLite as a component has it: `spin:sqlite`.

use std::{cell::RefCell, rc::Rc};

use spin_sdk::sqlite::wit::sqlite as spin;

use crate::db::{DbError, Row, Value, rows};

/// Connections that are not kept for later than this many.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// Connections are kept for the life of the instance. Each is used by one statement
/// or one transaction at a time, also where a host runs several requests in an instance.
#[derive(Clone)]
pub struct Database {
    label: Rc<str>,
    idle: Rc<RefCell<Vec<spin::Connection>>>,
}

/// Dropped without an end, its connection goes, which rolls it back.
pub struct Transaction {
    database: Database,
    connection: spin::Connection,
}

impl Database {
    /// The database with this label in the application manifest.
    pub fn open(label: &str) -> Self {
        Self { label: label.into(), idle: Rc::default() }
    }

    fn connection(&self) -> Result<spin::Connection, DbError> {
        let idle = self.idle.borrow_mut().pop();
        idle.map_or_else(|| spin::Connection::open(&self.label).map_err(failure), Ok)
    }

    fn keep(&self, connection: spin::Connection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }

    pub fn begin(&self) -> Result<Transaction, DbError> {
        let tx = Transaction { database: self.clone(), connection: self.connection()? };
        run(&tx.connection, "BEGIN IMMEDIATE", Vec::new())?;
        Ok(tx)
    }

    pub fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let connection = self.connection()?;
        let rows = run(&connection, statement, params)?;
        self.keep(connection);
        Ok(rows)
    }

    pub fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        let connection = self.connection()?;
        run(&connection, statement, params)?;
        let changes = connection.changes();
        self.keep(connection);
        Ok(changes)
    }
}

impl Transaction {
    pub fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        run(&self.connection, statement, params)
    }

    pub fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        run(&self.connection, statement, params)?;
        Ok(self.connection.changes())
    }

    pub fn commit(self) -> Result<(), DbError> {
        run(&self.connection, "COMMIT", Vec::new())?;
        self.database.keep(self.connection);
        Ok(())
    }

    pub fn rollback(self) -> Result<(), DbError> {
        run(&self.connection, "ROLLBACK", Vec::new())?;
        self.database.keep(self.connection);
        Ok(())
    }
}

fn run(connection: &spin::Connection, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
    let params: Vec<_> = params.into_iter().map(into_spin).collect();
    let answer = connection.execute(statement, &params).map_err(failure)?;
    let values = answer.rows.into_iter().map(|row| row.values.into_iter().map(from_spin).collect());
    Ok(rows(answer.columns, values))
}

fn into_spin(value: Value) -> spin::Value {
    match value {
        Value::Integer(v) => spin::Value::Integer(v),
        Value::Real(v) => spin::Value::Real(v),
        Value::Text(v) => spin::Value::Text(v),
        Value::Blob(v) => spin::Value::Blob(v),
        Value::Null => spin::Value::Null,
    }
}

fn from_spin(value: spin::Value) -> Value {
    match value {
        spin::Value::Integer(v) => Value::Integer(v),
        spin::Value::Real(v) => Value::Real(v),
        spin::Value::Text(v) => Value::Text(v),
        spin::Value::Blob(v) => Value::Blob(v),
        spin::Value::Null => Value::Null,
    }
}

fn failure(error: spin::Error) -> DbError {
    match error {
        spin::Error::Io(message) => DbError::of_sqlite(&message),
        other => DbError::Other(format!("{other:?}")),
    }
}
