//! What is kept of who changed what.

use super::{offline::receipt, requests::request, *};
use crate::{
    domain::{OfflineMethod, RefundRequest},
    provider::PaymentStatus,
};

impl World {
    /// Entries about something as action, actor and state after it, oldest first.
    async fn kept(&self, subject: Id) -> Vec<(String, String)> {
        let path = format!("/api/payments/audit?subject={subject}&limit=100");
        let (status, body) = self.admin("GET", &path, json!({})).await;
        assert_eq!(status, 200, "{body}");
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
        let mut kept: Vec<_> = body["entries"].as_array().unwrap().clone();
        kept.reverse();
        kept.iter().map(|entry| (text(entry, "action"), text(entry, "actor"))).collect()
    }
}

fn entry(action: &str, actor: impl ToString) -> (String, String) {
    (action.to_owned(), actor.to_string())
}

#[tokio::test]
async fn money_that_comes_and_goes_is_kept_with_who_is_behind_it() {
    let world = World::new().await;
    let desk = Id::derive(&["desk"]);
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_1").await;
    world.payment_event("payment.captured", "pay_1").await;
    world.wait(1_000);
    let asked = RefundRequest { requested_by: desk.to_string(), ..request(booking, "cancel:1", 100_000) };
    world.app.refund(asked.clone()).await.unwrap();
    world.app.refund(asked).await.unwrap();
    world.wait(1_000);
    world.job("/_jobs/refunds").await;
    let expected =
        [entry("payment.capture", "razorpay"), entry("refund.processing", desk), entry("refund.success", "system")];
    assert_eq!(world.kept(booking).await, expected);

    let by_hand = Id::derive(&["by hand"]);
    world.app.record_offline(&receipt(by_hand, "cmd:1", Kind::Full, 100_000)).await.unwrap();
    world.wait(1_000);
    let queued = world.app.refund(request(by_hand, "cancel:2", 100_000)).await.unwrap();
    assert_eq!(queued.request.amount, Paise(100_000));
    world.wait(1_000);
    let (_, listed) = world.admin("GET", "/api/payments/refunds?status=processing&byHand=true", json!({})).await;
    let refund = listed["refunds"].as_array().unwrap().iter().find(|r| r["bookingId"] == json!(by_hand)).unwrap();
    let path = format!("/api/payments/refunds/{}/pay-out", refund["id"].as_str().unwrap());
    let paid = world.admin("POST", &path, json!({ "method": OfflineMethod::Cash.as_str(), "reference": "V1" })).await;
    assert_eq!(paid.0, 200, "{}", paid.1);
    let expected =
        [entry("payment.receive", desk), entry("refund.processing", "system"), entry("refund.success", world.user)];
    assert_eq!(world.kept(by_hand).await, expected);
}

#[tokio::test]
async fn promo_codes_are_kept_before_and_after() {
    let world = World::new().await;
    let promo = json!({ "code": "ONCE", "discountType": "fixed", "discountValue": 5, "validFrom": "2026-03-01", "validUntil": "2026-03-31" });
    let (_, made) = world.admin("POST", "/api/promos", promo).await;
    let id: Id = made["_id"].as_str().unwrap().parse().unwrap();
    for (method, body) in [("PUT", json!({ "discountValue": 7 })), ("PUT", json!({})), ("DELETE", json!({}))] {
        world.wait(1_000);
        assert_eq!(world.admin(method, &format!("/api/promos/{id}"), body).await.0, 200);
    }
    let words = ["promo.create", "promo.change", "promo.delete"];
    assert_eq!(world.kept(id).await, words.map(|word| entry(word, world.user)));
    let (_, changed) = world.admin("GET", "/api/payments/audit?action=promo.change", json!({})).await;
    let changed = &changed["entries"][0];
    assert_eq!(
        (&changed["before"], &changed["after"]),
        (&json!({ "discountValue": 500 }), &json!({ "discountValue": 700 }))
    );
}

#[tokio::test]
async fn the_audit_of_money_is_for_admins_and_sealed() {
    let world = World::new().await;
    world.app.record_offline(&receipt(Id::derive(&["a"]), "cmd:1", Kind::Full, 100_000)).await.unwrap();
    for path in ["/api/payments/audit", "/api/payments/audit/check"] {
        assert_eq!(world.send(Request::new("GET", path)).await.0, 401);
        let clerk = Request::new("GET", path).with_header(CALLER_HEADER, world.caller(world.user, Role::User));
        assert_eq!(world.send(clerk).await.0, 403);
    }
    assert_eq!(world.send(Request::new("POST", "/_jobs/seal")).await.0, 204);
    let (_, found) = world.admin("GET", "/api/payments/audit/check", json!({})).await;
    assert_eq!((&found["intact"], &found["checked"], &found["unsealed"]), (&json!(true), &json!(1), &json!(0)));
}
