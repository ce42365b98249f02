//! The service as its neighbours see it: its routes, on a real SQLite, against a
//! double of the provider that loses, repeats, fails and answers late.

mod audit;
mod authorised;
mod captures;
mod double;
mod ledger;
mod offline;
mod orders;
mod promos;
mod property;
mod refunds;
mod reports;
mod requests;
mod shares;
mod stripe;
mod vouchers;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use cairn_shared::{
    Db, Env, Id, Paise, Sql, Timestamp, component,
    config::Config,
    events,
    http::{Body, Request, Response, Router},
    identity::{CALLER_HEADER, Caller, Identity, Role},
    params,
    upstream::{Upstream, UpstreamError},
};
use serde_json::{Value, json};

use crate::{
    app::App,
    domain::{Kind, Payable},
    provider::Transport,
    signature, store,
};
use double::{Double, Fault};

const KEY_SECRET: &str = "key-secret";
const WEBHOOK_SECRET: &str = "webhook-secret";
const START: &str = "2026-03-10T06:30:00Z";

/// The other components: remembers what they were told.
#[derive(Default)]
struct Neighbours {
    told: RefCell<Vec<(String, events::Event)>>,
    refuse: Cell<bool>,
    woken: RefCell<Vec<String>>,
}

#[cairn_shared::async_trait(?Send)]
impl Upstream for Neighbours {
    async fn send(&self, service: &str, request: Request) -> Result<Response, UpstreamError> {
        if self.refuse.get() {
            return Err(UpstreamError::Timeout);
        }
        for event in events::received(&Body(request.body)).unwrap() {
            self.told.borrow_mut().push((service.to_owned(), event));
        }
        Ok(Response::empty(204))
    }

    async fn wake(&self, _: &str, path: &str) {
        self.woken.borrow_mut().push(path.to_owned());
    }
}

struct World {
    app: Rc<App>,
    router: Router<App>,
    double: Double,
    neighbours: Rc<Neighbours>,
    clock: Rc<Cell<i64>>,
    user: Id,
    events: Cell<u32>,
}

const VARIABLES: [(&str, &str); 4] = [
    ("razorpay_key_id", "rzp_test_1"),
    ("razorpay_key_secret", KEY_SECRET),
    ("razorpay_webhook_secret", WEBHOOK_SECRET),
    ("razorpay_api_url", "http://provider/v1/"),
];

impl World {
    async fn new() -> Self {
        Self::on(Db::for_test().await.unwrap(), &VARIABLES).await
    }

    async fn on(db: Db, variables: &[(&str, &str)]) -> Self {
        let double = Double::default();
        let world = Self::over(db, variables, Box::new(double.clone())).await;
        Self { double, ..world }
    }

