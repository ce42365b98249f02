//! The stores of an application: which labels there are, and where each keeps
//! its entries.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;

use super::{
    Ctx, Error,
    entries::Entries,
    file::FileEntries,
    memory::{Memory, MemoryLimits},
    postgres::PostgresEntries,
};
use crate::capability::sqlite;

/// Limits of every store of a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Labels of stores that live in memory only.
    pub memory: BTreeMap<String, MemoryLimits>,
    /// Length of a key, in bytes.
    pub key_bytes_max: usize,
    /// Length of a value, in bytes.
    pub value_bytes_max: usize,
    /// Stores that one instance may have open.
    pub stores_max: usize,
    /// Wall time of one operation on a file or a server.
    pub operation_time_max: Duration,
    /// The file of the durable stores. Its `rows_max` bounds `get-keys`.
    pub database: sqlite::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory: BTreeMap::new(),
            key_bytes_max: 1 << 10,
            value_bytes_max: 1 << 20,
            stores_max: 256,
            operation_time_max: Duration::from_secs(5),
            database: sqlite::Settings::default(),
        }
    }
}

impl Settings {
    /// Keeps these stores in memory, with the usual limits.
    #[must_use]
    pub fn with_memory_stores(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        for label in labels {
            self.memory.entry(label.into()).or_default();
        }
        self
    }
}

/// All key-value stores of a host.
#[derive(Debug)]
pub struct Stores {
    settings: Settings,
    known: RwLock<BTreeMap<String, Store>>,
    entries: Entries,
}

/// One store, shared by every instance that was granted its label.
#[derive(Debug, Clone)]
pub(super) enum Store {
    Memory(Arc<Memory>),
    /// The label tells the entries of one store from those of others.
    Durable(Arc<str>),
}

impl Stores {
    /// Prepares the folder. Opens no file. Blocks.
    ///
    /// # Errors
    ///
    /// The folder cannot be created.
    pub fn open(dir: impl Into<PathBuf>, settings: Settings) -> Result<Arc<Self>, Error> {
        let entries = Entries::File(FileEntries::open(dir.into(), &settings)?);
        Ok(Arc::new(Self { settings, known: RwLock::default(), entries }))
    }

    /// Keeps the durable stores in a Postgres database that has the table of entries.
    #[must_use]
    pub fn on_postgres(pool: PgPool, settings: Settings) -> Arc<Self> {
        let entries = Entries::Postgres(PostgresEntries::new(pool, &settings));
        Arc::new(Self { settings, known: RwLock::default(), entries })
    }

    /// Adds labels that the application has.
    pub fn declare(&self, labels: impl IntoIterator<Item = impl Into<String>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for label in labels {
            let label = label.into();
            let memory = self.settings.memory.get(&label);
            known.entry(label).or_insert_with_key(|label| match memory {
                Some(limits) => Store::Memory(Arc::new(Memory::new(*limits))),
                None => Store::Durable(Arc::from(label.as_str())),
            });
        }
    }

    /// The state of one instance that was granted these labels.
    #[must_use]
    pub fn ctx(self: &Arc<Self>, granted: &Arc<BTreeSet<String>>) -> Ctx {
        Ctx::new(self.clone(), granted.clone())
    }

    /// Closes the file, if there is one. See [`sqlite::Database::close`].
    ///
    /// # Errors
    ///
    /// As [`sqlite::Database::close`].
    pub async fn close(&self) -> Result<(), Error> {
        match self.opened() {
            Some(database) => Ok(database.close().await?),
            None => Ok(()),
        }
    }

    /// The health of the file; `None` while nobody has used one.
    #[must_use]
    pub fn health(&self) -> Option<sqlite::Health> {
        self.opened().map(|database| database.health())
    }

    /// The counters of the file; `None` while nobody has used one.
    #[must_use]
    pub fn counters(&self) -> Option<sqlite::Snapshot> {
        self.opened().map(|database| database.counters().snapshot())
    }

