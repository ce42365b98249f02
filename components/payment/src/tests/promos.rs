//! Promo codes.

use super::*;
use crate::domain::{OpenError, Promo, PromoProblem, Use};
use crate::provider::PaymentStatus;

async fn promo(world: &World, body: Value) -> Value {
    let mut full = json!({ "code": "early10", "discountType": "percentage", "discountValue": 10, "validFrom": "2026-03-01", "validUntil": "2026-03-31" });
    for (key, value) in body.as_object().unwrap() {
        full[key] = value.clone();
    }
    let (status, made) = world.admin("POST", "/api/promos", full).await;
    assert_eq!(status, 201, "{made}");
    made
}

async fn open(world: &World, booking: &str, code: &str) -> Result<Id, OpenError> {
    let payable = world.payable(booking, Kind::Full, 254_200);
    let id = payable.booking_id;
    world.app.open(payable, Some(code)).await.map(|()| id)
}

async fn used(world: &World) -> Value {
    world.admin("GET", "/api/promos", json!({})).await.1[0]["usedCount"].clone()
}

fn used_up<T>(outcome: &Result<T, OpenError>) -> bool {
    matches!(outcome, Err(OpenError::Promo(PromoProblem::UsedUp)))
}

async fn pay(world: &World, booking: Id, payment: &str) {
    let order = world.order(booking).await;
    world.double.pay(&order, payment, PaymentStatus::Captured);
    assert_eq!(world.verify(&order, payment).await.0, 200);
}

#[tokio::test]
async fn every_reason_against_a_code_has_its_message() {
    let world = World::new().await;
    let trek = Id::derive(&["trek"]);
    promo(
        &world,
        json!({ "minOrderValue": 2000.5, "applicableTreks": [{ "_id": trek, "name": "Ridge" }], "maxUses": 1 }),
    )
    .await;
    promo(&world, json!({ "code": "LATER", "validFrom": "2026-03-11" })).await;
    promo(&world, json!({ "code": "OVER", "validUntil": "2026-03-09" })).await;
    promo(&world, json!({ "code": "OFF", "isActive": false })).await;
    let ask = async |body: Value| world.post("/api/promos/validate", body).await;
    for (body, status, expected) in [
        (json!({}), 400, "Please provide a promo code"),
        (json!({ "code": " " }), 400, "Please provide a promo code"),
        (json!({ "code": "NONE" }), 404, "Invalid promo code"),
        (json!({ "code": "off" }), 404, "Invalid promo code"),
        (json!({ "code": "LATER" }), 400, "Promo code has expired"),
        (json!({ "code": "OVER" }), 400, "Promo code has expired"),
        (
            json!({ "code": "EARLY10", "orderValue": 2000 }),
            400,
            "Order value must be at least 2000.50 to use this code",
        ),
        (json!({ "code": "EARLY10", "trekId": world.user }), 400, "Promo code not applicable for this trek"),
        (json!({ "code": "EARLY10", "trekId": "x" }), 400, "Promo code not applicable for this trek"),
    ] {
        assert_eq!(message(&ask(body.clone()).await), (status, expected), "{body}");
    }
    let (status, found) = ask(json!({ "code": " early10 ", "trekId": trek, "orderValue": 8800 })).await;
    assert_eq!((status, &found["valid"]), (200, &json!(true)));
    let found = &found["promoCode"];
    assert_eq!(
        (&found["code"], &found["discountType"], &found["discountValue"], &found["discount"]),
        (&json!("EARLY10"), &json!("percentage"), &json!(10), &json!(880))
    );
    assert_eq!(ask(json!({ "code": "EARLY10" })).await.1["promoCode"]["discount"], 10);

    open(&world, "a", "EARLY10").await.unwrap();
    assert_eq!(ask(json!({ "code": "EARLY10" })).await.0, 200, "one's own reservation is not held against one");
    let other = world.post_as(Id::derive(&["other"]), "/api/promos/validate", json!({ "code": "EARLY10" })).await;
    assert_eq!(message(&other), (400, "Promo code has reached maximum uses"));
    let request = Request::json("POST", "/api/promos/validate", &json!({ "code": "EARLY10" }));
    assert_eq!(world.send(request).await.0, 401);
}

#[tokio::test]
async fn a_fixed_discount_is_never_more_than_the_order() {
    let world = World::new().await;
    promo(&world, json!({ "discountType": "fixed", "discountValue": 500 })).await;
    for (value, discount) in [(json!(8800), json!(500)), (json!(300.5), json!(300.5)), (Value::Null, json!(500))] {
        let (_, found) = world.post("/api/promos/validate", json!({ "code": "EARLY10", "orderValue": value })).await;
        assert_eq!(found["promoCode"]["discount"], discount);
    }
}

