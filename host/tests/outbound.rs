//! What leaves the host, and what does not.

mod harness;

use std::sync::Arc;

use harness::*;
use host::host::Running;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A server that answers every connection with one HTTP response. Gives its port.
async fn outside() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = Arc::new(listener);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\noutside").await;
        }
    });
    port
}

async fn with_allowed(dir: &TestDir, allowed: &str) -> Running {
    let settings = format!("allowed_outbound_hosts = [{allowed}]\n");
    let text = manifest(&[("caller", &guest("caller"), "/...", &settings), ("callee", &guest("callee"), "", "")]);
    start(dir, &text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_the_list_is_reached() {
    let (dir, port) = (TestDir::new(), outside().await);
    let running = with_allowed(&dir, &format!("\"http://127.0.0.1:{port}\"")).await;
    assert_eq!(get(running.http_addr(), &format!("/get/http://127.0.0.1:{port}/x")).await.body, "outside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_not_on_the_list_is_refused() {
    let (dir, port) = (TestDir::new(), outside().await);
    let running = with_allowed(&dir, "\"http://example.com\"").await;
    let answer = get(running.http_addr(), &format!("/get/http://127.0.0.1:{port}/x")).await;
    assert!(answer.body.contains("HttpRequestDenied"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_does_not_lead_to_this_machine() {
    let (dir, port) = (TestDir::new(), outside().await);
    let running = with_allowed(&dir, &format!("\"http://*:{port}\"")).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let answer = get(running.http_addr(), &format!("/get/http://{host}:{port}/x")).await;
        assert!(answer.body.contains("DestinationIpProhibited"), "{host}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_under_spin_internal_is_answered_by_the_component() {
    let dir = TestDir::new();
    let running = with_allowed(&dir, "\"http://*.spin.internal\"").await;
    assert_eq!(get(running.http_addr(), "/get/http://callee.spin.internal/inside").await.body, "inside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_connection_needs_a_grant_of_its_own() {
    let (dir, port) = (TestDir::new(), outside().await);
    let target = format!("/tcp/127.0.0.1:{port}");
    let refused = with_allowed(&dir, &format!("\"http://127.0.0.1:{port}\"")).await;
    assert_ne!(get(refused.http_addr(), &target).await.body, "connected");
    let dir = TestDir::new();
    let allowed = with_allowed(&dir, &format!("\"*://127.0.0.1:{port}\"")).await;
    assert_eq!(get(allowed.http_addr(), &target).await.body, "connected");
}
