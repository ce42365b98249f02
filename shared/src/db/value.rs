//! Values in and out of statements.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::DbError;
use crate::{BasisPoints, Id, Paise, Timestamp};

/// A value of a column or a placeholder.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    Null,
}

macro_rules! value_from {
    ($($type:ty => |$value:ident| $made:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self { $made }
        }
    )*};
}

value_from! {
    i64 => |v| Self::Integer(v),
    i32 => |v| Self::Integer(v.into()),
    u32 => |v| Self::Integer(v.into()),
    bool => |v| Self::Integer(v.into()),
    f64 => |v| Self::Real(v),
    String => |v| Self::Text(v),
    &String => |v| Self::Text(v.clone()),
    &str => |v| Self::Text(v.to_owned()),
    Vec<u8> => |v| Self::Blob(v),
    Id => |v| Self::Text(v.to_string()),
    &Id => |v| Self::Text(v.to_string()),
    Timestamp => |v| Self::Integer(v.millis()),
    Paise => |v| Self::Integer(v.0),
    BasisPoints => |v| Self::Integer(v.0),
    serde_json::Value => |v| Self::Text(v.to_string()),
    &serde_json::Value => |v| Self::Text(v.to_string()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// # Errors
    /// What is wrong with the value, in words.
    fn from_value(value: &Value) -> Result<Self, String>;
}

macro_rules! from_value {
    ($($type:ty, $pattern:pat => $made:expr);* $(;)?) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<Self, String> {
                match value {
                    $pattern => $made,
                    other => Err(format!("{} expected, found {other:?}", stringify!($type))),
                }
            }
        }
    )*};
}

from_value! {
    i64, Value::Integer(v) => Ok(*v);
    u32, Value::Integer(v) => u32::try_from(*v).map_err(|e| e.to_string());
    bool, Value::Integer(v) => Ok(*v != 0);
    String, Value::Text(v) => Ok(v.clone());
    Vec<u8>, Value::Blob(v) => Ok(v.clone());
    Id, Value::Text(v) => v.parse().map_err(|e: crate::id::InvalidId| e.to_string());
    Timestamp, Value::Integer(v) => Ok(Self::from_millis(*v));
    Paise, Value::Integer(v) => Ok(Self(*v));
    BasisPoints, Value::Integer(v) => Ok(Self(*v));
    serde_json::Value, Value::Text(v) => serde_json::from_str(v).map_err(|e| e.to_string());
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// A row of an answer.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(super) fn new(columns: Rc<[String]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    #[cfg(test)]
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    fn value(&self, column: &str) -> Result<&Value, DbError> {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.values.get(at)).ok_or_else(|| failure(column, "not in the answer"))
    }

    /// The value of a column.
    ///
    /// # Errors
    /// No such column, or not of that type.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, DbError> {
        T::from_value(self.value(column)?).map_err(|problem| failure(column, problem))
    }

    /// The value of a column that holds JSON.
    ///
    /// # Errors
    /// No such column, or JSON of another shape.
    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, DbError> {
        match self.value(column)? {
            Value::Text(text) => serde_json::from_str(text).map_err(|e| failure(column, e)),
            other => Err(failure(column, format!("JSON text expected, found {other:?}"))),
        }
    }

    /// As [`Row::json`], none for NULL.
    ///
    /// # Errors
    /// No such column, or JSON of another shape.
    pub fn json_opt<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, DbError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            _ => self.json(column).map(Some),
        }
    }
}

fn failure(column: &str, problem: impl std::fmt::Display) -> DbError {
    DbError::Column { column: column.to_owned(), problem: problem.to_string() }
}
