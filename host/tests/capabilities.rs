//! Databases, variables and background work of a component in the real host.

mod harness;

use std::time::Duration;

use harness::*;
use host::{capability::variables::Sources, host::Running};

const ECHO: &str = "test:guests/echo@1.0.0";

/// The caller alone; its calls are answered by the test.
async fn caller(dir: &TestDir, settings: &str) -> Running {
    let text = manifest(&[("caller", &guest("caller"), "/...", settings)]);
    host(dir, &text).answer(ECHO, "double", |_| Box::pin(async { Ok(vec![]) })).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outlives_the_host() {
    let dir = TestDir::new();
    let settings = "sqlite_databases = [\"default\"]\n";
    for expected in ["1", "2"] {
        let running = caller(&dir, settings).await;
        assert_eq!(get(running.http_addr(), "/insert/default").await.body, "inserted");
        assert_eq!(get(running.http_addr(), "/rows/x").await.body, expected);
        assert!(running.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_not_granted_is_refused() {
    let dir = TestDir::new();
    let running = caller(&dir, "").await;
    let answer = get(running.http_addr(), "/insert/default").await;
    assert!(answer.body.contains("AccessDenied"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ends_in_a_transaction_keeps_nobody_from_writing() {
    let dir = TestDir::new();
    let running = caller(&dir, "sqlite_databases = [\"default\"]\n").await;
    assert_eq!(get(running.http_addr(), "/leak/x").await.body, "leaked");
    assert_eq!(get(running.http_addr(), "/insert/default").await.body, "inserted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_sees_its_variables_filled_in() {
    let dir = TestDir::new();
    let text = manifest(&[
        ("callee", &guest("callee"), "", ""),
        ("caller", &guest("caller"), "/...", "[component.caller.variables]\ngreeting = \"hello {{ name }}\"\n"),
    ]) + "\n[variables]\nname = { required = true }\n";
    let missing = start_error(&dir, &text).await;
    assert!(missing.0[0].contains("name"), "{missing}");
    let running = host(&dir, &text).variables(Sources::none().with_values([("name", "world")])).start().await.unwrap();
    assert_eq!(get(running.http_addr(), "/variable/greeting").await.body, "hello world");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_posts_to_the_components_own_route_in_the_background() {
    let dir = TestDir::new();
    let running = caller(&dir, "sqlite_databases = [\"default\"]\n").await;
    assert_eq!(get(running.http_addr(), "/wake/insert/default").await.body, "woken");
    let woken = async {
        while !running.post("caller", "/rows/x").await.is_ok_and(|response| response.body == b"1") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), woken).await.unwrap();
    // It is counted right after the row was written.
    let counted = async {
        let line = r#"cairn_scheduler_runs_total{component="caller",job="wake",outcome="completed"} 1"#;
        while !get(running.operator_addr(), "/metrics").await.body.contains(line) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), counted).await.unwrap();
}
