//! The same service with Stripe behind it, against a double that keeps its own state.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Map;

use super::*;
use crate::{provider::Transport, tests::requests::request};

const STRIPE: [(&str, &str); 5] = [
    ("payment_provider", "stripe"),
    ("stripe_publishable_key", "pk_test_1"),
    ("stripe_secret_key", "sk_test_1"),
    ("stripe_webhook_secret", "whsec_1"),
    ("stripe_api_url", "http://stripe/v1"),
];

/// What Stripe remembers.
#[derive(Default)]
struct Books {
    intents: BTreeMap<String, Value>,
    charges: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    /// Answers by idempotency key, with the parameters of the question.
    answered: BTreeMap<String, (Vec<u8>, u16, Value)>,
    /// What new refunds become.
    refund_status: String,
    /// The next answers are lost after they took effect.
    losses: usize,
    requests: Vec<String>,
}

#[derive(Clone, Default)]
struct Stripe(Rc<RefCell<Books>>);

impl Books {
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let path = request.path().trim_start_matches("http://stripe/v1/").to_owned();
        let form: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let query: BTreeMap<String, String> = form_urlencoded::parse(request.query().as_bytes()).into_owned().collect();
        let parts: Vec<_> = path.split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["payment_intents"]) => self.make_intent(&form),
            ("POST", ["payment_intents", id, "capture"]) => self.capture(id),
            ("POST", ["payment_intents", id, "cancel"]) => self.cancel(id),
            ("POST", ["refunds"]) => self.make_refund(&form),
            ("GET", ["charges"]) => {
                list(self.charges.values().filter(|charge| matches(charge, "payment_intent", &query)))
            }
            ("GET", ["refunds"]) => list(self.refunds.values().filter(|refund| matches(refund, "charge", &query))),
            ("GET", ["charges", id]) => one(self.charges.get(*id)),
            ("GET", ["refunds", id]) => one(self.refunds.get(*id)),
            other => panic!("Stripe has no {other:?}"),
        }
    }

    fn make_intent(&mut self, form: &BTreeMap<String, String>) -> (u16, Value) {
        let id = format!("pi_{}", self.intents.len() + 1);
        let amount: i64 = form["amount"].parse().unwrap();
        let intent = json!({
            "id": id, "object": "payment_intent", "amount": amount, "amount_received": 0, "amount_capturable": 0,
            "currency": form["currency"], "status": "requires_payment_method", "created": 1_773_124_200,
            "client_secret": format!("{id}_secret"), "latest_charge": null, "last_payment_error": null,
            "payment_method_types": ["card"], "metadata": metadata(form),
        });
        self.intents.insert(id, intent.clone());
        (200, intent)
    }

    fn capture(&mut self, id: &str) -> (u16, Value) {
        let intent = self.intents.get_mut(id).unwrap();
        if intent["status"] != "requires_capture" {
            return (400, json!({ "error": { "type": "invalid_request_error", "message": "not capturable" } }));
        }
        intent["status"] = json!("succeeded");
        intent["amount_received"] = intent["amount"].clone();
        let charge = self.charges.get_mut(intent["latest_charge"].as_str().unwrap()).unwrap();
        charge["captured"] = json!(true);
        charge["amount_captured"] = charge["amount"].clone();
        (200, intent.clone())
    }

    fn cancel(&mut self, id: &str) -> (u16, Value) {
        let intent = self.intents.get_mut(id).unwrap();
        intent["status"] = json!("canceled");
        if let Some(charge) = intent["latest_charge"].as_str() {
            self.charges.get_mut(charge).unwrap()["refunded"] = json!(true);
        }
        (200, intent.clone())
    }

    fn make_refund(&mut self, form: &BTreeMap<String, String>) -> (u16, Value) {
        let charge = self.charges.get_mut(&form["charge"]).unwrap();
        let amount: i64 = form["amount"].parse().unwrap();
        let given = charge["amount_refunded"].as_i64().unwrap() + amount;
        if given > charge["amount_captured"].as_i64().unwrap() {
            return (400, json!({ "error": { "type": "invalid_request_error", "code": "charge_already_refunded" } }));
        }
        charge["amount_refunded"] = json!(given);
        charge["refunded"] = json!(given == charge["amount_captured"]);
        let id = format!("re_{}", self.refunds.len() + 1);
        let refund = json!({ "id": id, "object": "refund", "charge": form["charge"], "amount": amount,
                             "status": self.refund_status, "metadata": metadata(form) });
        self.refunds.insert(id, refund.clone());
        (200, refund)
    }
}

