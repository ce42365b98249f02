//! A store as a component that was granted it sees it: within the limits of the component.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Error,
    stores::{Store, Stores},
};
use crate::{call::CurrentCall, telemetry::metrics::LimitReached};

/// How often a change is tried again because another one came between. Each time,
/// somebody else got on, so only a host that is far too busy comes here.
const TRIES_MAX: usize = 100;

/// What one component may use.
#[derive(Debug, Clone)]
pub struct Grants {
    /// The stores that it may open.
    pub labels: BTreeSet<String>,
    /// Length of a key, in bytes.
    pub key_bytes_max: usize,
    /// Length of a value that it writes, in bytes.
    pub value_bytes_max: usize,
}

/// One store, opened by one instance.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) stores: Arc<Stores>,
    pub(super) store: Store,
    pub(super) grants: Arc<Grants>,
    pub(super) current: Arc<CurrentCall>,
}

impl Granted {
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.check_key(key)?;
        match &self.store {
            Store::Memory(memory) => Ok(memory.get(key)),
            Store::Durable(label) => self.stores.entries().get(label, key).await,
        }
    }

    /// The entries of these keys, as many as fit into the largest result.
    pub(super) async fn get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>, Error> {
        let bytes_max = self.stores.settings().database.result_bytes_max;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for key in keys {
            let value = self.get(&key).await?;
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            if bytes > bytes_max {
                return Err(Error::TooManyBytes(bytes_max));
            }
            entries.push((key, value));
        }
        Ok(entries)
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, Error> {
        self.check_key(key)?;
        match &self.store {
            Store::Memory(memory) => Ok(memory.exists(key)),
            Store::Durable(label) => self.stores.entries().exists(label, key).await,
        }
    }

    pub(super) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.check_key(&key)?;
        self.check_value(&value)?;
        match &self.store {
            Store::Memory(memory) => match memory.set(key, value) {
                true => Ok(()),
                false => Err(Error::StoreTooSmall),
            },
            Store::Durable(label) => self.stores.entries().set(label, key, value).await,
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        self.check_key(key)?;
        match &self.store {
            Store::Memory(memory) => {
                memory.delete(key);
                Ok(())
            }
            Store::Durable(label) => self.stores.entries().delete(label, key).await,
        }
    }

    pub(super) async fn keys(&self) -> Result<Vec<String>, Error> {
        match &self.store {
            Store::Memory(memory) => Ok(memory.keys()),
            Store::Durable(label) => self.stores.entries().keys(label).await,
        }
    }

    /// Writes `value` if the entry still is as it was `seen`; tells whether it was.
    pub(super) async fn swap(&self, key: &str, seen: Option<&[u8]>, value: Vec<u8>) -> Result<bool, Error> {
        self.check_key(key)?;
        self.check_value(&value)?;
        match &self.store {
            Store::Memory(memory) => memory.swap(key, seen, value).ok_or(Error::StoreTooSmall),
            Store::Durable(label) => self.stores.entries().swap(label, key, seen, value).await,
        }
    }

    /// Adds `delta` to a number, which is 0 where there is none, and gives the sum. A
    /// number is kept as 8 bytes, the lowest first.
    pub(super) async fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        for _ in 0..TRIES_MAX {
            let seen = self.get(key).await?;
            let number = match &seen {
                Some(bytes) => i64::from_le_bytes(bytes.as_slice().try_into().map_err(|_| Error::NoNumber)?),
                None => 0,
            };
            let sum = number.checked_add(delta).ok_or(Error::NoNumber)?;
            if self.swap(key, seen.as_deref(), sum.to_le_bytes().to_vec()).await? {
                return Ok(sum);
            }
        }
        Err(Error::Contended)
    }

    fn check_key(&self, key: &str) -> Result<(), Error> {
        if key.len() > self.grants.key_bytes_max {
            self.current.reached(LimitReached::KeyBytes);
            return Err(Error::KeyTooLong(self.grants.key_bytes_max));
        }
        Ok(())
    }

    fn check_value(&self, value: &[u8]) -> Result<(), Error> {
        if value.len() > self.grants.value_bytes_max {
            self.current.reached(LimitReached::ValueBytes);
            return Err(Error::ValueTooLong(self.grants.value_bytes_max));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::super::{Ctx, Settings};
    use super::*;
    use crate::call::Call;

    fn stores(dir: &Path) -> Arc<Stores> {
        let stores = Stores::open(dir, Settings::default().with_memory_stores(["counters"])).unwrap();
        stores.declare(["default", "other", "counters"]);
        stores
    }

    fn ctx(stores: &Arc<Stores>, key_bytes_max: usize, value_bytes_max: usize) -> Ctx {
        let labels = ["default", "other", "counters", "unknown"].map(str::to_owned).into();
        let grants = Grants { labels, key_bytes_max, value_bytes_max };
        let current = CurrentCall::new(Call::own(Duration::from_secs(5)));
        stores.ctx(&Arc::new(grants), &Arc::new(current))
    }

    fn open(stores: &Arc<Stores>, label: &str) -> Granted {
        ctx(stores, 1024, 1 << 20).open(label).unwrap().store.clone()
    }

    #[tokio::test]
    async fn stores_are_apart_and_what_is_set_survives_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let stores = stores(dir.path());
        for (label, value) in [("default", b"1"), ("other", b"2"), ("counters", b"3")] {
            let store = open(&stores, label);
            store.set("k".into(), b"old".to_vec()).await.unwrap();
            store.set("k".into(), value.to_vec()).await.unwrap();
            assert_eq!(store.get("k").await.unwrap().unwrap(), value);
            assert_eq!(store.keys().await.unwrap(), ["k"]);
        }
        let default = open(&stores, "default");
        default.delete("k").await.unwrap();
        default.delete("k").await.unwrap();
        assert!(!default.exists("k").await.unwrap());
        assert!(open(&stores, "other").exists("k").await.unwrap());
        stores.close().await.unwrap();

        let again = Stores::open(dir.path(), Settings::default()).unwrap();
        again.declare(["other"]);
        assert_eq!(open(&again, "other").get("k").await.unwrap().unwrap(), b"2");
        assert!(matches!(ctx(&again, 1024, 1024).open("unknown"), Err(Error::NoSuchStore)));
        assert!(matches!(ctx(&again, 1024, 1024).open("secrets"), Err(Error::AccessDenied)));
    }

    #[tokio::test]
    async fn keys_and_values_have_the_limits_of_the_component() {
        let dir = tempfile::tempdir().unwrap();
        let stores = stores(dir.path());
        for label in ["default", "counters"] {
            let small = ctx(&stores, 3, 8).open(label).unwrap().store.clone();
            assert!(matches!(small.set("four".into(), vec![]).await, Err(Error::KeyTooLong(3))));
            assert!(matches!(small.get("four").await, Err(Error::KeyTooLong(3))));
            assert!(matches!(small.set("key".into(), vec![0; 9]).await, Err(Error::ValueTooLong(8))));
            assert!(matches!(small.swap("key", None, vec![0; 9]).await, Err(Error::ValueTooLong(8))));
            small.set("key".into(), vec![0; 8]).await.unwrap();
            // What another component wrote is read whole.
            open(&stores, label).set("key".into(), vec![1; 9]).await.unwrap();
            assert_eq!(small.get("key").await.unwrap().unwrap(), [1; 9]);
        }
    }
}
