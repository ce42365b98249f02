//! Making orders.

use super::*;
use crate::provider::PaymentStatus;

#[tokio::test]
async fn an_order_is_for_what_the_booking_owes() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let body = json!({ "bookingId": booking, "amount": 1, "currency": "USD", "partial_payment": true });
    let (status, body) = world.post("/api/payments/create-order", body).await;
    assert_eq!(status, 200, "{body}");
    let order = &body["order"];
    assert_eq!(
        (&order["amount"], &order["currency"], &body["success"]),
        (&json!(254_200), &json!("INR"), &json!(true))
    );
    assert_eq!(order["receipt"], format!("booking_{booking}"));
    assert_eq!(order["notes"]["paymentType"], "full");
    assert_eq!(order["offer_id"], Value::Null);
}

#[tokio::test]
async fn asking_twice_gives_the_same_order() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    assert_eq!(world.create_order(booking).await, world.create_order(booking).await);
    assert_eq!(world.double.requests("POST /orders"), 1);
}

#[tokio::test]
async fn two_at_once_get_the_same_order() {
    for receipts_repeat in [false, true] {
        let world = World::on(database_file("orders").await, &VARIABLES).await;
        world.double.0.borrow_mut().receipts_repeat = receipts_repeat;
        let booking = world.booking("a").await;
        let (one, two) = tokio::join!(world.order(booking), world.order(booking));
        assert_eq!(one, two);
        assert_eq!(world.count("orders").await, 1);
    }
}

#[tokio::test]
async fn when_the_provider_made_two_orders_both_callers_get_the_first_recorded() {
    let world = World::new().await;
    world.double.0.borrow_mut().receipts_repeat = true;
    let booking = world.booking("a").await;
    world.double.fault(&[Fault::Slow]);
    let second = async {
        world.double.1.reached.notified().await;
        let order = world.order(booking).await;
        world.double.1.open.notify_one();
        order
    };
    let (one, two) = tokio::join!(world.order(booking), second);
    assert_eq!((&one, world.double.0.borrow().orders.len()), (&two, 2));
}

#[tokio::test]
async fn who_may_not_pay_is_told_why() {
    let world = World::new().await;
    let path = "/api/payments/create-order";
    assert_eq!(message(&world.post(path, json!({})).await), (400, "Amount and bookingId are required"));
    for id in ["nonsense".to_owned(), world.user.to_string()] {
        assert_eq!(message(&world.post(path, json!({ "bookingId": id })).await), (404, "Booking not found"));
    }
    let booking = world.booking("a").await;
    let stranger = world.post_as(Id::derive(&["stranger"]), path, json!({ "bookingId": booking })).await;
    assert_eq!(message(&stranger), (403, "You are not authorized to pay for this booking"));
    world.wait(30 * 60_000);
    assert_eq!(message(&world.create_order(booking).await), (400, "Booking session has expired. Please book again."));
    world.app.close(booking).await.unwrap();
    assert_eq!(message(&world.create_order(booking).await), (400, "This booking is not awaiting payment"));
    assert_eq!(world.double.requests("POST"), 0);
}

#[tokio::test]
async fn who_is_about_to_pay_keeps_the_seats_longer_but_not_for_ever() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let began = world.now();
    for (minutes, end) in [(10, 40), (25, 65), (25, 90), (25, 115), (25, 120), (5, 120)] {
        world.wait(minutes * 60_000);
        world.order(booking).await;
        let told = world.told("booking", "payment.order_created").await;
        assert_eq!(told.last().unwrap()["sessionExpiresAt"], began.plus(end * 60_000).millis());
    }
    world.wait(5 * 60_000);
    assert_eq!(world.create_order(booking).await.0, 400);
}