#[tokio::test]
async fn a_race_for_the_last_use_has_one_winner() {
    let world = World::on(database_file("promos").await, &VARIABLES).await;
    promo(&world, json!({ "maxUses": 1 })).await;
    let (a, b, c) =
        tokio::join!(open(&world, "a", "EARLY10"), open(&world, "b", "EARLY10"), open(&world, "c", "EARLY10"));
    let outcomes = [a, b, c];
    assert_eq!((outcomes.iter().filter(|o| o.is_ok()).count(), outcomes.iter().filter(|o| used_up(o)).count()), (1, 2));
    assert_eq!(world.count("payables").await, 1, "nothing else was opened");
}

#[tokio::test]
async fn a_use_is_given_back_when_the_booking_is_closed_unpaid() {
    let world = World::new().await;
    promo(&world, json!({ "maxUses": 1 })).await;
    let booking = open(&world, "a", "EARLY10").await.unwrap();
    open(&world, "a", "EARLY10").await.unwrap();
    assert!(used_up(&open(&world, "b", "EARLY10").await));
    assert_eq!(used(&world).await, 0);
    world.app.close(booking).await.unwrap();
    open(&world, "b", "EARLY10").await.unwrap();
}

#[tokio::test]
async fn a_booking_that_gives_its_code_up_frees_the_use() {
    let world = World::new().await;
    promo(&world, json!({ "maxUses": 1 })).await;
    open(&world, "a", "EARLY10").await.unwrap();
    world.app.open(world.payable("a", Kind::Full, 254_200), None).await.unwrap();
    open(&world, "b", "EARLY10").await.unwrap();
}

