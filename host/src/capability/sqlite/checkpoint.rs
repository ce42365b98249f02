//! Checkpoints: moving what is in the log into the database file, away from
//! the requests.
//!
//! A PASSIVE checkpoint runs on the blocking pool, beside readers and the
//! writer, when the log has grown by a threshold; a TRUNCATE checkpoint when the
//! database opens, when it is idle, and when it closes.
//!
//! # Never a checkpoint of a log that is already copied, beside a writer
//!
//! SQLite before 3.51.3 has a race that can corrupt a database: a checkpoint
//! that starts when the whole log has been copied already, at the instant at
//! which a writer restarts that log. Both halves are needed, and we never have
//! both. A PASSIVE checkpoint starts only after a commit that came after the end
//! of the checkpoint before it, so the log holds frames that are not copied, and
//! no writer may restart it until this very checkpoint has copied them. A
//! TRUNCATE checkpoint runs while the writer's lock is held, or before there is a
//! writer. To make "came after" exact, both sides look at `frames_copied` under
//! the writer's lock.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::{Error, database::Database, writer::Writer};

/// How long a TRUNCATE checkpoint waits for readers to leave the log.
const READERS_WAIT: Duration = Duration::from_millis(500);

/// How much a checkpoint may do.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Passive,
    Truncate,
}

pub(super) struct Checkpoints {
    connection: Mutex<Connection>,
    frames_threshold: u32,
    due: Arc<Notify>,
    /// Progress in the log; changed only under the writer's lock.
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Frames in the log when it was last checkpointed; 0 after a restart.
    frames_copied: u32,
    running: bool,
}

impl Progress {
    /// True if a commit that leaves this many frames in the log starts a
    /// checkpoint. Fewer than were copied means that the log was restarted.
    fn starts(&mut self, frames: u32, threshold: u32) -> bool {
        if self.running {
            return false;
        }
        if frames < self.frames_copied {
            self.frames_copied = 0;
        }
        self.running = frames - self.frames_copied >= threshold;
        self.running
    }

    fn finished(&mut self, frames_copied: u32) {
        self.running = false;
        self.frames_copied = frames_copied;
    }
}

impl Checkpoints {
    pub(super) fn open(path: &Path, log_bytes_threshold: u64) -> Result<Self, Error> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // At this level a checkpoint syncs the log before and the file after.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_row| Ok(()))?;
        connection.busy_timeout(READERS_WAIT)?;
        let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let frames = log_bytes_threshold / page_bytes.max(1);
        Ok(Self {
            connection: Mutex::new(connection),
            frames_threshold: u32::try_from(frames).unwrap_or(u32::MAX).max(1),
            due: Arc::default(),
            progress: Mutex::default(),
        })
    }

    /// Empties the log of an earlier run. Blocks; nobody else has the file yet.
    pub(super) fn recover(&self) -> Result<(), Error> {
        self.run(Mode::Truncate).map(|_frames| ())
    }

    /// Notes the length of the log after a commit. The caller holds the writer.
    pub(super) fn commit_noted(&self, frames: u32) {
        if self.progress().starts(frames, self.frames_threshold) {
            self.due.notify_one();
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a checkpoint; answers the frames that the log then has. Blocks.
    fn run(&self, mode: Mode) -> Result<u32, Error> {
        let sql = match mode {
            Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let frames: i64 = connection.query_row(sql, [], |row| row.get(1))?;
        // -1: the log has not been written yet.
        Ok(u32::try_from(frames).unwrap_or(0))
    }
}

/// Checkpoints a database until it is closed or dropped.
pub(super) async fn maintain(database: Weak<Database>) {
    let mut idle = Idle::default();
    loop {
        let Some((due, idle_after)) =
            database.upgrade().map(|database| (database.checkpoints().due.clone(), database.settings().idle_after))
        else {
            return;
        };
        let is_due = tokio::time::timeout(idle_after, due.notified()).await.is_ok();
        let Some(database) = database.upgrade().filter(|database| !database.is_closed()) else {
            return;
        };
        let result = if is_due { passive(&database).await } else { idle.truncate(&database).await };
        if let Err(error) = result {
            failed(&database, &error);
        }
    }
}

/// What the last look at an idle database found, in commits.
#[derive(Debug, Default)]
struct Idle {
    seen: Option<u64>,
    truncated: Option<u64>,
}

impl Idle {
    /// Empties the log if there was no commit since the last look.
    async fn truncate(&mut self, database: &Arc<Database>) -> Result<(), Error> {
        let commits = database.counters().snapshot().commits;
        if self.seen.replace(commits) != Some(commits) || self.truncated == Some(commits) {
            return Ok(());
        }
        let Some(mut writer) = database.writer_if_free() else {
            return Ok(());
        };
        truncate(database, &mut writer).await?;
        self.truncated = Some(commits);
        Ok(())
    }
}

async fn passive(database: &Arc<Database>) -> Result<(), Error> {
    let result = blocking(database, Mode::Passive).await;
    let _writer = database.writer_unlimited().await;
    let mut progress = database.checkpoints().progress();
    // After a failure, the next attempt waits for as much growth again.
    let frames_tried = progress.frames_copied.saturating_add(database.checkpoints().frames_threshold);
    progress.finished(*result.as_ref().unwrap_or(&frames_tried));
    result.map(|_frames| ())
}

/// Empties the log. The writer is held, so no commit can come between.
pub(super) async fn truncate(database: &Arc<Database>, _writer: &mut OwnedMutexGuard<Writer>) -> Result<(), Error> {
    blocking(database, Mode::Truncate).await?;
    database.checkpoints().progress().frames_copied = 0;
    Ok(())
}

async fn blocking(database: &Arc<Database>, mode: Mode) -> Result<u32, Error> {
    let running = database.clone();
    let result = tokio::task::spawn_blocking(move || running.checkpoints().run(mode))
        .await
        .map_err(|error| Error::Internal(format!("the checkpoint did not finish: {error}")))?;
    database.counters().checkpoints.add(1);
    result
}

pub(super) fn failed(database: &Database, error: &Error) {
    tracing::error!(database = database.label(), %error, "a checkpoint failed");
    if error.is_failed_sync() {
        database.poison(&format!("a sync during a checkpoint failed: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_starts_only_for_frames_that_came_after_the_last_one() {
        let mut progress = Progress::default();
        assert!(!progress.starts(99, 100));
        assert!(progress.starts(100, 100));
        assert!(!progress.starts(500, 100), "one at a time");
        progress.finished(500);
        assert!(!progress.starts(599, 100), "a reader kept the log from a restart");
        assert!(progress.starts(600, 100));
        progress.finished(600);
        assert!(!progress.starts(2, 100), "the log was restarted");
        assert!(!progress.starts(99, 100));
        assert!(progress.starts(100, 100));
    }
}
