//! Calls between components.

mod harness;

use harness::*;
use host::{host::Running, platform::Request, service::Failure};
use wasmtime::component::Val;

const ECHO: &str = "test:guests/echo@1.0.0";

async fn both(dir: &TestDir, caller: &str, callee: &str) -> Running {
    let text = manifest(&[("caller", &guest("caller"), "/...", caller), ("callee", &guest("callee"), "", callee)]);
    start(dir, &text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_component_that_exports_the_interface() {
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    assert_eq!(get(running.http_addr(), "/say/hello").await.body, "hello");
    assert_eq!(get(running.http_addr(), "/say/refuse").await.body, "Error::Refused");
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_request_carries_the_correlation_id() {
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    let request = http::Request::get("/callee/headers").header("x-correlation-id", "trip-7");
    let answer = send(running.http_addr(), request, "".into()).await;
    assert!(answer.body.contains("x-correlation-id: trip-7\n"), "{}", answer.body);
    assert_eq!(get(running.http_addr(), "/nobody/x").await.body, "Error::UnknownService(\"nobody\")");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_of_the_callee_is_an_error_value_where_the_type_has_room_for_it() {
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    let answer = get(running.http_addr(), "/say/trap").await;
    assert_eq!(answer.body, "Error::Unavailable(\"callee does not answer (trapped)\")");
    assert_eq!(get(running.http_addr(), "/double/1000000").await.status, 500, "and otherwise fails the caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_failures_in_a_row_the_circuit_opens() {
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    for _ in 0..5 {
        get(running.http_addr(), "/say/trap").await;
    }
    let answer = get(running.http_addr(), "/say/hello").await;
    assert_eq!(answer.body, "Error::Unavailable(\"callee does not answer (circuit-open)\")");
    assert_eq!(get(running.http_addr(), "/callee/hello").await.body, "Error::Unavailable(30)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_has_no_more_time_than_its_caller() {
    let dir = TestDir::new();
    let running = both(&dir, "[component.caller.tool.cairn.limits]\nrequest_time = \"150ms\"\n", "").await;
    assert_eq!(get(running.http_addr(), "/say/sleep").await.status, 504);
    let callee = running.registry().get("callee").unwrap();
    callee.idle().await;
    assert!(running.call("callee", ECHO, "say", vec![Val::String("still there".into())], 1).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_tested_alone_with_answers_of_the_test() {
    let dir = TestDir::new();
    let text = manifest(&[("caller", &guest("caller"), "/...", "")]);
    let running = host(&dir, &text)
        .answer(ECHO, "double", |params| {
            Box::pin(async move {
                assert_eq!(params, [Val::U32(4)]);
                Ok(vec![Val::U32(44)])
            })
        })
        .start()
        .await
        .unwrap();
    assert_eq!(get(running.http_addr(), "/double/4").await.body, "44");
    assert_eq!(get(running.http_addr(), "/say/x").await.status, 500, "say has no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_may_wake_only_itself() {
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    assert_eq!(get(running.http_addr(), "/wake/work").await.body, "woken");
    assert_eq!(get(running.http_addr(), "/wake-other/work").await.status, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_exports_is_refused_at_start() {
    let dir = TestDir::new();
    let error = start_error(&dir, &manifest(&[("caller", &guest("caller"), "/...", "")])).await;
    assert_eq!(
        error.0,
        [format!("component \"caller\" imports {ECHO:?}, which no component exports and the host does not provide")]
    );
}

const IMPORTS_U32: &str = r#"(component
    (import "a:b/c@1.0.0" (instance $c (export "f" (func (param "x" u32) (result u32))) (export "g" (func)))))"#;

fn exports(name: &str, ty: &str, core: &str) -> String {
    format!(
        r#"(component
            (core module $m (func (export "f") {core} unreachable))
            (core instance $i (instantiate $m))
            (func $f {ty} (canon lift (core func $i "f")))
            (instance $c (export "f" (func $f)))
            (export "{name}" (instance $c)))"#
    )
}

fn write(dir: &TestDir, name: &str, wat: &str) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, wat::parse_str(wat).unwrap()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_between_different_types_is_refused_with_both_signatures() {
    let dir = TestDir::new();
    let importing = write(&dir, "importing.wasm", IMPORTS_U32);
    let exporting = write(
        &dir,
        "exporting.wasm",
        &exports("a:b/c@1.0.0", r#"(param "x" u64) (result u32)"#, "(param i64) (result i32)"),
    );
    let error =
        start_error(&dir, &manifest(&[("importing", &importing, "", ""), ("exporting", &exporting, "", "")])).await;
    assert_eq!(
        error.0,
        [
            "a:b/c@1.0.0#f: component \"importing\" imports it as\n    func(x: u32) -> u32\n  \
             but component \"exporting\" exports it as\n    func(x: u64) -> u32",
            "component \"importing\" imports \"a:b/c@1.0.0\" with the function \"g\", which component \"exporting\" does not export",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_two_components_export_is_refused() {
    let dir = TestDir::new();
    let importing = write(&dir, "importing.wasm", IMPORTS_U32);
    let exporting = write(&dir, "exporting.wasm", &exports("a:b/c@1.1.0", "", ""));
    let error = start_error(
        &dir,
        &manifest(&[("importing", &importing, "", ""), ("x", &exporting, "", ""), ("y", &exporting, "", "")]),
    )
    .await;
    assert_eq!(error.0, ["component \"importing\" imports \"a:b/c@1.0.0\", which several components export: x, y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_cannot_prepare_keeps_the_application_from_starting() {
    let dir = TestDir::new();
    let settings = |reason: &str| format!("environment = {{ FAIL_PREPARE = {reason:?} }}\n");
    let guest = guest("callee");
    let error = start_error(
        &dir,
        &manifest(&[("a", &guest, "", &settings("no database")), ("b", &guest, "", &settings("no key"))]),
    )
    .await;
    assert_eq!(
        error.0,
        ["component \"a\": it could not be prepared: no database", "component \"b\": it could not be prepared: no key"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_component_without_a_handler_is_not_served() {
    let dir = TestDir::new();
    let exporting = write(&dir, "exporting.wasm", &exports("a:b/c@1.1.0", "", ""));
    let running = start(&dir, &manifest(&[("x", &exporting, "", "")])).await;
    let request = Request { method: "GET".into(), target: "/".into(), headers: vec![], body: vec![] };
    assert!(matches!(running.request("x", request).await, Err(Failure::NotServed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_written_out_in_full() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "", "")])).await;
    let version = running.registry().get("callee").unwrap().current().unwrap();
    let signature =
        |interface: &str, function: &str| version.compiled.exports[interface].functions[function].signature.clone();
    assert_eq!(
        signature(ECHO, "say"),
        "async func(text: string) -> result<string, variant { refused, unavailable(string) }>"
    );
    assert_eq!(
        signature("cairn:http/handler@1.0.0", "handle"),
        "async func(request: record { method: string, target: string, headers: list<tuple<string, string>>, body: list<u8> }) \
         -> record { status: u16, headers: list<tuple<string, string>>, body: list<u8> }"
    );
    assert!(version.compiled.exports[ECHO].functions["say"].can_be_unavailable);
    assert!(!version.compiled.exports[ECHO].functions["double"].can_be_unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_pieces_reaches_the_client_as_one() {
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    let answer = get(running.http_addr(), "/callee/pieces/300").await;
    let expected: String = (0..=300).rev().map(|number| format!("piece {number}\n")).collect();
    assert_eq!((answer.status.as_u16(), answer.body), (200, expected));
    assert!(answer.headers.get("x-cairn-continues").is_none() && answer.headers.get("content-length").is_none());
    let whole = get(running.http_addr(), "/callee/pieces/0").await;
    assert_eq!((whole.body.as_str(), whole.headers["content-length"].as_bytes()), ("piece 0\n", b"8".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_piece_fails_is_seen_to_be_incomplete() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dir = TestDir::new();
    let running = both(&dir, "", "").await;
    let mut stream = tokio::net::TcpStream::connect(running.http_addr()).await.unwrap();
    stream.write_all(b"GET /callee/pieces/2/trap HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    // The connection is closed, in whatever way, and with it what was not yet sent.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("piece 0") && !text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(get(running.http_addr(), "/callee/pieces/1").await.body, "piece 1\npiece 0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_others_cannot_have_the_host_do_it() {
    let dir = TestDir::new();
    let text = manifest(&[("callee", &guest("callee"), "/...", "")]);
    let running = start(&dir, &text).await;
    let answer = get(running.http_addr(), "/pieces/3").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "piece 3\n"));
    assert!(answer.headers.get("x-cairn-continues").is_none());
}
