//! Bookings that were never paid.

use cairn_booking::domain::{CreateError, Kind};
use cairn_shared::{Id, Paise, time::MINUTE};
use serde_json::{Value, json};

use super::world::{World, admin, batch_id, caller, trek_id};

impl World {
    /// An expired booking of Meera's; the id of its failed record.
    pub async fn failed(&self) -> Id {
        self.failed_with(json!({})).await
    }

    async fn failed_with(&self, changes: Value) -> Id {
        self.booked(changes).await;
        self.advance(31 * MINUTE);
        assert_eq!(self.job("expire").await, 204);
        let (_, body) = self.get(&admin(), "/api/failed-bookings").await;
        body["failedBookings"][0]["_id"].as_str().unwrap().parse().unwrap()
    }

    async fn restore(&self, failed: impl std::fmt::Display) -> (u16, Value) {
        self.post(&format!("/api/failed-bookings/{failed}/restore"), Value::Null).await
    }
}

#[tokio::test]
async fn failed_bookings_are_listed_with_their_figures() {
    let world = World::new().await;
    let first = world.failed().await;
    let id = world.booked(json!({ "numberOfParticipants": 1 })).await;
    let failed =
        json!({ "bookingId": id, "code": "BAD", "description": "Card declined", "failedAt": world.clock.get() });
    world.event("payment.failed", failed).await;
    world.advance(31 * MINUTE);
    world.job("expire").await;
    let (status, body) = world.get(&admin(), "/api/failed-bookings?page=1&limit=1&failureReason=&startDate=").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["pagination"], json!({ "total": 2, "page": 1, "pages": 2, "limit": 1 }));
    let stats = json!({ "totalFailed": 2, "totalValue": 12_840, "sessionExpired": 1, "paymentFailed": 1,
        "userCancelled": 0, "systemError": 0, "averageValue": 6_420 });
    assert_eq!(body["stats"], stats);
    let newest = &body["failedBookings"][0];
    assert_eq!(
        (&newest["failureReason"], &newest["failureDetails"]),
        (&json!("payment_failed"), &json!("Card declined"))
    );
    assert_eq!((&newest["originalBookingId"], &newest["batch"]), (&json!(id), &json!(batch_id())));
    assert_eq!((&newest["archivedBy"], &newest["lastError"]["code"]), (&json!("system"), &json!("BAD")));
    let (_, body) = world.get(&admin(), "/api/failed-bookings?failureReason=session_expired&limit=500").await;
    assert_eq!((body["failedBookings"].as_array().unwrap().len(), &body["pagination"]["limit"]), (1, &json!(100)));
    assert_eq!(body["failedBookings"][0]["bookingId"], format!("FB{}", first.short_code()));
    let (_, body) = world.get(&admin(), "/api/failed-bookings?endDate=2020-01-01").await;
    assert_eq!((&body["stats"]["totalFailed"], &body["stats"]["averageValue"]), (&json!(0), &json!(0)));
    for query in ["failureReason=nonsense", "page=0", "startDate=yesterday"] {
        assert_eq!(world.get(&admin(), &format!("/api/failed-bookings?{query}")).await.0, 400, "{query}");
    }
    let (status, body) = world.get(&admin(), &format!("/api/failed-bookings/{first}")).await;
    assert_eq!((status, &body["trek"]["batches"][0]["_id"]), (200, &json!(batch_id())));
    assert_eq!(body["user"]["email"], "meera@example.org");
}

