//! The operator's API: its doors, and what it does.

mod harness;

use std::path::PathBuf;

use harness::*;
use host::{
    control::access::Token,
    host::Running,
    signing::{self, Policy},
};
use http::{Method, Request};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-for-the-operator";

fn text() -> String {
    manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &guest("callee"), "", "")])
}

fn socket(dir: &TestDir) -> PathBuf {
    dir.path().join("operator.sock")
}

/// A host with its socket, and a token for its address.
async fn start_both(dir: &TestDir) -> Running {
    let builder = host(dir, &text()).socket(socket(dir)).operator_token(Token::new(TOKEN).unwrap());
    builder.start().await.unwrap()
}

fn request(method: Method, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(target)
}

/// The body of `POST /swap`.
fn files(files: &[(&str, &[u8])]) -> Vec<u8> {
    let file = |(component, bytes): &(&str, &[u8])| {
        let head = json!({ "component": component, "bytes": bytes.len() });
        [format!("{head}\n").as_bytes(), bytes].concat()
    };
    files.iter().flat_map(file).collect()
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn swap_by(dir: &TestDir, target: &str, body: Vec<u8>) -> Vec<Value> {
    lines(&send_by(&socket(dir), request(Method::POST, target), body).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_there_while_the_host_runs_and_one_host_has_it() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    assert_eq!(send_by(&socket(&dir), request(Method::GET, "/readyz"), "").await.body, "ready\n");
    let second = host(&dir, &text()).socket(socket(&dir)).start().await.err().expect("a second host is refused");
    assert!(second.to_string().contains("another process of cairn uses the data folder"), "{second}");
    running.stop().await;
    assert!(!socket(&dir).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_needs_a_token() {
    let dir = TestDir::new();
    let refused = host(&dir, &text()).operator("0.0.0.0:0").start().await.err().expect("it is refused");
    assert!(refused.to_string().contains("needs a token: set CAIRN_OPERATOR_TOKEN"), "{refused}");
    let token = Token::new(TOKEN).unwrap();
    let running = host(&dir, &text()).operator("0.0.0.0:0").operator_token(token).start().await.unwrap();
    let address = format!("127.0.0.1:{}", running.operator_addr().port()).parse().unwrap();
    assert_eq!(get(address, "/livez").await.status, 200);
    let refused = get(address, "/metrics").await;
    assert_eq!((refused.status.as_u16(), refused.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    let with_token = request(Method::GET, "/metrics").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(send(address, with_token, "".into()).await.status, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_at_the_address_need_the_token() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    let address = running.operator_addr();
    assert_eq!(get(address, "/status").await.status, 200, "what only shows needs none on this machine");
    for (method, target) in [
        (Method::POST, "/swap"),
        (Method::PUT, "/components/callee"),
        (Method::POST, "/components/callee/rollback"),
        (Method::POST, "/call/callee/hello"),
        (Method::PUT, "/log-levels/callee"),
        (Method::GET, "/logs"),
    ] {
        for sent in ["Bearer wrong", "Basic YTpi", TOKEN] {
            let wrong = request(method.clone(), target).header("authorization", sent);
            assert_eq!(send(address, wrong, marked("callee", 1).into()).await.status, 401, "{method} {target}");
        }
    }
    for disguised in ["//logs", "/logs/", "/./logs", "/%6cogs", "///swap"] {
        assert_eq!(get(address, disguised).await.status, 404, "{disguised}");
    }
    let swap = request(Method::PUT, "/components/callee").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(send(address, swap, marked("callee", 1).into()).await.status, 200);
    running.stop().await;

    let dir = TestDir::new();
    let running = start(&dir, &text()).await;
    let refused = post(running.operator_addr(), "/components/callee/rollback", "").await;
    assert_eq!(refused.status, 403, "without a token set up there are no commands at the address");
    assert!(refused.body.contains("CAIRN_OPERATOR_TOKEN"), "{}", refused.body);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_tells_its_steps_and_its_end() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    let before = current(&running, "callee");
    let events = swap_by(&dir, "/swap", files(&[("callee", &marked("callee", 1))])).await;
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    for step in ["storing", "compiling", "checking", "preparing", "switching"] {
        assert!(names.contains(&step), "{step} of {names:?}");
    }
    let end = events.last().unwrap();
    let now = current(&running, "callee");
    let expected = json!([{ "component": "callee", "from": before, "to": now }]);
    assert_eq!((&end["event"], &end["swapped"]), (&json!("swapped"), &expected));

    let versions = send_by(&socket(&dir), request(Method::GET, "/components/callee/versions"), "").await;
    let versions: Value = serde_json::from_str(&versions.body).unwrap();
    assert_eq!((&versions[0]["version"], &versions[0]["state"]), (&json!(now), &json!("current")));
    assert_eq!((&versions[1]["version"], &versions[1]["state"]), (&json!(before), &json!("previous")));

    let back = send_by(&socket(&dir), request(Method::POST, "/components/callee/rollback"), "").await;
    let back: Value = serde_json::from_str(&back.body).unwrap();
    assert_eq!(back["swapped"], json!([{ "component": "callee", "from": now, "to": before }]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_components_are_replaced_all_or_none() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    let before = [current(&running, "caller"), current(&running, "callee")];
    let (caller, callee) = (marked("caller", 1), marked("callee", 1));
    let events = swap_by(&dir, "/swap", files(&[("caller", &caller), ("callee", b"no component")])).await;
    let end = events.last().unwrap();
    assert_eq!(end["event"], "refused", "{events:?}");
    assert!(end["problems"][0].as_str().unwrap().contains("callee: it is not WebAssembly"), "{end}");
    assert_eq!([current(&running, "caller"), current(&running, "callee")], before);

    let events = swap_by(&dir, "/swap", files(&[("caller", &caller), ("callee", &callee)])).await;
    assert_eq!(events.last().unwrap()["swapped"].as_array().unwrap().len(), 2, "{events:?}");
    assert!(before.iter().all(|hash| *hash != current(&running, "caller") && *hash != current(&running, "callee")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_followed_to_its_end() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    let target = "/swap?canary_percent=50&hold_seconds=1";
    let events = swap_by(&dir, target, files(&[("callee", &marked("callee", 1))])).await;
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert!(names.ends_with(&["canary", "swapped", "promoted"]), "{names:?}");
    assert_eq!(events.last().unwrap()["swapped"][0]["to"], current(&running, "callee"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_numbers_of_every_component() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    for _ in 0..20 {
        get(running.http_addr(), "/double/21").await;
    }
    get(running.http_addr(), "/say/trap").await;
    let status: Value = serde_json::from_str(&get(running.operator_addr(), "/status").await.body).unwrap();
    assert_eq!(status["host"]["ready"], true);
    let [callee, caller] = status["components"].as_array().unwrap().as_slice() else { panic!("{status}") };
    assert_eq!((&callee["id"], &caller["id"]), (&json!("callee"), &json!("caller")));
    assert_eq!((&callee["requests"], &callee["errors"]), (&json!(21), &json!(1)), "{callee}");
    assert_eq!((&caller["requests"], &caller["errors"]), (&json!(21), &json!(0)), "{caller}");
    for component in [callee, caller] {
        let [p50, p99] = ["p50Ms", "p99Ms"].map(|name| component[name].as_f64().unwrap());
        assert!(p50 > 0.0 && p50 <= p99, "{component}");
        assert_eq!(component["version"].as_str().unwrap().len(), 64);
    }
    // One instance of the caller is kept; it has some pages of 64 KiB.
    assert!(caller["memoryBytes"].as_u64().unwrap() >= 64 << 10, "{caller}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_answered_with_why() {
    let dir = TestDir::new();
    let running = start_both(&dir).await;
    let file = files(&[("callee", &marked("callee", 1))]);
    for (method, target, body, status) in [
        (Method::GET, "/", &b""[..], 404),
        (Method::GET, "/swap", b"", 404),
        (Method::DELETE, "/components/callee", b"", 404),
        (Method::GET, "/components/nobody/versions", b"", 404),
        (Method::POST, "/components/nobody/rollback", b"", 404),
        (Method::PUT, "/components/nobody", b"", 404),
        (Method::POST, "/components/callee/rollback", b"", 409),
        (Method::PUT, "/components/callee", b"", 409),
        (Method::POST, "/call/nobody/x", b"", 404),
        (Method::POST, "/swap", b"", 400),
        (Method::POST, "/swap", b"\0asm", 400),
        (Method::POST, "/swap?canary_percent=100", &file, 400),
        (Method::POST, "/swap?hold_seconds=5", &file, 400),
        (Method::GET, "/logs", b"", 409),
        (Method::GET, "/log-levels", b"", 409),
        (Method::PUT, "/log-levels/callee", b"{}", 409),
    ] {
        let answer = send_by(&socket(&dir), request(method.clone(), target), body.to_vec()).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
        let message: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(message["message"].is_string(), "{method} {target}: {message}");
    }
    let events = swap_by(&dir, "/swap", files(&[("nobody", b"")])).await;
    assert_eq!(events.last().unwrap()["message"], "there is no component \"nobody\"");
    let answer = send_by(&socket(&dir), request(Method::POST, "/call/callee/hello?x=1"), "").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "hello"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_trusted_keys_only_what_they_signed_starts_and_is_swapped_in() {
    let dir = TestDir::new();
    let key = dir.path().join("team.key");
    let public = signing::generate(&key).unwrap();
    let key = signing::read_private(&key).unwrap();
    let sign = |bytes: &[u8]| signing::sign(bytes, &key).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let guest_bytes = |name: &str| std::fs::read(guest(name)).unwrap();
    let caller = file("caller.wasm", &sign(&guest_bytes("caller")));
    let text = |callee: &std::path::Path| manifest(&[("caller", &caller, "/...", ""), ("callee", callee, "", "")]);
    let policy = || Policy::trusting(&public).unwrap();

    let mut tampered = sign(&guest_bytes("callee"));
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    for (callee, words) in [
        (file("unsigned.wasm", &guest_bytes("callee")), "component \"callee\": it is not signed"),
        (
            file("tampered.wasm", &tampered),
            "component \"callee\": it was changed after it was signed by the key \"team.key.pub\"",
        ),
    ] {
        let refused = host(&dir, &text(&callee)).signatures(policy()).start().await.err().expect("it is refused");
        assert!(refused.to_string().contains(words), "{refused}");
    }

    let callee = file("callee.wasm", &sign(&guest_bytes("callee")));
    let running = host(&dir, &text(&callee)).signatures(policy()).start().await.unwrap();
    for (bytes, words) in [(marked("callee", 1), "it is not signed"), (tampered, "it was changed after it was signed")]
    {
        let problems = refusals(swap(&running, "callee", bytes).await).join("\n");
        assert!(problems.contains(words), "{problems}");
    }
    swap(&running, "callee", sign(&marked("callee", 1))).await.unwrap();
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
    running.stop().await;
}
