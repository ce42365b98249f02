//! What payment tells, and what becomes of bookings that nobody pays.

mod world;

use cairn_booking::{
    app::{Message, News},
    domain::Kind,
};
use cairn_shared::{
    Id, Paise,
    time::{DAY, MINUTE},
};
use serde_json::json;
use world::{NOW, World, admin, batch_id, caller, people};

const FULL: i64 = 8_560;

#[tokio::test]
async fn a_full_payment_completes_the_booking_and_keeps_its_seats_for_good() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    assert_eq!(world.captured(id, "pay_1", Kind::Full, FULL).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    assert_eq!(world.outside.holds.borrow()[&id].until, None);
    assert!(world.outside.payables.borrow().is_empty(), "nothing more is to be paid");
    assert_eq!(world.job("mails").await, 204);
    let mails = world.outside.mails.borrow().clone();
    let [mail] = mails.as_slice() else { panic!("one mail, not {}", mails.len()) };
    assert!(
        matches!(&mail.message, Message::PaymentReceived { amount, remaining: Paise::ZERO, .. } if *amount == Paise::rupees(FULL))
    );
    assert!(mail.attachments[0].content.starts_with(b"%PDF-"));
    assert_eq!(mail.attachments[0].file_name, format!("Invoice-{id}.pdf"));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_second_capture_of_the_same_payment_changes_nothing() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.captured(id, "pay_1", Kind::Full, FULL).await;
    let version = world.count("SELECT version AS n FROM bookings").await;
    assert_eq!(world.captured(id, "pay_1", Kind::Full, FULL).await, 204);
    assert_eq!(world.count("SELECT version AS n FROM bookings").await, version);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM payments").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM mails").await, 1);
    assert_eq!(world.count("SELECT paid AS n FROM bookings").await, FULL * 100);
}

