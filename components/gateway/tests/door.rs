//! The door from outside: what comes in, what goes on, what is answered.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use cairn_gateway::app::{App, NotAuthenticated, Peers};
use cairn_shared::{
    Env, Id, Timestamp, async_trait,
    config::Config,
    http::{Request, Response},
    identity::{CALLER_HEADER, Caller, Identity, Role},
    upstream::{Upstream, UpstreamError},
};
use serde_json::{Value, json};

const OURS: &str = "https://trek.example";

/// What is behind the door: remembers what it is sent and answers what it is told to.
#[derive(Default)]
struct Behind {
    sent: RefCell<Vec<(String, Request)>>,
    answer: RefCell<Option<Result<Response, UpstreamError>>>,
    /// Whether the host asks for further pieces.
    host_follows: Cell<bool>,
    counters: RefCell<HashMap<String, Vec<u8>>>,
    user_service_down: Cell<bool>,
    counters_down: Cell<bool>,
}

struct Links(Rc<Behind>);

fn caller() -> Caller {
    Caller {
        id: Id::derive(&["asha"]),
        name: "Asha".into(),
        email: "asha@example.org".into(),
        phone: None,
        role: Role::User,
        group: None,
    }
}

#[async_trait(?Send)]
impl Peers for Links {
    async fn authenticate(&self, token: &str) -> Result<Caller, NotAuthenticated> {
        match token {
            _ if self.0.user_service_down.get() => Err(NotAuthenticated::Unavailable("down".into())),
            "good" => Ok(caller()),
            "gone" => Err(NotAuthenticated::NoAccount),
            _ => Err(NotAuthenticated::InvalidToken),
        }
    }

    async fn counter(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        if self.0.counters_down.get() { Err("down".into()) } else { Ok(self.0.counters.borrow().get(key).cloned()) }
    }

    async fn counter_save(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.counters.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }
}

struct Services(Rc<Behind>);

#[async_trait(?Send)]
impl Upstream for Services {
    async fn send(&self, service: &str, request: Request) -> Result<Response, UpstreamError> {
        let piece = request.target.strip_prefix("/_more?").map(str::to_owned);
        self.0.sent.borrow_mut().push((service.into(), request));
        if let Some(left) = piece {
            let left: u32 = left.parse().unwrap();
            let piece = Response::text(200, "text/csv", format!("piece {left}\n"));
            return Ok(if left > 1 {
                piece.header("x-cairn-continues", format!("/_more?{}", left - 1))
            } else {
                piece
            });
        }
        self.0.answer.borrow().clone().unwrap_or_else(|| Ok(Response::json(200, &json!({ "ok": true }))))
    }

    async fn wake(&self, _: &str, _: &str) {}

    fn follows_pieces(&self) -> bool {
        self.0.host_follows.get()
    }
}

struct World {
    app: App,
    behind: Rc<Behind>,
    now: Rc<Cell<Timestamp>>,
}

fn world_of(variables: &[(&str, &str)]) -> World {
    let now = Rc::new(Cell::new("2026-11-22T06:00:00Z".parse().unwrap()));
    let (clock, behind) = (now.clone(), Rc::new(Behind::default()));
    let env = Env::new("gateway", Rc::new(move || clock.get()), Rc::new(Services(behind.clone())));
    let app = App::new(Config::of(variables), env, Box::new(Links(behind.clone()))).unwrap();
    World { app, behind, now }
}

fn world() -> World {
    world_of(&[("cors_origins", OURS)])
}

impl World {
    async fn send(&self, request: Request) -> Response {
        self.app.handle(request).await
    }

    async fn status(&self, method: &str, target: &str) -> u16 {
        self.send(Request::new(method, target)).await.status
    }

    /// The request that last went on, and to whom.
    fn sent(&self) -> (String, Request) {
        self.behind.sent.borrow().last().cloned().unwrap()
    }