#[tokio::test]
async fn a_restored_booking_is_the_old_one_with_another_half_hour() {
    let world = World::new().await;
    let changes = json!({ "paymentMode": "partial", "couponCode": "EARLY10", "addOns": [{ "name": "Rental tent" }] });
    let failed = world.failed_with(changes).await;
    let (status, body) = world.restore(failed).await;
    assert_eq!((status, body["message"].as_str()), (200, Some("Failed booking restored successfully")), "{body}");
    let booking = &body["booking"];
    let id: Id = booking["_id"].as_str().unwrap().parse().unwrap();
    assert_eq!((&booking["status"], &booking["paymentMode"]), (&json!("pending_payment"), &json!("partial")));
    assert_eq!((&booking["totalPrice"], &booking["promoCodeDetails"]["code"]), (&json!(8_474.4), &json!("EARLY10")));
    assert_eq!((&booking["bookingSession"]["paymentAttempts"], world.outside.taken(batch_id())), (&json!(0), 2));
    assert!(booking["bookingSession"]["sessionId"].as_str().unwrap().starts_with("restored_"));
    assert_eq!(world.outside.payables.borrow()[&id].amount, Paise::rupees(2_542));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 1, "the id stays");
    let (status, body) = world.restore(failed).await;
    assert_eq!((status, body["message"].as_str()), (404, Some("Failed booking not found")), "twice");
    assert_eq!(world.captured(id, "pay_1", Kind::Initial, 2_542).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_restored_booking_that_is_not_paid_fails_once_more() {
    let world = World::new().await;
    let failed = world.failed().await;
    world.restore(failed).await;
    world.advance(31 * MINUTE);
    world.job("expire").await;
    let (_, body) = world.get(&admin(), "/api/failed-bookings").await;
    assert_eq!(body["stats"]["totalFailed"], 1);
    assert_ne!(body["failedBookings"][0]["_id"], json!(failed));
    assert_eq!(world.restore(body["failedBookings"][0]["_id"].as_str().unwrap()).await.0, 200);
}

#[tokio::test]
async fn what_cannot_be_restored_says_why_and_stays() {
    let full = |world: &World| world.outside.batches.borrow_mut()[0].taken = 19;
    let no_trek = |world: &World| *world.outside.terms.borrow_mut() = None;
    let no_batch = |world: &World| world.outside.batches.borrow_mut().clear();
    let promo = |world: &World| *world.outside.promo_error.borrow_mut() = Some(CreateError::PromoExpired);
    type Change<'c> = &'c dyn Fn(&World);
    let cases: [(Change<'_>, u16, &str); 4] = [
        (&full, 400, "Cannot restore booking - batch is now full"),
        (&no_trek, 404, "Trek not found"),
        (&no_batch, 404, "Batch not found"),
        (&promo, 400, "Promo code has expired"),
    ];
    for (change, status, message) in cases {
        let world = World::new().await;
        let failed = world.failed_with(json!({ "couponCode": "EARLY10" })).await;
        change(&world);
        let (got, body) = world.restore(failed).await;
        assert_eq!((got, body["message"].as_str()), (status, Some(message)));
        assert_eq!(world.get(&admin(), &format!("/api/failed-bookings/{failed}")).await.0, 200);
        assert!(world.outside.holds.borrow().is_empty() && world.is_settled().await);
    }
    let world = World::new().await;
    let failed = world.failed().await;
    world.booked(json!({})).await;
    assert_eq!(world.restore(failed).await.0, 409, "the customer has another unpaid booking of the batch");
    for id in ["nonsense".to_owned(), trek_id().to_string()] {
        let (status, body) = world.restore(&id).await;
        assert_eq!((status, body["message"].as_str()), (404, Some("Failed booking not found")));
        assert_eq!(world.get(&admin(), &format!("/api/failed-bookings/{id}")).await.0, 404);
        let delete = format!("/api/failed-bookings/{id}");
        assert_eq!(world.ask(Some(&admin()), "DELETE", &delete, Value::Null).await.0, 404);
    }
}

#[tokio::test]
async fn staff_may_restore_into_reserved_seats_and_keep_them() {
    let world = World::new().await;
    let failed = world.failed().await;
    world.outside.batches.borrow_mut()[0].taken = 18;
    let (status, body) = world.restore(failed).await;
    assert_eq!(status, 200, "{body}");
    let id: Id = body["booking"]["_id"].as_str().unwrap().parse().unwrap();
    world.captured(id, "pay_1", Kind::Full, 8_560).await;
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
}

#[tokio::test]
async fn a_restore_that_stops_anywhere_is_undone_or_done() {
    for (steps, lost) in (0..3).flat_map(|steps| [(steps, false), (steps, true)]) {
        let world = World::new().await;
        let failed = world.failed().await;
        world.outside.stop_after.set(Some(steps));
        world.outside.lost_answer.set(lost);
        let (status, _) = world.restore(failed).await;
        world.recover().await;
        let listed = world.get(&admin(), &format!("/api/failed-bookings/{failed}")).await.0;
        let (taken, payables) = (world.outside.taken(batch_id()), world.outside.payables.borrow().len());
        if status == 200 {
            assert_eq!((listed, taken, payables), (404, 2, 1), "after {steps} steps, answer lost: {lost}");
        } else {
            assert_eq!((listed, taken, payables), (200, 0, 0), "after {steps} steps, answer lost: {lost}");
            assert_eq!(world.restore(failed).await.0, 200, "and it can be tried again");
        }
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn a_deleted_record_is_gone_from_the_list_and_its_booking_still_takes_a_late_payment() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(31 * MINUTE);
    world.job("expire").await;
    let (_, body) = world.get(&admin(), "/api/failed-bookings").await;
    let path = format!("/api/failed-bookings/{}", body["failedBookings"][0]["_id"].as_str().unwrap());
    let (status, body) = world.ask(Some(&admin()), "DELETE", &path, Value::Null).await;
    assert_eq!((status, body["message"].as_str()), (200, Some("Failed booking deleted permanently")));
    let (status, body) = world.ask(Some(&admin()), "DELETE", &path, Value::Null).await;
    assert_eq!((status, body["message"].as_str()), (404, Some("Failed booking not found")));
    assert_eq!(world.get(&admin(), "/api/failed-bookings").await.1["stats"]["totalFailed"], 0);
    assert_eq!(world.captured(id, "pay_1", Kind::Full, 8_560).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    assert_eq!(world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await.0, 200);
}
