//! Captured money, from whichever side it is heard of first.

use super::*;
use crate::provider::PaymentStatus;

/// A booking with an order that the provider says is paid.
async fn paid(world: &World) -> (Id, String) {
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    (booking, order)
}

async fn check_paid_once(world: &World, booking: Id) {
    let payments = world.app.payments(booking).await.unwrap();
    assert_eq!(payments.iter().map(|payment| payment.amount.0).collect::<Vec<_>>(), [254_200]);
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
    assert_eq!(world.told("admin", "payment.captured").await.len(), 1);
    assert_eq!((world.balance("provider").await, world.balance("unearned").await), (254_200, -254_200));
    assert_eq!(world.count("refunds").await, 0);
    world.check_ledger().await;
}

#[tokio::test]
async fn a_verified_payment_is_known_to_booking_when_verify_returns() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    let (status, body) = world.verify(&order, "pay_1").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["success"], &body["message"]), (&json!(true), &json!("Payment verified successfully")));
    let payment = &body["payment"];
    assert_eq!(
        (&payment["id"], &payment["paymentId"], &payment["orderId"]),
        (&json!("pay_1"), &json!("pay_1"), &json!(order))
    );
    assert_eq!((&payment["amount"], &payment["status"]), (&json!(2542), &json!("captured")));
    let told = world.neighbours.told.borrow().iter().rfind(|(to, _)| to == "booking").unwrap().1.clone();
    assert_eq!(told.kind, "payment.captured");
    assert_eq!(
        (&told.data["bookingId"], &told.data["amountPaise"], &told.data["kind"]),
        (&json!(booking), &json!(254_200), &json!("full"))
    );
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn a_second_capture_of_the_same_payment_changes_nothing() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    for _ in 0..2 {
        assert_eq!(world.verify(&order, "pay_1").await.0, 200);
        assert_eq!(world.payment_event("payment.captured", "pay_1").await.0, 200);
        assert_eq!(world.payment_event("order.paid", "pay_1").await.0, 200);
    }
    check_paid_once(&world, booking).await;
    assert_eq!(world.double.requests("GET /payments/"), 1);
    assert_eq!(message(&world.create_order(booking).await), (400, "This booking is not awaiting payment"));
}

#[tokio::test]
async fn the_webhook_may_come_first() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    assert_eq!(world.payment_event("payment.captured", "pay_1").await, (200, json!({ "success": true })));
    check_paid_once(&world, booking).await;
    assert_eq!(world.verify(&order, "pay_1").await.1["payment"]["status"], "captured");
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn webhook_verify_and_reconciliation_at_once_apply_it_once() {
    let world = World::on(database_file("captures").await, &VARIABLES).await;
    let (booking, order) = paid(&world).await;
    world.wait(11 * 60_000);
    let (hook, verified, job, again) = tokio::join!(
        world.payment_event("payment.captured", "pay_1"),
        world.verify(&order, "pay_1"),
        world.job("/_jobs/reconcile"),
        world.payment_event("order.paid", "pay_1"),
    );
    assert_eq!((hook.0, verified.0, again.0), (200, 200, 200));
    assert_eq!(job["unanswered"], 0);
    let payments = world.app.payments(booking).await.unwrap();
    assert_eq!(payments.len(), 1);
    // Relays at once may deliver an event twice, which consumers bear: same event id.
    let is_news = |(to, event): &&(String, events::Event)| to == "booking" && event.kind == "payment.captured";
    let ids: std::collections::BTreeSet<_> =
        world.neighbours.told.borrow().iter().filter(is_news).map(|(_, event)| event.id).collect();
    assert_eq!(ids.len(), 1);
    world.check_ledger().await;
}

