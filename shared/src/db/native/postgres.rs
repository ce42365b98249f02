//! Postgres natively.

use std::sync::Arc;

use sqlx::{
    AssertSqlSafe, Column, Encode, PgPool, Row as _, Type, TypeInfo, ValueRef,
    encode::IsNull,
    postgres::{
        PgArgumentBuffer, PgArguments, PgConnectOptions, PgDatabaseError, PgPoolOptions, PgRow, PgTypeInfo, Postgres,
        types::Oid,
    },
};
use tokio::sync::Mutex;

use crate::{
    Id, Timestamp,
    db::{DbError, Row, Turn, Value, postgres, rows},
};

/// Connections of a database: enough for transactions to get in each other's way.
const CONNECTIONS_MAX: u32 = 8;

/// How long a statement may wait for a lock, and how long it may run.
const SETTINGS: [(&str, &str); 2] = [("lock_timeout", "5s"), ("statement_timeout", "10s")];

#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    /// Makes the schema.
    schema: Arc<str>,
}

pub struct Transaction(Mutex<sqlx::Transaction<'static, Postgres>>);

impl Database {
    /// A schema on this server that nobody else uses.
    pub async fn fresh(url: &str) -> Result<Self, DbError> {
        let schema = ["test_", &Id::generate(Timestamp::now()).to_string()].concat();
        let options: PgConnectOptions = url.parse().map_err(failure)?;
        let options = options.options(SETTINGS).options([("search_path", schema.as_str())]);
        let pool =
            PgPoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await.map_err(failure)?;
        Ok(Self { pool, schema: ["CREATE SCHEMA IF NOT EXISTS ", &schema].concat().into() })
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub async fn begin(&self, turn: Option<Turn>) -> Result<Transaction, DbError> {
        let statements = [postgres::BEGIN, "; ", turn.map_or("", postgres::gate)].concat();
        let inner = self.pool.begin_with(AssertSqlSafe(statements)).await.map_err(failure)?;
        Ok(Transaction(Mutex::new(inner)))
    }

    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        converted(bound(statement, params).fetch_all(&self.pool).await.map_err(failure)?)
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        Ok(bound(statement, params).execute(&self.pool).await.map_err(failure)?.rows_affected())
    }
}

impl Transaction {
    pub async fn query(&self, statement: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let mut tx = self.0.lock().await;
        converted(bound(statement, params).fetch_all(&mut **tx).await.map_err(failure)?)
    }

    pub async fn affected(&self, statement: &str, params: Vec<Value>) -> Result<u64, DbError> {
        let mut tx = self.0.lock().await;
        Ok(bound(statement, params).execute(&mut **tx).await.map_err(failure)?.rows_affected())
    }

    pub async fn commit(self) -> Result<(), DbError> {
        self.0.into_inner().commit().await.map_err(failure)
    }

    pub async fn rollback(self) -> Result<(), DbError> {
        self.0.into_inner().rollback().await.map_err(failure)
    }
}

/// A value of whatever type the statement wants there, as a component's host sends it:
/// one of another type is refused by the server.
struct Untyped(Value);

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, sqlx::error::BoxDynError> {
        match &self.0 {
            Value::Integer(v) => buffer.extend_from_slice(&v.to_be_bytes()),
            Value::Real(v) => buffer.extend_from_slice(&v.to_be_bytes()),
            Value::Text(v) => buffer.extend_from_slice(v.as_bytes()),
            Value::Blob(v) => buffer.extend_from_slice(v),
            Value::Null => return Ok(IsNull::Yes),
        }
        Ok(IsNull::No)
    }
}

fn bound(statement: &str, params: Vec<Value>) -> sqlx::query::Query<'_, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    params.into_iter().fold(query, |query, value| query.bind(Untyped(value)))
}

fn converted(found: Vec<PgRow>) -> Result<Vec<Row>, DbError> {
    let columns = found.first().map(|row| row.columns().iter().map(|c| c.name().to_owned()).collect());
    let values: Result<Vec<_>, _> = found.iter().map(row_values).collect();
    Ok(rows(columns.unwrap_or_default(), values.map_err(failure)?.into_iter()))
}

fn row_values(row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.len())
        .map(|at| {
            let raw = row.try_get_raw(at)?;
            Ok(match raw.type_info().name() {
                _ if raw.is_null() => Value::Null,
                "INT8" => Value::Integer(row.try_get(at)?),
                "INT4" => Value::Integer(row.try_get::<i32, _>(at)?.into()),
                "BOOL" => Value::Integer(row.try_get::<bool, _>(at)?.into()),
                "FLOAT8" => Value::Real(row.try_get(at)?),
                "NUMERIC" => numeric(raw.as_bytes().map_err(sqlx::Error::Decode)?),
                "BYTEA" => Value::Blob(row.try_get(at)?),
                _ => Value::Text(row.try_get_unchecked(at)?),
            })
        })
        .collect()
}

/// A NUMERIC, which is what SUM makes of BIGINT: count of digits, weight of the first,
/// sign, scale, then digits to the base 10,000 without zeros at the end, 16 bits each.
fn numeric(bytes: &[u8]) -> Value {
    let parts: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    let [_, weight, sign, _, digits @ ..] = parts.as_slice() else { return Value::Null };
    let sign = if *sign == 0 { 1 } else { -1 };
    let places = usize::try_from(*weight + 1).unwrap_or_default();
    let mut places_of = digits.iter().chain(std::iter::repeat(&0)).take(places);
    let whole =
        places_of.try_fold(0_i64, |whole, digit| whole.checked_mul(10_000)?.checked_add(i64::from(*digit) * sign));
    if let Some(whole) = whole.filter(|_| digits.len() <= places) {
        return Value::Integer(whole);
    }
    let powers = (0..).map(|at| 10_000_f64.powi(i32::from(*weight) - at));
    let parts = digits.iter().zip(powers).map(|(digit, power)| f64::from(*digit) * power);
    Value::Real(parts.sum::<f64>() * if sign < 0 { -1.0 } else { 1.0 })
}

fn failure(error: sqlx::Error) -> DbError {
    let Some(inner) = error.as_database_error().and_then(|inner| inner.try_downcast_ref::<PgDatabaseError>()) else {
        return match error {
            sqlx::Error::PoolTimedOut => DbError::Busy,
            other => DbError::Other(other.to_string()),
        };
    };
    DbError::of_postgres(inner.code(), inner.message(), inner.table(), inner.detail())
}