fn metadata(form: &BTreeMap<String, String>) -> Map<String, Value> {
    let named = |name: &str| name.strip_prefix("metadata[")?.strip_suffix(']').map(str::to_owned);
    form.iter().filter_map(|(name, value)| Some((named(name)?, json!(value)))).collect()
}

fn matches(object: &Value, field: &str, query: &BTreeMap<String, String>) -> bool {
    query.get(field).is_none_or(|wanted| object[field] == wanted.as_str())
}

fn list<'a>(objects: impl Iterator<Item = &'a Value>) -> (u16, Value) {
    (200, json!({ "object": "list", "has_more": false, "data": objects.collect::<Vec<_>>() }))
}

fn one(object: Option<&Value>) -> (u16, Value) {
    let missing = json!({ "error": { "type": "invalid_request_error", "code": "resource_missing" } });
    object.map_or((404, missing), |object| (200, object.clone()))
}

#[cairn_shared::async_trait(?Send)]
impl Transport for Stripe {
    async fn send(&self, request: Request) -> Result<Response, String> {
        tokio::task::yield_now().await;
        assert_eq!(request.header("authorization"), Some("Bearer sk_test_1"));
        let mut books = self.0.borrow_mut();
        let path = request.target.trim_start_matches("http://stripe/v1").to_owned();
        books.requests.push(format!("{} {path}", request.method));
        let key = request.header("idempotency-key").map(str::to_owned);
        let (status, body) = match key.as_ref().and_then(|key| books.answered.get(key)) {
            Some((form, ..)) if *form != request.body => {
                (400, json!({ "error": { "type": "idempotency_error", "message": "other parameters" } }))
            }
            Some((_, status, body)) => (*status, body.clone()),
            None => {
                let (status, body) = books.answer(&request);
                if let Some(key) = key {
                    books.answered.insert(key, (request.body.clone(), status, body.clone()));
                }
                (status, body)
            }
        };
        if books.losses > 0 {
            books.losses -= 1;
            return Err("connection reset".into());
        }
        Ok(Response::json(status, &body))
    }
}

impl Stripe {
    /// The customer pays, as far as this goes; answers the charge.
    fn pay(&self, intent: &str, status: &str) -> String {
        let mut books = self.0.borrow_mut();
        let id = format!("ch_{}", books.charges.len() + 1);
        let intent = books.intents.get_mut(intent).unwrap();
        let amount = intent["amount"].as_i64().unwrap();
        let (taken, outcome) = match status {
            "succeeded" => (amount, "succeeded"),
            "requires_capture" => (0, "succeeded"),
            _ => (0, "failed"),
        };
        intent["status"] = json!(status);
        intent["latest_charge"] = json!(id);
        intent["amount_received"] = json!(taken);
        if outcome == "failed" {
            intent["last_payment_error"] = json!({ "code": "card_declined", "message": "declined", "charge": id });
        }
        let charge = json!({
            "id": id, "object": "charge", "payment_intent": intent["id"], "amount": amount, "amount_captured": taken,
            "amount_refunded": 0, "currency": "inr", "status": outcome, "captured": status == "succeeded",
            "refunded": false, "payment_method_details": { "type": "card" },
            "failure_code": (outcome == "failed").then_some("card_declined"),
            "failure_message": (outcome == "failed").then_some("declined"),
        });
        books.charges.insert(id.clone(), charge);
        id
    }

    fn intent(&self, id: &str) -> Value {
        self.0.borrow().intents[id].clone()
    }

    fn charge(&self, id: &str) -> Value {
        self.0.borrow().charges[id].clone()
    }
}

async fn world() -> (World, Stripe) {
    world_of(&STRIPE).await
}

async fn world_of(variables: &[(&str, &str)]) -> (World, Stripe) {
    let stripe = Stripe::default();
    stripe.0.borrow_mut().refund_status = "succeeded".into();
    let db = Db::for_test().await.unwrap();
    (World::over(db, variables, Box::new(stripe.clone())).await, stripe)
}

async fn deliver(world: &World, kind: &str, object: &Value) -> (u16, Value) {
    world.events.set(world.events.get() + 1);
    let event = json!({ "id": format!("evt_{}", world.events.get()), "object": "event", "type": kind,
                        "data": { "object": object } });
    let mut request = Request::json("POST", "/api/payments/webhook/stripe", &event);
    let at = world.now().millis() / 1_000;
    let signature = signature::sign("whsec_1", &[at.to_string().as_bytes(), b".", &request.body].concat()).unwrap();
    request = request.with_header("stripe-signature", format!("t={at},v1={signature}"));
    world.send(request).await
}

