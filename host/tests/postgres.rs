//! Postgres as a component has it: values, transactions, limits, and what it may reach.

mod harness;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use harness::postgres::{Server, server};
use host::{
    capability::{
        allowed_hosts::AllowedHosts,
        handles::Handles,
        postgres::{
            Databases, DbDataType, DbValue, Error, Grants, Limits, Outcome, ParameterValue as P, Pool, Session,
            Settings,
        },
    },
    database::{Database, Location},
};

const LIMITS: Limits = Limits {
    statement_time_max: Duration::from_secs(5),
    statement_bytes_max: 1 << 20,
    rows_max: 1_000,
    result_bytes_max: 1 << 20,
};

struct Own {
    _database: Arc<Database>,
    pools: BTreeMap<String, Arc<Pool>>,
}

impl Own {
    async fn new(location: &Location, labels: &[&str]) -> Self {
        let database = Database::open(location).await.unwrap();
        let times = labels.iter().map(|label| ((*label).to_owned(), LIMITS.statement_time_max)).collect();
        let pools = database.pools(&times).await.unwrap();
        Self { _database: database, pools }
    }

    fn session(&self, label: &str) -> Session {
        Session::new(Arc::clone(&self.pools[label]), LIMITS, Default::default())
    }
}

async fn run(session: &mut Session, sql: &str) -> Outcome {
    session.run(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn code(session: &mut Session, sql: &str) -> String {
    match session.run(sql, &[]).await {
        Err(Error::Database(error)) => error.code,
        Err(other) => panic!("{sql}: {other}"),
        Ok(_) => panic!("{sql}: it ran"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_was_sent() {
    let Some(server) = server() else { return };
    let own = Own::new(&server.database().await, &["shop"]).await;
    let mut session = own.session("shop");
    let text = |text: &str| text.to_owned();
    let cases = [
        ("boolean", P::Boolean(true), DbValue::Boolean(true)),
        ("int2", P::Int16(-2), DbValue::Int16(-2)),
        ("int4", P::Int32(i32::MIN), DbValue::Int32(i32::MIN)),
        ("int8", P::Int64(i64::MAX), DbValue::Int64(i64::MAX)),
        ("float4", P::Floating32(1.5), DbValue::Floating32(1.5)),
        ("float8", P::Floating64(-0.1), DbValue::Floating64(-0.1)),
        ("text", P::Str(text("Zürich")), DbValue::Str(text("Zürich"))),
        ("varchar(9)", P::Str(text("a")), DbValue::Str(text("a"))),
        ("bytea", P::Binary(vec![0, 255]), DbValue::Binary(vec![0, 255])),
        ("date", P::Date((2024, 2, 29)), DbValue::Date((2024, 2, 29))),
        ("date", P::Date((-43, 3, 15)), DbValue::Date((-43, 3, 15))),
        ("time", P::Time((23, 59, 58, 1_000)), DbValue::Time((23, 59, 58, 1_000))),
        ("timestamp", P::Datetime((1999, 12, 31, 23, 0, 0, 0)), DbValue::Datetime((1999, 12, 31, 23, 0, 0, 0))),
        ("timestamptz", P::Timestamp(0), DbValue::Datetime((1970, 1, 1, 0, 0, 0, 0))),
        (
            "uuid",
            P::Uuid(text("F47AC10B-58CC-4372-A567-0E02B2C3D479")),
            DbValue::Uuid(text("f47ac10b-58cc-4372-a567-0e02b2c3d479")),
        ),
        ("jsonb", P::Jsonb(b"{\"a\":[1]}".to_vec()), DbValue::Jsonb(b"{\"a\": [1]}".to_vec())),
        ("numeric", P::Decimal(text("-1234567890.00012")), DbValue::Decimal(text("-1234567890.00012"))),
        ("numeric(60,20)", P::Decimal(text("0.5")), DbValue::Decimal(text("0.50000000000000000000"))),
        ("int4[]", P::ArrayInt32(vec![Some(1), None]), DbValue::ArrayInt32(vec![Some(1), None])),
        ("int8[]", P::ArrayInt64(vec![]), DbValue::ArrayInt64(vec![])),
        (
            "numeric[]",
            P::ArrayDecimal(vec![Some(text("1.5")), None]),
            DbValue::ArrayDecimal(vec![Some(text("1.5")), None]),
        ),
        (
            "text[]",
            P::ArrayStr(vec![Some(text("a,\"b\"")), None]),
            DbValue::ArrayStr(vec![Some(text("a,\"b\"")), None]),
        ),
    ];
    for (name, parameter, expected) in cases {
        let sql = format!("SELECT $1::{name}");
        let outcome = session.run(&sql, &[parameter]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(outcome.rows, [[expected]], "{name}");
        let null = session.run(&sql, &[P::DbNull]).await.unwrap();
        assert_eq!(null.rows, [[DbValue::DbNull]], "{name}");
    }
    let outcome =
        run(&mut session, "SELECT int4range(1, 5), numrange(NULL, 2.5, '[]'), '1 mon 2 days'::interval, 'x'::\"char\"")
            .await;
    let types: Vec<_> = outcome.columns.iter().map(|column| column.data_type.clone()).collect();
    assert_eq!(
        types,
        [DbDataType::RangeInt32, DbDataType::RangeDecimal, DbDataType::Interval, DbDataType::Other("\"char\"".into())]
    );
    assert!(matches!(&outcome.rows[0][3], DbValue::Unsupported(bytes) if bytes == b"x"));
    let round = session
        .run(
            "SELECT $1::int4range = int4range(1, 5), $2::interval = interval '1 mon 2 days'",
            &[
                P::RangeInt32(match &outcome.rows[0][0] {
                    DbValue::RangeInt32(range) => *range,
                    other => panic!("{other:?}"),
                }),
                P::Interval(match &outcome.rows[0][2] {
                    DbValue::Interval(interval) => *interval,
                    other => panic!("{other:?}"),
                }),
            ],
        )
        .await
        .unwrap();
    assert_eq!(round.rows, [[DbValue::Boolean(true), DbValue::Boolean(true)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_type_is_refused_before_it_is_sent() {
    let Some(server) = server() else { return };
    let own = Own::new(&server.database().await, &["shop"]).await;
    let mut session = own.session("shop");
    let refused = session.run("SELECT $1::int8", &[P::Str("1".into())]).await;
    assert!(matches!(refused, Err(Error::Parameter { position: 1, .. })));
    let refused = session.run("SELECT $1::int8", &[]).await;
    assert!(matches!(refused, Err(Error::ParameterCount { expected: 1, given: 0 })));
    let empty = run(&mut session, "SELECT 1 AS n, 'a' AS t WHERE false").await;
    assert_eq!(empty.columns.len(), 2, "columns are named without rows");
    assert_eq!(code(&mut session, "SELEC 1").await, "42601");
    assert!(matches!(session.run("COPY t FROM STDIN", &[]).await, Err(Error::Copy)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_kept_on_its_connection_and_rolled_back_when_dropped() {
    let Some(server) = server() else { return };
    let own = Own::new(&server.database().await, &["shop"]).await;
    let open = Handles::default();
    let mut first = Session::new(Arc::clone(&own.pools["shop"]), LIMITS, open.clone());
    run(&mut first, "CREATE TABLE t (n BIGINT PRIMARY KEY)").await;
    run(&mut first, "BEGIN").await;
    run(&mut first, "INSERT INTO t VALUES (1)").await;
    assert!(open.any());
    let mut second = own.session("shop");
    assert!(run(&mut second, "SELECT n FROM t").await.rows.is_empty());
    drop(first);
    assert!(!open.any());
    // The row lock of the first is gone, so this does not wait.
    run(&mut second, "INSERT INTO t VALUES (1)").await;
    run(&mut second, "BEGIN").await;
    run(&mut second, "INSERT INTO t VALUES (2)").await;
    assert_eq!(code(&mut second, "INSERT INTO t VALUES (1)").await, "23505");
    assert_eq!(code(&mut second, "SELECT 1").await, "25P02");
    assert!(matches!(second.run("COMMIT", &[]).await, Err(Error::CommitOfFailed)));
    assert_eq!(run(&mut second, "SELECT n FROM t").await.rows, [[DbValue::Int64(1)]]);
    run(&mut second, "BEGIN").await;
    run(&mut second, "SAVEPOINT a").await;
    assert_eq!(code(&mut second, "INSERT INTO t VALUES (1)").await, "23505");
    run(&mut second, "ROLLBACK TO SAVEPOINT a").await;
    run(&mut second, "INSERT INTO t VALUES (3)").await;
    assert_eq!(run(&mut second, "COMMIT").await.affected, 0);
    assert_eq!(run(&mut second, "SELECT n FROM t ORDER BY n").await.affected, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_statement_sets_does_not_reach_the_next_guest() {
    let Some(server) = server() else { return };
    let mut location = server.database().await;
    location.connections_a_label_max = 1;
    let own = Own::new(&location, &["shop"]).await;
    let mut first = own.session("shop");
    run(&mut first, "SET statement_timeout = 1").await;
    run(&mut first, "SELECT pg_advisory_lock(7)").await;
    let mut second = own.session("shop");
    let shown = run(
        &mut second,
        "SELECT current_setting('statement_timeout'), count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7",
    )
    .await;
    assert_eq!(shown.rows, [[DbValue::Str("5s".into()), DbValue::Int64(0)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_sees_its_own_schema_and_nothing_else() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let own = Own::new(&location, &["shop", "stock"]).await;
    let (mut shop, mut stock) = (own.session("shop"), own.session("stock"));
    run(&mut shop, "CREATE TABLE secret (n BIGINT)").await;
    run(&mut shop, "INSERT INTO secret VALUES (42)").await;
    assert_eq!(code(&mut stock, "SELECT n FROM secret").await, "42P01");
    for (sql, expected) in [
        ("SELECT n FROM cairn_shop.secret", "42501"),
        ("INSERT INTO cairn_shop.secret VALUES (1)", "42501"),
        ("CREATE TABLE cairn_shop.mine (n BIGINT)", "42501"),
        ("DROP SCHEMA cairn_shop CASCADE", "42501"),
        ("SELECT password FROM cairn_host.login", "42501"),
        ("SELECT value FROM cairn_host.entry", "42501"),
        ("CREATE TABLE public.mine (n BIGINT)", "42501"),
        ("CREATE TEMP TABLE mine (n BIGINT)", "42501"),
        ("CREATE SCHEMA mine", "42501"),
        ("CREATE ROLE other", "42501"),
        ("SET ROLE postgres", "42501"),
        ("SELECT pg_read_file('/etc/passwd')", "42501"),
        ("COPY (SELECT 1) TO PROGRAM 'true'", ""),
    ] {
        match stock.run(sql, &[]).await {
            Err(Error::Database(error)) => assert_eq!(error.code, expected, "{sql}: {}", error.message),
            Err(Error::Copy) if expected.is_empty() => {}
            other => panic!("{sql}: {other:?}"),
        }
    }
    // The other role's name is known, and does not help.
    let role = code(&mut stock, "SET SESSION AUTHORIZATION cairn_test_0_shop").await;
    assert!(["42501", "22023"].contains(&role.as_str()), "{role}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_times_are_bounded() {
    let Some(server) = server() else { return };
    let own = Own::new(&server.database().await, &["shop"]).await;
    let mut session = own.session("shop");
    let many = session.run("SELECT generate_series(1, 100000)", &[]).await;
    assert!(matches!(many, Err(Error::TooManyRows(1_000))), "{many:?}");
    let large = session.run("SELECT repeat('x', 2000000)", &[]).await;
    assert!(matches!(large, Err(Error::TooManyBytes(_))), "{large:?}");
    let limits = Limits { statement_time_max: Duration::from_millis(200), ..LIMITS };
    let mut hasty = Session::new(Arc::clone(&own.pools["shop"]), limits, Default::default());
    let began = Instant::now();
    let slow = hasty.run("SELECT pg_sleep(60)", &[]).await;
    assert!(matches!(slow, Err(Error::Time(_))), "{slow:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(run(&mut session, "SELECT 1").await.rows, [[DbValue::Int32(1)]]);
    let slow = code(&mut session, "SELECT pg_sleep(60)").await;
    assert_eq!(slow, "57014", "the server itself ends it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_connection_is_lost_is_not_continued_without_it() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let own = Own::new(&location, &["shop"]).await;
    let mut session = own.session("shop");
    run(&mut session, "CREATE TABLE t (n BIGINT)").await;
    run(&mut session, "BEGIN").await;
    run(&mut session, "INSERT INTO t VALUES (1)").await;
    let mut other = own.session("shop");
    let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE state = 'idle in transaction' AND usename = current_user";
    assert_eq!(run(&mut other, killed).await.affected, 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(session.run("INSERT INTO t VALUES (2)", &[]).await.is_err());
    assert!(matches!(session.run("INSERT INTO t VALUES (3)", &[]).await, Err(Error::TransactionLost)));
    assert!(matches!(session.run("COMMIT", &[]).await, Err(Error::TransactionLost)));
    assert!(run(&mut session, "SELECT n FROM t").await.rows.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_server_it_goes_on() {
    let Some(mut server) = Server::start() else { return };
    let location = server.database().await;
    let own = Own::new(&location, &["shop"]).await;
    let mut session = own.session("shop");
    run(&mut session, "CREATE TABLE t (n BIGINT)").await;
    run(&mut session, "INSERT INTO t VALUES (1)").await;
    server.restart();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(server.admin("postgres").await);
    assert_eq!(run(&mut session, "SELECT n FROM t").await.rows, [[DbValue::Int64(1)]], "it was acknowledged");
    server.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let down = session.run("SELECT 1", &[]).await;
    assert!(matches!(down, Err(Error::NoneFree { .. } | Error::Unreachable(_))), "{down:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_prepared_before_its_table_changed_is_prepared_anew() {
    let Some(server) = server() else { return };
    let mut location = server.database().await;
    location.connections_a_label_max = 1;
    let own = Own::new(&location, &["shop"]).await;
    let mut session = own.session("shop");
    run(&mut session, "CREATE TABLE t (n BIGINT)").await;
    run(&mut session, "INSERT INTO t VALUES (1)").await;
    assert_eq!(run(&mut session, "SELECT * FROM t").await.columns.len(), 1);
    run(&mut session, "ALTER TABLE t ADD COLUMN m TEXT").await;
    assert_eq!(run(&mut session, "SELECT * FROM t").await.columns.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_agree() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let starting = (0..4).map(|_| Own::new(&location, &["shop", "stock"]));
    let hosts = futures::future::join_all(starting).await;
    run(&mut hosts[0].session("shop"), "CREATE TABLE t (n BIGINT)").await;
    for host in &hosts {
        run(&mut host.session("shop"), "INSERT INTO t VALUES (1)").await;
    }
    assert_eq!(run(&mut hosts[3].session("shop"), "SELECT n FROM t").await.rows.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_lived_on_is_refused_with_what_to_do() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let mut admin = server.admin("postgres").await;
    let create = "DO $$ BEGIN CREATE ROLE plain LOGIN PASSWORD 'p'; EXCEPTION WHEN duplicate_object THEN END $$";
    sqlx::query(create).execute(&mut admin).await.unwrap();
    let plain = location.url.replace("postgres:of-the-tests", "plain:p");
    for (url, expected) in [
        ("nonsense".to_owned(), "postgres://user@host/database"),
        (location.url.replace("of-the-tests", "wrong"), "password authentication failed"),
        ("postgres://postgres@127.0.0.1:1/x".to_owned(), "check the database URL and that the server runs"),
        (plain, "CREATEROLE"),
    ] {
        let error = Database::open(&Location::new(url)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("of-the-tests"), "{error}");
    }
}

/// What a component has that may connect to this server, and to no label.
fn visitor(server: &Server, host: &str) -> (Arc<Databases>, Grants) {
    let allowed = AllowedHosts::parse(&[format!("postgres://{host}:{}", server.port())]).unwrap();
    let grants = Grants {
        component: "visitor".into(),
        labels: Arc::default(),
        allowed_hosts: Arc::new(allowed),
        statement_time_max: Duration::from_secs(5),
        result_max: (usize::MAX, usize::MAX),
    };
    (Databases::new(Settings::default(), Some(BTreeMap::new())), grants)
}

async fn connect((databases, grants): &(Arc<Databases>, Grants), address: &str) -> Result<Session, Error> {
    databases.connect(grants, address, None, Default::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_outside_is_a_session_as_in_spin() {
    let Some(server) = server() else { return };
    let url = server.database().await.url;
    let visitor = visitor(server, "127.0.0.1");
    let mut session = connect(&visitor, &url).await.unwrap();
    run(&mut session, "SET application_name = 'mine'").await;
    let named = run(&mut session, "SELECT current_setting('application_name')").await;
    assert_eq!(named.rows, [[DbValue::Str("mine".into())]], "a session keeps its settings");
    run(&mut session, "CREATE TABLE t (n BIGINT)").await;
    run(&mut session, "BEGIN").await;
    run(&mut session, "INSERT INTO t VALUES (1)").await;
    drop(session);
    let mut next = connect(&visitor, &url).await.unwrap();
    assert!(run(&mut next, "SELECT n FROM t").await.rows.is_empty());
    let named = run(&mut next, "SELECT current_setting('application_name')").await;
    assert_eq!(named.rows, [[DbValue::Str("visitor".into())]], "and the next one does not get them");
    for (address, expected) in [
        (url.replace("127.0.0.1", "localhost"), "is not permitted"),
        (url.replace("of-the-tests", "wrong"), "password authentication failed"),
        ("postgres://cairn.internal/shop".to_owned(), "was not granted"),
        ("nonsense".to_owned(), "cannot be used"),
    ] {
        let error = connect(&visitor, &address).await.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("of-the-tests"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_requires_tls_trusts_only_whom_it_should() {
    let Some(server) = server() else { return };
    let Some(certificate) = server.certificate() else { return };
    let visitor = visitor(server, "localhost");
    let url = server.database().await.url.replace("127.0.0.1", "localhost");
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let mut preferred = connect(&visitor, &url).await.unwrap();
    assert_eq!(run(&mut preferred, encrypted).await.rows, [[DbValue::Boolean(true)]]);
    let mut plain = connect(&visitor, &format!("{url}?sslmode=disable")).await.unwrap();
    assert_eq!(run(&mut plain, encrypted).await.rows, [[DbValue::Boolean(false)]]);
    let required = format!("{url}?sslmode=require");
    let untrusted = connect(&visitor, &required).await.err().unwrap().to_string();
    assert!(untrusted.contains("cannot be reached"), "{untrusted}");
    let (databases, grants) = &visitor;
    let mut trusted =
        databases.connect(grants, &required, Some(certificate.clone()), Default::default()).await.unwrap();
    assert_eq!(run(&mut trusted, encrypted).await.rows, [[DbValue::Boolean(true)]]);
    // The certificate is for localhost.
    let by_number = self::visitor(server, "127.0.0.1");
    let (databases, grants) = &by_number;
    let address = required.replace("localhost", "127.0.0.1");
    assert!(databases.connect(grants, &address, Some(certificate), Default::default()).await.is_err());
}
