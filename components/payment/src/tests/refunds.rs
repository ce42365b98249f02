//! Money on its way back.

use super::{requests::request, *};
use crate::{
    domain::{OfflineMethod, RefundError, RefundRequest},
    provider::{PaymentStatus, RefundStatus},
};

/// A booking of which the first instalment is paid, and the order for its balance.
async fn half_paid(world: &World) -> (Id, String) {
    let initial = world.payable("a", Kind::Initial, 100_000);
    let booking = initial.booking_id;
    world.app.open(initial, None).await.unwrap();
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.verify(&order, "pay_1").await;
    world.wait(1000);
    world.app.open(world.payable("a", Kind::Balance, 200_000), None).await.unwrap();
    let (_, made) = world.post("/api/payments/create-remaining-balance-order", json!({ "bookingId": booking })).await;
    (booking, made["order"]["id"].as_str().unwrap().to_owned())
}

/// A booking of which the first instalment and the balance are paid.
pub(super) async fn paid(world: &World) -> Id {
    let (booking, order) = half_paid(world).await;
    world.double.pay(&order, "pay_2", PaymentStatus::Captured);
    world.verify(&order, "pay_2").await;
    booking
}

/// What booking was told, sorted: events come in no order.
async fn statuses(world: &World) -> Vec<String> {
    let told = world.told("booking", "payment.refunded").await;
    let mut statuses: Vec<_> = told.iter().map(|told| told["status"].as_str().unwrap().to_owned()).collect();
    statuses.sort();
    statuses
}

#[tokio::test]
async fn everything_goes_back_split_over_the_payments_once() {
    let world = World::new().await;
    let booking = paid(&world).await;
    for _ in 0..2 {
        world.app.refund_all(booking, "batch cancelled").await.unwrap();
    }
    assert_eq!(world.count("refunds WHERE status = 'processing'").await, 2);
    assert_eq!(world.double.requests("POST /payments"), 0, "nothing is asked in the transaction");
    for _ in 0..2 {
        world.job("/_jobs/refunds").await;
        world.app.refund_all(booking, "batch cancelled").await.unwrap();
    }
    let amounts: Vec<_> =
        world.double.0.borrow().refunds.values().map(|refund| (refund.payment_id.clone(), refund.amount)).collect();
    assert_eq!(amounts.len(), 2);
    assert!(amounts.contains(&("pay_1".into(), 100_000)) && amounts.contains(&("pay_2".into(), 200_000)));
    assert_eq!(world.double.requests("POST /payments"), 2);
    assert_eq!(statuses(&world).await, ["processing", "processing", "success", "success"]);
    assert_eq!((world.balance("provider").await, world.balance("unearned").await), (0, 0));
    assert!(world.app.payments(booking).await.unwrap().iter().all(|payment| payment.refunded == payment.amount));
    world.check_ledger().await;
}

