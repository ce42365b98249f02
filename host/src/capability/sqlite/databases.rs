//! The databases of an application: which labels there are, and which are open.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::future::try_join_all;
use tokio::sync::OnceCell;

use crate::call::CurrentCall;

use super::{Ctx, Database, Error, Health, Snapshot, create_folder};

/// Length of a label, in bytes.
const LABEL_BYTES_MAX: usize = 64;

/// Limits and times of every database of a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a statement waits in line for the writer.
    pub writer_wait_max: Duration,
    /// Rows that one statement may return.
    pub rows_max: usize,
    /// Bytes that the result of one statement, or one value, may have.
    pub result_bytes_max: usize,
    /// Size of a database file, in bytes.
    pub database_bytes_max: u64,
    /// Growth of the write-ahead log that starts a checkpoint, in bytes. A page is copied
    /// and synced once for all commits that changed it; beyond about 4,000 pages the index of
    /// the log has a second part, and every look-up looks into both.
    pub log_bytes_threshold: u64,
    /// Time without a commit after which the log is emptied.
    pub idle_after: Duration,
    /// Connections that one instance may have open.
    pub connections_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            writer_wait_max: Duration::from_secs(5),
            rows_max: 100_000,
            result_bytes_max: 64 << 20,
            database_bytes_max: 64 << 30,
            log_bytes_threshold: 16 << 20,
            idle_after: Duration::from_secs(30),
            connections_max: 256,
        }
    }
}

/// What one component may use.
#[derive(Debug, Clone)]
pub struct Grants {
    pub labels: Arc<BTreeSet<String>>,
    /// Wall time of one statement.
    pub statement_time_max: Duration,
    /// Rows and bytes that one statement may return, where that is less than the host allows.
    pub result_max: (usize, usize),
}

impl Grants {
    #[must_use]
    pub fn new(labels: impl IntoIterator<Item = impl Into<String>>, statement_time_max: Duration) -> Self {
        let labels = Arc::new(labels.into_iter().map(Into::into).collect());
        Self { labels, statement_time_max, result_max: (usize::MAX, usize::MAX) }
    }

    /// The same, with no more than so many rows and bytes a statement.
    #[must_use]
    pub fn with_result_max(self, rows: usize, bytes: usize) -> Self {
        Self { result_max: (rows, bytes), ..self }
    }
}

/// All databases of a host, each a file `<label>.db` in one folder. A file is
/// opened when somebody first connects to its label.
#[derive(Debug)]
pub struct Databases {
    dir: PathBuf,
    settings: Settings,
    known: RwLock<BTreeMap<String, Arc<OnceCell<Arc<Database>>>>>,
}

impl Databases {
    /// Prepares the folder. Opens no database. Blocks.
    ///
    /// # Errors
    ///
    /// The folder cannot be created.
    pub fn open(dir: impl Into<PathBuf>, settings: Settings) -> Result<Arc<Self>, Error> {
        let dir = dir.into();
        create_folder(&dir)?;
        Ok(Arc::new(Self { dir, settings, known: RwLock::default() }))
    }

    /// Adds labels that the application has. No other can be opened.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidLabel`] for the first label that cannot name a file.
    pub fn declare(&self, labels: impl IntoIterator<Item = impl Into<String>>) -> Result<(), Error> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for label in labels {
            let label = label.into();
            if !is_label(&label) {
                return Err(Error::InvalidLabel(label));
            }
            known.entry(label).or_default();
        }
        Ok(())
    }

    /// The state of one instance, which works on `current`.
    #[must_use]
    pub fn ctx(self: &Arc<Self>, grants: &Grants, current: &Arc<CurrentCall>) -> Ctx {
        Ctx::new(self.clone(), grants.clone(), current.clone())
    }

    /// The database with this label, opened now if need be.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchDatabase`], or why the file cannot be opened.
    pub async fn database(&self, label: &str) -> Result<Arc<Database>, Error> {
        let cell = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(label)
            .cloned()
            .ok_or(Error::NoSuchDatabase)?;
        cell.get_or_try_init(|| self.open_file(label)).await.cloned()
    }

    /// Every database that the application has, opened now if need be.
    ///
    /// # Errors
    ///
    /// Why a file cannot be opened.
    pub async fn all(&self) -> Result<Vec<Arc<Database>>, Error> {
        let labels: Vec<String> = self.known.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        try_join_all(labels.iter().map(|label| self.database(label))).await
    }

    async fn open_file(&self, label: &str) -> Result<Arc<Database>, Error> {
        let path = self.dir.join(format!("{label}.db"));
        let named = label.to_owned();
        let settings = self.settings.clone();
        tokio::task::spawn_blocking(move || Database::open(&path, &named, settings))
            .await
            .map_err(|error| Error::Internal(format!("opening did not finish: {error}")))?
            .inspect_err(|error| tracing::error!(label, %error, "a database cannot be opened"))
    }

    /// Closes every open database. See [`Database::close`].
    ///
    /// # Errors
    ///
    /// The first error, after all were asked to close.
    pub async fn close(&self) -> Result<(), Error> {
        let mut first = Ok(());
        for database in self.opened() {
            let closed = database.close().await;
            if let Err(error) = &closed {
                tracing::error!(database = database.label(), %error, "closing failed");
            }
            first = first.and(closed);
        }
        first
    }

    /// The health of every open database, by label.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        self.opened().iter().map(|database| database.health()).collect()
    }

    /// The counters of every open database, by label.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, Snapshot)> {
        self.opened().iter().map(|database| (database.label().to_owned(), database.counters().snapshot())).collect()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn opened(&self) -> Vec<Arc<Database>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter_map(|cell| cell.get().cloned())
            .collect()
    }
}

/// A label names a file, so it can hold nothing that means something to a path.
fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}
