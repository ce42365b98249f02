//! The admin service: statistics of events.

use cairn_shared::{Id, Timestamp, identity::Role};
use serde_json::{Value, json};

use crate::stage::{Alone, Stage, as_caller, caller, now_ms};

fn event(name: &str, kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": Id::derive(&["event", name]).to_string(), "source": "/test", "type": kind,
        "subject": "1", "time": Timestamp::now(), "datacontenttype": "application/json", "data": data,
    })
}

fn booking(event_name: &str, status: &str, version: i64) -> Value {
    let data = json!({
        "bookingId": Id::derive(&["booking"]).to_string(), "userId": Id::derive(&["user"]).to_string(), "userName": "Meera",
        "trekId": Id::derive(&["trek"]).to_string(), "trekName": "Mist Ridge", "batchId": Id::derive(&["batch"]).to_string(),
        "status": status, "numberOfParticipants": 2, "totalPaise": 840_000, "createdAt": now_ms(), "version": version,
    });
    event(event_name, "booking.changed", data)
}

impl Alone {
    async fn dashboard(&self) -> Value {
        let (_, admin) = caller("Asha", Role::Admin);
        self.send("GET", "/api/stats/dashboard", &[as_caller(&admin)], &Value::Null).await.expect(200)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_delivered_twice_and_out_of_order_counts_once() {
    let admin = Stage::of("admin").start().await;
    let user = json!({ "userId": Id::derive(&["user"]).to_string(), "name": "Meera", "createdAt": now_ms() });
    let captured = json!({
        "bookingId": Id::derive(&["booking"]).to_string(), "paymentId": "pay_1", "orderId": "order_1", "kind": "full",
        "amountPaise": 840_000, "method": "upi", "capturedAt": now_ms(),
    });
    let events = json!([
        booking("confirmed", "confirmed", 3),
        booking("begun", "pending_payment", 1),
        event("captured", "payment.captured", captured),
        event("registered", "user.registered", user),
    ]);
    for _ in 0..2 {
        admin.post("/_events", &events).await.expect(204);
        let board = admin.dashboard().await;
        assert_eq!(board["totalBookings"], 1, "{board}");
        assert_eq!(board["totalUsers"], 1, "{board}");
        assert_eq!(board["totalSales"], 8400, "{board}");
        assert_eq!(board["recentBookings"][0]["status"], "confirmed", "the older version came later: {board}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_for_staff_and_events_have_to_be_events() {
    let admin = Stage::of("admin").start().await;
    admin.get("/api/stats/dashboard").await.expect(401);
    let (_, user) = caller("Meera", Role::User);
    admin.send("GET", "/api/stats/dashboard", &[as_caller(&user)], &Value::Null).await.expect(403);
    admin.post("/_events", &json!({ "not": "a batch" })).await.expect(400);
}
