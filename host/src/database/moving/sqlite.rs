//! The files of an application that lives on SQLite. Everything here blocks.

use std::path::Path;

use rusqlite::{Connection, types::ValueRef};

use super::{
    DatabaseError, quoted,
    table::{Checksum, Kind, Row, Table, Value},
};

/// One file of a label.
pub(super) struct File(Connection);

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, DatabaseError> {
        Ok(Self(Connection::open(path)?))
    }

    /// Names of its tables, each with the names of its columns in order of name.
    pub(super) fn tables(&self) -> Result<Vec<(String, Vec<String>)>, DatabaseError> {
        let mut select = self.0.prepare(
            "SELECT t.name, c.name FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.name",
        )?;
        let mut tables: Vec<(String, Vec<String>)> = Vec::new();
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (table, column): (String, String) = (row.get(0)?, row.get(1)?);
            match tables.last_mut() {
                Some((last, columns)) if *last == table => columns.push(column),
                _ => tables.push((table, vec![column])),
            }
        }
        Ok(tables)
    }

    /// Makes the table of the key-value stores, as the stores do when they are first used.
    pub(super) fn make_entries(&self) -> Result<(), DatabaseError> {
        Ok(self.0.execute_batch(crate::capability::key_value::CREATE_ENTRIES)?)
    }

    /// Hands all rows of a table to `take`.
    pub(super) fn read(
        &self,
        table: &Table,
        mut take: impl FnMut(Row) -> Result<(), DatabaseError>,
    ) -> Result<Checksum, DatabaseError> {
        let sql = format!("SELECT {} FROM {}", table.column_list(), quoted(&table.name));
        let mut select = self.0.prepare(&sql)?;
        let mut rows = select.query([])?;
        let mut checksum = Checksum::default();
        while let Some(row) = rows.next()? {
            let values = table.columns.iter().enumerate().map(|(index, column)| {
                let value = row.get_ref(index)?;
                converted(value, column.kind).ok_or_else(|| {
                    DatabaseError::new(format!(
                        "row {} of {}: column {} holds {}, which cannot be {:?} on Postgres; correct it and try again",
                        checksum.rows + 1,
                        table.name,
                        column.name,
                        value.data_type(),
                        column.kind
                    ))
                })
            });
            let values = values.collect::<Result<Row, DatabaseError>>()?;
            checksum.add(&values);
            take(values)?;
        }
        Ok(checksum)
    }

    /// Puts rows in place of all that the tables have, in one transaction, if `check`
    /// agrees to what was written.
    pub(super) fn replace(
        &mut self,
        tables: &[Table],
        mut next: impl FnMut() -> Option<(usize, Row)>,
        check: impl FnOnce(&[Checksum]) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        // Without effect inside a transaction, so before it; checked at the end.
        self.0.pragma_update(None, "foreign_keys", false)?;
        let transaction = self.0.transaction()?;
        for table in tables {
            transaction.execute(&format!("DELETE FROM {}", quoted(&table.name)), [])?;
        }
        while let Some((index, row)) = next() {
            let Some(table) = tables.get(index) else {
                return Err(DatabaseError::new("a row of an unknown table"));
            };
            let places: Vec<String> = (1..=row.len()).map(|number| format!("?{number}")).collect();
            let sql =
                format!("INSERT INTO {} ({}) VALUES ({})", quoted(&table.name), table.column_list(), places.join(", "));
            let values = row.into_iter().zip(&table.columns).map(|(value, column)| plain(value, column.kind));
            let values = values.collect::<Result<Vec<_>, DatabaseError>>()?;
            transaction.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
        }
        let broken: i64 =
            transaction.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
        if broken > 0 {
            return Err(DatabaseError::new(format!("{broken} rows refer to rows that are missing")));
        }
        let written = Self::checksums(&transaction, tables)?;
        check(&written)?;
        transaction.commit()?;
        Ok(())
    }

    fn checksums(connection: &Connection, tables: &[Table]) -> Result<Vec<Checksum>, DatabaseError> {
        tables
            .iter()
            .map(|table| {
                let sql = format!("SELECT {} FROM {}", table.column_list(), quoted(&table.name));
                let mut select = connection.prepare(&sql)?;
                let mut rows = select.query([])?;
                let mut checksum = Checksum::default();
                while let Some(row) = rows.next()? {
                    let values = table.columns.iter().enumerate().map(|(index, column)| {
                        let value = converted(row.get_ref(index)?, column.kind);
                        value.ok_or_else(|| {
                            DatabaseError::new(format!("{} was not written as it was read", column.name))
                        })
                    });
                    checksum.add(&values.collect::<Result<Row, DatabaseError>>()?);
                }
                Ok(checksum)
            })
            .collect()
    }
}

fn plain(value: Value, kind: Kind) -> Result<rusqlite::types::Value, DatabaseError> {
    use rusqlite::types::Value as V;
    Ok(match value {
        Value::Bytes(bytes) if kind == Kind::TextAsBytes => {
            V::Text(String::from_utf8(bytes).map_err(|_| DatabaseError::new("a key is not UTF-8"))?)
        }
        Value::Null => V::Null,
        Value::Integer(value) => V::Integer(value),
        Value::Float(value) => V::Real(value),
        Value::Text(text) => V::Text(text),
        Value::Bytes(bytes) => V::Blob(bytes),
    })
}

/// A value as a column of that kind holds it; nothing if it cannot.
fn converted(value: ValueRef<'_>, kind: Kind) -> Option<Value> {
    Some(match (value, kind) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(value), Kind::Integer) => Value::Integer(value),
        (ValueRef::Integer(value @ (0 | 1)), Kind::Boolean) => Value::Integer(value),
        (ValueRef::Real(value), Kind::Float) => Value::Float(value),
        (ValueRef::Integer(value), Kind::Float) => Value::Float(value as f64),
        // Postgres' text holds every character but this one.
        (ValueRef::Text(text), Kind::Text) if !text.contains(&0) => Value::Text(String::from_utf8(text.to_vec()).ok()?),
        (ValueRef::Text(text), Kind::TextAsBytes) => Value::Bytes(text.to_vec()),
        (ValueRef::Blob(bytes), Kind::Bytes) => Value::Bytes(bytes.to_vec()),
        _ => return None,
    })
}
