//! What a collector is told: one tree of spans a request, and the metrics.

mod harness;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use harness::*;
use host::{host::Running, telemetry::otlp};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector that keeps what it is sent: paths and bodies.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Json)>>>);

impl Collector {
    async fn start() -> (Self, String) {
        let (collector, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let kept = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(kept.clone().answer(stream));
            }
        });
        (collector, address)
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let mut chunk = [0; 16 << 10];
            match stream.read(&mut chunk).await {
                Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
                _ => return,
            }
            while let Some((request, length)) = request(&bytes) {
                bytes.drain(..length);
                self.0.lock().unwrap().push(request);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
            }
        }
    }

    fn sent(&self, path: &str) -> Vec<Json> {
        let kept = self.0.lock().unwrap();
        kept.iter().filter(|(to, _)| to == path).map(|(_, body)| body.clone()).collect()
    }

    fn spans(&self) -> Vec<Json> {
        let requests = self.sent("/v1/traces");
        requests
            .iter()
            .flat_map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone())
            .collect()
    }
}

/// The first whole request in `bytes`, and its length.
fn request(bytes: &[u8]) -> Option<((String, Json), usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
    let body = bytes.get(end..end + length)?;
    let path = head.split(' ').nth(1).unwrap().to_owned();
    Some(((path, serde_json::from_slice(body).unwrap()), end + length))
}

async fn started(dir: &TestDir, collector: Option<&str>, settings: &str) -> Running {
    let text = manifest(&[("caller", &guest("caller"), "/...", settings), ("callee", &guest("callee"), "", "")]);
    let telemetry =
        collector.map(|endpoint| otlp::Settings::new(endpoint, Duration::from_secs(3600)).expect("an address"));
    host(dir, &text).telemetry(telemetry).start().await.unwrap()
}

async fn ask(running: &Running, path: &str, traceparent: Option<&str>) -> Answer {
    let mut request = http::Request::get(path);
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent).header("tracestate", "vendor=1");
    }
    send(running.http_addr(), request, bytes::Bytes::new()).await
}

fn named<'s>(spans: &'s [Json], name: &str) -> &'s Json {
    let found = spans.iter().find(|span| span["name"] == name);
    found.unwrap_or_else(|| panic!("no {name:?} in {:?}", spans.iter().map(|span| &span["name"]).collect::<Vec<_>>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_tree_down_to_its_statements() {
    let (dir, (collector, address)) = (TestDir::new(), Collector::start().await);
    let running = started(&dir, Some(&address), "sqlite_databases = [\"default\"]\n").await;
    assert_eq!(ask(&running, "/insert/default", Some(PARENT)).await.body, "inserted");
    assert_eq!(ask(&running, "/say/hello", Some(PARENT)).await.status, 200);
    running.stop().await;

    let spans = collector.spans();
    assert!(spans.iter().all(|span| span["traceId"] == "0af7651916cd43dd8448eb211c80319c"), "{spans:?}");
    let statement = named(&spans, "INSERT");
    assert_eq!(statement["kind"], 3);
    let text = statement["attributes"].as_array().unwrap();
    assert!(text.iter().any(|attribute| attribute["value"]["stringValue"] == "INSERT INTO visits DEFAULT VALUES"));
    let component = spans.iter().find(|span| span["spanId"] == statement["parentSpanId"]).unwrap();
    assert_eq!(component["name"], "caller GET");
    let server = spans.iter().find(|span| span["spanId"] == component["parentSpanId"]).unwrap();
    assert_eq!((server["name"].as_str(), server["kind"].as_u64()), (Some("GET /..."), Some(2)));
    assert_eq!(server["parentSpanId"], "b7ad6b7169203331", "the client's trace goes on");

    let call = spans.iter().find(|span| span["name"].as_str().unwrap().starts_with("callee ")).unwrap();
    let caller = spans.iter().find(|span| span["spanId"] == call["parentSpanId"]).unwrap();
    assert_eq!(caller["name"], "caller GET");
    let nanos = |span: &Json, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(nanos(call, "startTimeUnixNano") >= nanos(caller, "startTimeUnixNano"));
    assert!(nanos(call, "endTimeUnixNano") <= nanos(caller, "endTimeUnixNano"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_so_in_its_span() {
    let (dir, (collector, address)) = (TestDir::new(), Collector::start().await);
    let running = started(&dir, Some(&address), "").await;
    assert_eq!(ask(&running, "/callee/trap", None).await.status, 502);
    running.stop().await;
    let spans = collector.spans();
    let failed: Vec<&Json> = spans.iter().filter(|span| span["status"]["code"] == 2).collect();
    assert!(failed.iter().any(|span| span["name"] == "callee GET" && span["status"]["message"] == "trapped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_the_outside_carries_the_trace_on() {
    let (dir, (collector, address)) = (TestDir::new(), Collector::start().await);
    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = outside.local_addr().unwrap().port();
    let head = tokio::spawn(async move {
        let (mut stream, _) = outside.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let count = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    });
    let settings = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n");
    let running = started(&dir, Some(&address), &settings).await;
    assert_eq!(ask(&running, &format!("/get/http://127.0.0.1:{port}/x?secret=1"), Some(PARENT)).await.body, "ok");
    running.stop().await;
    let head = head.await.unwrap();
    let spans = collector.spans();
    let client = spans.iter().find(|span| span["kind"] == 3).unwrap();
    let traceparent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", client["spanId"].as_str().unwrap());
    assert!(head.contains(&traceparent), "{head}");
    assert!(head.contains("vendor=1"), "{head}");
    assert!(!serde_json::to_string(&spans).unwrap().contains("secret"), "a query is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_does_not_record_is_not_recorded() {
    let (dir, (collector, address)) = (TestDir::new(), Collector::start().await);
    let running = started(&dir, Some(&address), "").await;
    assert_eq!(ask(&running, "/say/hello", Some(&PARENT.replace("-01", "-00"))).await.status, 200);
    running.stop().await;
    assert!(collector.spans().is_empty());
    let metrics = collector.sent("/v1/metrics");
    let last = metrics.last().expect("the last metrics are sent at the end");
    let names: Vec<&str> = last["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"cairn_http_requests") && names.contains(&"cairn_call_duration_seconds"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_costs_no_request() {
    let dir = TestDir::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let running = started(&dir, Some(&format!("http://{closed}")), "").await;
    for _ in 0..20 {
        assert_eq!(ask(&running, "/say/hello", None).await.status, 200);
    }
    assert!(running.stop().await);
}

/// Names of metrics in a text: `cairn_…` and `process_…`.
fn metric_names(text: &str) -> std::collections::BTreeSet<String> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character: char| !is_of_name(character));
    let named = words.filter(|word| word.starts_with("cairn_") || word.starts_with("process_"));
    named.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_the_dashboard_asks_for_no_other() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let documented = metric_names(&std::fs::read_to_string(docs.join("operating.md")).unwrap());

    let dashboard: Json =
        serde_json::from_str(&std::fs::read_to_string(docs.join("grafana/cairn.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let asked = metric_names(target["expr"].as_str().unwrap());
        assert!(!asked.is_empty() && asked.is_subset(&documented), "{asked:?}");
    }

    let dir = TestDir::new();
    let running = started(&dir, None, "sqlite_databases = [\"default\"]\n").await;
    assert_eq!(ask(&running, "/insert/default", None).await.body, "inserted");
    let text = get(running.operator_addr(), "/metrics").await.body;
    for (name, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(documented.contains(&name), "{name} is not in docs/operating.md");
    }
}