    async fn over(db: Db, variables: &[(&str, &str)], transport: Box<dyn Transport>) -> Self {
        let neighbours = Rc::new(Neighbours::default());
        let clock = Rc::new(Cell::new(START.parse::<Timestamp>().unwrap().millis()));
        let time = clock.clone();
        let env = Env::new("payment", Rc::new(move || Timestamp::from_millis(time.get())), neighbours.clone());
        let app = Rc::new(App::new(Config::of(variables), db, env, transport).unwrap());
        component::prepare(&*app).await.unwrap();
        let router = component::router::<App>();
        let user = Id::derive(&["user"]);
        Self { app, router, double: Double::default(), neighbours, clock, user, events: Cell::new(0) }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.get())
    }

    fn wait(&self, millis: i64) {
        self.clock.set(self.clock.get() + millis);
    }

    async fn send(&self, request: Request) -> (u16, Value) {
        let response = self.router.handle(self.app.clone(), &self.app.env, request).await;
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    fn caller(&self, id: Id, role: Role) -> String {
        let caller = Caller { id, name: "Meera".into(), email: "m@example.org".into(), phone: None, role, group: None };
        Identity::Caller(Box::new(caller)).encode()
    }

    async fn post_as(&self, id: Id, path: &str, body: Value) -> (u16, Value) {
        let request = Request::json("POST", path, &body).with_header(CALLER_HEADER, self.caller(id, Role::User));
        self.send(request).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.post_as(self.user, path, body).await
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request =
            Request::json(method, path, &body).with_header(CALLER_HEADER, self.caller(self.user, Role::Admin));
        self.send(request).await
    }

    fn payable(&self, booking: &str, kind: Kind, amount: i64) -> Payable {
        Payable {
            booking_id: Id::derive(&["booking", booking]),
            user_id: self.user,
            trek_id: Id::derive(&["trek"]),
            trek_name: "Ridge".into(),
            kind,
            amount: Paise(amount),
            order_value: Paise(880_000),
            expires_at: (kind != Kind::Balance).then(|| self.now().plus(30 * 60_000)),
        }
    }

    /// A booking that owes 2542 rupees.
    async fn booking(&self, name: &str) -> Id {
        let payable = self.payable(name, Kind::Full, 254_200);
        let id = payable.booking_id;
        self.app.open(payable, None).await.unwrap();
        id
    }

    async fn create_order(&self, booking_id: Id) -> (u16, Value) {
        self.post("/api/payments/create-order", json!({ "bookingId": booking_id })).await
    }

    /// The provider's id of an order that was made.
    async fn order(&self, booking_id: Id) -> String {
        let (status, body) = self.create_order(booking_id).await;
        assert_eq!(status, 200, "{body}");
        body["order"]["id"].as_str().unwrap().to_owned()
    }

    async fn verify(&self, order_id: &str, payment_id: &str) -> (u16, Value) {
        let signature = signature::sign(KEY_SECRET, format!("{order_id}|{payment_id}").as_bytes()).unwrap();
        let body = json!({ "razorpay_order_id": order_id, "razorpay_payment_id": payment_id, "razorpay_signature": signature });
        self.post("/api/payments/verify", body).await
    }

    /// A delivery of the provider's, with an event id of its own.
    async fn webhook(&self, body: &Value) -> (u16, Value) {
        self.events.set(self.events.get() + 1);
        self.deliver(body, &format!("evt_{}", self.events.get())).await
    }

    async fn deliver(&self, body: &Value, event_id: &str) -> (u16, Value) {
        let mut request =
            Request::json("POST", "/api/payments/webhook", body).with_header("x-razorpay-event-id", event_id);
        let signature = signature::sign(WEBHOOK_SECRET, &request.body).unwrap();
        request = request.with_header("x-razorpay-signature", signature);
        self.send(request).await
    }

    async fn payment_event(&self, event: &str, payment_id: &str) -> (u16, Value) {
        self.webhook(&payment_body(event, &json!(self.double.payment(payment_id)))).await
    }

    async fn job(&self, path: &str) -> Value {
        let (status, body) = self.send(Request::new("POST", path)).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Runs this until the provider is being asked; then the process dies.
    async fn die<T>(&self, work: impl Future<Output = T>) {
        tokio::select! {
            _ = work => panic!("it ended before the provider was asked"),
            () = self.double.1.reached.notified() => {}
        }
    }

    async fn count(&self, table: &str) -> i64 {
        let select = ["SELECT COUNT(*) AS n FROM ", table].concat();
        self.app.db.query_one(&select, params![]).await.unwrap().get("n").unwrap()
    }

    /// Events that this neighbour was told, by kind.
    async fn told(&self, service: &str, kind: &str) -> Vec<Value> {
        events::relay(&self.app.db, &self.app.env).await.unwrap();
        let told = self.neighbours.told.borrow();
        let matching = told.iter().filter(|(to, event)| to == service && event.kind == kind);
        matching.map(|(_, event)| event.data.clone()).collect()
    }

    async fn balance(&self, account: &str) -> i64 {
        let account = if account == "provider" { "provider:razorpay" } else { account };
        let balances = store::ledger_balances(&self.app.db, self.now()).await.unwrap();
        let found = balances.iter().find(|balance| balance.account.as_str() == account).unwrap();
        (found.debits - found.credits).0
    }

    /// The book shows every payment and refund as it stands.
    async fn check_ledger(&self) {
        assert_eq!(store::ledger_differences(&self.app.db, 10).await.unwrap(), []);
        let on_its_way = "SELECT CAST(COALESCE(SUM(r.amount), 0) AS BIGINT) AS n FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.status = 'processing'";
        let on_its_way: i64 = self.app.db.query_one(on_its_way, params![]).await.unwrap().get("n").unwrap();
        assert_eq!(self.balance("refunds").await, -on_its_way);
        let balances = store::ledger_balances(&self.app.db, self.now()).await.unwrap();
        assert_eq!(balances.iter().map(|b| b.debits - b.credits).sum::<Paise>(), Paise::ZERO);
    }
}

fn payment_body(event: &str, payment: &Value) -> Value {
    json!({ "entity": "event", "event": event, "payload": { "payment": { "entity": payment } } })
}

fn refund_body(event: &str, refund: &Value) -> Value {
    json!({ "entity": "event", "event": event, "payload": { "refund": { "entity": refund } } })
}

fn message(answer: &(u16, Value)) -> (u16, &str) {
    assert_eq!(answer.1["success"], false, "{}", answer.1);
    (answer.0, answer.1["message"].as_str().unwrap())
}

/// A database file of its own, for what needs several connections.
async fn database_file(name: &str) -> Db {
    let folder = std::env::temp_dir().join(format!("cairn-payment-{name}-{}", Id::generate(Timestamp::now())));
    std::fs::create_dir_all(&folder).unwrap();
    Db::for_test_in(&folder.join("payment.db")).await.unwrap()
}

#[tokio::test]
async fn the_demo_fills_an_empty_database_once() {
    let world = World::new().await;
    let text = include_str!("../../../../demo/payment/promos.json");
    crate::demo::insert(&world.app, text).await.unwrap();
    crate::demo::insert(&world.app, text).await.unwrap();
    let promos: Vec<Value> = serde_json::from_str(text).unwrap();
    let (_, listed) = world.admin("GET", "/api/promos", json!({})).await;
    assert_eq!(listed.as_array().unwrap().len(), promos.len());
    let used = listed.as_array().unwrap().iter().find(|promo| promo["code"] == "RIDGE500").unwrap();
    assert_eq!((&used["usedCount"], &used["discountValue"]), (&json!(37), &json!(500)));
}

#[tokio::test]
async fn the_key_is_public() {
    let world = World::new().await;
    let answer = world.send(Request::new("GET", "/api/payments/get-key?_t=1")).await;
    assert_eq!(answer, (200, json!({ "success": true, "key": "rzp_test_1", "provider": "razorpay" })));
}

#[tokio::test]
async fn without_an_account_nobody_can_pay_and_everything_else_works() {
    let world = World::on(Db::for_test().await.unwrap(), &[]).await;
    let answer = world.send(Request::new("GET", "/api/payments/get-key")).await;
    assert_eq!(message(&answer), (500, "Razorpay key not configured"));
    let booking = world.booking("a").await;
    assert_eq!(message(&world.create_order(booking).await), (500, "Failed to create payment order"));
    let answer = world.webhook(&payment_body("payment.captured", &json!({}))).await;
    assert_eq!(message(&answer), (400, "Invalid webhook signature"));
}

#[tokio::test]
async fn half_an_account_is_a_mistake() {
    let db = Db::for_test().await.unwrap();
    let loaded = App::new(Config::of(&VARIABLES[..1]), db, Env::for_test("payment"), Box::new(Double::default()));
    let problems = loaded.err().unwrap();
    assert!(problems.contains("razorpay_key_secret") && problems.contains("razorpay_webhook_secret"), "{problems}");
}

#[tokio::test]
async fn every_route_of_a_person_needs_a_login_and_every_route_of_staff_an_admin() {
    let world = World::new().await;
    for path in ["create-order", "create-remaining-balance-order", "verify"] {
        let answer = world.send(Request::json("POST", &format!("/api/payments/{path}"), &json!({}))).await;
        assert_eq!(message(&answer), (401, "Not authorized to access this route"), "{path}");
    }
    let id = world.user;
    for (method, path) in [
        ("GET", "/api/promos".to_owned()),
        ("POST", "/api/promos".into()),
        ("PUT", format!("/api/promos/{id}")),
        ("DELETE", format!("/api/promos/{id}")),
    ] {
        let request = Request::json(method, &path, &json!({}));
        assert_eq!(world.send(request.clone()).await.0, 401, "{method} {path}");
        let request = request.with_header(CALLER_HEADER, world.caller(id, Role::User));
        assert_eq!(message(&world.send(request).await), (403, "Not authorized as an admin"), "{method} {path}");
    }
}

#[tokio::test]
async fn every_post_that_makes_or_pays_is_done_once_for_its_idempotency_key() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", crate::provider::PaymentStatus::Captured);
    let signed = signature::sign(KEY_SECRET, format!("{order}|pay_1").as_bytes()).unwrap();
    let verify = json!({ "razorpay_order_id": order, "razorpay_payment_id": "pay_1", "razorpay_signature": signed });
    let promo = json!({ "code": "ONCE", "discountType": "fixed", "discountValue": 5, "validFrom": "2026-03-01", "validUntil": "2026-03-31" });
    let report = json!({ "from": "2026-03-10", "to": "2026-03-10" });
    for (path, body, status) in
        [("/api/payments/verify", verify, 200), ("/api/promos", promo, 201), ("/api/payments/reports", report, 201)]
    {
        let ask = |body: &Value| {
            Request::json("POST", path, body)
                .with_header("idempotency-key", "key-1")
                .with_header(CALLER_HEADER, world.caller(world.user, Role::Admin))
        };
        let first = world.send(ask(&body)).await;
        world.wait(1_000);
        assert_eq!((first.0, world.send(ask(&body)).await), (status, first.clone()), "{path}");
        let mut other = body.clone();
        other["more"] = json!(1);
        assert_eq!(world.send(ask(&other)).await.0, 422, "{path}");
    }
    assert_eq!((world.count("promos").await, world.count("reports").await), (1, 1));
}