#[tokio::test]
async fn a_capture_that_nobody_told_of_is_found() {
    let world = World::new().await;
    let (booking, _) = paid(&world).await;
    assert_eq!(world.job("/_jobs/reconcile").await["orders"], 0, "not before ten minutes");
    world.wait(11 * 60_000);
    world.double.fault(&[Fault::Lost]);
    assert_eq!(world.job("/_jobs/reconcile").await["unanswered"], 1);
    world.wait(3 * 60_000);
    assert_eq!(world.job("/_jobs/reconcile").await["orders"], 1);
    check_paid_once(&world, booking).await;
    world.wait(24 * 3_600_000);
    assert_eq!(world.job("/_jobs/reconcile").await["orders"], 0, "a paid order is settled");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_verify_loses_nothing() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    world.double.fault(&[Fault::Lost]);
    let answer = world.verify(&order, "pay_1").await;
    assert_eq!(answer.0, 503);
    assert!(
        message(&answer)
            .1
            .starts_with("The payment provider cannot be reached right now. If you have paid, your payment is safe")
    );
    world.payment_event("payment.captured", "pay_1").await;
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn a_process_that_dies_while_verifying_or_reconciling_loses_nothing() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    world.double.fault(&[Fault::SlowAnswer]);
    world.die(world.verify(&order, "pay_1")).await;
    world.wait(11 * 60_000);
    world.double.fault(&[Fault::SlowAnswer]);
    world.die(world.app.reconcile()).await;
    assert_eq!(world.count("payments").await, 0);
    world.job("/_jobs/reconcile").await;
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn a_booking_service_that_is_down_hears_of_it_later() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    world.neighbours.refuse.set(true);
    assert_eq!(world.verify(&order, "pay_1").await.0, 200);
    world.neighbours.refuse.set(false);
    world.wait(60_000);
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn what_is_not_signed_is_refused() {
    let world = World::new().await;
    let (_, order) = paid(&world).await;
    let wrong = signature::sign("another", format!("{order}|pay_1").as_bytes()).unwrap();
    for body in [
        json!({}),
        json!({ "razorpay_order_id": order, "razorpay_payment_id": "pay_1" }),
        json!({ "razorpay_order_id": order, "razorpay_payment_id": "pay_1", "razorpay_signature": wrong }),
        json!({ "razorpay_order_id": order, "razorpay_payment_id": "pay_1", "razorpay_signature": "zz" }),
    ] {
        assert_eq!(message(&world.post("/api/payments/verify", body).await), (400, "Invalid payment signature"));
    }
    let body = payment_body("payment.captured", &json!(world.double.payment("pay_1")));
    for signature in ["", "00", &signature::sign(KEY_SECRET, &serde_json::to_vec(&body).unwrap()).unwrap()] {
        let request =
            Request::json("POST", "/api/payments/webhook", &body).with_header("x-razorpay-signature", signature);
        assert_eq!(message(&world.send(request).await), (400, "Invalid webhook signature"));
    }
    assert_eq!((world.count("payments").await, world.count("webhook_events").await), (0, 0));
}

#[tokio::test]
async fn the_bytes_are_signed_not_the_json() {
    let world = World::new().await;
    let (booking, _) = paid(&world).await;
    let text =
        payment_body("payment.captured", &json!(world.double.payment("pay_1"))).to_string().replace(':', " :\n ");
    let mut request = Request::new("POST", "/api/payments/webhook")
        .with_header("x-razorpay-signature", signature::sign(WEBHOOK_SECRET, text.as_bytes()).unwrap());
    request.body = text.into_bytes();
    assert_eq!(world.send(request).await.0, 200);
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn a_delivery_with_the_secret_before_is_still_good() {
    let mut variables = VARIABLES.to_vec();
    variables[2].1 = "new-secret";
    variables.push(("razorpay_webhook_secret_previous", WEBHOOK_SECRET));
    let world = World::on(Db::for_test().await.unwrap(), &variables).await;
    let (booking, _) = paid(&world).await;
    assert_eq!(world.payment_event("payment.captured", "pay_1").await.0, 200);
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn verify_is_for_the_owner_of_the_order_and_its_booking() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    assert_eq!(message(&world.verify("order_99", "pay_1").await), (404, "Booking not found"));
    let signature = signature::sign(KEY_SECRET, format!("{order}|pay_1").as_bytes()).unwrap();
    let mut body =
        json!({ "razorpay_order_id": order, "razorpay_payment_id": "pay_1", "razorpay_signature": signature });
    let stranger = world.post_as(Id::derive(&["stranger"]), "/api/payments/verify", body.clone()).await;
    assert_eq!(message(&stranger), (403, "You are not authorized to pay for this booking"));
    body["bookingId"] = json!(Id::derive(&["another"]));
    let mismatch = (400, "Payment does not match this booking");
    assert_eq!(message(&world.post("/api/payments/verify", body.clone()).await), mismatch);
    world.double.pay("order_7", "pay_7", PaymentStatus::Captured);
    assert_eq!(message(&world.verify(&order, "pay_7").await), mismatch);
    assert_eq!(world.count("payments").await, 0);
    body["bookingId"] = json!(booking);
    assert_eq!(world.post("/api/payments/verify", body).await.0, 200);
}

#[tokio::test]
async fn failed_then_authorised_late_then_captured() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Failed);
    assert_eq!(message(&world.verify(&order, "pay_1").await), (400, "The payment did not succeed. Please try again."));
    world.payment_event("payment.failed", "pay_1").await;
    let told = world.told("booking", "payment.failed").await;
    assert_eq!(told.len(), 1, "told once");
    assert_eq!((&told[0]["code"], &told[0]["description"]), (&json!("BAD_REQUEST_ERROR"), &json!("The bank said no")));
    world.double.pay(&order, "pay_1", PaymentStatus::Authorized);
    world.payment_event("payment.authorized", "pay_1").await;
    assert_eq!(world.verify(&order, "pay_1").await.1["payment"]["status"], "authorized");
    assert_eq!(world.count("payments").await, 0);
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_1").await;
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn a_failure_heard_of_after_the_capture_is_no_news() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    world.double.pay(&order, "pay_0", PaymentStatus::Failed);
    world.verify(&order, "pay_1").await;
    world.payment_event("payment.failed", "pay_0").await;
    assert!(world.told("booking", "payment.failed").await.is_empty());
    check_paid_once(&world, booking).await;
}

