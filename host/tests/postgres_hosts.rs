//! What several hosts on one Postgres share: key-value stores and claims on jobs.

mod harness;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use harness::{TestDir, get, guest, manifest, post, postgres::server};
use host::{
    database::{Database, Location},
    host::Running,
    scheduler::{Claim, Claims as _},
};

/// A host of the guest `caller`, twice: as two components with a database each.
async fn callers(dir: &TestDir, location: &Location) -> Running {
    let guest = guest("caller");
    let text = manifest(&[
        ("shop", &guest, "/...", "sqlite_databases = [\"shop\"]\n"),
        ("stock", &guest, "", "sqlite_databases = [\"stock\"]\n"),
    ]);
    harness::host(dir, &text)
        .answer("test:guests/echo@1.0.0", "double", |_| Box::pin(async { Ok(vec![]) }))
        .database(Some(location.clone()))
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn run(host: &Running, lines: &str) -> String {
    post(host.http_addr(), "/postgres/x", lines.to_owned()).await.body
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_serve_one_component_on_its_own_database() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let dirs = (TestDir::new(), TestDir::new());
    let (first, second) = (callers(&dirs.0, &location).await, callers(&dirs.1, &location).await);
    assert_eq!(run(&first, "CREATE TABLE t (n BIGINT)\nINSERT INTO t VALUES (7)").await, "");
    assert_eq!(run(&second, "SELECT n FROM t").await, "7");

    // A request that ends inside of a transaction is rolled back, and keeps no lock.
    assert_eq!(run(&first, "BEGIN\nUPDATE t SET n = 8\nSELECT 1 AS m -- and BEGIN").await, "leaked");
    assert_eq!(run(&second, "UPDATE t SET n = n + 2\nSELECT n FROM t").await, "9");

    let other = run(&second, "postgres://cairn.internal/stock\nSELECT 1").await;
    assert!(other.contains("was not granted"), "{other}");
    let outside = run(&second, &format!("{}\nSELECT 1", location.url)).await;
    assert!(outside.contains("is not permitted"), "{outside}");
    let files = get(second.http_addr(), "/insert/shop").await.body;
    assert!(files.contains("NoSuchDatabase"), "what is in a file is on one host alone: {files}");
    let metrics = get(first.operator_addr(), "/metrics").await.body;
    assert!(metrics.contains("cairn_postgres_rollbacks_on_drop_total{database=\"shop\"} 1"), "{metrics}");
    assert!(first.stop().await && second.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_stores_are_shared_by_all_hosts() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let dirs = (TestDir::new(), TestDir::new());
    let text = manifest(&[("older", &guest("older"), "/...", "key_value_stores = [\"default\", \"second\"]\n")]);
    let start = async |dir: &TestDir, location: Option<Location>| {
        harness::host(dir, &text).database(location).start().await.unwrap_or_else(|error| panic!("{error}"))
    };
    let on_files = start(&dirs.0, None).await;
    let mut expected = Vec::new();
    for path in ["/key-value/default", "/atomics", "/key-value/second", "/key-value/other"] {
        expected.push(get(on_files.http_addr(), path).await.body);
    }
    on_files.stop().await;
    let hosts = (start(&dirs.0, Some(location.clone())).await, start(&dirs.1, Some(location)).await);
    let mut found = Vec::new();
    for path in ["/key-value/default", "/atomics", "/key-value/second", "/key-value/other"] {
        found.push(get(hosts.0.http_addr(), path).await.body);
    }
    assert_eq!(found, expected);
    // The second host sees the keys that the first one wrote.
    let keys = get(hosts.1.http_addr(), "/key-value/default").await.body;
    assert!(keys.contains("\"n\"") && keys.contains("\"x\""), "{keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_knows_files_only_is_refused_by_name() {
    let Some(server) = server() else { return };
    let dir = TestDir::new();
    let files = dir.path().join("files.wasm");
    let text = "(component (import \"spin:sqlite/sqlite@3.1.0\" (instance (export \"f\" (func)))))";
    std::fs::write(&files, wat::parse_str(text).unwrap()).unwrap();
    let text = manifest(&[("files", &files, "/...", "sqlite_databases = [\"default\"]\n")]);
    let starting = harness::host(&dir, &text).database(Some(server.database().await)).start().await;
    let error = starting.err().expect("it is refused").to_string();
    assert!(error.contains("\"files\"") && error.contains("spin:postgres"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_claimed_by_one_host_and_taken_over_when_that_one_is_gone() {
    let Some(server) = server() else { return };
    let location = server.database().await;
    let database = Database::open(&location).await.unwrap();
    let (a, b) = (database.claims().unwrap(), database.claims().unwrap());
    let claim = async |host: &host::database::JobClaims, due| host.claim("web", "/job", due).await.unwrap();

    let (first, second) = futures::join!(claim(&a, 1_000), claim(&b, 1_000));
    let mine = [first, second].iter().filter(|claim| **claim == Claim::Mine).count();
    assert_eq!(mine, 1, "{first:?} {second:?}");
    let (winner, loser) = if first == Claim::Mine { (&a, &b) } else { (&b, &a) };

    let Claim::Taken { until } = claim(loser, 1_000).await else { panic!("it is free") };
    assert!(until > Duration::from_secs(25) && until <= winner.lease(), "{until:?}");
    assert!(winner.renew("web", "/job", 1_000).await.unwrap());
    assert!(!loser.renew("web", "/job", 1_000).await.unwrap());
    assert!(winner.finish("web", "/job", 1_000).await.unwrap());
    assert_eq!(claim(loser, 1_000).await, Claim::Done);

    // The next time: its host dies in the run, so that its lease comes to an end.
    assert_eq!(claim(winner, 2_000).await, Claim::Mine);
    assert!(matches!(claim(loser, 2_000).await, Claim::Taken { .. }));
    let mut admin = server.admin(location.url.rsplit('/').next().unwrap()).await;
    sqlx::query("UPDATE cairn_host.job SET lease_until = now() - interval '1 s'").execute(&mut admin).await.unwrap();
    assert_eq!(claim(loser, 2_000).await, Claim::Mine);
    assert!(!winner.renew("web", "/job", 2_000).await.unwrap(), "what was taken over cannot be renewed");
    assert!(!winner.finish("web", "/job", 2_000).await.unwrap());
    assert!(loser.finish("web", "/job", 2_000).await.unwrap());
    assert_eq!(claim(winner, 2_000).await, Claim::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_hosts_never_run_a_job_twice() {
    let Some(server) = server() else { return };
    let database = Database::open(&server.database().await).await.unwrap();
    let claims: Vec<_> = (0..8).map(|_| Arc::new(database.claims().unwrap())).collect();
    for due in (1..=20).map(|minute| minute * 60_000) {
        let claiming = claims.iter().map(|host| {
            let host = Arc::clone(host);
            tokio::spawn(async move {
                let claim = host.claim("web", "/job", due).await.unwrap();
                if claim == Claim::Mine {
                    assert!(host.finish("web", "/job", due).await.unwrap());
                }
                claim
            })
        });
        let outcomes = futures::future::join_all(claiming).await;
        let mine = outcomes.iter().filter(|claim| matches!(claim, Ok(Claim::Mine))).count();
        assert_eq!(mine, 1, "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_going_away_is_told_by_readiness() {
    let Some(mut server) = harness::postgres::Server::start() else { return };
    let database = Database::open(&server.database().await).await.unwrap();
    database.pools(&BTreeMap::from([("shop".to_owned(), Duration::from_secs(1))])).await.unwrap();
    assert_eq!(database.failure(), None);
    server.kill();
    let mut waited = Duration::ZERO;
    while database.failure().is_none() {
        assert!(waited < Duration::from_secs(30), "nothing was noticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
        waited += Duration::from_millis(200);
    }
}
