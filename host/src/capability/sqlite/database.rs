//! One database: its file, its writer, its gate, and who maintains it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;

use super::{
    Counters, Error, Session, Settings,
    checkpoint::{self, Checkpoints},
    commit::{CommitGate, Sync},
    reader,
    writer::Writer,
};

pub(super) type WriterGuard = tokio::sync::OwnedMutexGuard<Writer>;

/// An open database, shared by every instance that was granted its label.
pub struct Database {
    /// Tells databases apart in the readers of a thread.
    serial: u64,
    label: String,
    path: PathBuf,
    settings: Settings,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    gate: CommitGate,
    checkpoints: Checkpoints,
    counters: Arc<Counters>,
    closed: AtomicBool,
    maintenance: Mutex<Option<AbortHandle>>,
}

/// Whether a database takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub label: String,
    /// Why it does not; `None` if all is well.
    pub failure: Option<String>,
}

impl Database {
    /// Opens the file, and creates it where it is missing. Blocks; must be
    /// called inside a tokio runtime, which then also runs its checkpoints.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, is no database, or cannot have a log.
    pub fn open(path: &Path, label: &str, settings: Settings) -> Result<Arc<Self>, Error> {
        Self::open_with(path, label, settings, None)
    }

    /// As [`Self::open`], with another way to sync the log.
    pub(super) fn open_with(
        path: &Path,
        label: &str,
        settings: Settings,
        sync: Option<Sync>,
    ) -> Result<Arc<Self>, Error> {
        static NEXT_SERIAL: AtomicU64 = AtomicU64::new(0);
        let file_error =
            |what: &str, error: io::Error| Error::Internal(format!("cannot {what} {}: {error}", path.display()));
        let writer = Writer::open(path, &settings)?;
        let log = File::open(log_path(path)).map_err(|error| file_error("open the log of", error))?;
        if let Some(folder) = path.parent() {
            sync_folder(folder).map_err(|error| file_error("sync the folder of", error))?;
        }
        let checkpoints = Checkpoints::open(path, settings.log_bytes_threshold)?;
        checkpoints.recover()?;
        let counters = Arc::new(Counters::default());
        let sync = sync.unwrap_or_else(|| Box::new(move || log.sync_data()));
        let database = Arc::new(Self {
            serial: NEXT_SERIAL.fetch_add(1, Relaxed),
            label: label.to_owned(),
            path: path.to_owned(),
            checkpoints,
            settings,
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            gate: CommitGate::start(label, counters.clone(), sync)?,
            counters,
            closed: AtomicBool::new(false),
            maintenance: Mutex::new(None),
        });
        let maintenance = tokio::spawn(checkpoint::maintain(Arc::downgrade(&database)));
        *database.maintenance() = Some(maintenance.abort_handle());
        Ok(database)
    }

    /// A connection for one guest. Each of its statements may take `time_max`.
    #[must_use]
    pub fn connect(self: &Arc<Self>, time_max: Duration) -> Session {
        Session::new(self.clone(), time_max)
    }

    /// Ends service: commits that wait are synced, the log is moved into the
    /// file, the writer is closed. Statements that come later fail.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if a transaction stays open for longer than
    /// `writer_wait_max`; the database then keeps running. Otherwise what SQLite
    /// reported; the database is closed even so, and nothing acknowledged is lost.
    pub async fn close(self: &Arc<Self>) -> Result<(), Error> {
        let mut writer = self.writer().await?;
        self.closed.store(true, SeqCst);
        if let Some(maintenance) = self.maintenance().take() {
            maintenance.abort();
        }
        let truncated = checkpoint::truncate(self, &mut writer).await;
        if let Err(error) = &truncated {
            checkpoint::failed(self, error);
        }
        let this = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            this.gate.close();
            writer.close()
        })
        .await
        .map_err(|error| Error::Internal(format!("closing did not finish: {error}")))?;
        reader::forget_closed();
        truncated.and(closed)
    }

    #[must_use]
    pub fn health(&self) -> Health {
        Health { label: self.label.clone(), failure: self.gate.failure().map(|error| error.to_string()) }
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Waits in line for the writer, for as long as the settings allow.
    pub(super) async fn writer(&self) -> Result<WriterGuard, Error> {
        let writer = match self.writer_if_free() {
            Some(writer) => writer,
            None => self.writer_in_line().await?,
        };
        if writer.is_closed() {
            return Err(Error::Closed);
        }
        Ok(writer)
    }

    async fn writer_in_line(&self) -> Result<WriterGuard, Error> {
        let since = Instant::now();
        let waited = tokio::time::timeout(self.settings.writer_wait_max, self.writer.clone().lock_owned()).await;
        self.counters.writer_waits.add(1);
        self.counters.writer_wait_ns.add_time(since.elapsed());
        waited.map_err(|_elapsed| {
            self.counters.writer_timeouts.add(1);
            Error::Locked
        })
    }

    /// The writer, if nobody holds it and nobody waits for it.
    pub(super) fn writer_if_free(&self) -> Option<WriterGuard> {
        self.writer.clone().try_lock_owned().ok()
    }

    /// Waits in line for the writer without a limit: for the host itself.
    pub(super) async fn writer_unlimited(&self) -> WriterGuard {
        self.writer.clone().lock_owned().await
    }

    /// Refuses writes from now on, after a sync failed that the gate did not see.
    pub(super) fn poison(&self, reason: &str) {
        self.gate.poison(reason);
    }

    pub(super) fn gate(&self) -> &CommitGate {
        &self.gate
    }

    pub(super) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn maintenance(&self) -> std::sync::MutexGuard<'_, Option<AbortHandle>> {
        self.maintenance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(maintenance) = self.maintenance().take() {
            maintenance.abort();
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("label", &self.label).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Creates a folder for database files where it is missing, so that a crash
/// cannot take the folder away from under them.
pub(in crate::capability) fn create_folder(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder)
        .and_then(|()| match folder.canonicalize()?.parent() {
            Some(parent) => sync_folder(parent),
            None => Ok(()),
        })
        .map_err(|error| Error::Internal(format!("cannot create {}: {error}", folder.display())))
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// SQLite's name for the write-ahead log of a file.
fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}
