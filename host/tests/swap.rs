//! Components are replaced while requests run.

mod harness;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use harness::*;
use host::host::{Running, swap::SwapError};

/// The same component as another version: a custom section makes other bytes of it.
fn variant(name: &str, mark: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(name)).unwrap();
    bytes.extend([0, 3, 1, b'v', mark]);
    bytes
}

async fn both(dir: &TestDir) -> Running {
    let text = manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &guest("callee"), "", "")]);
    start(dir, &text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_because_of_a_swap() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let (address, done) = (running.http_addr(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut answered = 0;
                while !done.load(Relaxed) {
                    assert_eq!(get(address, "/double/21").await.body, "42");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let mut from = running.registry().get("callee").unwrap().current().unwrap().compiled.hash.clone();
    for mark in 0..3 {
        let swapped = running.swapper().swap("callee", variant("callee", mark)).await.unwrap();
        assert_eq!((swapped.component.as_str(), &swapped.from), ("callee", &from));
        from = swapped.to;
    }
    done.store(true, Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_on_the_version_it_began_with() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    // Going back later needs no compiler, so that it happens while the request runs.
    running.swapper().swap("callee", variant("callee", 0)).await.unwrap();
    let address = running.http_addr();
    let asked = tokio::spawn(async move { get(address, "/say/sleep").await.body });
    let callee = running.registry().get("callee").unwrap().clone();
    while callee.running() == 0 {
        tokio::task::yield_now().await;
    }
    let before = callee.current().unwrap();
    let (requests_before, _) = before.counts();
    running.swapper().roll_back("callee").await.unwrap();
    assert_eq!(before.counts().0, requests_before, "the request still runs");
    assert_eq!(asked.await.unwrap(), "slept");
    callee.idle().await;
    assert_eq!(before.counts(), (requests_before + 1, 0), "it was counted on the version before");
    assert_eq!(before.idle_count(), 0, "which keeps no instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_lacks_what_others_call_is_refused_and_the_one_before_goes_on() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let unfit = std::fs::read(guest("streaming")).unwrap();
    let Err(SwapError::Refused(problems)) = running.swapper().swap("callee", unfit).await else {
        panic!("it was not refused");
    };
    assert!(problems.iter().any(|problem| problem.contains("test:guests/echo@1.0.0")), "{problems:?}");
    assert!(matches!(running.swapper().swap("callee", b"no wasm".to_vec()).await, Err(SwapError::Refused(_))));
    assert!(matches!(running.swapper().swap("nobody", Vec::new()).await, Err(SwapError::NoComponent(_))));
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_replaces_a_component_and_goes_back() {
    let dir = TestDir::new();
    let running = both(&dir).await;
    let operator = running.operator_addr();
    assert_eq!(post(operator, "/components/callee/rollback", "").await.status, 409);
    let put = http::Request::put("/components/callee");
    let answer = send(operator, put, variant("callee", 7).into()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let swapped: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let back: serde_json::Value =
        serde_json::from_str(&post(operator, "/components/callee/rollback", "").await.body).unwrap();
    assert_eq!((&back["from"], &back["to"]), (&swapped["to"], &swapped["from"]));
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
}
