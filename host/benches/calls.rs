//! What a request and a call between components cost: `cargo bench -p host`.
//!
//! Needs no quiet machine to show a factor of two, and a quiet one to show less.

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::time::{Duration, Instant};

use harness::*;
use host::{host::Running, platform::Request};
use wasmtime::component::Val;

const ECHO: &str = "test:guests/echo@1.0.0";
const CALLS: u32 = 50_000;
const REQUESTS: u32 = 50_000;

#[tokio::main]
async fn main() {
    let dir = TestDir::new();
    let long = "[component.caller.tool.cairn.limits]\nrequest_time = \"5min\"\ncpu_time = \"5min\"\n";
    let text = manifest(&[("caller", &guest("caller"), "/...", long), ("callee", &guest("callee"), "", "")]);
    let running = start(&dir, &text).await;
    report("call into a component", CALLS, direct_calls(&running).await);
    report("call between components", CALLS, linked_calls(&running).await);
    report("request in process", REQUESTS, requests(&running, "callee", "/hello").await);
    report("request to another component", REQUESTS, requests(&running, "caller", "/callee/hello").await);
    report("request with one linked call", REQUESTS, requests(&running, "caller", "/double/21").await);
    running.stop().await;
}

fn report(what: &str, count: u32, time: Duration) {
    println!("{what}: {:.2} µs", time.as_secs_f64() * 1e6 / f64::from(count));
}

async fn direct_calls(running: &Running) -> Duration {
    let began = Instant::now();
    for number in 0..CALLS {
        running.call("callee", ECHO, "double", vec![Val::U32(number % 1000)], 1).await.unwrap();
    }
    began.elapsed()
}

async fn linked_calls(running: &Running) -> Duration {
    requests_of(running, "caller", "/many/1000").await;
    let began = Instant::now();
    requests_of(running, "caller", &format!("/many/{CALLS}")).await;
    began.elapsed()
}

async fn requests(running: &Running, component: &str, target: &str) -> Duration {
    let began = Instant::now();
    for _ in 0..REQUESTS {
        requests_of(running, component, target).await;
    }
    began.elapsed()
}

async fn requests_of(running: &Running, component: &str, target: &str) {
    let request = Request { method: "GET".into(), target: target.into(), headers: vec![], body: vec![] };
    assert_eq!(running.request(component, request).await.unwrap().status, 200);
}