#[tokio::test]
async fn money_of_which_booking_has_not_heard_is_left_for_when_it_has() {
    let world = World::new().await;
    let (booking, order) = half_paid(&world).await;
    world.double.pay(&order, "pay_2", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_2").await;
    // Booking knows of the first instalment alone, and then gives the second back as too late.
    world.app.refund(request(booking, "cancel", 100_000)).await.unwrap();
    let late = RefundRequest { payment_id: Some("pay_2".into()), ..request(booking, "late", 200_000) };
    world.app.refund(late).await.unwrap();
    let parts = world.app.requested_refunds(booking).await.unwrap();
    assert_eq!(parts.iter().map(|asked| asked.request.amount.0).collect::<Vec<_>>(), [100_000, 200_000]);
    world.job("/_jobs/refunds").await;
    assert_eq!((world.balance("provider").await, world.balance("unearned").await), (0, 0));
    world.check_ledger().await;
}

#[tokio::test]
async fn two_at_once_make_one_refund_of_each_payment() {
    let world = World::on(database_file("refunds").await, &VARIABLES).await;
    let booking = paid(&world).await;
    let (one, two) = tokio::join!(world.app.refund_all(booking, "x"), world.app.refund_all(booking, "x"));
    one.unwrap();
    two.unwrap();
    tokio::join!(world.job("/_jobs/refunds"), world.job("/_jobs/reconcile"));
    assert_eq!((world.count("refunds").await, world.double.0.borrow().refunds.len()), (2, 2));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_made_once() {
    for fault in [Fault::LostAnswer, Fault::Lost, Fault::Failed, Fault::Late, Fault::Garbage] {
        let world = World::new().await;
        let booking = paid(&world).await;
        world.app.refund_all(booking, "x").await.unwrap();
        world.double.fault(&[fault]);
        for _ in 0..3 {
            world.job("/_jobs/refunds").await;
            world.wait(3 * 60_000);
        }
        assert_eq!(world.count("refunds WHERE status = 'success'").await, 2, "{fault:?}");
        assert_eq!(world.double.0.borrow().refunds.len(), 2, "{fault:?}");
        assert_eq!(world.double.0.borrow().keys.len(), 2, "{fault:?}: a row keeps its key");
        world.check_ledger().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_while_refunding_makes_one_refund() {
    for fault in [Fault::Slow, Fault::SlowAnswer] {
        let world = World::new().await;
        let booking = paid(&world).await;
        world.app.refund_all(booking, "x").await.unwrap();
        world.double.fault(&[fault]);
        world.die(world.app.execute_refunds()).await;
        world.wait(3 * 60_000);
        world.job("/_jobs/reconcile").await;
        assert_eq!(world.count("refunds WHERE status = 'success'").await, 2, "{fault:?}");
        assert_eq!(world.double.0.borrow().refunds.len(), 2, "{fault:?}");
        world.check_ledger().await;
    }
}

#[tokio::test]
async fn a_refund_in_the_providers_hand_ends_by_reply_or_by_webhook() {
    for by_webhook in [true, false] {
        let world = World::new().await;
        let booking = paid(&world).await;
        world.double.0.borrow_mut().refund_status = Some(RefundStatus::Pending);
        world.app.refund_all(booking, "x").await.unwrap();
        world.job("/_jobs/refunds").await;
        assert_eq!(world.count("refunds WHERE status = 'processing' AND provider_id IS NOT NULL").await, 2);
        for refund in world.double.0.borrow_mut().refunds.values_mut() {
            refund.status = RefundStatus::Processed;
        }
        let refunds: Vec<_> = world.double.0.borrow().refunds.values().cloned().collect();
        if by_webhook {
            for refund in &refunds {
                assert_eq!(world.webhook(&refund_body("refund.processed", &json!(refund))).await.0, 200);
            }
        } else {
            world.wait(5 * 60_000);
            world.job("/_jobs/reconcile").await;
        }
        assert_eq!(statuses(&world).await, ["processing", "processing", "success", "success"]);
        world.check_ledger().await;
    }
}

#[tokio::test]
async fn the_webhook_of_a_refund_may_come_before_its_reply() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.app.refund_all(booking, "x").await.unwrap();
    world.double.fault(&[Fault::LostAnswer]);
    world.job("/_jobs/refunds").await;
    let refund = world.double.0.borrow().refunds.values().next().unwrap().clone();
    world.webhook(&refund_body("refund.processed", &json!(refund))).await;
    world.webhook(&refund_body("refund.created", &json!(refund))).await;
    world.wait(5 * 60_000);
    world.job("/_jobs/refunds").await;
    assert_eq!((world.count("refunds").await, world.double.0.borrow().refunds.len()), (2, 2));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_refund_that_the_dashboard_left_nothing_for_is_not_paid_out_by_hand_as_well() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.app.refund(requests::request(booking, "cancel", 150_000)).await.unwrap();
    world.double.refund_by_hand("pay_2", 200_000).unwrap();
    // Nobody told of what was made in the dashboard, and the provider refuses ours.
    world.job("/_jobs/refunds").await;
    assert_eq!(statuses(&world).await, ["failed", "processing", "success"]);
    let failed = store::refund_list_failed(&world.app.db, booking).await.unwrap().remove(0);
    let paid_out = world.app.pay_out(failed.id, OfflineMethod::Cash, "envelope", booking).await;
    assert!(matches!(paid_out, Err(RefundError::Exceeds(Paise::ZERO))), "{paid_out:?}");
    assert_eq!(world.balance("unearned").await, -100_000, "the first instalment is left");
    world.check_ledger().await;
}

#[tokio::test]
async fn a_refused_refund_fails_and_can_be_tried_anew() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.double.0.borrow_mut().refund_status = None;
    world.app.refund_all(booking, "x").await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!(statuses(&world).await, ["failed", "failed", "processing", "processing"]);
    assert_eq!(world.balance("unearned").await, -300_000);
    world.double.0.borrow_mut().refund_status = Some(RefundStatus::Processed);
    world.app.refund_all(booking, "x").await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!(world.count("refunds WHERE status = 'success'").await, 2);
    assert_eq!(world.balance("unearned").await, 0);
    world.check_ledger().await;
}

#[tokio::test]
async fn what_staff_refund_at_the_provider_is_not_refunded_again() {
    let world = World::new().await;
    let booking = paid(&world).await;
    let told = json!({ "id": "rfnd_x", "payment_id": "pay_2", "amount": 50_000, "status": "processed", "notes": [] });
    world.webhook(&refund_body("refund.processed", &told)).await;
    world.app.refund_all(booking, "x").await.unwrap();
    world.job("/_jobs/refunds").await;
    let amounts: i64 = world.double.0.borrow().refunds.values().map(|refund| refund.amount).sum();
    assert_eq!(amounts, 250_000);
    assert_eq!(world.balance("provider").await, 0);
    world.check_ledger().await;
}

#[tokio::test]
async fn a_payment_that_came_and_went_unheard_is_booked_and_pays_nothing() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Refunded);
    world.double.0.borrow_mut().payments[0].amount_refunded = 254_200;
    let refund = serde_json::from_value(
        json!({ "id": "rfnd_x", "payment_id": "pay_1", "amount": 254_200, "status": "processed" }),
    )
    .unwrap();
    world.double.0.borrow_mut().refunds.insert("dashboard".into(), refund);
    world.wait(11 * 60_000);
    world.job("/_jobs/reconcile").await;
    assert_eq!(world.told("booking", "payment.captured").await.len(), 0);
    assert_eq!((statuses(&world).await, world.balance("provider").await), (vec![], 0));
    assert_eq!(world.count("payments WHERE orphan_reason = 'returned'").await, 1);
    assert_eq!(world.order(booking).await, order, "the order can still be paid");
    world.check_ledger().await;
}

#[tokio::test]
async fn a_refund_without_an_answer_is_not_made_again_once_its_key_is_forgotten() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.app.refund(super::requests::request(booking, "part", 50_000)).await.unwrap();
    world.double.fault(&[Fault::LostAnswer]);
    world.job("/_jobs/refunds").await;
    // A day of silence later the provider has forgotten the key, and knows the refund.
    let forgotten = std::mem::take(&mut world.double.0.borrow_mut().refunds);
    world.double.0.borrow_mut().refunds =
        forgotten.into_iter().map(|(key, refund)| (format!("forgotten {key}"), refund)).collect();
    world.wait(25 * 3_600_000);
    world.job("/_jobs/refunds").await;
    let made: Vec<_> = world.double.0.borrow().refunds.values().map(|refund| refund.amount).collect();
    assert_eq!(made, [50_000]);
    assert_eq!(world.count("refunds WHERE status = 'success'").await, 1);
    world.check_ledger().await;
}
