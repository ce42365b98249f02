//! The schema of a label on Postgres.

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use tokio::sync::mpsc;

use super::{
    DatabaseError, quoted,
    table::{Checksum, Column, Kind, Row, Table, Value},
};

/// Bytes that are sent at once, about.
const CHUNK_BYTES: usize = 256 << 10;

/// The tables of a schema; one that refers to another comes after it.
pub(super) async fn tables(connection: &mut PgConnection, schema: &str) -> Result<Vec<Table>, DatabaseError> {
    let columns = sqlx::query(
        "SELECT c.relname::text, a.attname::text, t.typname::text \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         JOIN pg_type AS t ON t.oid = a.atttypid \
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum",
    );
    let mut tables: Vec<Table> = Vec::new();
    for row in columns.bind(schema).fetch_all(&mut *connection).await? {
        let (table, name, kind): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let kind = kind_of(&kind).ok_or_else(|| {
            DatabaseError::new(format!("{schema}.{table}: column {name} is of type {kind}, which SQLite does not have"))
        })?;
        let column = Column { name, kind };
        match tables.last_mut() {
            Some(last) if last.name == table => last.columns.push(column),
            _ => tables.push(Table { name: table, columns: vec![column] }),
        }
    }
    let references = sqlx::query(
        "SELECT c.relname::text, f.relname::text FROM pg_constraint AS r \
         JOIN pg_class AS c ON c.oid = r.conrelid JOIN pg_class AS f ON f.oid = r.confrelid \
         JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE r.contype = 'f' AND n.nspname = $1 AND c.oid <> f.oid",
    );
    let references = references.bind(schema).fetch_all(connection).await?;
    let references = references.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    ordered(tables, references.collect::<Result<Vec<(String, String)>, sqlx::Error>>()?)
}

/// Sorts tables so that each comes after those that it refers to.
fn ordered(mut tables: Vec<Table>, references: Vec<(String, String)>) -> Result<Vec<Table>, DatabaseError> {
    let mut sorted: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let waits = |table: &Table| {
            references.iter().any(|(from, to)| *from == table.name && !sorted.iter().any(|done| done.name == *to))
        };
        let (later, now): (Vec<Table>, Vec<Table>) = tables.into_iter().partition(waits);
        if now.is_empty() {
            return Err(DatabaseError::new(format!("the table {} refers to itself over others", later[0].name)));
        }
        sorted.extend(now);
        tables = later;
    }
    Ok(sorted)
}

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "bool" => Some(Kind::Boolean),
        "int2" | "int4" | "int8" => Some(Kind::Integer),
        "float8" => Some(Kind::Float),
        "text" | "varchar" | "bpchar" => Some(Kind::Text),
        "bytea" => Some(Kind::Bytes),
        _ => None,
    }
}

/// Empties all tables at once.
pub(super) async fn clear(connection: &mut PgConnection, schema: &str, tables: &[Table]) -> Result<(), DatabaseError> {
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(|table| place(schema, &table.name)).collect();
    sqlx::query(AssertSqlSafe(format!("TRUNCATE {}", names.join(", ")))).execute(connection).await?;
    Ok(())
}

/// Writes rows into a table as they come.
pub(super) async fn write(
    connection: &mut PgConnection,
    schema: &str,
    table: &Table,
    rows: &mut mpsc::Receiver<Row>,
) -> Result<(), DatabaseError> {
    let copy = format!("COPY {} ({}) FROM STDIN", place(schema, &table.name), table.column_list());
    let mut copying = connection.copy_in_raw(&copy).await?;
    let mut chunk = Vec::new();
    while let Some(row) = rows.recv().await {
        line(&row, table, &mut chunk);
        if chunk.len() >= CHUNK_BYTES {
            copying.send(std::mem::take(&mut chunk)).await?;
        }
    }
    if !chunk.is_empty() {
        copying.send(chunk).await?;
    }
    copying.finish().await?;
    Ok(())
}

/// One line of the text format of COPY.
fn line(row: &[Value], table: &Table, into: &mut Vec<u8>) {
    for (index, (value, column)) in row.iter().zip(&table.columns).enumerate() {
        if index > 0 {
            into.push(b'\t');
        }
        match value {
            Value::Null => into.extend(b"\\N"),
            Value::Integer(value) if column.kind == Kind::Boolean => into.push(if *value == 0 { b'f' } else { b't' }),
            Value::Integer(value) => into.extend(value.to_string().bytes()),
            Value::Float(value) if value.is_finite() => into.extend(format!("{value:?}").bytes()),
            Value::Float(value) if value.is_nan() => into.extend(b"NaN"),
            Value::Float(value) => into.extend(if *value > 0.0 { &b"Infinity"[..] } else { b"-Infinity" }),
            Value::Text(text) => text.bytes().for_each(|byte| match byte {
                b'\\' => into.extend(b"\\\\"),
                b'\t' => into.extend(b"\\t"),
                b'\n' => into.extend(b"\\n"),
                b'\r' => into.extend(b"\\r"),
                other => into.push(other),
            }),
            Value::Bytes(bytes) => {
                into.extend(b"\\\\x");
                bytes.iter().for_each(|byte| into.extend(format!("{byte:02x}").bytes()));
            }
        }
    }
    into.push(b'\n');
}

/// Hands all rows of a table to `take`.
pub(super) async fn read(
    connection: &mut PgConnection,
    schema: &str,
    table: &Table,
    mut take: impl AsyncFnMut(Row) -> Result<(), DatabaseError>,
) -> Result<Checksum, DatabaseError> {
    let columns: Vec<String> = table.columns.iter().map(selected).collect();
    let sql = format!("SELECT {} FROM {}", columns.join(", "), place(schema, &table.name));
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    let mut checksum = Checksum::default();
    while let Some(row) = rows.try_next().await? {
        let values = table.columns.iter().enumerate().map(|(index, column)| value(&row, index, column.kind));
        let values = values.collect::<Result<Row, sqlx::Error>>()?;
        checksum.add(&values);
        take(values).await?;
    }
    Ok(checksum)
}

/// A column as one of the types that [`value`] reads.
fn selected(column: &Column) -> String {
    let wide = match column.kind {
        Kind::Boolean => "bool",
        Kind::Integer => "int8",
        Kind::Float => "float8",
        Kind::Text => "text",
        Kind::Bytes | Kind::TextAsBytes => "bytea",
    };
    format!("{}::{wide}", quoted(&column.name))
}

fn value(row: &PgRow, index: usize, kind: Kind) -> Result<Value, sqlx::Error> {
    let value = match kind {
        Kind::Boolean => row.try_get::<Option<bool>, _>(index)?.map(|value| Value::Integer(i64::from(value))),
        Kind::Integer => row.try_get::<Option<i64>, _>(index)?.map(Value::Integer),
        Kind::Float => row.try_get::<Option<f64>, _>(index)?.map(Value::Float),
        Kind::Text => row.try_get::<Option<String>, _>(index)?.map(Value::Text),
        Kind::Bytes | Kind::TextAsBytes => row.try_get::<Option<Vec<u8>>, _>(index)?.map(Value::Bytes),
    };
    Ok(value.unwrap_or(Value::Null))
}

pub(super) fn place(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table { name: name.to_owned(), columns: Vec::new() }
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let sorted = ordered(vec![table("a"), table("b"), table("c")], vec![pair("a", "b"), pair("b", "c")]).unwrap();
        let names: Vec<_> = sorted.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
        assert!(ordered(vec![table("a"), table("b")], vec![pair("a", "b"), pair("b", "a")]).is_err());
    }
}
