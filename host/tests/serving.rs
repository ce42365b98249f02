//! Requests through the public door, to both kinds of handler.

mod harness;

use bytes::Bytes;
use harness::*;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_by_the_buffered_handler() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let answer = get(running.http_addr(), "/hello").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "hello"));
    assert_eq!(answer.headers["content-type"], "text/plain");
    assert_eq!(answer.headers["x-correlation-id"].len(), 32);
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_sees_the_clients_address_and_correlation_id_but_nothing_reserved() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let request = Request::get("/headers")
        .header("x-correlation-id", "mine-1")
        .header("spin-client-addr", "6.6.6.6:6")
        .header("spin-anything", "x");
    let answer = send(running.http_addr(), request, "".into()).await;
    assert_eq!(answer.headers["x-correlation-id"], "mine-1");
    assert!(answer.body.contains("x-correlation-id: mine-1\n"), "{}", answer.body);
    assert!(answer.body.contains("spin-client-addr: 127.0.0.1:"), "{}", answer.body);
    assert!(!answer.body.contains("6.6.6.6") && !answer.body.contains("spin-anything"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_one_request_after_the_other_up_to_its_maximum() {
    let dir = TestDir::new();
    let settings = "[component.callee.tool.cairn.limits]\ninstance_requests = 3\n";
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", settings)])).await;
    let mut counts = Vec::new();
    for _ in 0..6 {
        counts.push(get(running.http_addr(), "/count").await.body);
    }
    // The first instance was probed and has prepared the component before.
    assert_eq!(counts, ["1", "1", "2", "3", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_and_one_within_arrives_whole() {
    let dir = TestDir::new();
    let settings = "[component.callee.tool.cairn.limits]\nbody = \"100KiB\"\n";
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", settings)])).await;
    let fits = post(running.http_addr(), "/body", vec![b'x'; 100 << 10]).await;
    assert_eq!((fits.status.as_u16(), fits.body.as_str()), (200, "102400"));
    let refused = post(running.http_addr(), "/body", vec![b'x'; (100 << 10) + 1]).await;
    assert_eq!(refused.status, 413);
    assert!(refused.body.starts_with("{\"message\":"), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_route_and_a_private_component_are_not_found() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "", "")])).await;
    let answer = get(running.http_addr(), "/hello").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streaming_component_gets_spins_headers_and_its_body() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("streaming", &guest("streaming"), "/stream/...", "")])).await;
    let answer = get(running.http_addr(), "/stream/headers?a=1").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for expected in [
        "spin-path-info: /headers\n",
        "spin-matched-route: /stream/...\n",
        "spin-raw-component-route: /stream/...\n",
        "spin-component-route: /stream\n",
        "spin-base-path: /\n",
        "/stream/headers?a=1\n",
    ] {
        assert!(answer.body.contains(expected), "{expected} in {}", answer.body);
    }
    let answer = post(running.http_addr(), "/stream/body", vec![b'x'; 300_000]).await;
    assert_eq!(answer.body, "300000");
    assert_eq!(get(running.http_addr(), "/stream/trap").await.status, 500);
    assert_eq!(get(running.http_addr(), "/stream/again").await.body, "/stream/again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_health_and_components() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "", "")])).await;
    let operator = running.operator_addr();
    assert_eq!(get(operator, "/livez").await.status, 200);
    assert_eq!(get(operator, "/readyz").await.status, 200);
    assert_eq!(running.post("callee", "/work?x=1").await.unwrap().body, b"work");
    let components: serde_json::Value = serde_json::from_str(&get(operator, "/components").await.body).unwrap();
    assert_eq!(components[0]["id"], "callee");
    assert_eq!((&components[0]["requests"], &components[0]["errors"]), (&1.into(), &0.into()));
    assert_eq!(components[0]["version"].as_str().unwrap().len(), 64);
    let from_a_web_page = Request::post("/call/callee/work").header("origin", "https://example.com");
    assert_eq!(send(operator, from_a_web_page, "".into()).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_its_environment_and_its_files_read_only() {
    let dir = TestDir::new();
    std::fs::create_dir(dir.path().join("assets")).unwrap();
    std::fs::write(dir.path().join("assets/greeting.txt"), "good morning").unwrap();
    let settings = "environment = { COLOUR = \"blue\" }\nfiles = [{ source = \"assets\", destination = \"/files\" }]\n";
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", settings)])).await;
    let environment = get(running.http_addr(), "/environment").await.body;
    assert!(environment.contains("COLOUR=blue\n") && environment.contains("CAIRN_PREPARED=1\n"), "{environment}");
    assert_eq!(get(running.http_addr(), "/file").await.body, "good morning");
    assert_ne!(get(running.http_addr(), "/write").await.body, "written");
    assert!(!dir.path().join("assets/new.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_in_clear_text_is_served_and_has_a_host() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let address = running.http_addr();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::get(format!("http://{address}/headers")).body(Full::default()).unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains(&format!("host: {address}\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_its_instance_with_it() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let callee = running.registry().get("callee").unwrap().clone();
    let address = running.http_addr();
    let asked = tokio::spawn(async move { get(address, "/sleep").await });
    while callee.running() == 0 {
        tokio::task::yield_now().await;
    }
    asked.abort();
    callee.idle().await;
    assert_eq!(get(address, "/count").await.body, "1", "a new instance answers");
}