    fn answer(&self, answer: Result<Response, UpstreamError>) {
        *self.behind.answer.borrow_mut() = Some(answer);
    }
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn all<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    response.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn a_request_goes_to_its_owner_as_it_came() {
    let world = world();
    let mut request =
        Request::json("POST", "/api/bookings?x=1", &json!({ "a": 1 })).with_header("idempotency-key", "k");
    request.body.push(b' ');
    let response = world.send(request.clone()).await;
    let (service, sent) = world.sent();
    assert_eq!((response.status, service.as_str()), (200, "booking"));
    assert_eq!((&sent.method, &sent.target, &sent.body), (&request.method, &request.target, &request.body));
    assert_eq!(sent.header("idempotency-key"), Some("k"));
    world.send(Request::new("GET", "/blogs/rain?page=2")).await;
    assert_eq!((world.sent().0.as_str(), world.sent().1.target.as_str()), ("content", "/api/blogs/rain?page=2"));
}

#[tokio::test]
async fn what_is_not_public_is_not_there() {
    let world = world();
    for path in ["/_events", "/_jobs/relay", "/api/_events", "/api/health", "/api/unknown", "/api", "/favicon.ico"] {
        let response = world.send(Request::new("POST", path)).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(body(&response)["message"].is_string());
    }
    assert!(world.behind.sent.borrow().is_empty());
    assert_eq!(world.status("GET", "/").await, 200);
}

#[tokio::test]
async fn nobody_outside_speaks_in_our_name() {
    let world = world();
    let forged = Identity::Caller(Box::new(Caller { role: Role::Admin, ..caller() })).encode();
    let request = Request::new("GET", "/api/treks")
        .with_header(CALLER_HEADER, forged)
        .with_header("x-cairn-anything", "1")
        .with_header("x-cairn-client", "198.51.100.9")
        .with_header("spin-client-addr", "192.0.2.1:5")
        .with_header("x-forwarded-for", "10.0.0.1")
        .with_header("accept", "application/json");
    world.send(request).await;
    let sent = world.sent().1;
    assert_eq!(sent.header("x-cairn-client"), Some("192.0.2.1"));
    let names: Vec<_> = sent.headers.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["accept", "x-correlation-id", "x-cairn-client"]);
}

