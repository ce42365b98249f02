//! Statistics over HTTP, fed by events as the other services send them.

use std::{cell::Cell, rc::Rc};

use cairn_admin::app::App;
use cairn_shared::{
    Component, Db, Env, Id, Timestamp,
    component::{self, router},
    config::Config,
    events::{EVENTS_PATH, Event},
    http::Request,
    identity::{CALLER_HEADER, Caller, Group, Identity, Role},
    time::DAY,
    upstream::Unreachable,
};
use serde_json::{Value, json};

struct World {
    app: Rc<App>,
    now: Rc<Cell<Timestamp>>,
}

fn id(name: &str) -> Id {
    Id::derive(&[name])
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().millis()
}

async fn world() -> World {
    let now = Rc::new(Cell::new("2026-11-22T06:00:00Z".parse().unwrap()));
    let clock = now.clone();
    let env = Env::new("admin", Rc::new(move || clock.get()), Rc::new(Unreachable));
    let app = App::load(Config::of(&[]), Db::for_test().await.unwrap(), env).unwrap();
    component::prepare(&app).await.unwrap();
    World { app: Rc::new(app), now }
}

fn trek(name: &str, region: &str, version: i64) -> Value {
    json!({
        "trekId": id(name), "name": name, "regionName": region, "season": "Monsoon", "enabled": true, "custom": false,
        "deleted": false, "version": version
    })
}

fn batch(name: &str, trek: &str, start: &str, end: &str) -> Value {
    json!({ "batchId": id(name), "trekId": id(trek), "startDate": at(start), "endDate": at(end), "cancelled": false, "version": 1 })
}

fn booking(name: &str, trek: &str, batch: &str, status: &str, created: &str) -> Value {
    json!({
        "bookingId": id(name), "userId": id("ravi"), "userName": "Ravi", "trekId": id(trek), "trekName": trek, "batchId": id(batch),
        "status": status, "numberOfParticipants": 2, "totalPaise": 360_000, "paidPaise": 0, "refundedPaise": 0,
        "createdAt": at(created), "version": 1
    })
}

fn captured(payment: &str, booking: &str, amount: i64) -> Value {
    json!({
        "bookingId": id(booking), "paymentId": payment, "orderId": "order_1", "kind": "full", "amountPaise": amount, "method": "upi",
        "capturedAt": at("2026-11-20")
    })
}

fn refunded(refund: &str, booking: &str, amount: i64, status: &str, at_day: &str) -> Value {
    json!({ "bookingId": id(booking), "paymentId": "pay_1", "refundId": refund, "amountPaise": amount, "status": status, "at": at(at_day) })
}