/// Money that belongs to no booking has come in and goes back.
async fn check_orphan(world: &World, problem: &str) {
    assert_eq!(world.count(&format!("payments WHERE problem = '{problem}'")).await, 1);
    let waiting = world.count("refunds WHERE status = 'processing'").await;
    assert!(waiting == 1 && world.neighbours.woken.borrow().iter().any(|path| path == "/_jobs/refunds"));
    assert!(world.balance("refunds").await < 0 && world.balance("unearned").await <= 0);
    world.job("/_jobs/refunds").await;
    assert_eq!(world.count("refunds WHERE status = 'success'").await, 1);
    assert_eq!((world.balance("customer").await, world.balance("refunds").await), (0, 0));
    assert!(
        world.told("booking", "payment.refunded").await.is_empty()
            && world.told("admin", "payment.refunded").await.is_empty()
    );
    world.check_ledger().await;
}

#[tokio::test]
async fn a_capture_of_another_amount_is_refunded_and_pays_nothing() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay_amount(&order, "pay_1", PaymentStatus::Captured, 100);
    assert_eq!(message(&world.verify(&order, "pay_1").await), (400, "Payment does not match this booking"));
    assert_eq!(message(&world.verify(&order, "pay_1").await), (400, "Payment does not match this booking"));
    assert!(world.app.payments(booking).await.unwrap().is_empty());
    assert!(world.told("booking", "payment.captured").await.is_empty());
    check_orphan(&world, "wrong_amount").await;
    world.order(booking).await;
}

#[tokio::test]
async fn a_capture_in_another_currency_is_refunded() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.double.0.borrow_mut().payments[0].currency = "USD".into();
    assert_eq!(world.payment_event("payment.captured", "pay_1").await.0, 200);
    check_orphan(&world, "wrong_currency").await;
}

#[tokio::test]
async fn a_capture_on_an_unknown_order_is_refunded() {
    let world = World::new().await;
    world.double.pay("order_77", "pay_1", PaymentStatus::Captured);
    assert_eq!(world.payment_event("payment.captured", "pay_1").await, (200, json!({ "success": true })));
    assert_eq!(world.payment_event("payment.captured", "pay_1").await.0, 200);
    check_orphan(&world, "unknown_order").await;
}

#[tokio::test]
async fn while_another_system_takes_payments_unknown_orders_are_left_alone() {
    let mut variables = VARIABLES.to_vec();
    variables.push(("razorpay_unknown_orders", "hold"));
    let world = World::on(Db::for_test().await.unwrap(), &variables).await;
    world.double.pay("order_77", "pay_1", PaymentStatus::Captured);
    assert_eq!(world.payment_event("payment.captured", "pay_1").await.0, 200);
    assert_eq!((world.count("payments").await, world.count("refunds").await), (1, 0));
}

#[tokio::test]
async fn a_capture_on_a_replaced_order_is_refunded() {
    let world = World::new().await;
    let (booking, _) = paid(&world).await;
    world.app.open(world.payable("a", Kind::Full, 300_000), None).await.unwrap();
    world.payment_event("payment.captured", "pay_1").await;
    check_orphan(&world, "void_order").await;
    world.order(booking).await;
}

#[tokio::test]
async fn a_second_payment_on_a_paid_order_is_refunded() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    world.verify(&order, "pay_1").await;
    world.double.pay(&order, "pay_2", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_2").await;
    check_orphan(&world, "paid_twice").await;
    assert_eq!(world.app.payments(booking).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_capture_after_the_booking_was_closed_is_told_all_the_same() {
    let world = World::new().await;
    let (booking, _) = paid(&world).await;
    world.app.close(booking).await.unwrap();
    world.payment_event("payment.captured", "pay_1").await;
    check_paid_once(&world, booking).await;
}

#[tokio::test]
async fn what_is_paid_is_not_opened_again_unless_it_was_given_back() {
    let world = World::new().await;
    let (booking, order) = paid(&world).await;
    world.verify(&order, "pay_1").await;
    let again = || world.payable("a", Kind::Full, 300_000);
    assert!(matches!(world.app.open(again(), None).await, Err(crate::domain::OpenError::Invalid(_))));
    world.app.refund_all(booking, "late").await.unwrap();
    world.app.open(again(), None).await.unwrap();
}

#[tokio::test]
async fn a_repeated_delivery_is_taken_once_and_other_events_are_ignored() {
    let world = World::new().await;
    let (booking, _) = paid(&world).await;
    let body = payment_body("payment.captured", &json!(world.double.payment("pay_1")));
    for _ in 0..3 {
        assert_eq!(world.deliver(&body, "evt_same").await.0, 200);
    }
    assert_eq!(world.count("webhook_events").await, 1);
    for event in ["settlement.processed", "refund.speed_changed", "invoice.paid"] {
        assert_eq!(world.webhook(&json!({ "event": event })).await, (200, json!({ "success": true })));
    }
    check_paid_once(&world, booking).await;
    let broken = world.webhook(&json!({ "event": "payment.captured" })).await;
    assert_eq!(message(&broken), (500, "Failed to handle webhook"));
}
