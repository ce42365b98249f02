//! Changes of an entry that depend on what it holds.

use super::{
    Error,
    stores::{Store, Stores},
};

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
        match store {
            Store::Memory(memory) => memory.swap(key, seen, value).ok_or(Error::StoreTooSmall),
            Store::Durable(label) => self.entries().swap(label, key, seen, value).await,
        }
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
