//! The stores of an application: which labels there are, and where each keeps
//! its entries.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;

use super::{
    Ctx, Error, Grants,
    entries::Entries,
    file::FileEntries,
    memory::{Memory, MemoryLimits},
    postgres::PostgresEntries,
};
use crate::{call::CurrentCall, capability::sqlite};

/// Limits of every store of a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Labels of stores that live in memory only.
    pub memory: BTreeMap<String, MemoryLimits>,
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

    /// The state of one instance with these grants, which works on `current`.
    #[must_use]
    pub fn ctx(self: &Arc<Self>, grants: &Arc<Grants>, current: &Arc<CurrentCall>) -> Ctx {
        Ctx::new(self.clone(), grants.clone(), current.clone())
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
