//! What is kept of who changed what.

mod world;

use cairn_booking::domain::Kind;
use cairn_shared::{
    http::Request,
    identity::{CALLER_HEADER, Caller, Identity},
    origin::CLIENT_HEADER,
};
use serde_json::{Value, json};
use world::{World, admin, caller, desk, people, trek_id};

const AUDIT: &str = "/api/bookings/audit";

impl World {
    /// As the gateway sends it on.
    async fn from_outside(&self, who: &Caller, method: &str, target: &str, body: Value) -> u16 {
        let request = Request::json(method, target, &body)
            .with_header(CALLER_HEADER, Identity::Caller(Box::new(who.clone())).encode())
            .with_header(CLIENT_HEADER, "203.0.113.7")
            .with_header("user-agent", "Firefox");
        self.advance(1_000);
        self.send(request).await.status
    }

    /// Entries that a query finds, oldest first.
    async fn entries(&self, query: &str) -> Vec<Value> {
        let (status, body) = self.get(&admin(), &format!("{AUDIT}?{query}")).await;
        assert_eq!(status, 200, "{body}");
        let mut entries = body["entries"].as_array().unwrap().clone();
        entries.reverse();
        entries
    }
}

fn summary(entry: &Value) -> (String, String) {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    (text("action"), if entry["actorName"].is_null() { text("actor") } else { text("actorName") })
}

#[tokio::test]
async fn a_bookings_life_is_kept_with_who_and_from_where() {
    let world = World::new().await;
    let meera = caller("Meera");
    let id = world.booked(json!({})).await;
    world.advance(1_000);
    assert_eq!(world.captured_paise(id, "pay_1", Kind::Full, world.total(id).await).await, 204);
    let mut details = people(2);
    details["participants"][0]["medicalConditions"] = "Asthma".into();
    let path = format!("/api/bookings/{id}/participants");
    assert_eq!(world.from_outside(&meera, "PUT", &path, details).await, 200);
    let path = format!("/api/bookings/{id}/cancel");
    assert_eq!(world.from_outside(&admin(), "PUT", &path, json!({ "refundType": "full" })).await, 200);

    let entries = world.entries(&format!("subject={id}&limit=100")).await;
    let life: Vec<_> = entries.iter().map(summary).collect();
    let word = |(action, who): (&str, &str)| (format!("booking.{action}"), who.to_owned());
    let expected = [("create", "Meera"), ("payment", "system"), ("participants", "Meera")];
    assert_eq!(life[..3], expected.map(word));
    assert!(life[3..].contains(&word(("cancel", "Desk"))), "{life:?}");
    assert_eq!((&entries[0]["before"], &entries[0]["after"]["status"]), (&Value::Null, &json!("pending_payment")));
    assert_eq!(
        (&entries[1]["before"]["status"], &entries[1]["after"]["status"]),
        (&json!("pending_payment"), &json!("payment_completed"))
    );
    let given = &entries[2];
    assert_eq!((&given["address"], &given["agent"]), (&json!("203.0.113.7"), &json!("Firefox")));
    assert_eq!(given["request"], format!("PUT /api/bookings/{id}/participants"));
    assert_eq!(given["actor"], meera.id.to_string());
    assert_eq!(given["after"]["participants"]["0"]["name"], "Person 0");
    assert!(given["after"].get("trekName").is_none(), "what has not changed is not told");
    let text = json!(entries).to_string();
    assert!(text.contains("medicalConditions") && !text.contains("Asthma"), "{text}");
}

