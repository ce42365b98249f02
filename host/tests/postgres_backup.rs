//! `cairn backup` and `cairn restore` of an application on Postgres.

mod harness;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use harness::{
    TestDir,
    postgres::{Server, server},
};
use host::{
    capability::{
        handles::Handles,
        postgres::{DbValue, Error, Limits, Pool, Session},
    },
    database::{Database, Location},
};
use sqlx::AssertSqlSafe;

const LIMITS: Limits = Limits {
    statement_time_max: Duration::from_secs(5),
    statement_bytes_max: 1 << 20,
    rows_max: 1_000,
    result_bytes_max: 1 << 20,
};
const PASSWORD: &str = "of-the-tests";

struct Services {
    database: Arc<Database>,
    pools: BTreeMap<String, Arc<Pool>>,
}

impl Services {
    async fn new(location: &Location) -> Self {
        let database = Database::open(location).await.unwrap();
        let times = ["shop", "stock"].map(|label| (label.to_owned(), LIMITS.statement_time_max));
        let pools = database.pools(&BTreeMap::from(times)).await.unwrap();
        Self { database, pools }
    }

    /// What a service would have after the start, and rows that take a moment to copy.
    async fn with_tables(location: &Location) -> Self {
        let services = Self::new(location).await;
        for sql in [
            "CREATE TYPE kind AS ENUM ('new', 'old')",
            "CREATE TABLE orders (n BIGSERIAL PRIMARY KEY, kind kind NOT NULL DEFAULT 'new')",
            "CREATE TABLE lines (n BIGINT PRIMARY KEY REFERENCES orders (n), note TEXT)",
            "CREATE VIEW old_orders AS SELECT n FROM orders WHERE kind = 'old'",
            "CREATE FUNCTION one() RETURNS INT LANGUAGE sql AS 'SELECT 1'",
            "CREATE TABLE goods AS SELECT g, repeat(md5(g::text), 10) AS text FROM generate_series(1, 20000) g",
        ] {
            run(&mut services.session("shop"), sql).await;
        }
        run(&mut services.session("stock"), "CREATE TABLE moves (n BIGINT PRIMARY KEY)").await;
        services
    }

    fn session(&self, label: &str) -> Session {
        Session::new(Arc::clone(&self.pools[label]), LIMITS, Handles::default())
    }