#[tokio::test]
async fn two_instalments_lead_to_a_paid_booking() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    assert_eq!(world.captured(id, "pay_1", Kind::Initial, 2_568).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"));
    let balance = world.outside.payables.borrow()[&id].clone();
    assert_eq!(
        (balance.kind, balance.amount, balance.expires_at, balance.promo_code),
        (Kind::Balance, Paise::rupees(5_992), None, None)
    );
    assert_eq!(world.captured(id, "pay_2", Kind::Balance, 5_992).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    let (_, body) = world.get(&admin(), &format!("/api/bookings/{id}")).await;
    assert_eq!(body["partialPaymentDetails"]["remainingAmount"], 0);
    assert!(body["partialPaymentDetails"]["finalPaymentDate"].is_string());
    assert_eq!(body["payments"].as_array().unwrap().len(), 2);
    assert_eq!(body["paymentDetails"]["paymentId"], "pay_1", "the first payment stays the one clients read");
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM invoices").await, 2, "one for each instalment");
}

#[tokio::test]
async fn details_given_before_the_payment_confirm_the_booking_with_it() {
    let world = World::new().await;
    let (meera, id) = (caller("Meera"), world.booked(json!({})).await);
    let path = format!("/api/bookings/{id}/participants");
    assert_eq!(world.ask(Some(&meera), "PUT", &path, people(2)).await.1["booking"]["status"], "pending_payment");
    world.captured(id, "pay_1", Kind::Full, FULL).await;
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    world.job("mails").await;
    let mut to: Vec<_> = world.outside.mails.borrow().iter().map(|mail| mail.email.clone()).collect();
    to.sort();
    assert_eq!(to, ["meera@example.org", "meera@example.org", "p0@example.org", "p1@example.org"]);
}

#[tokio::test]
async fn an_unpaid_booking_expires_and_gives_everything_back() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(30 * MINUTE);
    let (status, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert_eq!((status, body["message"].as_str().unwrap()), (404, "Booking not found"), "gone before any job has run");
    assert_eq!(world.job("expire").await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("expired"));
    assert_eq!(world.outside.taken(batch_id()), 0);
    assert!(world.outside.payables.borrow().is_empty());
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM failed_bookings WHERE reason = 'session_expired'").await, 1);
    assert_eq!(world.job("expire").await, 204);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM failed_bookings").await, 1, "once");
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn an_expiry_that_dies_half_way_is_finished_by_the_next_run() {
    for steps in 0..2 {
        let world = World::new().await;
        let id = world.booked(json!({})).await;
        world.advance(31 * MINUTE);
        world.outside.stop_after.set(Some(steps));
        assert_eq!(world.job("expire").await, 503);
        world.recover().await;
        assert_eq!(world.status(id).await.as_deref(), Some("expired"));
        assert!(world.outside.holds.borrow().is_empty() && world.outside.payables.borrow().is_empty());
        assert_eq!(world.count("SELECT COUNT(*) AS n FROM failed_bookings").await, 1);
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn a_booking_can_be_made_again_after_its_session_even_before_the_job() {
    let world = World::new().await;
    let first = world.booked(json!({})).await;
    world.advance(31 * MINUTE);
    let second = world.booked(json!({})).await;
    assert_ne!(first, second);
    assert_eq!(world.status(first).await.as_deref(), Some("expired"));
    assert_eq!(world.outside.taken(batch_id()), 2);
}

#[tokio::test]
async fn a_payment_that_failed_is_why_the_booking_failed() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let data = json!({ "bookingId": id, "orderId": "o", "code": "BAD_REQUEST", "description": "Card declined", "failedAt": NOW + 5 });
    assert_eq!(world.event("payment.failed", data).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("pending_payment"));
    world.advance(31 * MINUTE);
    world.job("expire").await;
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM failed_bookings WHERE reason = 'payment_failed' AND details = 'Card declined'").await, 1);
}

#[tokio::test]
async fn an_order_gives_the_session_more_time() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    let until = NOW + 50 * MINUTE;
    let order = |until: i64| json!({ "bookingId": id, "orderId": "o", "kind": "full", "amountPaise": FULL * 100, "sessionExpiresAt": until });
    assert_eq!(world.event("payment.order_created", order(until)).await, 204);
    assert_eq!(world.event("payment.order_created", order(NOW + MINUTE)).await, 204, "an older one takes no time away");
    assert_eq!(world.outside.holds.borrow()[&id].until.unwrap().millis(), until);
    world.advance(49 * MINUTE);
    world.job("expire").await;
    assert_eq!(world.status(id).await.as_deref(), Some("pending_payment"));
}

#[tokio::test]
async fn a_late_payment_gets_its_seats_again_if_they_are_free() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(31 * MINUTE);
    world.job("expire").await;
    assert_eq!(world.captured(id, "pay_1", Kind::Full, FULL).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    assert_eq!(world.outside.holds.borrow()[&id].until, None);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM failed_bookings WHERE hidden_at IS NULL").await, 0);
    assert!(world.outside.asked.borrow().is_empty());
}

/// A change holds another number of seats and dies; before anybody has settled that, the
/// payment for what was agreed before arrives.
#[tokio::test]
async fn a_payment_after_a_change_that_died_seats_those_who_paid() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.outside.stop_after.set(Some(1));
    assert_eq!(world.book(json!({ "numberOfParticipants": 1 })).await.0, 503);
    assert_eq!(world.outside.taken(batch_id()), 1, "the change got as far as the seats");
    world.outside.stop_after.set(None);
    world.advance(MINUTE);
    assert_eq!(world.captured(id, "pay_1", Kind::Full, FULL).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    assert_eq!((world.outside.taken(batch_id()), world.stored(id).await.seats()), (2, 2));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_late_payment_for_seats_that_are_gone_goes_back() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.advance(31 * MINUTE);
    world.job("expire").await;
    world.book_as(&caller("Other"), json!({ "numberOfParticipants": 18 })).await;
    assert_eq!(world.captured(id, "pay_1", Kind::Full, FULL).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
    let asked = world.outside.asked.borrow().clone();
    let [(of, request)] = asked.as_slice() else { panic!("one refund, not {}", asked.len()) };
    assert_eq!((*of, request.amount, request.payment.as_deref()), (id, Paise::rupees(FULL), Some("pay_1")));
    assert_eq!(world.outside.taken(batch_id()), 18);
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert_eq!((body["refundStatus"].as_str().unwrap(), &body["refundAmount"]), ("processing", &json!(FULL)));
    world.job("mails").await;
    assert!(
        matches!(&world.outside.mails.borrow()[0].message, Message::Notice(_, News::Cancelled { entire: true, refund: Some(refund), .. }) if refund.amount == Paise::rupees(FULL))
    );
    let refunded = |status: &str, at: i64| json!({ "bookingId": id, "paymentId": "pay_1", "refundId": "rf", "key": request.key, "amountPaise": FULL * 100, "status": status, "at": at });
    world.event("payment.refunded", refunded("success", NOW + 10)).await;
    world.event("payment.refunded", refunded("processing", NOW + 5)).await;
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    assert_eq!(
        (body["refundStatus"].as_str().unwrap(), body["refundDate"].is_string()),
        ("success", true),
        "in any order"
    );
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_payment_of_a_wrong_amount_goes_back() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    assert_eq!(world.captured(id, "pay_1", Kind::Full, 100).await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
    assert_eq!(world.outside.asked.borrow()[0].1.amount, Paise::rupees(100));
    assert_eq!(world.outside.taken(batch_id()), 0);
}

#[tokio::test]
async fn money_for_no_booking_goes_back() {
    let world = World::new().await;
    let nobody = Id::derive(&["nobody"]);
    assert_eq!(world.captured(nobody, "pay_1", Kind::Full, FULL).await, 204);
    assert_eq!(world.outside.refunds.borrow()[0].0, nobody);
}

#[tokio::test]
async fn a_second_payment_of_a_paid_booking_is_recorded_and_changes_no_state() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.captured(id, "pay_1", Kind::Full, FULL).await;
    world.captured(id, "pay_2", Kind::Full, FULL).await;
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM payments").await, 2);
    assert!(world.outside.asked.borrow().is_empty(), "giving all back would take the first payment too");
}

/// Capture of a live booking, and of one that expired: services stop at every step.
#[tokio::test]
async fn a_capture_that_dies_anywhere_is_applied_when_it_is_delivered_again() {
    for expired in [false, true] {
        for steps in 0..4 {
            for lost_answer in [false, true] {
                let world = World::new().await;
                let id = world.booked(json!({ "paymentMode": "partial" })).await;
                if expired {
                    world.advance(31 * MINUTE);
                    world.job("expire").await;
                }
                world.outside.stop_after.set(Some(steps));
                world.outside.lost_answer.set(lost_answer);
                world.captured(id, "pay_1", Kind::Initial, 2_568).await;
                world.recover().await;
                assert_eq!(world.captured(id, "pay_1", Kind::Initial, 2_568).await, 204);
                let what = format!("expired {expired}, step {steps}, lost {lost_answer}");
                assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"), "{what}");
                assert_eq!(world.outside.holds.borrow()[&id].until, None, "{what}");
                assert_eq!(world.outside.payables.borrow()[&id].kind, Kind::Balance, "{what}");
                assert_eq!(world.count("SELECT COUNT(*) AS n FROM payments").await, 1, "{what}");
                assert!(world.is_settled().await, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_refund_that_payment_did_not_take_is_asked_for_again() {
    for steps in 0..5 {
        let world = World::new().await;
        let id = world.booked(json!({})).await;
        world.advance(31 * MINUTE);
        world.job("expire").await;
        world.book_as(&caller("Other"), json!({ "numberOfParticipants": 18 })).await;
        world.outside.stop_after.set(Some(steps));
        world.captured(id, "pay_1", Kind::Full, FULL).await;
        world.recover().await;
        assert_eq!(world.captured(id, "pay_1", Kind::Full, FULL).await, 204);
        assert_eq!(world.status(id).await.as_deref(), Some("cancelled"), "step {steps}");
        assert_eq!(world.outside.asked.borrow().len(), 1, "step {steps}");
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn a_mail_that_is_not_taken_is_sent_later_and_fails_nothing() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.captured(id, "pay_1", Kind::Full, FULL).await;
    world.outside.stop_after.set(Some(0));
    assert_eq!(world.job("mails").await, 503);
    world.outside.stop_after.set(None);
    world.job("mails").await;
    assert!(world.outside.mails.borrow().is_empty(), "not before its time");
    world.advance(MINUTE);
    assert_eq!(world.job("mails").await, 204);
    world.advance(DAY);
    world.job("mails").await;
    assert_eq!(world.outside.mails.borrow().len(), 1, "once");
}

#[tokio::test]
async fn the_events_of_a_booking_reach_admin_with_rising_versions() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    world.captured(id, "pay_1", Kind::Full, FULL).await;
    let versions = world.count("SELECT COUNT(*) AS n FROM outbox WHERE consumer = 'admin'").await;
    assert_eq!(versions, 2);
}
