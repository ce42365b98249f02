//! Making a booking: its price, its refusals, and what is left when something dies.

mod world;

use cairn_booking::domain::{BatchStatus, CreateError};
use cairn_shared::{
    Db, Id, Paise, Timestamp,
    http::Request,
    identity::{CALLER_HEADER, Identity},
    time::{DAY, MINUTE},
};
use serde_json::{Value, json};
use world::{NOW, World, admin, batch_id, caller, trek_id};

#[tokio::test]
async fn a_booking_is_priced_on_the_server_and_answered_as_clients_know_it() {
    let world = World::new().await;
    let (status, body) = world
        .book(json!({ "addOns": [{ "name": "Rental tent", "price": 1 }], "couponCode": { "code": "early10", "discount": 99999 }, "paymentMode": "partial", "totalPrice": 8474.4, "frontendInitialAmount": 2542 }))
        .await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(body["totalPrice"], 8474.4);
    assert_eq!(body["status"], "pending_payment");
    assert_eq!(body["partialPaymentDetails"]["initialAmount"], 2542);
    assert_eq!(body["partialPaymentDetails"]["remainingAmount"], 5932.4);
    assert_eq!(body["promoCodeDetails"]["discountAmount"], 880);
    assert_eq!(body["promoCodeDetails"]["discountValue"], 10);
    assert_eq!(body["promoCodeDetails"]["originalPrice"], 8800);
    assert_eq!(body["addOns"][0]["price"], 400);
    assert_eq!(body["bookingSession"]["paymentAttempts"], 1);
    assert_eq!(body["participantDetails"], json!([]));
    assert_eq!(body["cancellationRequest"]["status"], Value::Null);
    assert!(body["bookingId"].as_str().unwrap().starts_with("BT"));
    assert_eq!(body["id"], body["_id"]);
    assert_eq!(body["formattedDates"]["startDate"], json!(Timestamp::from_millis(NOW + 30 * DAY)));
    let id: Id = body["_id"].as_str().unwrap().parse().unwrap();
    let payable = world.outside.payables.borrow()[&id].clone();
    assert_eq!((payable.amount, payable.order_value), (Paise::rupees(2_542), Paise::rupees(8_800)));
    assert_eq!(payable.promo_code.as_deref(), Some("EARLY10"));
    assert_eq!(world.outside.taken(batch_id()), 2);
    assert_eq!(
        *world.outside.phones.borrow(),
        ["9800000001"],
        "an account without a phone number takes that of the booking"
    );
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_lower_price_than_displayed_wins_and_a_higher_one_is_refused() {
    let world = World::new().await;
    // 8000 and 7 %: 8560.
    assert_eq!(world.book(json!({ "totalPrice": 9000 })).await.1["totalPrice"], 8560);
    assert_eq!(world.book(json!({ "totalPrice": 8559 })).await.0, 201, "a rupee of rounding is borne");
    let (status, body) = world.book(json!({ "totalPrice": 8558.9 })).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (400, "Price has changed. Please refresh and try again."));
    let (_, body) = world.book(json!({ "paymentMode": "partial", "frontendInitialAmount": 2000 })).await;
    assert_eq!(body["message"], "Partial payment amount mismatch. Please refresh and try again.");
}

/// Each request is wrong in one more way than the next one; the first way is told.
#[tokio::test]
async fn refusals_come_in_the_order_clients_know() {
    let world = World::new().await;
    let details = json!({ "name": "M", "email": "m@example.org", "phone": "1" });
    let cases = [
        (
            json!({ "batchId": null, "userDetails": {}, "numberOfParticipants": "x" }),
            400,
            "Please provide all required fields",
        ),
        (
            json!({ "userDetails": { "name": "M" }, "numberOfParticipants": "x" }),
            400,
            "Please provide all user details",
        ),
        (json!({ "numberOfParticipants": "x", "trekId": Id::derive(&["no"]) }), 400, "Invalid number of participants"),
        (json!({ "numberOfParticipants": 0 }), 400, "Invalid number of participants"),
        (json!({ "numberOfParticipants": 51 }), 400, "Invalid number of participants"),
        (json!({ "numberOfParticipants": 1.5 }), 400, "Invalid number of participants"),
        (json!({ "trekId": Id::derive(&["no"]), "batchId": Id::derive(&["no"]) }), 404, "Trek not found"),
        (json!({ "trekId": "malformed" }), 404, "Trek not found"),
        (json!({ "batchId": Id::derive(&["no"]), "numberOfParticipants": 40 }), 404, "Batch not found"),
        (json!({ "batchId": "malformed" }), 404, "Batch not found"),
        (
            json!({ "numberOfParticipants": 19, "paymentMode": "partial" }),
            400,
            "Not enough spots available in this batch",
        ),
        (
            json!({ "addOns": [{ "name": "Porter" }], "totalPrice": 1 }),
            400,
            "The add-on \u{201c}Porter\u{201d} is not available for this trek",
        ),
        (json!({ "userDetails": details, "totalPrice": 1 }), 400, "Price has changed. Please refresh and try again."),
    ];
    for (changes, status, message) in cases {
        let answer = world.book(changes.clone()).await;
        assert_eq!((answer.0, answer.1["message"].as_str().unwrap()), (status, message), "{changes}");
    }
    assert_eq!(world.book(json!({ "numberOfParticipants": "3" })).await.0, 201, "a number in text is a number");
    assert_eq!(world.ask(None, "POST", "/api/bookings", json!({})).await.0, 401);
}

