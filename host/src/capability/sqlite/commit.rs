//! The output gate: answers to commits wait until the commit is on disk.
//!
//! One flusher thread per database syncs the write-ahead log. Commits that
//! arrive while a sync runs wait for the next one, and share it: the slower the
//! disk, the larger the groups.
//!
//! # Why one `fdatasync` of the `-wal` file is enough
//!
//! - A commit appends its frames to the log with `write` before SQLite says
//!   that it succeeded; only then is it handed to [`CommitGate::submit`]. The
//!   flusher takes the waiting commits *first* and calls `fdatasync` *after*,
//!   so the sync starts after every `write` that it answers for. `fdatasync`
//!   writes all dirty pages of the file and the size needed to read them,
//!   whichever descriptor they were written through.
//! - The file stays the same file. SQLite unlinks a log only when its last
//!   connection closes, and the writer stays open as long as the gate does; a
//!   log is restarted or truncated in place. SQLite puts no locks on the log
//!   file, so a second descriptor of it is harmless (one of the database file
//!   would not be: closing it would drop SQLite's POSIX locks).
//! - The log may be checkpointed and restarted between a commit and its sync,
//!   and the sync then no longer sees the commit's frames. It does not have to:
//!   with `synchronous=NORMAL` a checkpoint syncs the log before it copies, and
//!   a log may be restarted only after a checkpoint has copied all of it *and*
//!   synced the database file. Whatever a restart overwrites is on disk already.
//! - The first frames after a restart cannot be taken for frames of the old log:
//!   SQLite syncs the new header, with its new salt, inside that first commit.
//! - Recovery takes frames in order up to the last intact commit. A sync covers
//!   every earlier byte of the file, so a commit never survives without those
//!   before it.
//!
//! # When a sync fails
//!
//! The kernel may take the pages that it could not write for written, and report
//! success next time, so trying again proves nothing. The database is poisoned:
//! waiting and later writes are refused until the host is started anew. Reads go
//! on. A start copies the log that it finds into the database file and syncs
//! that, before it serves anybody: these are fresh writes, so nothing of a log
//! that was never written is built upon.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use tokio::sync::oneshot;

use super::{Error, counters::Counters};

/// Makes the log durable. Replaced in tests, to fail.
pub(super) type Sync = Box<dyn FnMut() -> io::Result<()> + Send>;

type Outcome = Result<(), Error>;

/// Holds back the answers to the commits of one database.
pub(super) struct CommitGate {
    shared: Arc<Shared>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    label: String,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
    /// Wakes the flusher.
    work: Condvar,
    failure: OnceLock<Arc<str>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<Outcome>>,
    closed: bool,
}

/// A commit that is not known to be on disk yet.
#[must_use = "a commit may be answered only after `wait`"]
pub(super) struct Ticket {
    outcome: oneshot::Receiver<Outcome>,
    submitted: Instant,
}

impl CommitGate {
    pub(super) fn start(label: &str, counters: Arc<Counters>, sync: Sync) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            label: label.to_owned(),
            counters,
            queue: Mutex::default(),
            work: Condvar::new(),
            failure: OnceLock::new(),
        });
        let flusher = std::thread::Builder::new()
            .name(format!("sync-{label}"))
            .spawn({
                let shared = shared.clone();
                move || shared.flush_until_closed(sync)
            })
            .map_err(|error| Error::Internal(format!("cannot start the flusher: {error}")))?;
        Ok(Self { shared, flusher: Mutex::new(Some(flusher)) })
    }

    /// Takes a commit that SQLite has just reported as done. Call it before the
    /// writer is released, so that closing cannot overtake it.
    pub(super) fn submit(&self) -> Ticket {
        let (sender, outcome) = oneshot::channel();
        let mut queue = self.shared.lock();
        if queue.closed || self.failure().is_some() {
            // Nobody is left to sync; the receiver sees why below.
            drop(sender);
        } else {
            queue.waiting.push(sender);
            if queue.waiting.len() == 1 {
                self.shared.work.notify_one();
            }
        }
        drop(queue);
        Ticket { outcome, submitted: Instant::now() }
    }

    /// Waits until the commit is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] if the sync failed: whether the commit survives a
    /// crash is then unknown.
    pub(super) async fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        let outcome = ticket.outcome.await;
        self.shared.counters.gate_wait_ns.add_time(ticket.submitted.elapsed());
        outcome.unwrap_or_else(|_| Err(self.failure().unwrap_or(Error::Closed)))
    }

    /// Why writes are refused, if they are.
    pub(super) fn failure(&self) -> Option<Error> {
        self.shared.failure.get().cloned().map(Error::Poisoned)
    }

    /// Refuses every write from now on.
    pub(super) fn poison(&self, reason: &str) {
        self.shared.poison(reason);
    }

    /// Syncs what waits and stops the flusher. Blocks.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(flusher) = flusher
            && flusher.join().is_err()
        {
            tracing::error!(database = %self.shared.label, "the flusher panicked");
        }
    }
}

impl Drop for CommitGate {
    fn drop(&mut self) {
        // The thread ends by itself; waiting for a disk here could block a
        // thread that serves requests.
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is valid after every statement, whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_until_closed(&self, mut sync: Sync) {
        while let Some(group) = self.next_group() {
            let outcome = match self.failure.get() {
                Some(reason) => Err(Error::Poisoned(reason.clone())),
                None => sync().map_err(|error| self.poison(&format!("a sync of its log failed: {error}"))),
            };
            self.counters.syncs.add(1);
            for waiting in group {
                // A receiver that is gone belongs to a request that was
                // cancelled; its commit stands all the same.
                let _cancelled = waiting.send(outcome.clone());
            }
        }
    }

    /// The commits to sync next; `None` once the gate is closed and all are synced.
    fn next_group(&self) -> Option<Vec<oneshot::Sender<Outcome>>> {
        let mut queue = self.lock();
        loop {
            if !queue.waiting.is_empty() {
                return Some(std::mem::take(&mut queue.waiting));
            }
            if queue.closed {
                return None;
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn poison(&self, reason: &str) -> Error {
        let first = self.failure.get_or_init(|| {
            tracing::error!(
                database = %self.label,
                reason,
                "the database takes no more writes until the host is restarted",
            );
            Arc::from(reason)
        });
        Error::Poisoned(first.clone())
    }
}