#[tokio::test]
async fn a_provider_that_is_down_loses_nothing() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    for fault in [Fault::Lost, Fault::Failed, Fault::Garbage] {
        world.double.fault(&[fault]);
        let answer = world.create_order(booking).await;
        let expected = "The payment provider cannot be reached right now. Please try again in a minute; your seats are held until 12:30.";
        assert_eq!(message(&answer), (503, expected), "{fault:?}");
    }
    world.order(booking).await;
    assert_eq!((world.count("orders").await, world.double.0.borrow().orders.len()), (1, 1));
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_found_by_its_receipt() {
    // Where a receipt may repeat, only asking first keeps it from being made twice.
    for (fault, receipts_repeat) in [(Fault::LostAnswer, false), (Fault::LostAnswer, true), (Fault::Late, false)] {
        let world = World::new().await;
        world.double.0.borrow_mut().receipts_repeat = receipts_repeat;
        let booking = world.booking("a").await;
        world.double.fault(&[fault]);
        assert_eq!(world.create_order(booking).await.0, 503);
        world.order(booking).await;
        assert_eq!(world.double.0.borrow().orders.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_order_for_another_amount_replaces_the_first() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let first = world.order(booking).await;
    world.app.open(world.payable("a", Kind::Initial, 100_000), None).await.unwrap();
    let (_, second) = world.create_order(booking).await;
    assert_ne!(second["order"]["id"], first.as_str());
    assert_eq!(
        (&second["order"]["amount"], &second["order"]["receipt"]),
        (&json!(100_000), &json!(format!("booking_{booking}_1")))
    );
}

#[tokio::test]
async fn a_booking_that_changes_while_its_order_is_made_gets_no_order() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    world.double.fault(&[Fault::Slow]);
    let change = async {
        world.double.1.reached.notified().await;
        world.app.open(world.payable("a", Kind::Full, 100_000), None).await.unwrap();
        world.double.1.open.notify_one();
    };
    let (answer, ()) = tokio::join!(world.create_order(booking), change);
    let expected = "The booking was changed while its payment was being prepared. Please try again.";
    assert_eq!(message(&answer), (409, expected));
    assert_eq!(world.count("orders WHERE status = 'void' AND provider_id IS NOT NULL").await, 1);
    let (_, next) = world.create_order(booking).await;
    assert_eq!(next["order"]["amount"], 100_000);
}

#[tokio::test]
async fn a_booking_that_is_closed_while_its_order_is_made_gets_no_order() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    world.double.fault(&[Fault::SlowAnswer]);
    let close = async {
        world.double.1.reached.notified().await;
        world.app.close(booking).await.unwrap();
        world.double.1.open.notify_one();
    };
    let (answer, ()) = tokio::join!(world.create_order(booking), close);
    assert_eq!(message(&answer), (400, "This booking is not awaiting payment"));
}

#[tokio::test]
async fn a_process_that_dies_while_the_order_is_made_loses_nothing() {
    for fault in [Fault::Slow, Fault::SlowAnswer] {
        let world = World::new().await;
        let booking = world.booking("a").await;
        world.double.fault(&[fault]);
        world.die(world.create_order(booking)).await;
        world.order(booking).await;
        assert_eq!((world.count("orders").await, world.double.0.borrow().orders.len()), (1, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn the_balance_has_an_order_of_its_own() {
    let world = World::new().await;
    let path = "/api/payments/create-remaining-balance-order";
    assert_eq!(message(&world.post(path, json!({})).await), (400, "Booking ID is required"));
    let body = json!({ "bookingId": Id::derive(&["booking", "a"]) });
    assert_eq!(message(&world.post(path, body.clone()).await), (404, "Booking not found"));
    world.app.open(world.payable("a", Kind::Initial, 100_000), None).await.unwrap();
    let not_eligible = (400, "This booking is not eligible for remaining balance payment");
    assert_eq!(message(&world.post(path, body.clone()).await), not_eligible);
    let stranger = world.post_as(Id::derive(&["stranger"]), path, body.clone()).await;
    assert_eq!(message(&stranger), (403, "You are not authorized to pay for this booking"));

    let balance = world.payable("a", Kind::Balance, 593_240);
    let booking = balance.booking_id;
    world.app.open(balance, None).await.unwrap();
    assert_eq!(message(&world.create_order(booking).await), (400, "This booking is not awaiting payment"));
    let (status, made) = world.post(path, body.clone()).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!((&made["remainingAmount"], &made["order"]["amount"]), (&json!(5932.4), &json!(593_240)));
    assert_eq!(made["order"]["receipt"], format!("rb_{}", &booking.to_string()[16..]));

    let order = made["order"]["id"].as_str().unwrap();
    world.double.pay(order, "pay_1", crate::provider::PaymentStatus::Captured);
    assert_eq!(world.verify(order, "pay_1").await.0, 200);
    assert_eq!(message(&world.post(path, body.clone()).await), (400, "No remaining balance to pay"));
}

#[tokio::test]
async fn an_idempotency_key_gets_the_first_answer() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let request = Request::json("POST", "/api/payments/create-order", &json!({ "bookingId": booking }))
        .with_header(CALLER_HEADER, world.caller(world.user, Role::User))
        .with_header("idempotency-key", "k1");
    let first = world.send(request.clone()).await;
    world.app.close(booking).await.unwrap();
    assert_eq!(world.send(request).await, first);
}

#[tokio::test]
async fn there_is_another_balance_once_booking_knows_of_the_one_that_was_paid() {
    let world = World::new().await;
    let booking = super::refunds::paid(&world).await;
    let next = || world.payable("a", Kind::Balance, 70_000);
    assert_eq!(next().booking_id, booking);
    world.told("booking", "payment.captured").await;
    world.app.open(next(), None).await.unwrap();
    let (status, made) =
        world.post("/api/payments/create-remaining-balance-order", json!({ "bookingId": booking })).await;
    assert_eq!((status, &made["order"]["amount"]), (200, &json!(70_000)), "{made}");

    // Booking does not know of this one yet: what it asks for is what was paid.
    let order = made["order"]["id"].as_str().unwrap();
    world.double.pay(order, "pay_3", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_3").await;
    assert!(world.app.open(next(), None).await.is_err());
    world.told("booking", "payment.captured").await;
    world.app.open(next(), None).await.unwrap();
}