#[tokio::test]
async fn refusals_of_the_trek_and_its_batch() {
    let world = World::new().await;
    let refused = async |changes: Value, message: &str| {
        let (status, body) = world.book(changes).await;
        assert_eq!((status, body["message"].as_str().unwrap()), (400, message));
    };
    let trek =
        |change: fn(&mut cairn_booking::domain::Terms)| change(world.outside.terms.borrow_mut().as_mut().unwrap());
    let batch = |change: fn(&mut cairn_booking::domain::Batch)| change(&mut world.outside.batches.borrow_mut()[0]);
    trek(|t| t.enabled = false);
    refused(json!({}), "This trek is currently unavailable for booking").await;
    trek(|t| (t.enabled, t.custom) = (true, true));
    refused(json!({}), "This trek can only be booked through its custom link").await;
    trek(|t| (t.custom, t.partial.enabled) = (false, false));
    refused(json!({ "paymentMode": "partial" }), "Partial payment is not enabled for this trek").await;
    trek(|t| t.partial.enabled = true);
    batch(|b| b.start = Timestamp::from_millis(NOW + 5 * DAY));
    refused(
        json!({ "paymentMode": "partial" }),
        "Partial payment is not available for bookings within 5 days of the trek start date",
    )
    .await;
    batch(|b| b.start = Timestamp::from_millis(NOW));
    refused(json!({}), "This batch is no longer open for booking").await;
    batch(|b| (b.start, b.status) = (Timestamp::from_millis(NOW + 9 * DAY), BatchStatus::Cancelled));
    refused(json!({}), "This batch is no longer open for booking").await;
    batch(|b| b.trek_id = Id::derive(&["another"]));
    assert_eq!(world.book(json!({})).await.1["message"], "Batch not found");
}

#[tokio::test]
async fn a_promo_code_that_does_not_apply_is_refused_in_its_own_words() {
    let world = World::new().await;
    let cases = [
        (CreateError::PromoInvalid, "Invalid promo code"),
        (CreateError::PromoExpired, "Promo code has expired"),
        (CreateError::PromoUsedUp, "Promo code has reached maximum uses"),
        (CreateError::PromoBelowMinimum(Paise::rupees(10_000)), "Order value must be at least 10000 to use this code"),
        (CreateError::PromoNotApplicable, "Promo code not applicable for this trek"),
    ];
    for (error, message) in cases {
        *world.outside.promo_error.borrow_mut() = Some(error);
        let (status, body) = world.book(json!({ "couponCode": "X" })).await;
        assert_eq!((status, body["message"].as_str().unwrap()), (400, message));
    }
    *world.outside.promo_error.borrow_mut() = None;
    *world.outside.open_error.borrow_mut() = Some(CreateError::PromoUsedUp);
    let (status, body) = world.book(json!({ "couponCode": "X" })).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (400, "Promo code has reached maximum uses"));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 0, "nothing is left");
    assert_eq!(world.outside.taken(batch_id()), 0);
}

#[tokio::test]
async fn a_second_request_of_the_same_session_changes_the_booking() {
    let world = World::new().await;
    let id = world.booked(json!({ "couponCode": "EARLY10", "paymentMode": "partial" })).await;
    world.advance(MINUTE);
    let (status, body) = world.book(json!({ "numberOfParticipants": 3 })).await;
    assert_eq!((status, body["_id"].as_str().unwrap()), (201, id.to_string().as_str()));
    assert_eq!(body["bookingSession"]["paymentAttempts"], 2);
    assert_eq!(body["partialPaymentDetails"], Value::Null, "the instalments are gone with the mode");
    assert_eq!(body.get("promoCodeDetails"), None);
    assert_eq!(body["totalPrice"], 12840);
    assert_eq!(world.outside.taken(batch_id()), 3);
    assert_eq!(world.outside.payables.borrow()[&id].amount, Paise::rupees(12_840));
    assert_eq!(world.outside.payables.borrow()[&id].promo_code, None);
}