async fn verify(world: &World, intent: &str) -> (u16, Value) {
    world.post("/api/payments/verify", json!({ "payment_intent": intent })).await
}

#[tokio::test]
async fn the_journey_from_the_key_to_the_refund() {
    let (world, stripe) = world().await;
    let key = world.send(Request::new("GET", "/api/payments/get-key")).await;
    assert_eq!(key, (200, json!({ "success": true, "key": "pk_test_1", "provider": "stripe" })));
    let booking = world.booking("a").await;
    let (status, made) = world.create_order(booking).await;
    assert_eq!(status, 200, "{made}");
    let order = &made["order"];
    assert_eq!((&order["id"], &order["client_secret"]), (&json!("pi_1"), &json!("pi_1_secret")));
    assert_eq!((&order["amount"], &order["currency"]), (&json!(254_200), &json!("INR")));
    assert_eq!(order["notes"]["bookingId"], json!(booking));
    assert_eq!(world.order(booking).await, "pi_1", "asked again, it is the same");

    let charge = stripe.pay("pi_1", "succeeded");
    let (status, body) = verify(&world, "pi_1").await;
    assert_eq!((status, &body["payment"]["status"]), (200, &json!("captured")), "{body}");
    assert_eq!((&body["payment"]["id"], &body["payment"]["method"]), (&json!(charge), &json!("card")));
    for (kind, object) in [
        ("payment_intent.succeeded", stripe.intent("pi_1")),
        ("charge.succeeded", stripe.charge(&charge)),
        ("charge.updated", stripe.charge(&charge)),
    ] {
        assert_eq!(deliver(&world, kind, &object).await, (200, json!({ "success": true })));
    }
    assert_eq!(verify(&world, "pi_1").await.0, 200);
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
    assert_eq!((world.balance("provider:stripe").await, world.balance("unearned").await), (254_200, -254_200));

    world.app.refund(request(booking, "cancel", 54_200)).await.unwrap();
    stripe.0.borrow_mut().refund_status = "pending".into();
    world.job("/_jobs/refunds").await;
    assert_eq!(world.count("refunds WHERE status = 'processing' AND provider_id = 're_1'").await, 1);
    let mut refund = stripe.0.borrow().refunds["re_1"].clone();
    refund["status"] = json!("succeeded");
    assert_eq!(deliver(&world, "refund.updated", &refund).await.0, 200);
    assert_eq!(world.balance("provider:stripe").await, 200_000);
    world.check_ledger().await;
}