#[tokio::test]
async fn what_the_system_does_is_the_systems() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(60 * 60 * 1_000);
    assert_eq!(world.job("expire").await, 204);
    let last = world.entries(&format!("subject={id}")).await.pop().unwrap();
    assert_eq!(summary(&last), ("booking.expire".into(), "system".into()));
    assert_eq!(last["request"], "POST /_jobs/expire");
    // A new booking of the same customer ends the overdue one by itself, not in her name.
    let again = world.booked(json!({})).await;
    world.advance(60 * 60 * 1_000);
    world.booked(json!({})).await;
    let ended = world.entries(&format!("subject={again}&action=booking.expire")).await.pop().unwrap();
    assert_eq!((&ended["actor"], &ended["request"]), (&json!("system"), &json!("POST /api/bookings")));
}

#[tokio::test]
async fn policies_and_failed_bookings_are_kept_as_well() {
    let world = World::new().await;
    let tiers = json!({ "tiers": [{ "minDays": null, "percent": 50, "description": "Half", "color": "red" }] });
    let path = format!("/api/bookings/refund-policies/{}", trek_id());
    let (status, body) = world.ask(Some(&admin()), "PUT", &path, tiers).await;
    assert_eq!(status, 200, "{body}");
    let put = world.entries(&format!("subject={}", trek_id())).await;
    assert_eq!(summary(&put[0]), ("refund_policy.put".into(), "Desk".into()));
    assert_eq!((&put[0]["before"]["id"], &put[0]["after"]["id"]), (&json!("default"), &json!(trek_id())));

    world.booked(json!({})).await;
    world.advance(60 * 60 * 1_000);
    world.job("expire").await;
    let failed = world.get(&admin(), "/api/failed-bookings").await.1["failedBookings"][0]["_id"].clone();
    let path = format!("/api/failed-bookings/{}", failed.as_str().unwrap());
    assert_eq!(world.ask(Some(&admin()), "DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(world.entries("action=failed_booking.delete").await[0]["subject"], failed);
}

#[tokio::test]
async fn the_audit_is_for_staff_to_read_page_by_page() {
    let world = World::new().await;
    for who in ["Meera", "Asha", "Ravi"] {
        assert_eq!(world.book_as(&caller(who), json!({})).await.0, 201);
        world.advance(1_000);
    }
    assert_eq!(world.ask(None, "GET", AUDIT, Value::Null).await.0, 401);
    for refused in [caller("Meera"), desk("stats.bookings")] {
        assert_eq!(world.get(&refused, AUDIT).await.0, 403);
        assert_eq!(world.get(&refused, "/api/bookings/audit/check").await.0, 403);
    }
    let (status, body) = world.get(&desk("actions.manageBookings"), &format!("{AUDIT}?limit=2&page=2")).await;
    assert_eq!((status, &body["pagination"]), (200, &json!({ "total": 3, "page": 2, "pages": 2, "limit": 2 })));
    assert_eq!(summary(&body["entries"][0]), ("booking.create".into(), "Meera".into()));
    let asha = world.entries(&format!("actor={}", caller("Asha").id)).await;
    assert_eq!(asha.iter().map(summary).collect::<Vec<_>>(), [("booking.create".into(), "Asha".into())]);
    assert!(world.entries("until=2020-01-01").await.is_empty() && world.entries("from=2020-01-01").await.len() == 3);
    let (status, body) = world.get(&admin(), &format!("{AUDIT}?limit=0")).await;
    assert_eq!((status, body["title"].as_str()), (400, Some("Bad Request")));
}

#[tokio::test]
async fn the_audit_is_sealed_and_checked() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let check = async || world.get(&admin(), "/api/bookings/audit/check").await.1;
    let entries = i64::try_from(world.entries(&format!("subject={id}")).await.len()).unwrap();
    assert_eq!((&check().await["unsealed"], &check().await["head"]["seal"]), (&json!(entries), &json!(0)));
    assert_eq!(world.job("seal").await, 204);
    let found = check().await;
    assert_eq!((&found["intact"], &found["unsealed"], &found["checked"]), (&json!(true), &json!(0), &json!(entries)));
    assert_eq!(found["head"]["seal"], entries);
    assert!(world.entries("").await.iter().all(|entry| entry["seal"].is_i64()));
}