#[tokio::test]
async fn a_token_becomes_an_identity() {
    let world = world();
    for (headers, expected) in [
        (vec![], None),
        (vec![("authorization", "Bearer good")], Some(Identity::Caller(Box::new(caller())))),
        (vec![("cookie", "a=b; jwt=good")], Some(Identity::Caller(Box::new(caller())))),
        (vec![("cookie", "jwt=good"), ("authorization", "Bearer bad")], Some(Identity::InvalidToken)),
        (vec![("authorization", "Bearer gone")], Some(Identity::NoAccount)),
        (vec![("authorization", "Basic good")], None),
    ] {
        let request = headers
            .into_iter()
            .fold(Request::new("GET", "/api/treks"), |request, (name, value)| request.with_header(name, value));
        assert_eq!(world.send(request).await.status, 200);
        assert_eq!(world.sent().1.header(CALLER_HEADER).map(str::to_owned), expected.map(|identity| identity.encode()));
    }
    world.behind.user_service_down.set(true);
    let response = world.send(Request::new("GET", "/api/treks").with_header("authorization", "Bearer good")).await;
    assert_eq!((response.status, response.header_value("retry-after")), (503, Some("30")));
    assert_eq!(world.status("GET", "/api/treks").await, 200, "who shows no token needs no user service");
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing_from_a_strange_page() {
    let world = world();
    let post = async |headers: &[(&str, &str)]| {
        let request = Request::new("POST", "/api/bookings").with_header("host", "api.trek.example");
        let request = headers.iter().fold(request, |request, (name, value)| request.with_header(name, *value));
        world.send(request).await.status
    };
    let cookie = ("cookie", "jwt=good");
    assert_eq!(post(&[cookie, ("origin", "https://evil.example")]).await, 403);
    assert_eq!(post(&[cookie, ("origin", "null")]).await, 403);
    assert_eq!(post(&[cookie]).await, 403);
    assert_eq!(post(&[cookie, ("referer", "https://evil.example/https://trek.example")]).await, 403);
    assert!(world.behind.sent.borrow().is_empty());
    assert_eq!(post(&[cookie, ("origin", OURS)]).await, 200);
    assert_eq!(post(&[cookie, ("origin", "https://api.trek.example")]).await, 200, "our own host");
    assert_eq!(post(&[cookie, ("referer", "https://trek.example/book")]).await, 200);
    assert_eq!(post(&[("authorization", "Bearer good"), ("origin", "https://evil.example")]).await, 200);
    assert_eq!(post(&[("cookie", "jwt=stale")]).await, 200, "which authenticates nobody");
    let read = Request::new("GET", "/api/bookings").with_header("cookie", "jwt=good");
    assert_eq!(world.send(read).await.status, 200);
}

#[tokio::test]
async fn allowed_pages_may_read_answers_and_others_may_not() {
    let world = world();
    world.answer(Ok(Response::json(200, &json!({}))
        .header("access-control-allow-origin", "*")
        .header("x-powered-by", "x")));
    let ask = async |origin: &str| world.send(Request::new("GET", "/api/treks").with_header("origin", origin)).await;
    let ours = ask(OURS).await;
    assert_eq!(all(&ours, "access-control-allow-origin"), [OURS]);
    assert_eq!(all(&ours, "access-control-allow-credentials"), ["true"]);
    assert!(ours.header_value("access-control-expose-headers").unwrap().contains("Content-Disposition"));
    for origin in ["https://evil.example", "https://trek.example.evil.example", "null"] {
        let strange = ask(origin).await;
        assert_eq!(strange.status, 200);
        assert!(
            all(&strange, "access-control-allow-origin").is_empty() && all(&strange, "vary") == ["Origin"],
            "{origin}"
        );
    }
    assert!(all(&ours, "x-powered-by").is_empty());
    let preflight = Request::new("OPTIONS", "/api/anything")
        .with_header("origin", OURS)
        .with_header("access-control-request-method", "PUT");
    let preflight = world.send(preflight).await;
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
    assert!(preflight.header_value("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(preflight.header_value("access-control-allow-headers").unwrap().contains("Idempotency-Key"));
    assert_eq!(all(&preflight, "access-control-allow-origin"), [OURS]);
}

#[tokio::test]
async fn answers_are_not_cached_unless_the_service_says_so() {
    let world = world_of(&[("node_env", "production"), ("frontend_url", "https://trek.example/app")]);
    let response = world.send(Request::new("GET", "/api/treks").with_header("origin", OURS)).await;
    assert_eq!(all(&response, "cache-control"), ["no-store, no-cache, must-revalidate, proxy-revalidate"]);
    assert_eq!(all(&response, "surrogate-control"), ["no-store"]);
    assert_eq!(all(&response, "x-content-type-options"), ["nosniff"]);
    assert_eq!(all(&response, "content-security-policy"), ["frame-ancestors 'none'"]);
    assert_eq!(all(&response, "strict-transport-security").len(), 1);
    assert_eq!(all(&response, "access-control-allow-origin"), [OURS], "the front end's origin");
    world.answer(Ok(Response::text(200, "image/jpeg", "x").header("cache-control", "public, max-age=86400")));
    let picture = world.send(Request::new("GET", "/uploads/images/a.jpg")).await;
    assert_eq!(all(&picture, "cache-control"), ["public, max-age=86400"]);
    assert!(all(&picture, "pragma").is_empty());
}

#[tokio::test]
async fn a_request_keeps_its_correlation_id_and_gets_one_otherwise() {
    let world = world();
    let response = world.send(Request::new("GET", "/api/treks").with_header("x-correlation-id", "abc-1")).await;
    assert_eq!(all(&response, "x-correlation-id"), ["abc-1"]);
    assert_eq!(world.sent().1.header("x-correlation-id"), Some("abc-1"));
    let response = world.send(Request::new("GET", "/api/treks").with_header("x-correlation-id", "a\r\nb: c")).await;
    let id = response.header_value("x-correlation-id").unwrap();
    assert!(id.len() == 32 && world.sent().1.header("x-correlation-id") == Some(id));
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let world = world_of(&[
        ("rate_limit_max_requests", "3"),
        ("rate_limit_strict_max", "2"),
        ("rate_limit_window_ms", "60000"),
    ]);
    let from = async |address: &str, method: &str, path: &str| {
        world.send(Request::new(method, path).with_header("spin-client-addr", address)).await
    };
    for remaining in ["2", "1", "0"] {
        let response = from("192.0.2.1:9", "GET", "/api/treks").await;
        assert_eq!((response.status, response.header_value("x-ratelimit-remaining")), (200, Some(remaining)));
    }
    let refused = from("192.0.2.1:10", "GET", "/api/regions").await;
    assert_eq!((refused.status, refused.header_value("retry-after")), (429, Some("60")));
    assert_eq!(refused.header_value("x-ratelimit-limit"), Some("3"));
    assert!(body(&refused)["message"].is_string());
    assert_eq!(body(&refused)["error"]["code"], "RATE_LIMIT_EXCEEDED");
    assert_eq!(from("192.0.2.2:9", "GET", "/api/treks").await.status, 200);

    for status in [200, 200, 429] {
        assert_eq!(from("192.0.2.1:9", "POST", "/api/auth/login").await.status, status, "a bucket of its own");
    }
    assert_eq!(from("192.0.2.1:9", "POST", "/api/auth/register").await.status, 200);
    for _ in 0..5 {
        assert_eq!(from("192.0.2.1:9", "POST", "/api/payments/webhook").await.status, 200);
        assert_eq!(from("192.0.2.1:9", "GET", "/api/notifications/unread-count").await.status, 200);
    }
    for status in [200, 200, 429] {
        assert_eq!(from("192.0.2.3:9", "POST", "/api/leads").await.status, status, "strict for strangers");
    }
    let known = Request::new("POST", "/api/leads")
        .with_header("spin-client-addr", "192.0.2.3:9")
        .with_header("authorization", "Bearer good");
    assert_eq!(world.send(known).await.status, 200);

    world.now.set(world.now.get().plus(60_000));
    assert_eq!(from("192.0.2.1:9", "GET", "/api/treks").await.status, 200);
    world.behind.counters_down.set(true);
    assert_eq!(from("192.0.2.1:9", "GET", "/api/treks").await.status, 200, "no counters, no limit");
}

#[tokio::test]
async fn a_proxy_is_believed_only_where_there_is_one() {
    let ask = async |world: &World, forwarded: &str| {
        let request = Request::new("GET", "/api/treks")
            .with_header("spin-client-addr", "10.0.0.1:9")
            .with_header("x-forwarded-for", forwarded);
        world.send(request).await.status
    };
    let direct = world_of(&[("rate_limit_max_requests", "1")]);
    assert_eq!((ask(&direct, "192.0.2.1").await, ask(&direct, "192.0.2.2").await), (200, 429));
    let behind_one = world_of(&[("rate_limit_max_requests", "1"), ("trusted_proxies", "1")]);
    assert_eq!((ask(&behind_one, "192.0.2.1").await, ask(&behind_one, "192.0.2.2").await), (200, 200));
    assert_eq!(ask(&behind_one, "198.51.100.7, 192.0.2.1").await, 429, "what the client itself wrote counts nothing");
}

#[tokio::test]
async fn bodies_have_their_limits() {
    let world = world();
    let send = async |path: &str, megabytes: usize| {
        let mut request = Request::new("POST", path);
        request.body = vec![b' '; megabytes * 1024 * 1024 + 1];
        world.send(request).await.status
    };
    for (path, megabytes, status) in [
        ("/api/bookings", 1, 413),
        ("/api/payments/verify", 1, 413),
        ("/api/auth/login", 1, 413),
        ("/api/treks", 1, 200),
        ("/api/treks", 10, 413),
        ("/api/upload", 10, 200),
        ("/api/upload", 11, 413),
    ] {
        assert_eq!(send(path, megabytes).await, status, "{path} {megabytes}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_told_from_one_that_failed() {
    let world = world();
    for (error, status, retry) in [
        (UpstreamError::UnknownService("x".into()), 503, "30"),
        (UpstreamError::Unavailable(7), 503, "7"),
        (UpstreamError::Timeout, 504, "5"),
        (UpstreamError::Failed("trap: secret".into()), 502, "5"),
    ] {
        world.answer(Err(error));
        let response = world.send(Request::new("POST", "/api/bookings")).await;
        assert_eq!((response.status, response.header_value("retry-after")), (status, Some(retry)));
        let text = String::from_utf8(response.body).unwrap();
        assert!(text.contains("\"message\"") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn health_is_that_of_all_services() {
    let world = world();
    let healthy = world.send(Request::new("GET", "/health")).await;
    assert_eq!((healthy.status, &body(&healthy)["status"]), (200, &"healthy".into()));
    assert_eq!(body(&healthy)["services"].as_object().unwrap().len(), 8);
    world.answer(Err(UpstreamError::Timeout));
    let sick = world.send(Request::new("GET", "/health")).await;
    assert_eq!((sick.status, &body(&sick)["services"]["payment"]["status"]), (503, &"unhealthy".into()));
}

#[tokio::test]
async fn a_wrong_configuration_is_named() {
    let env = Env::for_test("gateway");
    let config = Config::of(&[
        ("cors_origins", "trek.example"),
        ("rate_limit_window_ms", "0"),
        ("rate_limit_max_requests", "many"),
    ]);
    let problems = App::new(config, env, Box::new(Links(Rc::default()))).err().unwrap();
    for name in ["cors_origins", "rate_limit_window_ms", "rate_limit_max_requests"] {
        assert!(problems.contains(name), "{problems}");
    }
}

#[tokio::test]
async fn a_long_answer_is_the_hosts_to_go_on_with_or_is_put_together() {
    let world = world();
    let first = Response::text(200, "text/csv", "head\n").header("x-cairn-continues", "/_more?2");
    world.answer(Ok(first.clone()));
    let whole = world.send(Request::new("GET", "/api/bookings/admin/export")).await;
    assert_eq!(String::from_utf8(whole.body.clone()).unwrap(), "head\npiece 2\npiece 1\n");
    assert!(all(&whole, "x-cairn-continues").is_empty());
    assert!(world.sent().1.headers.is_empty(), "nobody's name goes along");
    world.behind.host_follows.set(true);
    world.answer(Ok(first));
    let begun = world.send(Request::new("GET", "/api/bookings/admin/export")).await;
    assert_eq!(
        (begun.body.as_slice(), all(&begun, "x-cairn-continues")),
        (b"head\n".as_slice(), vec!["booking /_more?2"])
    );
}
