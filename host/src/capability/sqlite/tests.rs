use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::call::{Call, CurrentCall};

use super::{Database, Databases, Error, Grants, Session, Settings, Value, commit::Sync};

const TIME_MAX: Duration = Duration::from_secs(5);

/// A folder that is removed with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("host-sqlite-test-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self, settings: Settings) -> Arc<Database> {
        Database::open(&self.0.join("a.db"), "a", settings).unwrap()
    }

    fn open_with_sync(&self, sync: Sync) -> Arc<Database> {
        Database::open_with(&self.0.join("a.db"), "a", Settings::default(), Some(sync)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}

async fn database() -> (Folder, Arc<Database>, Session) {
    let folder = Folder::new();
    let database = folder.open(Settings::default());
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    (folder, database, session)
}

async fn run(session: &mut Session, sql: &str) -> Vec<Vec<Value>> {
    session
        .execute(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .rows
        .into_iter()
        .map(|row| row.values)
        .collect()
}

async fn count(session: &mut Session) -> i64 {
    match run(session, "select count(*) from t").await[0][0] {
        Value::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

async fn error(session: &mut Session, sql: &str, parameters: &[Value]) -> Error {
    session.execute(sql, parameters).await.expect_err(sql)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commits_share_syncs_and_all_survive_reopening() {
    let (folder, database, mut session) = database().await;
    let before = database.counters().snapshot();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let mut session = database.connect(TIME_MAX);
            tokio::spawn(async move {
                for n in 0..20 {
                    run(&mut session, "begin immediate").await;
                    let v = text(&format!("{task}/{n}"));
                    session.execute("insert into t(v) values($1)", &[v]).await.unwrap();
                    run(&mut session, "commit").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let after = database.counters().snapshot();
    assert_eq!(after.commits - before.commits, 64 * 20);
    let syncs = after.syncs - before.syncs;
    assert!(syncs < 64 * 20 / 4, "{syncs} syncs for {} commits", 64 * 20);
    assert_eq!(count(&mut session).await, 64 * 20);
    drop(session);
    database.close().await.unwrap();

    let reopened = folder.open(Settings::default());
    assert_eq!(count(&mut reopened.connect(TIME_MAX)).await, 64 * 20);
    let distinct = run(&mut reopened.connect(TIME_MAX), "select count(distinct v) from t").await;
    assert_eq!(distinct[0][0], Value::Integer(64 * 20));
}

#[tokio::test]
async fn a_commit_is_answered_only_after_a_sync_that_started_later() {
    let folder = Folder::new();
    let (started, starts) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let database = folder.open_with_sync(Box::new(move || {
        started.send(()).map_err(io::Error::other)?;
        released.recv().map_err(io::Error::other)
    }));
    let mut session = database.connect(TIME_MAX);
    let commit = tokio::spawn(async move {
        run(&mut session, "create table t(id integer primary key, v text)").await;
        session
    });
    let starts = tokio::task::spawn_blocking(move || {
        starts.recv().unwrap();
        starts
    })
    .await
    .unwrap();
    // The change is committed and visible, and yet not answered.
    assert_eq!(count(&mut database.connect(TIME_MAX)).await, 0);
    assert!(!commit.is_finished());
    // A second commit during this sync waits for the next one.
    let mut other = database.connect(TIME_MAX);
    let second = tokio::spawn(async move { run(&mut other, "insert into t(v) values('x')").await });
    while count(&mut database.connect(TIME_MAX)).await == 0 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    commit.await.unwrap();
    tokio::task::spawn_blocking(move || starts.recv().unwrap()).await.unwrap();
    assert!(!second.is_finished());
    release.send(()).unwrap();
    second.await.unwrap();
    assert_eq!(database.counters().snapshot().syncs, 2);
}

/// The disk is modelled by what a sync found in the log: nothing else would be
/// there after a power failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_was_acknowledged_is_there_after_a_power_failure() {
    let (folder, after_failure) = (Folder::new(), Folder::new());
    let log = folder.0.join("a.db-wal");
    let disk = Arc::new(std::sync::Mutex::new(Vec::new()));
    let written = disk.clone();
    let database = folder.open_with_sync(Box::new(move || {
        *written.lock().unwrap() = std::fs::read(&log)?;
        Ok(())
    }));
    run(&mut database.connect(TIME_MAX), "create table t(id integer primary key, v text)").await;
    let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let mut session = database.connect(TIME_MAX);
            let acknowledged = acknowledged.clone();
            tokio::spawn(async move {
                for n in 0..40 {
                    let v = format!("{writer}/{n}");
                    session.execute("insert into t(v) values($1)", &[text(&v)]).await.unwrap();
                    acknowledged.lock().unwrap().push(v);
                }
            })
        })
        .collect();
    let mut failures = 0;
    while failures < 10 || writers.iter().any(|writer| !writer.is_finished()) {
        let promised = acknowledged.lock().unwrap().clone();
        let log = disk.lock().unwrap().clone();
        let path = after_failure.0.join(format!("{failures}.db"));
        std::fs::copy(folder.0.join("a.db"), &path).unwrap();
        std::fs::write(after_failure.0.join(format!("{failures}.db-wal")), log).unwrap();
        let recovered = rusqlite::Connection::open(path).unwrap();
        let mut rows = recovered.prepare("select v from t").unwrap();
        let survived: std::collections::HashSet<String> =
            rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let lost: Vec<_> = promised.iter().filter(|v| !survived.contains(*v)).collect();
        assert!(lost.is_empty(), "lost after {failures}: {lost:?}");
        failures += 1;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_dropped_inside_a_transaction_leaves_nothing_and_the_next_writer_proceeds() {
    let (_folder, database, mut other) = database().await;
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "begin").await;
    run(&mut session, "insert into t(v) values('lost')").await;
    assert!(session.in_transaction());
    let waiting = tokio::spawn(async move {
        run(&mut other, "insert into t(v) values('kept')").await;
        run(&mut other, "select v from t").await
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(session);
    assert_eq!(waiting.await.unwrap(), [[text("kept")]]);
    assert_eq!(database.counters().snapshot().rollbacks_on_drop, 1);
}

#[tokio::test]
async fn a_cancelled_wait_for_the_writer_does_not_hold_it() {
    let (_folder, database, mut session) = database().await;
    run(&mut session, "begin").await;
    let mut cancelled = database.connect(TIME_MAX);
    let waiting = tokio::spawn(async move {
        let _never = cancelled.execute("insert into t(v) values('no')", &[]).await;
    });
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    run(&mut session, "commit").await;
    run(&mut database.connect(TIME_MAX), "insert into t(v) values('yes')").await;
    assert_eq!(run(&mut session, "select v from t").await, [[text("yes")]]);
}

#[tokio::test]
async fn reads_see_commits_at_once_and_never_an_open_transaction() {
    let (_folder, database, mut session) = database().await;
    let mut reader = database.connect(TIME_MAX);
    for n in 1..=50 {
        run(&mut session, "begin").await;
        run(&mut session, "insert into t(v) values('x')").await;
        assert_eq!(count(&mut reader).await, n - 1);
        assert_eq!(count(&mut session).await, n, "its own changes are visible");
        run(&mut session, "commit").await;
        assert_eq!(count(&mut reader).await, n);
    }
}

#[tokio::test]
async fn a_writer_that_waits_too_long_is_told_that_the_database_is_locked() {
    let folder = Folder::new();
    let database = folder.open(Settings { writer_wait_max: Duration::from_millis(30), ..Settings::default() });
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    run(&mut session, "begin").await;
    let mut other = database.connect(TIME_MAX);
    let locked = error(&mut other, "insert into t(v) values('x')", &[]).await;
    assert_eq!(locked.to_string(), "database is locked");
    assert_eq!(count(&mut other).await, 0, "reads go on");
    run(&mut session, "rollback").await;
    run(&mut other, "insert into t(v) values('x')").await;
    assert_eq!(database.counters().snapshot().writer_timeouts, 1);
}

#[tokio::test]
async fn a_statement_that_outruns_its_budget_is_interrupted_and_undone() {
    let (_folder, database, mut session) = database().await;
    let mut hurried = database.connect(Duration::from_millis(20));
    let since = Instant::now();
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) ";
    let read = error(&mut hurried, &format!("{endless} select sum(i) from n"), &[]).await;
    assert!(matches!(read, Error::Budget(_)), "{read}");
    let write = format!("insert into t(v) {endless} select i from n");
    let write = error(&mut hurried, &write, &[]).await;
    assert!(write.to_string().contains("20 ms"), "{write}");
    assert!(since.elapsed() < Duration::from_secs(2));
    assert_eq!(count(&mut session).await, 0);
    run(&mut hurried, "insert into t(v) values('x')").await;
}

#[tokio::test]
async fn wrong_parameters_are_errors_and_never_panics() {
    let (_folder, _database, mut session) = database().await;
    let one = [text("x")];
    for (sql, parameters, message) in [
        ("insert into t(v) values(?)", &[][..], "takes 1 parameters, 0 were given"),
        ("select 1", &one, "takes 0 parameters, 1 were given"),
        ("select ?2", &one, "takes 2 parameters, 1 were given"),
        ("select $1, $2", &one, "takes 2 parameters, 1 were given"),
    ] {
        let error = error(&mut session, sql, parameters).await.to_string();
        assert!(error.contains(message), "{sql}: {error}");
    }
    let both = [Value::Integer(1), text("a")];
    for sql in ["select ?, ?", "select ?1, ?2", "select $1, $2"] {
        let rows = session.execute(sql, &both).await.unwrap().rows;
        assert_eq!(rows[0].values, both, "{sql}");
    }
    let repeated = session.execute("select $1, $2, $1", &both).await.unwrap();
    assert_eq!(repeated.rows[0].values[2], Value::Integer(1));
}

#[tokio::test]
async fn every_type_of_value_comes_back_as_it_was_given() {
    let (_folder, _database, mut session) = database().await;
    let values = [Value::Null, Value::Integer(i64::MIN), Value::Real(1.5), text("नमस्ते"), Value::Blob(vec![0, 255])];
    let result = session.execute("select $1 as a, $2 as b, $3, $4, $5", &values).await.unwrap();
    assert_eq!(result.columns[..2], ["a", "b"]);
    assert_eq!(result.rows[0].values, values);
    let invalid = error(&mut session, "select cast(x'ff' as text)", &[]).await;
    assert!(matches!(invalid, Error::NotUtf8 { column: 0 }));
}

#[tokio::test]
async fn a_failed_sync_poisons_the_database_for_writes() {
    let folder = Folder::new();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let database = folder.open_with_sync(Box::new(move || {
        if failing.load(SeqCst) {
            return Err(io::Error::other("no more disk"));
        }
        Ok(())
    }));
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    assert_eq!(database.health().failure, None);
    let mut pinned = database.connect(TIME_MAX);

    fails.store(true, SeqCst);
    let lost = error(&mut session, "insert into t(v) values('x')", &[]).await;
    assert!(lost.to_string().contains("no more disk"), "{lost}");
    // The disk looks well again, which proves nothing.
    fails.store(false, SeqCst);
    for sql in ["insert into t(v) values('y')", "begin", "create table u(a)"] {
        let refused = error(&mut pinned, sql, &[]).await;
        assert!(matches!(refused, Error::Poisoned(_)), "{sql}: {refused}");
    }
    count(&mut pinned).await;
    assert!(database.health().failure.unwrap().contains("no more disk"));
}

#[tokio::test]
async fn a_transaction_open_when_a_sync_fails_cannot_commit() {
    let folder = Folder::new();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let database = folder.open_with_sync(Box::new(move || match failing.load(SeqCst) {
        true => Err(io::Error::other("no more disk")),
        false => Ok(()),
    }));
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    let mut pinned = database.connect(TIME_MAX);
    run(&mut pinned, "begin").await;
    run(&mut pinned, "insert into t(v) values('x')").await;
    database.poison("told by a checkpoint");
    let refused = error(&mut pinned, "commit", &[]).await;
    assert!(matches!(refused, Error::Poisoned(_)));
    run(&mut pinned, "rollback").await;
    assert!(!pinned.in_transaction());
    assert_eq!(count(&mut session).await, 0);
}

#[tokio::test]
async fn changes_and_row_ids_belong_to_the_connection_that_made_them() {
    let (_folder, database, mut session) = database().await;
    let mut other = database.connect(TIME_MAX);
    assert_eq!((session.changes(), session.last_insert_rowid()), (0, 0));
    run(&mut session, "insert into t(id, v) values(7, 'a'), (8, 'b')").await;
    run(&mut other, "insert into t(id, v) values(100, 'c')").await;
    assert_eq!((session.changes(), session.last_insert_rowid()), (2, 8));
    run(&mut session, "update t set v = 'x' where id < 10").await;
    assert_eq!((session.changes(), session.last_insert_rowid()), (2, 8));
    run(&mut session, "select * from t").await;
    run(&mut session, "begin").await;
    run(&mut session, "commit").await;
    assert_eq!(session.changes(), 2, "only changes count");
    run(&mut other, "begin").await;
    run(&mut other, "with x as (select 1) select * from x").await;
    assert_eq!(other.changes(), 1, "of its own insert, not of the update above");
    run(&mut other, "rollback").await;
    run(&mut session, "delete from t where id = 4711").await;
    assert_eq!(session.changes(), 0);
    // An upsert that updates inserts nothing, and must not tell another's id.
    run(&mut session, "insert into t(id, v) values(7, 'q') on conflict(id) do update set v = excluded.v").await;
    assert_eq!((session.changes(), session.last_insert_rowid()), (1, 8));
    assert_eq!((other.changes(), other.last_insert_rowid()), (1, 100));
}

#[tokio::test]
async fn results_over_a_limit_are_errors_and_undo_the_change_that_returned_them() {
    let folder = Folder::new();
    let database = folder.open(Settings { rows_max: 3, result_bytes_max: 1000, ..Settings::default() });
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    run(&mut session, "insert into t(v) values('a'), ('b'), ('c')").await;
    assert_eq!(run(&mut session, "select * from t").await.len(), 3);
    let rows = error(&mut session, "insert into t(v) values('d'), ('e'), ('f'), ('g') returning id", &[]).await;
    assert!(matches!(rows, Error::TooManyRows(3)), "{rows}");
    assert_eq!(count(&mut session).await, 3);
    let bytes = error(&mut session, "select hex(zeroblob(450)), hex(zeroblob(450))", &[]).await;
    assert!(matches!(bytes, Error::TooManyBytes(1000)), "{bytes}");
    let returned = run(&mut session, "update t set v = 'z' where id = 1 returning v").await;
    assert_eq!(returned, [[text("z")]]);
    assert!(!session.in_transaction());
}

#[tokio::test]
async fn what_would_leak_or_weaken_durability_is_refused() {
    let (_folder, _database, mut session) = database().await;
    for sql in [
        "attach 'x.db' as x",
        "detach main",
        "vacuum",
        "vacuum into 'copy.db'",
        "pragma synchronous = off",
        "pragma journal_mode = delete",
        "pragma wal_checkpoint(truncate)",
        "pragma locking_mode = exclusive",
        "pragma writable_schema = on",
        "pragma foreign_keys = off",
        "pragma query_only = off",
        "pragma database_list",
        "create temp table x(a)",
    ] {
        let refused = error(&mut session, sql, &[]).await;
        assert!(matches!(refused, Error::Refused(_)), "{sql}: {refused}");
    }
    let function = error(&mut session, "select load_extension('x')", &[]).await;
    assert!(function.to_string().contains("not authorized"), "{function}");
    for sql in [
        "pragma foreign_keys = on",
        "pragma busy_timeout = 5000",
        "pragma user_version = 7",
        "pragma table_info(t)",
        "select * from pragma_table_info('t')",
        "pragma integrity_check",
        "pragma foreign_key_check",
        "create virtual table search using fts5(v)",
        "insert into search(v) values('a walk in the hills')",
        "select * from search where search match 'hills'",
    ] {
        run(&mut session, sql).await;
    }
    assert_eq!(run(&mut session, "pragma user_version").await, [[Value::Integer(7)]]);
    assert_eq!(run(&mut session, "pragma foreign_keys").await, [[Value::Integer(1)]]);
}

#[tokio::test]
async fn more_than_one_statement_is_an_error_that_says_so() {
    let (_folder, _database, mut session) = database().await;
    for sql in [
        "select 1; select 2",
        "create table u(a); insert into u values(1)",
        "insert into t(v) values('x'); drop table t",
    ] {
        let several = error(&mut session, sql, &[]).await;
        assert!(matches!(several, Error::SeveralStatements), "{sql}: {several}");
    }
    assert_eq!(count(&mut session).await, 0);
    run(&mut session, "select 1; -- nothing follows").await;
    let plain = error(&mut session, "selec 1", &[]).await.to_string();
    assert!(plain.contains("syntax error"), "{plain}");
}

#[tokio::test]
async fn savepoints_pin_the_writer_like_transactions() {
    let (_folder, _database, mut session) = database().await;
    run(&mut session, "savepoint s").await;
    run(&mut session, "insert into t(v) values('x')").await;
    assert!(session.in_transaction());
    run(&mut session, "rollback to s").await;
    run(&mut session, "release s").await;
    assert!(!session.in_transaction());
    assert_eq!(count(&mut session).await, 0);
}

#[tokio::test]
async fn a_cached_query_follows_a_change_of_the_schema() {
    let (_folder, _database, mut session) = database().await;
    run(&mut session, "insert into t(v) values('x')").await;
    let sql = "select * from t";
    assert_eq!(session.execute(sql, &[]).await.unwrap().columns.len(), 2);
    run(&mut session, "alter table t add column w text default 'w'").await;
    let result = session.execute(sql, &[]).await.unwrap();
    assert_eq!(result.columns, ["id", "v", "w"]);
    assert_eq!(result.rows[0].values[2], text("w"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn checkpoints_run_beside_writers_and_lose_nothing() {
    let folder = Folder::new();
    let database = folder.open(Settings {
        log_bytes_threshold: 64 << 10,
        idle_after: Duration::from_millis(50),
        ..Settings::default()
    });
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let mut session = database.connect(TIME_MAX);
            tokio::spawn(async move {
                for _ in 0..100 {
                    run(&mut session, "insert into t(v) values(hex(randomblob(1500)))").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(database.counters().snapshot().checkpoints > 1);
    let log = folder.0.join("a.db-wal");
    let since = Instant::now();
    while std::fs::metadata(&log).unwrap().len() > 0 {
        assert!(since.elapsed() < Duration::from_secs(10), "an idle log is emptied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&mut session).await, 800);
    let check = run(&mut session, "pragma integrity_check").await;
    assert_eq!(check, [[text("ok")]]);
}

#[tokio::test]
async fn a_closed_database_answers_with_an_error() {
    let (folder, database, mut session) = database().await;
    run(&mut session, "insert into t(v) values('x')").await;
    database.close().await.unwrap();
    assert_eq!(std::fs::metadata(folder.0.join("a.db-wal")).map_or(0, |log| log.len()), 0);
    for sql in ["select 1", "insert into t(v) values('y')"] {
        let closed = error(&mut session, sql, &[]).await;
        assert!(matches!(closed, Error::Closed), "{sql}: {closed}");
    }
}

#[tokio::test]
async fn labels_are_opened_once_and_only_if_declared() {
    let folder = Folder::new();
    let databases = Databases::open(&folder.0, Settings::default()).unwrap();
    databases.declare(["one", "two"]).unwrap();
    let invalid = databases.declare(["../etc"]).unwrap_err();
    assert!(matches!(invalid, Error::InvalidLabel(_)));
    let first = databases.database("one").await.unwrap();
    let second = databases.database("one").await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let unknown = databases.database("three").await.unwrap_err();
    assert!(matches!(unknown, Error::NoSuchDatabase));
    assert_eq!(databases.health().len(), 1);

    let ctx = databases.ctx(&Grants::new(["one"], TIME_MAX), &Arc::new(CurrentCall::new(Call::own(TIME_MAX))));
    for (label, denied) in [("one", None), ("two", Some("granted")), ("three", Some("granted"))] {
        match (ctx.opening(label.to_owned()).run().await, denied) {
            (Ok(connection), None) => {
                let session = connection.session();
                let mut session = session.try_lock().unwrap();
                run(&mut session, "begin").await;
                assert!(ctx.has_open_transaction());
                run(&mut session, "rollback").await;
                assert!(!ctx.has_open_transaction());
            }
            (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{error}"),
            (_, expected) => panic!("{label}: {expected:?}"),
        }
    }
    databases.close().await.unwrap();
}

#[tokio::test]
async fn a_database_at_its_size_limit_says_that_it_is_full() {
    let folder = Folder::new();
    let database = folder.open(Settings { database_bytes_max: 256 << 10, ..Settings::default() });
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    let full = error(&mut session, "insert into t(v) values(hex(zeroblob(200000)))", &[]).await;
    assert!(matches!(full, Error::DatabaseFull), "{full}");
    run(&mut session, "insert into t(v) values('small')").await;
    assert_eq!(count(&mut session).await, 1);
}

#[tokio::test]
async fn an_instance_opens_only_so_many_connections() {
    let folder = Folder::new();
    let databases = Databases::open(&folder.0, Settings { connections_max: 2, ..Settings::default() }).unwrap();
    databases.declare(["one"]).unwrap();
    let ctx = databases.ctx(&Grants::new(["one"], TIME_MAX), &Arc::new(CurrentCall::new(Call::own(TIME_MAX))));
    let open = || ctx.opening("one".to_owned()).run();
    let (_first, second) = (open().await.ok(), open().await.ok());
    assert!(matches!(open().await, Err(Error::TooManyConnections(2))));
    drop(second);
    assert!(open().await.is_ok());
}

#[tokio::test]
async fn opening_moves_the_log_of_an_earlier_run_into_the_file() {
    let (folder, again) = (Folder::new(), Folder::new());
    let database = folder.open(Settings::default());
    let mut session = database.connect(TIME_MAX);
    run(&mut session, "create table t(id integer primary key, v text)").await;
    run(&mut session, "insert into t(v) values('x')").await;
    // What a process that was killed leaves behind.
    for name in ["a.db", "a.db-wal"] {
        std::fs::copy(folder.0.join(name), again.0.join(name)).unwrap();
    }
    let log = again.0.join("a.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    let recovered = again.open(Settings::default());
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    let mut session = recovered.connect(TIME_MAX);
    assert_eq!(count(&mut session).await, 1);
    run(&mut session, "insert into t(v) values('y')").await;
}