#[tokio::test]
async fn a_paid_use_stays_and_counts_once() {
    let world = World::new().await;
    promo(&world, json!({ "maxUses": 1 })).await;
    let payable = world.payable("a", Kind::Initial, 100_000);
    let booking = payable.booking_id;
    world.app.open(payable, Some("EARLY10")).await.unwrap();
    pay(&world, booking, "pay_1").await;
    assert_eq!(used(&world).await, 1);
    world.app.close(booking).await.unwrap();
    assert!(used_up(&open(&world, "b", "EARLY10").await));

    world.app.open(world.payable("a", Kind::Balance, 200_000), Some("EARLY10")).await.unwrap();
    let (_, made) = world.post("/api/payments/create-remaining-balance-order", json!({ "bookingId": booking })).await;
    world.double.pay(made["order"]["id"].as_str().unwrap(), "pay_2", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_2").await;
    world.payment_event("payment.captured", "pay_1").await;
    assert_eq!(used(&world).await, 1);
}

#[tokio::test]
async fn a_paid_use_is_given_back_when_all_of_the_money_has_gone_back() {
    let world = World::new().await;
    promo(&world, json!({ "maxUses": 1 })).await;
    let booking = open(&world, "a", "EARLY10").await.unwrap();
    pay(&world, booking, "pay_1").await;
    let payment = &world.app.payments(booking).await.unwrap()[0];
    let part = super::requests::request(booking, "half", payment.amount.0 / 2);
    world.app.refund(part).await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!(used(&world).await, 1, "a part has been used");
    world.app.refund_all(booking, "the trip does not take place").await.unwrap();
    assert_eq!(used(&world).await, 1, "it is on its way");
    world.job("/_jobs/refunds").await;
    assert_eq!(used(&world).await, 0);
    open(&world, "b", "EARLY10").await.unwrap();
}

#[tokio::test]
async fn a_code_that_does_not_apply_opens_nothing() {
    let world = World::new().await;
    promo(&world, json!({ "minOrderValue": 9000 })).await;
    assert!(matches!(
        open(&world, "a", "EARLY10").await,
        Err(OpenError::Promo(PromoProblem::BelowMinimum(Paise(900_000))))
    ));
    assert!(matches!(open(&world, "a", "NONE").await, Err(OpenError::Promo(PromoProblem::InvalidCode))));
    assert_eq!((world.count("payables").await, world.count("promo_uses").await), (0, 0));
}

#[tokio::test]
async fn a_quote_reserves_nothing_and_leaves_out_the_bookings_own_use() {
    let world = World::new().await;
    promo(&world, json!({ "maxUses": 1 })).await;
    let booking = open(&world, "a", "EARLY10").await.unwrap();
    let quote = async |booking: Option<Id>| -> Result<Promo, OpenError> {
        world.app.quote("early10", Use::default(), booking).await
    };
    assert!(used_up(&quote(None).await));
    assert_eq!(quote(Some(booking)).await.unwrap().code, "EARLY10");
    assert_eq!(world.count("promo_uses").await, 1);
}

#[tokio::test]
async fn staff_keep_the_codes() {
    let world = World::new().await;
    let made = promo(&world, json!({ "maxUses": "100", "minOrderValue": "" })).await;
    let path = format!("/api/promos/{}", made["_id"].as_str().unwrap());
    assert_eq!(
        (&made["code"], &made["maxUses"], &made["minOrderValue"], &made["isActive"]),
        (&json!("EARLY10"), &json!(100), &json!(0), &json!(true))
    );
    assert_eq!(
        (&made["validFrom"], &made["validUntil"]),
        (&json!("2026-03-01T00:00:00.000Z"), &json!("2026-03-31T00:00:00.000Z"))
    );
    assert_eq!(made["createdBy"], json!(world.user));

    let change = json!({ "code": "OTHER", "discountType": "fixed", "discountValue": 250.5, "maxUses": null, "validUntil": "2026-04-30T10:00:00Z" });
    let (status, changed) = world.admin("PUT", &path, change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(
        (&changed["code"], &changed["discountValue"], &changed["maxUses"]),
        (&json!("EARLY10"), &json!(250.5), &Value::Null)
    );
    assert_eq!(changed["validUntil"], "2026-04-30T00:00:00.000Z");
    let (_, listed) = world.admin("GET", "/api/promos", json!({})).await;
    assert_eq!(listed[0]["createdBy"], json!({ "_id": world.user, "name": "Meera" }));

    let (status, body) = world.admin("DELETE", &path, json!({})).await;
    assert_eq!((status, &body), (200, &json!({ "message": "Promo code deleted successfully" })));
    for (method, path) in [("DELETE", path.as_str()), ("PUT", &path), ("DELETE", "/api/promos/x")] {
        assert_eq!(message(&world.admin(method, path, json!({})).await), (404, "Promo code not found"));
    }
    promo(&world, json!({})).await;
}

#[tokio::test]
async fn a_code_that_makes_no_sense_is_not_made() {
    let world = World::new().await;
    promo(&world, json!({})).await;
    let full = json!({ "code": "X", "discountType": "fixed", "discountValue": 10, "validFrom": "2026-03-01", "validUntil": "2026-03-31" });
    for (key, value, expected) in [
        ("code", json!(""), "Please provide all required fields"),
        ("discountType", Value::Null, "Please provide all required fields"),
        ("discountValue", json!(0), "Please provide all required fields"),
        ("validFrom", json!(""), "Please provide all required fields"),
        ("validUntil", Value::Null, "Please provide all required fields"),
        ("code", json!("Early10"), "Promo code already exists"),
        ("discountValue", json!(-5), "discountValue has to be more than 0"),
        ("discountType", json!("half"), "discountType has to be percentage or fixed"),
        ("validUntil", json!("2026-02-01"), "validUntil cannot be before validFrom"),
        ("maxUses", json!(1.5), "maxUses has to be a whole number of 1 or more"),
    ] {
        let mut body = full.clone();
        body[key] = value;
        assert_eq!(message(&world.admin("POST", "/api/promos", body).await), (400, expected), "{key}");
    }
    let mut body = full;
    body["discountType"] = json!("percentage");
    body["discountValue"] = json!(101);
    assert_eq!(message(&world.admin("POST", "/api/promos", body).await), (400, "A percentage cannot be more than 100"));
}

#[tokio::test]
async fn a_person_uses_a_code_as_often_as_it_allows_one() {
    let world = World::new().await;
    promo(&world, json!({ "maxUsesPerUser": 1 })).await;
    let booking = open(&world, "a", "EARLY10").await.unwrap();
    open(&world, "a", "EARLY10").await.unwrap();
    assert!(matches!(open(&world, "b", "EARLY10").await, Err(OpenError::Promo(PromoProblem::UsedByUser))));
    let mut others = world.payable("c", Kind::Full, 254_200);
    others.user_id = Id::derive(&["other"]);
    world.app.open(others, Some("EARLY10")).await.unwrap();
    let ask = || world.post("/api/promos/validate", json!({ "code": "EARLY10" }));
    assert_eq!(ask().await.0, 200, "what is only reserved may still be given up");
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.verify(&order, "pay_1").await;
    assert_eq!(message(&ask().await), (400, "You have used this promo code as often as it allows"));
    let (_, listed) = world.admin("GET", "/api/promos", json!({})).await;
    assert_eq!((&listed[0]["maxUsesPerUser"], &listed[0]["usedCount"]), (&json!(1), &json!(1)));
    let (status, body) = world
        .admin("PUT", &format!("/api/promos/{}", listed[0]["_id"].as_str().unwrap()), json!({ "maxUsesPerUser": 1.5 }))
        .await;
    assert_eq!((status, body["message"].as_str()), (400, Some("maxUsesPerUser has to be a whole number of 1 or more")));
}

#[tokio::test]
async fn a_person_in_two_windows_uses_a_code_once() {
    let world = World::on(database_file("promos-user").await, &VARIABLES).await;
    promo(&world, json!({ "maxUsesPerUser": 1 })).await;
    let (a, b) = tokio::join!(open(&world, "a", "EARLY10"), open(&world, "b", "EARLY10"));
    assert_eq!(u8::from(a.is_ok()) + u8::from(b.is_ok()), 1);
}
