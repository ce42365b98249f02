//! Changes of an entry that depend on what it holds.

use super::{
    Error,
    stores::{Store, Stores, text},
};
use crate::capability::sqlite::Value;

/// How often a change is tried again because another one came between. Each time,
/// somebody else got on, so only a host that is far too busy comes here.
const TRIES_MAX: usize = 100;

impl Stores {
    /// Writes `value` if the entry still is as it was `seen`; tells whether it was.
    pub(super) async fn swap(
        &self,
        store: &Store,
        key: &str,
        seen: Option<&[u8]>,
        value: Vec<u8>,
    ) -> Result<bool, Error> {
        self.check_key(key)?;
        self.check_value(&value)?;
        let label = match store {
            Store::Memory(memory) => return memory.swap(key, seen, value).ok_or(Error::StoreTooSmall),
            Store::Durable(label) => label,
        };
        let changed = match seen {
            Some(seen) => {
                self.execute(
                    "UPDATE entry SET value = ?1 WHERE store = ?2 AND key = ?3 AND value = ?4 RETURNING 1",
                    &[Value::Blob(value), text(label), text(key), Value::Blob(seen.to_vec())],
                )
                .await?
            }
            None => {
                self.execute(
                    "INSERT INTO entry(store, key, value) VALUES(?1, ?2, ?3) \
                     ON CONFLICT(store, key) DO NOTHING RETURNING 1",
                    &[text(label), text(key), Value::Blob(value)],
                )
                .await?
            }
        };
        Ok(!changed.is_empty())
    }

    /// Adds `delta` to a number, which is 0 where there is none, and gives the sum. A
    /// number is kept as 8 bytes, the lowest first.
    pub(super) async fn increment(&self, store: &Store, key: &str, delta: i64) -> Result<i64, Error> {
        for _ in 0..TRIES_MAX {
            let seen = self.get(store, key).await?;
            let number = match &seen {
                Some(bytes) => i64::from_le_bytes(bytes.as_slice().try_into().map_err(|_| Error::NoNumber)?),
                None => 0,
            };
            let sum = number.checked_add(delta).ok_or(Error::NoNumber)?;
            if self.swap(store, key, seen.as_deref(), sum.to_le_bytes().to_vec()).await? {
                return Ok(sum);
            }
        }
        Err(Error::Contended)
    }
}