#[tokio::test]
async fn every_write_is_done_once_for_a_key() {
    let world = World::new().await;
    let id = Id::derive(&["nothing"]).to_string();
    for (method, path) in world.router.routes() {
        if method == "GET" || path.starts_with("/_") {
            continue;
        }
        let target = path.replace("{id}", &id);
        let ask = async |n: u32| {
            let request = Request::json(method, &target, &json!({ "n": n }))
                .with_header(CALLER_HEADER, world.caller(world.user, Role::Admin))
                .with_header("idempotency-key", "a key");
            world.send(request).await
        };
        let first = ask(1).await;
        assert!(first.0 < 500, "{method} {path}: {first:?}");
        world.wait(1_000);
        assert_eq!(ask(1).await, first, "{method} {path}");
        assert_eq!(ask(2).await.0, 422, "{method} {path}");
    }
}

#[test]
fn the_ledger_is_only_ever_added_to() {
    for source in [
        include_str!("../store/ledger.rs"),
        include_str!("../store/orders.rs"),
        include_str!("../store/payments.rs"),
        include_str!("../store/promos.rs"),
        include_str!("../store/refunds.rs"),
        include_str!("../store/shares.rs"),
        include_str!("../store/vouchers.rs"),
    ] {
        assert!(!source.contains("UPDATE ledger") && !source.contains("DELETE FROM ledger"));
        assert!(!source.contains("ledger_entries"), "the book before this one is left alone");
    }
}