    fn opened(&self) -> Option<&Arc<sqlite::Database>> {
        match &self.entries {
            Entries::File(entries) => entries.opened(),
            Entries::Postgres(_) => None,
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn store(&self, label: &str) -> Option<Store> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(label).cloned()
    }

    pub(super) async fn get(&self, store: &Store, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.check_key(key)?;
        match store {
            Store::Memory(memory) => Ok(memory.get(key)),
            Store::Durable(label) => self.entries.get(label, key).await,
        }
    }

    pub(super) async fn exists(&self, store: &Store, key: &str) -> Result<bool, Error> {
        self.check_key(key)?;
        match store {
            Store::Memory(memory) => Ok(memory.exists(key)),
            Store::Durable(label) => self.entries.exists(label, key).await,
        }
    }

    pub(super) async fn set(&self, store: &Store, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.check_key(&key)?;
        self.check_value(&value)?;
        match store {
            Store::Memory(memory) => match memory.set(key, value) {
                true => Ok(()),
                false => Err(Error::StoreTooSmall),
            },
            Store::Durable(label) => self.entries.set(label, key, value).await,
        }
    }

    pub(super) async fn delete(&self, store: &Store, key: &str) -> Result<(), Error> {
        self.check_key(key)?;
        match store {
            Store::Memory(memory) => {
                memory.delete(key);
                Ok(())
            }
            Store::Durable(label) => self.entries.delete(label, key).await,
        }
    }

    pub(super) async fn keys(&self, store: &Store) -> Result<Vec<String>, Error> {
        match store {
            Store::Memory(memory) => Ok(memory.keys()),
            Store::Durable(label) => self.entries.keys(label).await,
        }
    }

    pub(super) fn check_key(&self, key: &str) -> Result<(), Error> {
        if key.len() > self.settings.key_bytes_max {
            return Err(Error::KeyTooLong(self.settings.key_bytes_max));
        }
        Ok(())
    }

    pub(super) fn check_value(&self, value: &[u8]) -> Result<(), Error> {
        if value.len() > self.settings.value_bytes_max {
            return Err(Error::ValueTooLong(self.settings.value_bytes_max));
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The file of the durable stores; nothing if there never was one.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened.
    pub async fn file(&self) -> Result<Option<Arc<sqlite::Database>>, Error> {
        match &self.entries {
            Entries::File(entries) => entries.existing().await,
            Entries::Postgres(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn stores(name: &str) -> (PathBuf, Arc<Stores>) {
        let dir = std::env::temp_dir().join(format!("host-kv-{}-{name}", std::process::id()));
        let _not_there = std::fs::remove_dir_all(&dir);
        let settings = Settings::default().with_memory_stores(["counters"]);
        let stores = Stores::open(&dir, settings).unwrap();
        stores.declare(["default", "other", "counters"]);
        (dir, stores)
    }

    #[tokio::test]
    async fn stores_are_apart_and_what_is_set_survives_reopening() {
        let (dir, stores) = stores("durable").await;
        let store = |label: &str| stores.store(label).unwrap();
        for (label, value) in [("default", b"1"), ("other", b"2"), ("counters", b"3")] {
            let store = store(label);
            stores.set(&store, "k".into(), b"old".to_vec()).await.unwrap();
            stores.set(&store, "k".into(), value.to_vec()).await.unwrap();
            assert_eq!(stores.get(&store, "k").await.unwrap().unwrap(), value);
            assert_eq!(stores.keys(&store).await.unwrap(), ["k"]);
        }
        let default = store("default");
        stores.delete(&default, "k").await.unwrap();
        stores.delete(&default, "k").await.unwrap();
        assert!(!stores.exists(&default, "k").await.unwrap());
        assert!(stores.exists(&store("other"), "k").await.unwrap());
        stores.close().await.unwrap();

        let again = Stores::open(&dir, Settings::default()).unwrap();
        again.declare(["other"]);
        let other = again.store("other").unwrap();
        assert_eq!(again.get(&other, "k").await.unwrap().unwrap(), b"2");
        assert!(again.store("unknown").is_none());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn keys_and_values_have_limits() {
        let (dir, stores) = stores("limits").await;
        for label in ["default", "counters"] {
            let store = stores.store(label).unwrap();
            let key = stores.set(&store, "k".repeat(1025), vec![]).await;
            assert!(matches!(key, Err(Error::KeyTooLong(1024))));
            let value = stores.set(&store, "k".into(), vec![0; (1 << 20) + 1]).await;
            assert!(matches!(value, Err(Error::ValueTooLong(_))));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
