//! Tables, rows and their checksums, the same for both engines.

use sha2::{Digest as _, Sha256};

/// What a column holds, as far as both engines agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
    Bytes,
    /// Text on SQLite and its bytes on Postgres.
    TextAsBytes,
}

/// A column of a Postgres table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table of the schema that the components make on Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

impl Table {
    /// Its columns as a list in SQL.
    pub(super) fn column_list(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| super::quoted(&column.name)).collect();
        names.join(", ")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) type Row = Vec<Value>;

/// How many rows a table has, and a sum over all of them that does not depend on
/// their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) rows: u64,
    sums: [u64; 4],
}

impl Checksum {
    pub(super) fn add(&mut self, row: &[Value]) {
        let mut hash = Sha256::new();
        for value in row {
            match value {
                Value::Null => hash.update([0]),
                Value::Integer(value) => {
                    hash.update([1]);
                    hash.update(value.to_be_bytes());
                }
                Value::Float(value) => {
                    hash.update([2]);
                    hash.update(value.to_bits().to_be_bytes());
                }
                Value::Text(text) => {
                    hash.update([3]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
                Value::Bytes(bytes) => {
                    hash.update([4]);
                    hash.update((bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        let hash = hash.finalize();
        for (sum, part) in self.sums.iter_mut().zip(hash.chunks_exact(8)) {
            let part = part.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            *sum = sum.wrapping_add(part);
        }
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&[Value]]) -> Checksum {
        let mut checksum = Checksum::default();
        rows.iter().for_each(|row| checksum.add(row));
        checksum
    }

    #[test]
    fn a_checksum_sees_every_value_and_no_order() {
        let (a, b): (&[Value], &[Value]) = (&[Value::Integer(1), Value::Null], &[Value::Text("1".into()), Value::Null]);
        assert_eq!(of(&[a, b]), of(&[b, a]));
        assert_ne!(of(&[a, b]), of(&[a, a]));
        assert_ne!(of(&[a]), of(&[&[Value::Null, Value::Integer(1)]]));
        assert_ne!(
            of(&[&[Value::Text("ab".into()), Value::Text(String::new())]]),
            of(&[&[Value::Text("a".into()), Value::Text("b".into())]])
        );
    }
}
