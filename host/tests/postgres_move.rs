//! `cairn db move`: all rows arrive, both ways, or none count.

mod harness;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use harness::{
    TestDir,
    postgres::{Server, server},
};
use host::{
    capability::{
        handles::Handles,
        postgres::{Limits, Session},
    },
    database::{
        Database, Location,
        moving::{Direction, Move, Moved},
    },
};
use rusqlite::{Connection, types::Value};

const TABLES: [&str; 3] = [
    "CREATE TABLE parents (id TEXT PRIMARY KEY, born BIGINT)",
    "CREATE TABLE children (id TEXT PRIMARY KEY, parent TEXT NOT NULL REFERENCES parents (id), \
     weight DOUBLE PRECISION, photo BYTES, twin BOOLEAN)",
    "CREATE TABLE schema_migrations (name TEXT PRIMARY KEY)",
];
const LABEL: &str = "family";

fn labels() -> BTreeMap<String, Duration> {
    BTreeMap::from([(LABEL.to_owned(), Duration::from_secs(5))])
}

fn file(folder: &Path) -> PathBuf {
    folder.join("sqlite/family.db")
}

fn entries(folder: &Path) -> PathBuf {
    folder.join("key_value/key_value.db")
}

fn on_sqlite(folder: &Path) -> Connection {
    std::fs::create_dir_all(folder.join("sqlite")).unwrap();
    let connection = Connection::open(file(folder)).unwrap();
    for table in TABLES {
        connection.execute(&table.replace("BYTES", "BLOB"), []).unwrap();
    }
    connection
}

/// What the components do when the host lets them prepare themselves.
async fn prepare(folder: PathBuf, location: Option<Location>) -> Result<(), String> {
    let Some(location) = location else {
        drop(on_sqlite(&folder));
        return Ok(());
    };
    let database = Database::open(&location).await.map_err(|error| error.to_string())?;
    let pools = database.pools(&labels()).await.map_err(|error| error.to_string())?;
    let limits = Limits {
        statement_time_max: Duration::from_secs(5),
        statement_bytes_max: 10_000,
        rows_max: 10,
        result_bytes_max: 10_000,
    };
    let mut session = Session::new(Arc::clone(&pools[LABEL]), limits, Handles::default());
    for table in TABLES {
        session.run(&table.replace("BYTES", "BYTEA"), &[]).await.map_err(|error| error.to_string())?;
    }
    // As the demo does, or the first admin: rows that are not of the source.
    session.run("INSERT INTO parents VALUES ('made at start', 1)", &[]).await.map_err(|error| error.to_string())?;
    pools[LABEL].close().await;
    database.close().await;
    Ok(())
}

async fn run(folder: &Path, location: &Location, direction: Direction) -> Result<Vec<Moved>, String> {
    let moving = Move { labels: labels(), data_dir: folder.to_owned(), location: location.clone() };
    let told = Mutex::new(Vec::new());
    let outcome = moving
        .run(direction, async |location| prepare(folder.to_owned(), location).await, &|moved: &Moved| {
            told.lock().unwrap().push(moved.clone())
        })
        .await
        .map_err(|error| error.to_string())?;
    assert_eq!(*told.lock().unwrap(), outcome);
    Ok(outcome)
}

/// A family with values of every kind, and some entries.
fn source(folder: &Path) {
    let connection = on_sqlite(folder);
    let parents = "INSERT INTO parents VALUES (?1, ?2)";
    connection.execute(parents, ("tab\t, line\n, back\\slash, \"quote\", Zürich 🏔", i64::MAX)).unwrap();
    connection.execute(parents, ("\\N", None::<i64>)).unwrap();
    connection.execute(parents, ("", i64::MIN)).unwrap();
    let children = "INSERT INTO children VALUES (?1, '', ?2, ?3, ?4)";
    let all_bytes: Vec<u8> = (0..=255).collect();
    connection.execute(children, ("a", 0.1 + 0.2, all_bytes, 1)).unwrap();
    connection.execute(children, ("b", f64::MIN_POSITIVE, Vec::<u8>::new(), 0)).unwrap();
    connection.execute(children, ("c", None::<f64>, None::<Vec<u8>>, None::<i64>)).unwrap();
    for number in 0..5_000 {
        connection.execute(children, (format!("n{number}"), f64::from(number), vec![7_u8; 100], 1)).unwrap();
    }
    connection.execute("INSERT INTO schema_migrations VALUES ('0001')", []).unwrap();
    std::fs::create_dir_all(folder.join("key_value")).unwrap();
    let kept = Connection::open(entries(folder)).unwrap();
    kept.execute(
        "CREATE TABLE entry(store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(store, key))",
        [],
    )
    .unwrap();
    kept.execute("INSERT INTO entry VALUES ('default', ?1, ?2)", ("a key\0 with a nul", vec![0_u8, 255])).unwrap();
}