    async fn count(&self, label: &str, table: &str) -> i64 {
        match run(&mut self.session(label), &format!("SELECT count(*) FROM {table}")).await.as_slice() {
            [row] => match row[0] {
                DbValue::Int64(count) => count,
                ref other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    async fn close(self) {
        for pool in self.pools.values() {
            pool.close().await;
        }
        self.database.close().await;
    }
}

async fn run(session: &mut Session, sql: &str) -> Vec<Vec<DbValue>> {
    session.run(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows
}

/// Writes orders, each with its line in one transaction and then with its move, until
/// it is told to stop.
async fn write(services: &Services, stop: &AtomicBool) {
    let (mut shop, mut stock) = (services.session("shop"), services.session("stock"));
    for n in 1.. {
        if stop.load(SeqCst) {
            return;
        }
        run(&mut shop, "BEGIN").await;
        run(&mut shop, "INSERT INTO orders DEFAULT VALUES").await;
        run(&mut shop, &format!("INSERT INTO lines VALUES ({n}, 'a note')")).await;
        run(&mut shop, "COMMIT").await;
        run(&mut stock, &format!("INSERT INTO moves VALUES ({n})")).await;
    }
}

async fn cairn(arguments: &[&str], location: &Location, environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.args(arguments).env("CAIRN_DATABASE_URL", &location.url).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(said).contains(PASSWORD), "a password was told");
    }
    output
}

async fn done(arguments: &[&str], location: &Location) -> String {
    let output = cairn(arguments, location, &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn refused(arguments: &[&str], location: &Location) -> String {
    let output = cairn(arguments, location, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn backup_in(dir: &TestDir) -> PathBuf {
    dir.path().join("backup.dump")
}

fn name(location: &Location) -> &str {
    location.url.rsplit('/').next().unwrap()
}

async fn schemas(server: &Server, location: &Location) -> Vec<String> {
    let sql = "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, 'cairn') ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(&mut server.admin(name(location)).await).await.unwrap()
}

async fn passwords(server: &Server, location: &Location) -> Vec<String> {
    let sql = "SELECT password FROM cairn_host.login ORDER BY label";
    sqlx::query_scalar(sql).fetch_all(&mut server.admin(name(location)).await).await.unwrap()
}

/// Copies while services write, restores elsewhere, and looks at all of it.
async fn there_and_elsewhere(server: &Server, source: &Location, target: &Location) {
    let dir = TestDir::new();
    let file = backup_in(&dir);
    let shown = file.to_str().unwrap();
    let services = Services::with_tables(source).await;
    let sql = "INSERT INTO cairn_host.entry VALUES ('default', 'key', 'value')";
    sqlx::query(sql).execute(&mut server.admin(name(source)).await).await.unwrap();
    let stop = AtomicBool::new(false);
    let copy = async {
        while services.count("stock", "moves").await < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = services.count("stock", "moves").await;
        let said = done(&["backup", shown], source).await;
        assert!(said.contains("as it was at one moment"), "{said}");
        let after = services.count("shop", "orders").await;
        stop.store(true, SeqCst);
        (before, after)
    };
    let (_, (before, after)) = tokio::join!(write(&services, &stop), copy);
    assert!(after > before, "it was written meanwhile");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join("backup.dump.part").exists());
    services.close().await;

    let said = done(&["restore", shown, "--database", &target.url], source).await;
    assert!(said.contains("2 database labels"), "{said}");
    assert_eq!(schemas(server, target).await, ["cairn_host", "cairn_shop", "cairn_stock"]);
    let services = Services::new(target).await;
    let orders = services.count("shop", "orders").await;
    let moves = services.count("stock", "moves").await;
    assert!((before..=after).contains(&orders), "{before} {orders} {after}");
    assert_eq!(services.count("shop", "lines").await, orders, "written together");
    assert!(moves == orders || moves + 1 == orders, "{orders} orders and {moves} moves");
    assert_eq!(services.count("shop", "goods").await, 20_000);
    let sql = "SELECT count(*) FROM cairn_host.entry WHERE store = 'default'";
    let entries: i64 = sqlx::query_scalar(sql).fetch_one(&mut server.admin(name(target)).await).await.unwrap();
    assert_eq!(entries, 1);

    let mut shop = services.session("shop");
    for sql in [
        "INSERT INTO orders (kind) VALUES ('old')",
        "UPDATE lines SET note = 'other'",
        "ALTER TABLE goods ADD COLUMN more TEXT",
        "ALTER TYPE kind ADD VALUE 'lost'",
        "ALTER SEQUENCE orders_n_seq RESTART WITH 100000",
        "DROP VIEW old_orders",
        "DROP FUNCTION one()",
    ] {
        run(&mut shop, sql).await;
    }
    for (label, sql) in [
        ("shop", "SELECT * FROM cairn_stock.moves"),
        ("stock", "SELECT * FROM cairn_shop.orders"),
        ("shop", "SELECT * FROM cairn_host.login"),
    ] {
        let denied = services.session(label).run(sql, &[]).await;
        assert!(matches!(&denied, Err(Error::Database(error)) if error.code == "42501"), "{sql}: {denied:?}");
    }
    let (old, new) = (passwords(server, source).await, passwords(server, target).await);
    assert!(new.len() == 2 && new.iter().all(|password| !old.contains(password)), "they are new");
    services.close().await;

    let again = refused(&["restore", shown], target).await;
    assert!(again.contains("is not empty") && again.contains("a new database"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_and_serves_elsewhere() {
    let Some(server) = server() else { return };
    there_and_elsewhere(server, &server.database().await, &server.database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_of_roles_and_one_database_is_enough() {
    let Some(server) = server() else { return };
    let mut admin = server.admin("postgres").await;
    let role = format!("CREATE ROLE keeper LOGIN CREATEROLE PASSWORD '{PASSWORD}'");
    sqlx::query(AssertSqlSafe(role)).execute(&mut admin).await.unwrap();
    let mut locations = Vec::new();
    for _ in 0..2 {
        let location = server.database().await;
        let give = format!("ALTER DATABASE {} OWNER TO keeper", name(&location));
        sqlx::query(AssertSqlSafe(give)).execute(&mut admin).await.unwrap();
        locations.push(Location::new(location.url.replace("postgres:of-the-tests", "keeper:of-the-tests")));
    }
    there_and_elsewhere(server, &locations[0], &locations[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_and_leaves_the_database_as_it_was() {
    let Some(server) = server() else { return };
    let (source, target) = (server.database().await, server.database().await);
    let dir = TestDir::new();
    let file = backup_in(&dir);
    let shown = file.to_str().unwrap();
    Services::with_tables(&source).await.close().await;
    done(&["backup", shown, "--database", &source.url], &source).await;
    let again = refused(&["backup", shown], &source).await;
    assert!(again.contains("exists already"), "{again}");

    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let middle = whole.len() / 2;
    changed[middle] ^= 0xff;
    for damaged in [&changed[..], &whole[..middle], &whole[..whole.len() - 10], &whole[..20]] {
        fs::write(&file, damaged).unwrap();
        let problem = refused(&["restore", shown], &target).await;
        assert!(problem.contains("the archive is damaged"), "{problem}");
        assert!(schemas(server, &target).await.is_empty());
    }
    fs::write(&file, &whole).unwrap();
    done(&["restore", shown], &target).await;
    assert_eq!(Services::new(&target).await.count("shop", "goods").await, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_or_copied_is_told() {
    let Some(server) = server() else { return };
    let (source, target) = (server.database().await, server.database().await);
    let dir = TestDir::new();
    let file = backup_in(&dir);
    let shown = file.to_str().unwrap();
    let foreign = refused(&["backup", shown], &source).await;
    assert!(foreign.contains("not one that an application lives on"), "{foreign}");
    let output = cairn(&["backup", shown], &source, &[("CAIRN_POSTGRES_TOOLS", dir.path())]).await;
    let absent = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(absent.contains("pg_dump is not installed") && absent.contains("postgresql-client"), "{absent}");
    let wrong = Location::new(source.url.replace(PASSWORD, "wrong"));
    let denied = refused(&["backup", shown], &wrong).await;
    assert!(denied.contains("password authentication failed") && !denied.contains("wrong"), "{denied}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing half done is left");

    Services::with_tables(&source).await.close().await;
    done(&["backup", shown], &source).await;
    // As a restore leaves it that was killed.
    let mark = "CREATE SCHEMA \"cairn restoring\"";
    sqlx::query(mark).execute(&mut server.admin(name(&target)).await).await.unwrap();
    let unfinished = refused(&["restore", shown], &target).await;
    assert!(unfinished.contains("create it anew and restore again"), "{unfinished}");
    let database = Database::open(&target).await.unwrap();
    let stopped = database.pools(&BTreeMap::new()).await.unwrap_err().to_string();
    assert!(stopped.contains("is being restored into it"), "{stopped}");
}