#[tokio::test]
async fn lost_answers_make_one_intent_and_one_refund() {
    let (world, stripe) = world().await;
    let booking = world.booking("a").await;
    stripe.0.borrow_mut().losses = 1;
    let answer = world.create_order(booking).await;
    assert_eq!(answer.0, 503, "{answer:?}");
    assert_eq!(world.order(booking).await, "pi_1");
    assert_eq!(stripe.0.borrow().intents.len(), 1);
    stripe.pay("pi_1", "succeeded");
    stripe.0.borrow_mut().losses = 1;
    assert_eq!(verify(&world, "pi_1").await.0, 503);
    world.wait(11 * 60_000);
    world.job("/_jobs/reconcile").await;
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
    world.app.refund_all(booking, "x").await.unwrap();
    stripe.0.borrow_mut().losses = 1;
    for _ in 0..3 {
        world.job("/_jobs/refunds").await;
        world.wait(3 * 60_000);
    }
    assert_eq!((stripe.0.borrow().refunds.len(), world.balance("provider:stripe").await), (1, 0));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_declined_card_is_a_failure_and_the_next_one_pays() {
    let (world, stripe) = world().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    let answer = verify(&world, &order).await;
    assert_eq!(message(&answer), (400, "The payment did not succeed. Please try again."), "nothing was tried");
    stripe.pay(&order, "requires_payment_method");
    assert_eq!(verify(&world, &order).await.0, 400);
    deliver(&world, "payment_intent.payment_failed", &stripe.intent(&order)).await;
    let told = world.told("booking", "payment.failed").await;
    assert_eq!((told.len(), &told[0]["code"]), (1, &json!("card_declined")));
    stripe.pay(&order, "succeeded");
    assert_eq!(verify(&world, &order).await.1["payment"]["status"], "captured");
    world.check_ledger().await;
}

#[tokio::test]
async fn an_authorised_payment_is_taken_while_it_is_wanted_else_voided() {
    for wanted in [true, false] {
        let (world, stripe) = world().await;
        let booking = world.booking("a").await;
        let order = world.order(booking).await;
        stripe.pay(&order, "requires_capture");
        deliver(&world, "payment_intent.amount_capturable_updated", &stripe.intent(&order)).await;
        assert_eq!(verify(&world, &order).await.1["payment"]["status"], "authorized");
        if !wanted {
            world.app.close(booking).await.unwrap();
        }
        world.wait(3 * 60_000);
        world.job("/_jobs/reconcile").await;
        let status = if wanted { "succeeded" } else { "canceled" };
        assert_eq!(stripe.intent(&order)["status"], status);
        assert_eq!(world.app.payments(booking).await.unwrap().len(), usize::from(wanted));
        world.check_ledger().await;
    }
}

#[tokio::test]
async fn what_is_not_signed_or_not_the_callers_is_refused() {
    let (world, stripe) = world().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    stripe.pay(&order, "succeeded");
    let body = json!({ "payment_intent": order });
    let stranger = world.post_as(Id::derive(&["stranger"]), "/api/payments/verify", body).await;
    assert_eq!(message(&stranger), (403, "You are not authorized to pay for this booking"));
    assert_eq!(message(&verify(&world, "pi_99").await), (404, "Booking not found"));
    let unsigned = Request::json("POST", "/api/payments/webhook/stripe", &json!({ "id": "evt_1" }));
    assert_eq!(message(&world.send(unsigned).await), (400, "Invalid webhook signature"));
    let to_razorpay = Request::json("POST", "/api/payments/webhook", &json!({}));
    assert_eq!(message(&world.send(to_razorpay).await), (400, "Invalid webhook signature"));
    assert_eq!(world.count("payments").await, 0);
}

#[tokio::test]
async fn after_a_change_of_provider_the_first_ones_money_is_still_followed_up() {
    let db = database_file("providers").await;
    let first = World::on(db.clone(), &VARIABLES).await;
    let booking = requests::paid(&first).await;
    let open = first.booking("b").await;
    let left = first.order(open).await;
    let variables: Vec<_> = VARIABLES.iter().chain(&STRIPE).copied().collect();
    let stripe = Stripe::default();
    let both = Both { razorpay: first.double.clone(), stripe: stripe.clone() };
    let mut world = World::over(db, &variables, Box::new(both)).await;
    world.double = first.double.clone();
    world.wait(60_000);
    assert_eq!(world.order(open).await, "pi_1", "new orders are Stripe's");
    // The order of before is void: what is still paid on it goes back.
    world.double.pay(&left, "pay_9", crate::provider::PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_9").await;
    world.app.refund_all(booking, "x").await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!((world.balance("provider").await, world.double.0.borrow().refunds.len()), (0, 3));
    world.check_ledger().await;
}

/// Both providers, each at its address.
struct Both {
    razorpay: Double,
    stripe: Stripe,
}

#[cairn_shared::async_trait(?Send)]
impl Transport for Both {
    async fn send(&self, request: Request) -> Result<Response, String> {
        if request.target.starts_with("http://stripe/") {
            return self.stripe.send(request).await;
        }
        self.razorpay.send(request).await
    }
}

#[tokio::test]
async fn the_report_compares_stripes_records_too() {
    let (world, stripe) = world().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    stripe.pay(&order, "succeeded");
    let body = json!({ "from": "2026-03-10", "to": "2026-03-10" });
    let (status, report) = world.admin("POST", "/api/payments/reports", body.clone()).await;
    assert_eq!((status, &report["mismatches"][0]["kind"]), (201, &json!("unknown_payment")), "{report}");
    assert_eq!((&report["mismatches"][0]["repaired"], &report["complete"]), (&json!(true), &json!(true)));
    let (_, report) = world.admin("POST", "/api/payments/reports", body).await;
    assert_eq!(report["mismatches"], json!([]));
    world.wait(60_000);
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
}

#[tokio::test]
async fn a_provider_that_is_chosen_needs_its_keys() {
    for (variables, word) in [
        (&STRIPE[..1], "stripe"),
        (&[("payment_provider", "paypal")][..], "payment_provider"),
        (&[STRIPE[1], STRIPE[2], STRIPE[3]][..], "razorpay"),
        (&[STRIPE[0], STRIPE[1]][..], "stripe_secret_key"),
    ] {
        let db = Db::for_test().await.unwrap();
        let made = App::new(Config::of(variables), db, Env::for_test("payment"), Box::new(Stripe::default()));
        match (made.err(), variables.len()) {
            (Some(problem), _) => assert!(problem.contains(word), "{problem}"),
            (None, _) => assert_eq!(variables, &STRIPE[..1], "without any keys nobody pays online, which is said"),
        }
    }
}