fn rows(path: &Path, sql: &str) -> Vec<Vec<Value>> {
    let connection = Connection::open(path).unwrap();
    let mut select = connection.prepare(sql).unwrap();
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|index| row.get::<_, Value>(index)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

async fn count(server: &Server, location: &Location, table: &str) -> i64 {
    let mut admin = server.admin(location.url.rsplit('/').next().unwrap()).await;
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_and_comes_back() {
    let Some(server) = server() else { return };
    let (there, back) = (TestDir::new(), TestDir::new());
    source(there.path());
    let location = server.database().await;
    let moved = run(there.path(), &location, Direction::ToPostgres).await.unwrap();
    let total: u64 = moved.iter().map(|table| table.rows).sum();
    assert_eq!((moved.len(), total), (4, 3 + 5_003 + 1 + 1));
    assert_eq!(count(server, &location, "cairn_family.parents").await, 3, "what preparing made is gone");
    assert_eq!(count(server, &location, "cairn_host.entry").await, 1);

    let returned = run(back.path(), &location, Direction::ToSqlite).await.unwrap();
    assert_eq!(returned.iter().map(|table| table.rows).sum::<u64>(), total);
    for table in ["parents", "children", "schema_migrations"] {
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        assert_eq!(rows(&file(back.path()), &sql), rows(&file(there.path()), &sql), "{table}");
    }
    let sql = "SELECT store, key, value FROM entry";
    assert_eq!(rows(&entries(back.path()), sql), rows(&entries(there.path()), sql));
    assert!(!back.path().join("moving").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_data_is_refused() {
    let Some(server) = server() else { return };
    let dir = TestDir::new();
    source(dir.path());
    let location = server.database().await;
    run(dir.path(), &location, Direction::ToPostgres).await.unwrap();
    let again = run(dir.path(), &location, Direction::ToPostgres).await.unwrap_err();
    assert!(again.contains("the target is not empty"), "{again}");
    let back = run(dir.path(), &location, Direction::ToSqlite).await.unwrap_err();
    assert!(back.contains("the target is not empty"), "{back}");
    assert_eq!(rows(&file(dir.path()), "SELECT count(*) FROM children"), [[Value::Integer(5_003)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_failed_stops_hosts_and_is_begun_anew() {
    let Some(server) = server() else { return };
    let dir = TestDir::new();
    source(dir.path());
    let source = Connection::open(file(dir.path())).unwrap();
    source.execute("UPDATE parents SET born = 'long ago' WHERE id = ''", []).unwrap();
    let location = server.database().await;
    let failed = run(dir.path(), &location, Direction::ToPostgres).await.unwrap_err();
    assert!(failed.contains("column born holds"), "{failed}");

    let database = Database::open(&location).await.unwrap();
    let refused = database.pools(&labels()).await.unwrap_err().to_string();
    assert!(refused.contains("run `cairn db move` again"), "{refused}");
    database.close().await;

    source.execute("UPDATE parents SET born = 1 WHERE id = ''", []).unwrap();
    run(dir.path(), &location, Direction::ToPostgres).await.unwrap();
    assert_eq!(count(server, &location, "cairn_family.children").await, 5_003);
    let database = Database::open(&location).await.unwrap();
    database.pools(&labels()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_differ_and_hosts_that_run_stop_a_move() {
    let Some(server) = server() else { return };
    let dir = TestDir::new();
    source(dir.path());
    let location = server.database().await;
    let running = Database::open(&location).await.unwrap();
    let refused = run(dir.path(), &location, Direction::ToPostgres).await.unwrap_err();
    assert!(refused.contains("stop all of its hosts"), "{refused}");
    running.close().await;

    Connection::open(file(dir.path())).unwrap().execute("ALTER TABLE parents ADD COLUMN more TEXT", []).unwrap();
    let refused = run(dir.path(), &location, Direction::ToPostgres).await.unwrap_err();
    assert!(refused.contains("\"parents\" is not the same"), "{refused}");
}
