//! Copies of several databases that are of one moment, made while they are written to.
//!
//! All writers are held for as long as it takes to begin a read on each database, some
//! milliseconds: no commit of any of them falls in between. Each read then goes on
//! seeing its database as it was at that moment, whatever is committed meanwhile, and is
//! copied at leisure. So a change that was made because of another one, in whichever
//! database, is in the copies only together with it; and what was acknowledged before is
//! in them.
//!
//! A read that goes on for long only keeps the log from being emptied.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use futures::future::join_all;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{Database, Error, database::WriterGuard};

/// How long writers are held back while others have not come to rest yet.
const HELD_TIME_MAX: Duration = Duration::from_millis(500);
/// Pause before all writers are asked for again.
const PAUSE: Duration = Duration::from_millis(100);
/// How often all writers are asked for.
const TRIES_MAX: usize = 40;
/// Pages copied at once.
const PAGES_AT_ONCE: i32 = 4096;

/// A database as it was at one moment.
pub struct Frozen {
    label: String,
    connection: Connection,
}

/// Freezes databases, all at the same moment.
///
/// # Errors
///
/// [`Error::Locked`] where some transaction never ends, and what SQLite reports.
pub async fn freeze(databases: &[Arc<Database>]) -> Result<Vec<Frozen>, Error> {
    let opening = databases.to_vec();
    let all = move || opening.iter().map(|database| open(database)).collect::<Result<Vec<Frozen>, Error>>();
    let frozen = tokio::task::spawn_blocking(all)
        .await
        .map_err(|error| Error::Internal(format!("opening did not finish: {error}")))??;
    let writers = hold_all(databases).await?;
    for database in &frozen {
        // A read begins with the first page that is read, not with BEGIN.
        database.connection.execute_batch("BEGIN")?;
        database.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_row| Ok(()))?;
    }
    drop(writers);
    Ok(frozen)
}

/// Takes every writer. Whoever waits for one database while it holds another must not
/// wait for us, so after a while all are given back and asked for again.
async fn hold_all(databases: &[Arc<Database>]) -> Result<Vec<WriterGuard>, Error> {
    for _ in 0..TRIES_MAX {
        let all = join_all(databases.iter().map(|database| database.writer_unlimited()));
        if let Ok(writers) = tokio::time::timeout(HELD_TIME_MAX, all).await {
            return Ok(writers);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Locked)
}

fn open(database: &Database) -> Result<Frozen, Error> {
    let connection = Connection::open_with_flags(
        database.path(),
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(Frozen { label: database.label().to_owned(), connection })
}

impl Frozen {
    /// The label of the database.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Writes the database to a new file. When this returns, it is on disk. Blocks.
    ///
    /// # Errors
    ///
    /// What SQLite or the file system reports; the file is then not usable.
    pub fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let mut copy = Connection::open(path)?;
        // A crash leaves a file that nobody takes for a copy, so nothing has to be undone.
        copy.pragma_update_and_check(None, "journal_mode", "off", |_row| Ok(()))?;
        copy.pragma_update(None, "synchronous", "off")?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        loop {
            match backup.step(PAGES_AT_ONCE)? {
                StepResult::Done => break,
                StepResult::More => {}
                StepResult::Busy | StepResult::Locked => return Err(Error::Locked),
                other => return Err(Error::Internal(format!("copying stopped with {other:?}"))),
            }
        }
        drop(backup);
        copy.close().map_err(|(_connection, error)| error)?;
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|error| Error::Internal(format!("cannot sync {}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

    use super::{
        super::{Databases, Settings, Value},
        *,
    };

    const TIME_MAX: Duration = Duration::from_secs(5);

    fn number(path: &Path) -> i64 {
        let copy = Connection::open(path).unwrap();
        let sound: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        copy.query_row("SELECT max(n) FROM step", [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0)
    }

    /// Somebody writes each number to one database and then to the other, again and
    /// again; so in no copy may the second be ahead, nor the first by more than one.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn copies_are_of_one_moment_while_databases_are_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let databases = Databases::open(dir.path().join("data"), Settings::default()).unwrap();
        databases.declare(["first", "second"]).unwrap();
        let all = databases.all().await.unwrap();
        for database in &all {
            let mut session = database.connect(TIME_MAX);
            session.execute("CREATE TABLE step (n INTEGER NOT NULL, ballast BLOB)", &[]).await.unwrap();
        }
        let acknowledged = Arc::new(AtomicI64::new(0));
        let (written, writing) = (acknowledged.clone(), all.clone());
        let writer = tokio::spawn(async move {
            let mut sessions: Vec<_> = writing.iter().map(|database| database.connect(TIME_MAX)).collect();
            for n in 1.. {
                for session in &mut sessions {
                    let parameters = [Value::Integer(n), Value::Blob(vec![7; 3000])];
                    session.execute("INSERT INTO step (n, ballast) VALUES (?, ?)", &parameters).await.unwrap();
                }
                written.store(n, SeqCst);
            }
        });
        for copy in 0..5 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let before = acknowledged.load(SeqCst);
            let frozen = freeze(&all).await.unwrap();
            // What is committed after the moment is in no copy, however late it is made.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let paths: Vec<_> = frozen
                .iter()
                .map(|database| {
                    let path = dir.path().join(format!("{}-{copy}.db", database.label()));
                    database.copy_to(&path).unwrap();
                    path
                })
                .collect();
            let (first, second) = (number(&paths[0]), number(&paths[1]));
            assert!(first == second || first == second + 1, "{first} and {second}");
            assert!(second >= before, "{before} was acknowledged, and the copy has {second}");
            assert!(acknowledged.load(SeqCst) > second, "nobody waited for the copy");
        }
        writer.abort();
        assert!(writer.await.unwrap_err().is_cancelled());
        databases.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_never_ends_is_waited_for_and_then_told() {
        let dir = tempfile::tempdir().unwrap();
        let databases = Databases::open(dir.path(), Settings::default()).unwrap();
        databases.declare(["only"]).unwrap();
        let all = databases.all().await.unwrap();
        let mut session = all[0].connect(TIME_MAX);
        session.execute("BEGIN", &[]).await.unwrap();
        tokio::time::pause();
        assert!(matches!(freeze(&all).await, Err(Error::Locked)));
        tokio::time::resume();
        session.execute("COMMIT", &[]).await.unwrap();
        assert_eq!(freeze(&all).await.unwrap().len(), 1);
    }
}
