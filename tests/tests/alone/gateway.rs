//! The gateway, with a user service and services behind it that the test answers.

use cairn_shared::identity::CALLER_HEADER;
use serde_json::Value;
use wasmtime::component::Val;

use crate::{
    stage::{Alone, Answer, Sent, Stage},
    val::{case, err, none, ok, one_of, record, response, text, unavailable},
};

const IDENTITY: &str = "cairn:user/identity";
const UPSTREAM: &str = "cairn:http/upstream";
const ORIGIN: &str = "http://localhost:3000";
const USER: &str = "68c5a7d0b3e19f4200000001";

fn account(params: &[Val]) -> Val {
    match params {
        [Val::String(token)] if token == "good" => ok(record([
            ("id", text(USER)),
            ("name", text("Meera")),
            ("email", text("meera@example.org")),
            ("phone", none()),
            ("role", one_of("user")),
            ("group", none()),
        ])),
        _ => err(Val::Variant("invalid-token".to_owned(), None)),
    }
}

/// A gateway before services that all answer alike.
async fn before(answer: impl Fn() -> Val + Send + Sync + 'static) -> Alone {
    let stage = Stage::of("gateway").answer(IDENTITY, "authenticate", account);
    stage.answer(UPSTREAM, "send", move |_| answer()).start().await
}

impl Alone {
    async fn ask(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", target, headers, &Value::Null).await
    }

    /// What the gateway sent on for its newest request.
    fn sent(&self) -> Sent {
        Sent::of(self.calls.to("send").last().unwrap())
    }
}

fn given<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_what_the_user_service_says_and_never_what_the_client_says() {
    let gateway = before(|| {
        response(200, &[("content-type", "application/json"), ("x-cairn-note", "inside"), ("server", "x")], "{}")
    })
    .await;
    let forged = [("x-cairn-caller", "forged"), ("x-cairn-anything", "1")];
    gateway.ask("/api/treks?limit=2", &forged).await.expect(200);
    let sent = gateway.sent();
    assert_eq!((sent.service.as_str(), sent.target.as_str()), ("trek", "/api/treks?limit=2"));
    assert!(sent.headers.iter().all(|(name, _)| !name.starts_with("x-cairn-")), "{:?}", sent.headers);

    let answer = gateway.ask("/api/bookings/user", &[("authorization", "Bearer good"), forged[0]]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("x-cairn-") && name != "server"), "{answer:?}");
    let sent = gateway.sent();
    let callers = given(&sent.headers, CALLER_HEADER);
    assert_eq!((sent.service.as_str(), callers.len()), ("booking", 1));
    let said = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, callers[0]).unwrap();
    assert!(String::from_utf8(said).unwrap().contains(USER));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_pages_may_read_answers() {
    let gateway = before(|| response(200, &[("access-control-allow-origin", "*")], "{}")).await;
    let own = gateway.ask("/api/treks", &[("origin", ORIGIN)]).await;
    assert_eq!(given(&own.headers, "access-control-allow-origin"), [ORIGIN]);
    let foreign = gateway.ask("/api/treks", &[("origin", "https://evil.example")]).await;
    assert_eq!(given(&foreign.headers, "access-control-allow-origin"), [""; 0]);
    let preflight = gateway.send("OPTIONS", "/api/treks", &[("origin", ORIGIN)], &Value::Null).await;
    assert_eq!(preflight.status, 204);
    assert!(
        preflight.header("access-control-allow-methods").is_some_and(|methods| methods.contains("DELETE")),
        "{preflight:?}"
    );
    for answer in [&own, &foreign, &preflight] {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("x-correlation-id").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_private_and_nothing_unknown_is_sent_on() {
    let gateway = before(|| response(200, &[], "{}")).await;
    for path in ["/nothing", "/api/nothing", "/_events", "/_jobs/relay", "/api/_events", "/api/../_jobs/relay"] {
        let message = gateway.ask(path, &[]).await.expect(404);
        assert!(message["message"].is_string(), "{path}: {message}");
    }
    assert!(gateway.calls.to("send").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_missing_or_fails_is_a_clean_error() {
    // The host's own upstream: there is no other component.
    let alone = Stage::of("gateway").answer(IDENTITY, "authenticate", account).start().await;
    alone.ask("/api/treks", &[]).await.expect_unavailable(&["trek", "unknown", "component"]);

    let failing = before(|| err(case("failed", text("wasm trap in trek: unreachable at 0x1f")))).await;
    let answer = failing.ask("/api/treks", &[]).await;
    assert!(
        answer.json["message"].is_string() && !String::from_utf8_lossy(&answer.body).contains("trap"),
        "{answer:?}"
    );
    assert_eq!(answer.status, 502);

    let slow = before(|| err(Val::Variant("timeout".to_owned(), None))).await;
    slow.ask("/api/treks", &[]).await.expect(504);

    let busy = before(|| err(case("unavailable", Val::U32(7)))).await;
    let answer = busy.ask("/api/treks", &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_service_that_does_not_answer_makes_no_caller_a_stranger() {
    let stage =
        Stage::of("gateway").answer(IDENTITY, "authenticate", |_| unavailable("user does not answer (deadline)"));
    let gateway = stage.answer(UPSTREAM, "send", |_| response(200, &[], "{}")).start().await;
    let bearer = [("authorization", "Bearer good")];
    gateway.ask("/api/bookings/user", &bearer).await.expect_unavailable(&["deadline", "user does"]);
    assert!(gateway.calls.to("send").is_empty());
    gateway.ask("/api/treks", &[]).await.expect(200);
}