fn caller(role: Role, permissions: Option<&[&str]>) -> Caller {
    let group = permissions.map(|permissions| Group {
        id: id("group"),
        name: "Desk".into(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
    });
    Caller { id: id("caller"), name: "Asha".into(), email: "asha@example.org".into(), phone: None, role, group }
}

impl World {
    fn event(&self, kind: &str, data: Value) -> Event {
        Event::new(&self.app.env, kind, "subject", &data).unwrap()
    }

    async fn deliver(&self, events: &[Event]) -> u16 {
        let request = Request::json("POST", EVENTS_PATH, &events);
        router::<App>().handle(self.app.clone(), self.app.env(), request).await.status
    }

    async fn tell(&self, kind: &str, data: Value) {
        assert_eq!(self.deliver(&[self.event(kind, data)]).await, 204);
    }

    async fn get(&self, target: &str, caller: Option<Caller>) -> (u16, Value) {
        let mut request = Request::new("GET", target);
        if let Some(caller) = caller {
            request = request.with_header(CALLER_HEADER, Identity::Caller(Box::new(caller)).encode());
        }
        let response = router::<App>().handle(self.app.clone(), self.app.env(), request).await;
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    async fn as_admin(&self, target: &str) -> Value {
        let (status, body) = self.get(target, Some(caller(Role::Admin, None))).await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    /// Two treks with dates, three bookings of which one is cancelled, and their money.
    async fn fill(&self) {
        self.tell("user.registered", json!({ "userId": id("ravi"), "name": "Ravi", "createdAt": at("2026-01-01") }))
            .await;
        self.tell(
            "region.changed",
            json!({ "regionId": id("r1"), "name": "Western Ghats", "deleted": false, "version": 1 }),
        )
        .await;
        self.tell("trek.changed", trek("Fort loop", "Western Ghats", 1)).await;
        self.tell("trek.changed", trek("Lake walk", "", 1)).await;
        self.tell("batch.changed", batch("b1", "Fort loop", "2026-12-05", "2026-12-06")).await;
        self.tell("batch.changed", batch("b2", "Lake walk", "2026-11-21", "2026-11-22")).await;
        self.tell("booking.changed", booking("k1", "Fort loop", "b1", "confirmed", "2026-11-14T19:00:00Z")).await;
        self.tell(
            "booking.changed",
            booking("k2", "Lake walk", "b2", "payment_confirmed_partial", "2026-11-15T05:00:00Z"),
        )
        .await;
        self.tell("booking.changed", booking("k3", "Fort loop", "b1", "cancelled", "2026-11-16T05:00:00Z")).await;
        self.tell("booking.changed", booking("k4", "Fort loop", "b1", "pending_payment", "2026-11-17T05:00:00Z")).await;
        self.tell("payment.captured", captured("pay_1", "k1", 360_000)).await;
        self.tell("payment.captured", captured("pay_2", "k2", 100_050)).await;
        self.tell("payment.captured", captured("pay_3", "k3", 360_000)).await;
        self.tell("payment.refunded", refunded("rf_1", "k3", 300_000, "success", "2026-11-18")).await;
    }
}

#[tokio::test]
async fn the_dashboard_has_the_shape_of_the_contract() {
    let world = world().await;
    world.fill().await;
    let board = world.as_admin("/api/stats/dashboard").await;
    assert_eq!(board["totalSales"], json!(5200.5));
    assert_eq!(
        (&board["totalTreks"], &board["totalUsers"], &board["totalBookings"]),
        (&json!(2), &json!(1), &json!(4))
    );
    assert_eq!((&board["totalRegions"], &board["ongoingTreks"]), (&json!(1), &json!(1)));
    assert_eq!(board["seasons"], json!([{ "_id": "Monsoon", "count": 2 }]));
    assert_eq!(board["regions"], json!([{ "_id": "Western Ghats", "count": 1 }]));
    assert_eq!(board["recentBookings"][0]["status"], "pending_payment");
    assert_eq!(
        board["recentBookings"][3],
        json!({
            "_id": id("k1"), "user": { "_id": id("ravi"), "name": "Ravi" }, "trek": { "_id": id("Fort loop"), "name": "Fort loop" },
            "totalPrice": 3600, "status": "confirmed", "numberOfParticipants": 2, "createdAt": "2026-11-14T19:00:00.000Z"
        })
    );
    assert_eq!(
        board["upcomingTreks"],
        json!([{ "_id": id("Fort loop"), "name": "Fort loop", "batches": [{ "_id": id("b1"), "startDate": "2026-12-05T00:00:00.000Z" }] }])
    );
}

#[tokio::test]
async fn an_empty_dashboard_is_zeros() {
    let board = world().await.as_admin("/api/stats/dashboard").await;
    assert_eq!((&board["totalSales"], &board["totalBookings"]), (&json!(0), &json!(0)));
    assert_eq!(board["recentBookings"], json!([]));
}

#[tokio::test]
async fn what_the_group_may_not_see_is_null() {
    let world = world().await;
    world.fill().await;
    let (status, board) = world.get("/api/stats/dashboard", Some(caller(Role::User, Some(&["stats.treks"])))).await;
    assert_eq!(status, 200);
    assert_eq!(board["totalTreks"], 2);
    for hidden in
        ["totalUsers", "totalBookings", "totalSales", "recentBookings", "totalRegions", "ongoingTreks", "regions"]
    {
        assert!(board.as_object().unwrap().contains_key(hidden) && board[hidden].is_null(), "{hidden}");
    }
    let (status, board) =
        world.get("/api/stats/dashboard", Some(caller(Role::User, Some(&["actions.manageBlogs"])))).await;
    assert!(status == 200 && board.as_object().unwrap().values().all(Value::is_null));
}

#[tokio::test]
async fn the_dashboard_and_the_sales_are_for_staff() {
    let world = world().await;
    let visitor = || caller(Role::User, None);
    assert_eq!(world.get("/api/stats/dashboard", None).await.0, 401);
    let (status, body) = world.get("/api/stats/dashboard", Some(caller(Role::User, Some(&[])))).await;
    assert_eq!((status, &body["currentGroup"]), (403, &json!("Desk")));
    assert!(body["message"].is_string());
    assert_eq!(world.get("/api/stats/dashboard", Some(visitor())).await.0, 403);
    for target in ["/api/stats/sales", "/api/stats/sales/treks", "/api/stats/sales/batches"] {
        assert_eq!(world.get(target, None).await.0, 401, "{target}");
        assert_eq!(world.get(target, Some(visitor())).await.0, 403, "{target}");
        assert_eq!(world.get(target, Some(caller(Role::User, Some(&["stats.sales"])))).await.0, 403, "{target}");
        assert_eq!(
            world.get(target, Some(caller(Role::User, Some(&["actions.salesDashboard"])))).await.0,
            200,
            "{target}"
        );
    }
    assert_eq!(world.get("/api/stats/sales-test", None).await.0, 404);
    assert_eq!(world.get("/api/stats/test", None).await.0, 200);
}

#[tokio::test]
async fn a_second_delivery_of_every_event_changes_nothing() {
    let world = world().await;
    world.fill().await;
    let before = world.as_admin("/api/stats/dashboard").await;
    // The same facts again under new event ids: told twice by the producer.
    world.fill().await;
    assert_eq!(world.as_admin("/api/stats/dashboard").await, before);
    let again = world.event("payment.captured", captured("pay_9", "k1", 100));
    assert_eq!(world.deliver(&[again.clone(), again.clone()]).await, 204);
    assert_eq!(world.deliver(&[again]).await, 204);
    assert_eq!(world.as_admin("/api/stats/dashboard").await["totalSales"], json!(5201.5));
}

#[tokio::test]
async fn an_older_version_that_comes_late_changes_nothing() {
    let world = world().await;
    world.tell("trek.changed", trek("Fort loop", "Malenadu", 3)).await;
    world.tell("trek.changed", trek("Fort loop", "Western Ghats", 2)).await;
    let mut gone = trek("Lake walk", "Malenadu", 5);
    gone["deleted"] = json!(true);
    world.tell("trek.changed", gone).await;
    world.tell("trek.changed", trek("Lake walk", "Malenadu", 4)).await;
    let board = world.as_admin("/api/stats/dashboard").await;
    assert_eq!(board["regions"], json!([{ "_id": "Malenadu", "count": 1 }]));
    assert_eq!(board["totalTreks"], 1);
}

#[tokio::test]
async fn only_money_that_is_back_is_subtracted_and_only_once() {
    let world = world().await;
    let sales = async || world.as_admin("/api/stats/dashboard").await["totalSales"].clone();
    world.tell("payment.captured", captured("pay_1", "k1", 360_000)).await;
    world.tell("payment.refunded", refunded("rf_1", "k1", 60_000, "processing", "2026-11-18")).await;
    assert_eq!(sales().await, json!(3600));
    world.tell("payment.refunded", refunded("rf_1", "k1", 60_000, "success", "2026-11-19")).await;
    assert_eq!(sales().await, json!(3000));
    // What was said before comes late.
    world.tell("payment.refunded", refunded("rf_1", "k1", 60_000, "failed", "2026-11-18")).await;
    world.tell("payment.refunded", refunded("rf_1", "k1", 60_000, "processing", "2026-11-20")).await;
    assert_eq!(sales().await, json!(3000));
}

#[tokio::test]
async fn an_event_of_another_shape_is_refused_and_takes_none_with_it() {
    let world = world().await;
    let good = world.event("trek.changed", trek("Fort loop", "Western Ghats", 1));
    let bad = world.event("trek.changed", json!({ "trekId": "x" }));
    let unknown = world.event("weather.changed", json!({}));
    assert_eq!(world.deliver(&[good.clone(), bad]).await, 400);
    assert_eq!(world.as_admin("/api/stats/dashboard").await["totalTreks"], 0);
    assert_eq!(world.deliver(&[good, unknown]).await, 204);
    assert_eq!(world.as_admin("/api/stats/dashboard").await["totalTreks"], 1);
}

#[tokio::test]
async fn hidden_treks_and_cancelled_batches_are_not_upcoming() {
    let world = world().await;
    for (name, key) in [("Custom", "custom"), ("Gone", "deleted")] {
        let mut hidden = trek(name, "Western Ghats", 1);
        hidden[key] = json!(true);
        world.tell("trek.changed", hidden).await;
        world.tell("batch.changed", batch(name, name, "2026-12-01", "2026-12-02")).await;
    }
    world.tell("trek.changed", trek("Fort loop", "Western Ghats", 1)).await;
    let mut cancelled = batch("b1", "Fort loop", "2026-12-01", "2026-12-02");
    cancelled["cancelled"] = json!(true);
    world.tell("batch.changed", cancelled).await;
    // One before the window and one after it: no single batch is within.
    world.tell("batch.changed", batch("b2", "Fort loop", "2026-11-21", "2026-11-21")).await;
    world.tell("batch.changed", batch("b3", "Fort loop", "2026-12-23", "2026-12-24")).await;
    assert_eq!(world.as_admin("/api/stats/dashboard").await["upcomingTreks"], json!([]));
    world.now.set(world.now.get().plus(DAY));
    assert_eq!(world.as_admin("/api/stats/dashboard").await["upcomingTreks"][0]["batches"][0]["_id"], json!(id("b3")));
}

#[tokio::test]
async fn the_sales_report_counts_money_received_minus_money_returned() {
    let world = world().await;
    world.fill().await;
    let report = world.as_admin("/api/stats/sales").await;
    let fort = json!({ "id": id("Fort loop"), "name": "Fort loop", "region": "Western Ghats", "revenue": 4200, "bookings": 2 });
    let lake = json!({ "id": id("Lake walk"), "name": "Lake walk", "region": "Unknown Region", "revenue": 1000.5, "bookings": 1 });
    assert_eq!(
        report,
        json!({
            "totalRevenue": 5200.5, "totalBookings": 3, "avgBookingValue": 1733.5, "avgParticipants": 2.0,
            "revenueByRegion": [{ "region": "Western Ghats", "amount": 4200 }],
            "revenueByPeriod": [{ "period": "2026-Q4", "amount": 5200.5 }],
            "bookingsByPeriod": [{ "period": "2026-Q4", "count": 3 }],
            "topTreks": [fort, lake], "revenueByTrek": [fort, lake],
            "revenueByBatch": [
                {
                    "id": id("b1"), "trekName": "Fort loop", "startDate": "2026-12-05T00:00:00.000Z", "formattedDate": "05 Dec 2026",
                    "displayName": "05 Dec 2026\nFort loop", "revenue": 4200, "bookings": 2
                },
                {
                    "id": id("b2"), "trekName": "Lake walk", "startDate": "2026-11-21T00:00:00.000Z", "formattedDate": "21 Nov 2026",
                    "displayName": "21 Nov 2026\nLake walk", "revenue": 1000.5, "bookings": 1
                }
            ]
        })
    );
}

#[tokio::test]
async fn a_report_can_be_narrowed_by_days_trek_and_batch() {
    let world = world().await;
    world.fill().await;
    // k1 was made at half past midnight on the 15th in India, k2 on the 15th too.
    let report = world.as_admin("/api/stats/sales?startDate=2026-11-15&endDate=2026-11-15&timeRange=year").await;
    assert_eq!(report["revenueByPeriod"], json!([{ "period": "2026-11-15", "amount": 4600.5 }]));
    let total = async |query: &str| world.as_admin(&format!("/api/stats/sales?{query}")).await["totalRevenue"].clone();
    assert_eq!(total(&format!("trekId={}", id("Lake walk"))).await, json!(1000.5));
    assert_eq!(total(&format!("batchId={}", id("b1"))).await, json!(4200));
    assert_eq!(total("timeRange=month&trekId=&batchId=").await, json!(5200.5));
    assert_eq!(total("startDate=2026-11-01&endDate=2026-11-14").await, json!(0));
    let (status, body) = world.get("/api/stats/sales?startDate=2026-11-15", Some(caller(Role::Admin, None))).await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn treks_and_batches_to_choose_from() {
    let world = world().await;
    world.fill().await;
    assert_eq!(
        world.as_admin("/api/stats/sales/treks").await,
        json!([
            { "_id": id("Fort loop"), "name": "Fort loop", "region": "Western Ghats" },
            { "_id": id("Lake walk"), "name": "Lake walk", "region": "Unknown Region" }
        ])
    );
    let batches = world.as_admin("/api/stats/sales/batches").await;
    assert_eq!(batches.as_array().unwrap().len(), 2);
    assert_eq!(
        world.as_admin(&format!("/api/stats/sales/batches?trekId={}", id("Fort loop"))).await,
        json!([{
            "id": id("b1"), "trekId": id("Fort loop"), "trekName": "Fort loop", "startDate": "2026-12-05T00:00:00.000Z",
            "endDate": "2026-12-06T00:00:00.000Z", "formattedDate": "05 Dec 2026", "displayName": "05 Dec 2026 - Fort loop"
        }])
    );
}