#[tokio::test]
async fn a_change_that_gets_no_seats_leaves_the_booking_as_it_was() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let before = (world.outside.holds.borrow()[&id].seats, world.outside.payables.borrow()[&id].clone());
    world.book_as(&caller("Other"), json!({ "numberOfParticipants": 15 })).await;
    let (status, body) = world.book(json!({ "numberOfParticipants": 4 })).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (400, "Not enough spots available in this batch"));
    // The seats are had, the promo use is not; then it is again, for the old price.
    *world.outside.open_error.borrow_mut() = Some(CreateError::PromoExpired);
    world.outside.refuse_open_once.set(true);
    assert_eq!(world.book(json!({ "numberOfParticipants": 3, "couponCode": "X" })).await.0, 400);
    assert_eq!((world.outside.holds.borrow()[&id].seats, world.outside.payables.borrow()[&id].clone()), before);
    assert_eq!(world.status(id).await.as_deref(), Some("pending_payment"));
    assert!(world.is_settled().await);
}

/// One connection each, so that the requests really run side by side.
#[tokio::test]
async fn two_requests_at_once_end_in_one_booking() {
    let folder = std::env::temp_dir().join(format!("cairn-booking-{}", Id::generate(Timestamp::now())));
    std::fs::create_dir_all(&folder).unwrap();
    let world = World::with(Db::for_test_in(&folder.join("booking.db")).await.unwrap()).await;
    let (meera, body) = (caller("Meera"), json!({}));
    let answers = tokio::join!(
        world.book_as(&meera, body.clone()),
        world.book_as(&meera, body.clone()),
        world.book_as(&meera, body)
    );
    let statuses = [answers.0.0, answers.1.0, answers.2.0];
    assert!(statuses.contains(&201) && statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 1);
    assert_eq!(world.outside.taken(batch_id()), 2);
    assert!(world.is_settled().await);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_same_idempotency_key_books_once() {
    let world = World::new().await;
    let meera = caller("Meera");
    let body = json!({ "trekId": trek_id(), "batchId": batch_id(), "numberOfParticipants": 1,
        "userDetails": { "name": "Meera", "email": "meera@example.org", "phone": "1" } });
    let send = async || {
        let request = Request::json("POST", "/api/bookings", &body)
            .with_header("idempotency-key", "k1")
            .with_header(CALLER_HEADER, Identity::Caller(Box::new(meera.clone())).encode());
        world.send(request).await
    };
    let (first, second) = (send().await, send().await);
    assert_eq!(first.status, 201);
    assert_eq!(first.body, second.body);
    assert_eq!(world.outside.calls.borrow().iter().filter(|call| **call == "open").count(), 1);
}

/// The request dies after each of its steps, with the last step's effect or without.
#[tokio::test]
async fn a_new_booking_that_dies_anywhere_disappears_with_its_seats_and_its_checkout() {
    for steps in 0..2 {
        for lost_answer in [false, true] {
            let world = World::new().await;
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost_answer);
            assert_eq!(world.book(json!({ "couponCode": "X" })).await.0, 503, "step {steps}");
            assert!(!world.is_settled().await, "the intent is on disk");
            assert_eq!(world.get(&admin(), "/api/bookings").await.1["pagination"]["total"], 0, "nobody sees it");
            world.recover().await;
            assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 0);
            assert_eq!(world.outside.taken(batch_id()), 0);
            assert!(world.outside.payables.borrow().is_empty());
            assert_eq!(world.book(json!({})).await.0, 201, "and the customer may try again");
        }
    }
}

#[tokio::test]
async fn a_change_that_dies_anywhere_leaves_the_booking_as_it_was() {
    for steps in 0..2 {
        for lost_answer in [false, true] {
            let world = World::new().await;
            let id = world.booked(json!({})).await;
            let before = (world.outside.holds.borrow()[&id].seats, world.outside.payables.borrow()[&id].clone());
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost_answer);
            assert_eq!(world.book(json!({ "numberOfParticipants": 5 })).await.0, 503, "step {steps}");
            world.recover().await;
            assert_eq!((world.outside.holds.borrow()[&id].seats, world.outside.payables.borrow()[&id].clone()), before);
            assert!(world.is_settled().await);
            assert_eq!(world.status(id).await.as_deref(), Some("pending_payment"));
        }
    }
}

#[tokio::test]
async fn while_a_dead_requests_lease_runs_another_one_is_told_to_wait() {
    let world = World::new().await;
    world.outside.stop_after.set(Some(1));
    assert_eq!(world.book(json!({})).await.0, 503);
    world.outside.stop_after.set(None);
    assert_eq!(world.book(json!({})).await.0, 409);
    world.advance(MINUTE + 1);
    assert_eq!(world.book(json!({})).await.0, 201, "the next one clears up what the dead one left");
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 1);
    assert_eq!(world.outside.taken(batch_id()), 2);
}
