//! What a guest does wrong stays its own affair.

mod harness;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use harness::*;

const SHORT_CPU: &str = "[component.bad.tool.cairn.limits]\ncpu_time = \"500ms\"\n";

async fn with_neighbour(dir: &TestDir, settings: &str) -> host::host::Running {
    let guest = guest("callee");
    start(dir, &manifest(&[("bad", &guest, "/bad/...", settings), ("good", &guest, "/...", "")])).await
}

/// The callee does what its path says, so it needs a path without the prefix.
async fn misbehave(running: &host::host::Running, how: &str) -> Result<String, host::service::Failure> {
    let request = host::platform::Request { method: "GET".into(), target: how.into(), headers: vec![], body: vec![] };
    running.request("bad", request).await.map(|response| String::from_utf8(response.body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_looping_guest_is_stopped_while_its_neighbour_answers() {
    let dir = TestDir::new();
    let running = with_neighbour(&dir, SHORT_CPU).await;
    let stopped = AtomicBool::new(false);
    let looping = async {
        let outcome = misbehave(&running, "/loop").await;
        stopped.store(true, Relaxed);
        outcome
    };
    let neighbour = async {
        let mut answered = 0;
        while !stopped.load(Relaxed) {
            assert_eq!(get(running.http_addr(), "/hello").await.body, "hello");
            answered += 1;
        }
        answered
    };
    let (looping, answered) = tokio::join!(looping, neighbour);
    let failure = looping.unwrap_err();
    assert!(format!("{failure:?}").contains("limits.cpu_time"), "{failure:?}");
    assert!(answered > 1, "the neighbour answered only {answered} times");
    assert_eq!(misbehave(&running, "/hello").await.unwrap(), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_costs_no_processor_time() {
    let dir = TestDir::new();
    let running = with_neighbour(&dir, SHORT_CPU).await;
    assert_eq!(misbehave(&running, "/sleep").await.unwrap(), "slept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_hoards_memory_is_stopped() {
    let dir = TestDir::new();
    let settings = "[component.bad.tool.cairn.limits]\nmemory = \"16MiB\"\n";
    let running = with_neighbour(&dir, settings).await;
    let failure = misbehave(&running, "/grow").await.unwrap_err();
    assert!(format!("{failure:?}").contains("memory"), "{failure:?}");
    assert_eq!(get(running.http_addr(), "/hello").await.body, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_costs_one_request_and_tells_nothing_of_its_cause() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let answer = get(running.http_addr(), "/trap").await;
    assert_eq!(answer.status, 500);
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["message"], "Something went wrong on our side. Please try again.");
    assert_eq!(body["correlationId"], answer.headers["x-correlation-id"].to_str().unwrap());
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(get(running.http_addr(), "/count").await.body, "1", "a new instance answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_deadline_is_answered_with_504() {
    let dir = TestDir::new();
    let settings = "[component.callee.tool.cairn.limits]\nrequest_time = \"100ms\"\n";
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", settings)])).await;
    assert_eq!(get(running.http_addr(), "/sleep").await.status, 504);
    assert_eq!(get(running.http_addr(), "/count").await.body, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_queue_a_component_turns_requests_away() {
    let dir = TestDir::new();
    let settings = "[component.callee.tool.cairn.limits]\nconcurrency = 1\nqueue = 1\n";
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", settings)])).await;
    let address = running.http_addr();
    let answers = futures::future::join_all((0..4).map(|_| get(address, "/sleep"))).await;
    let turned_away: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(turned_away.len(), 2, "one runs, one waits");
    assert!(turned_away.iter().all(|answer| answer.headers.contains_key("retry-after")));
    assert_eq!(get(address, "/hello").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_lets_a_running_request_end() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let address = running.http_addr();
    let registry = running.registry().clone();
    let asked = tokio::spawn(async move { get(address, "/sleep").await });
    while registry.get("callee").unwrap().running() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(running.stop().await);
    assert_eq!(asked.await.unwrap().body, "slept");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
