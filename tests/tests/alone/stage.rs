//! One component of `spin.toml` in the real host, with a test in place of all others.
//!
//! The component is the built one, with the grants, files and limits that the manifest
//! gives it. Only its schedule is left out: a test posts to the jobs itself.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cairn_shared::{
    Id,
    identity::{CALLER_HEADER, Caller, Identity, Role},
};
use host::{
    capability::variables::Sources,
    compiler::Compiler,
    host::{Builder, Host, Running, StartError},
    manifest::{self, Application, Route, Target, Trigger},
    platform::Request,
};
use serde_json::Value;
use tempfile::TempDir;
use wasmtime::component::Val;

use crate::val::{bytes, headers, text_of};

/// The demo's cheapest trek, and a date of it with exactly twenty free seats.
pub const TREK: &str = "68c5a7d0b3e19f4200002001";
pub const BATCH: &str = "68c5a7d0b3e19f4200004008";

/// The longest wait for what a component does in the background.
const BACKGROUND_MAX: Duration = Duration::from_secs(30);

/// What an application cannot start without.
const VARIABLES: [(&str, &str); 7] = [
    ("demo", "true"),
    ("jwt_secret", "a-secret-of-the-tests-with-enough-characters"),
    ("razorpay_key_id", "rzp_test_double"),
    ("razorpay_key_secret", "rzp_double_secret"),
    ("razorpay_webhook_secret", "rzp_double_webhook_secret"),
    ("rate_limit_max_requests", "1000000"),
    ("rate_limit_strict_max", "1000000"),
];

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// `spin.toml` with one component alone, which serves every public path.
pub fn only(component: &str) -> Application {
    let mut application = manifest::load(&root().join("spin.toml")).unwrap();
    application.components.retain(|one| one.id == component);
    for one in &mut application.components {
        one.schedule.clear();
    }
    application.triggers =
        vec![Trigger { route: Route::Public("/...".to_owned()), target: Target::Component(component.to_owned()) }];
    application
}

/// Calls of a component to others, in their order: function and parameters.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<Vec<(String, Vec<Val>)>>>);

impl Calls {
    fn push(&self, function: &str, params: &[Val]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((function.to_owned(), params.to_vec()));
    }

    /// Parameters of the calls to a function.
    pub fn to(&self, function: &str) -> Vec<Vec<Val>> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|(called, _)| called == function).map(|(_, params)| params.clone()).collect()
    }
}

/// A component that is about to be started.
pub struct Stage {
    component: String,
    builder: Builder,
    dir: TempDir,
    calls: Calls,
}

impl Stage {
    pub fn of(component: &str) -> Self {
        Self::with(component, &[])
    }

    /// With more variables.
    pub fn with(component: &str, variables: &[(&str, &str)]) -> Self {
        Self::of_application(component, only(component), variables)
    }

    pub fn of_application(component: &str, application: Application, variables: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let values = VARIABLES.iter().chain(variables).copied();
        let builder = Host::builder(application, Compiler::in_process())
            .data_dir(dir.path())
            .compiled_dir(std::env::temp_dir().join("cairn-test-compiled"))
            .variables(Sources::none().with_values(values));
        Self { component: component.to_owned(), builder, dir, calls: Calls::default() }
    }

    /// Answers a function that the component imports, and keeps the calls to it.
    pub fn answer(
        mut self,
        interface: &str,
        function: &'static str,
        answer: impl Fn(&[Val]) -> Val + Send + Sync + 'static,
    ) -> Self {
        let calls = self.calls.clone();
        self.builder = self.builder.answer(&full(interface), function, move |params| {
            calls.push(function, &params);
            let answered = answer(&params);
            Box::pin(async move { Ok(vec![answered]) })
        });
        self
    }

    pub async fn try_start(self) -> Result<Alone, StartError> {
        let running = self.builder.start().await?;
        Ok(Alone { running, component: self.component, calls: self.calls, _dir: self.dir })
    }

    pub async fn start(self) -> Alone {
        self.try_start().await.unwrap()
    }
}

fn full(interface: &str) -> String {
    format!("{interface}@1.0.0")
}

/// A component that runs alone.
pub struct Alone {
    pub running: Running,
    pub calls: Calls,
    component: String,
    _dir: TempDir,
}

impl Alone {
    /// Calls an export of one result.
    pub async fn call(&self, interface: &str, function: &str, params: Vec<Val>) -> Val {
        let results = self.running.call(&self.component, &full(interface), function, params, 1).await.unwrap();
        let [result] = <[Val; 1]>::try_from(results).unwrap();
        result
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], &Value::Null).await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.send("POST", target, &[], body).await
    }

    /// Sends a request as the gateway does; `Value::Null` sends no body.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send_bytes(method, target, headers, body).await
    }

    pub async fn send_bytes(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut sent = vec![("content-type".to_owned(), "application/json".to_owned())];
        sent.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request = Request { method: method.to_owned(), target: target.to_owned(), headers: sent, body };
        let response = self.running.request(&self.component, request).await.unwrap();
        let json = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        Answer { status: response.status, headers: response.headers, body: response.body, json }
    }
}

/// A whole answer of a component.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub json: Value,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json
    }

    /// A failure that tells whoever sees it to come back, and nothing of our inside.
    #[track_caller]
    pub fn expect_unavailable(self, inside: &[&str]) {
        let shown = String::from_utf8_lossy(&self.body).to_lowercase();
        assert_eq!(self.status, 503, "{self:?}");
        assert!(self.json["message"].is_string(), "{self:?}");
        assert!(inside.iter().all(|word| !shown.contains(&word.to_lowercase())), "{self:?}");
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Someone who is logged in, and the header by which the gateway says so.
pub fn caller(name: &str, role: Role) -> (Id, String) {
    let caller = Caller {
        id: Id::derive(&["caller", name]),
        name: name.to_owned(),
        email: format!("{}@example.org", name.to_lowercase()),
        phone: Some("9800000001".to_owned()),
        role,
        group: None,
    };
    (caller.id, Identity::Caller(Box::new(caller)).encode())
}

/// The caller header of a request.
pub fn as_caller(header: &str) -> (&str, &str) {
    (CALLER_HEADER, header)
}

/// A request that a component sent to another by `cairn:http/upstream`.
pub struct Sent {
    pub service: String,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub json: Value,
}

impl Sent {
    pub fn of(params: &[Val]) -> Self {
        let [Val::String(service), request] = params else { panic!("{params:?}") };
        Self {
            service: service.clone(),
            method: text_of(request, "method").to_owned(),
            target: text_of(request, "target").to_owned(),
            headers: headers(request),
            json: serde_json::from_slice(&bytes(request)).unwrap_or(Value::Null),
        }
    }
}

/// Waits until something is there that a component does in the background.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < BACKGROUND_MAX, "{what}: not within {BACKGROUND_MAX:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Now, in ms since 1970.
pub fn now_ms() -> i64 {
    cairn_shared::Timestamp::now().millis()
}
