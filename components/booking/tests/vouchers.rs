//! Bookings that are paid with vouchers, in part or whole.

mod world;

use cairn_booking::domain::{Booking, CreateError, Kind, RefundStatus, Status};
use cairn_shared::{Id, Paise, time::MINUTE};
use serde_json::{Value, json};
use world::{World, admin, caller};

/// What two people pay: 2 × 4000, 5 % tax, 2 % for the provider.
const TOTAL: i64 = 856_000;

async fn with_voucher(paise: i64) -> World {
    let world = World::new().await;
    world.outside.vouchers.borrow_mut().insert("GOOD".into(), paise);
    world
}

fn left(world: &World) -> i64 {
    world.outside.credit("GOOD", None)
}

/// Payment tells of money, and of what a voucher paid together with it.
async fn captured(world: &World, id: Id, payment: &str, kind: Kind, online: i64, voucher: Option<i64>) {
    let mut data = json!({ "bookingId": id, "paymentId": payment, "orderId": format!("order_{payment}"), "kind": kind,
        "amountPaise": online, "method": "upi", "capturedAt": world.clock.get() });
    if let Some(paise) = voucher {
        data["voucher"] = json!({ "paymentId": format!("voucher_of_{payment}"), "amountPaise": paise });
        // As payment does: the voucher is spent, and nothing is owed any more.
        *world.outside.vouchers.borrow_mut().get_mut("GOOD").unwrap() -= paise;
        world.outside.payables.borrow_mut().remove(&id);
    }
    for _ in 0..2 {
        assert_eq!(world.event("payment.captured", data.clone()).await, 204);
        world.job("settle").await;
    }
}

async fn voucher(world: &World, who: &str, method: &str, id: Id, body: Value) -> (u16, Value) {
    world.ask(Some(&caller(who)), method, &format!("/api/bookings/{id}/voucher"), body).await
}

async fn payments(world: &World) -> i64 {
    world.count("SELECT COUNT(*) AS n FROM payments").await
}

fn paid_with(booking: &Booking) -> (Status, i64, Option<&str>) {
    (booking.status, booking.paid.0, booking.first_payment.as_ref().map(|payment| payment.method.as_str()))
}

#[tokio::test]
async fn a_voucher_lessens_what_is_due_and_not_the_price() {
    let world = with_voucher(100_000).await;
    let (status, body) = world.book(json!({ "voucherCode": "GOOD" })).await;
    assert_eq!(
        (status, &body["totalPrice"], &body["status"]),
        (201, &json!(8_560), &json!("pending_payment")),
        "{body}"
    );
    assert_eq!(
        body["due"],
        json!({ "amount": 8_560, "online": 7_560, "voucher": { "hint": "GOOD", "amount": 1_000 } })
    );
    assert_eq!(left(&world), 0, "it is kept for this booking");
    let id = body["_id"].as_str().unwrap().parse().unwrap();
    captured(&world, id, "pay_1", Kind::Full, TOTAL - 100_000, Some(100_000)).await;
    let booking = world.stored(id).await;
    assert_eq!(paid_with(&booking), (Status::PaymentCompleted, TOTAL, Some("upi")));
    assert_eq!((booking.tender, payments(&world).await), (None, 2));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_voucher_that_pays_all_makes_the_booking_paid_at_once() {
    let world = with_voucher(TOTAL + 5_000).await;
    let (status, body) = world.book(json!({ "voucherCode": "GOOD" })).await;
    assert_eq!((status, &body["status"]), (201, &json!("payment_completed")), "{body}");
    let id: Id = body["_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(paid_with(&world.stored(id).await), (Status::PaymentCompleted, TOTAL, Some("voucher")));
    assert_eq!(world.outside.holds.borrow()[&id].until, None, "its seats are certain");
    assert_eq!((left(&world), payments(&world).await), (5_000, 1));
    assert!(world.is_settled().await && world.outside.payables.borrow().is_empty());
    // Payment's own event of it comes later.
    let (_, payment) = world.outside.redeemed.borrow().values().next().unwrap().clone();
    let data = json!({ "bookingId": id, "paymentId": payment.id, "orderId": "", "kind": "full", "amountPaise": TOTAL,
        "method": "voucher", "capturedAt": world.clock.get(), "offline": true });
    assert_eq!(world.event("payment.captured", data).await, 204);
    assert_eq!(world.stored(id).await.paid, Paise(TOTAL));
    let cancelled = world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/cancel"), json!({})).await;
    assert_eq!(cancelled.0, 200);
    assert_eq!(world.outside.asked.borrow()[0].1.amount, Paise(TOTAL), "it goes back as any payment does");
}

#[tokio::test]
async fn what_is_no_voucher_books_nothing() {
    let world = with_voucher(100_000).await;
    for (code, message) in
        [(json!("BAD"), CreateError::VoucherInvalid), (json!("x".repeat(61)), CreateError::VoucherInvalid)]
    {
        let (status, body) = world.book(json!({ "voucherCode": code })).await;
        assert_eq!((status, body["message"].as_str()), (400, Some(message.to_string().as_str())));
    }
    world.booked(json!({ "voucherCode": "GOOD" })).await;
    let other = world.book_as(&caller("Arjun"), json!({ "voucherCode": "GOOD" })).await;
    assert_eq!(other.1["message"].as_str(), Some(CreateError::VoucherUsedUp.to_string().as_str()));
    // Whoever has it reserved may change the booking, and give it up with it.
    world.booked(json!({ "voucherCode": "GOOD", "numberOfParticipants": 1 })).await;
    assert_eq!(left(&world), 0);
    world.booked(json!({})).await;
    assert_eq!(left(&world), 100_000);
}

#[tokio::test]
async fn a_voucher_is_given_back_when_nobody_pays_or_somebody_cancels() {
    let world = with_voucher(100_000).await;
    let id = world.booked(json!({ "voucherCode": "GOOD" })).await;
    world.advance(31 * MINUTE);
    assert_eq!(world.job("expire").await, 204);
    assert_eq!((world.status(id).await.as_deref(), left(&world)), (Some("expired"), 100_000));
    let id = world.booked(json!({ "voucherCode": "GOOD" })).await;
    assert_eq!(world.ask(Some(&admin()), "PUT", &format!("/api/bookings/{id}/cancel"), json!({})).await.0, 200);
    assert_eq!((world.stored(id).await.tender, left(&world)), (None, 100_000));
}

#[tokio::test]
async fn a_payment_without_the_voucher_that_was_to_pay_with_it_goes_back() {
    let world = with_voucher(100_000).await;
    let id = world.booked(json!({ "voucherCode": "GOOD" })).await;
    captured(&world, id, "pay_1", Kind::Full, TOTAL - 100_000, None).await;
    let booking = world.stored(id).await;
    assert_eq!((booking.status, booking.refund_status), (Status::Cancelled, RefundStatus::Processing));
    assert_eq!(world.outside.asked.borrow()[0].1.amount, Paise(TOTAL - 100_000));
    // Seats that are gone: both go back.
    let id = world.book_as(&caller("Arjun"), json!({ "voucherCode": "GOOD" })).await.1["_id"].clone();
    let id = id.as_str().unwrap().parse().unwrap();
    world.outside.holds.borrow_mut().remove(&id);
    world.outside.batches.borrow_mut()[0].taken = 20;
    captured(&world, id, "pay_2", Kind::Full, TOTAL - 100_000, Some(100_000)).await;
    let asked: Vec<_> = world.outside.asked.borrow()[1..].iter().map(|(_, request)| request.amount.0).collect();
    assert_eq!(asked, [100_000, TOTAL - 100_000]);
    assert_eq!(world.stored(id).await.status, Status::Cancelled);
}

#[tokio::test]
async fn a_voucher_can_come_later_and_go_again() {
    let world = with_voucher(100_000).await;
    let id = world.booked(json!({})).await;
    let (status, body) = voucher(&world, "Meera", "PUT", id, json!({ "code": "GOOD" })).await;
    assert_eq!((status, &body["booking"]["due"]["online"]), (200, &json!(7_560)), "{body}");
    let (status, body) = voucher(&world, "Meera", "DELETE", id, Value::Null).await;
    assert_eq!((status, &body["booking"]["due"]["online"], left(&world)), (200, &json!(8_560), 100_000));
    for (who, code, expected) in
        [("Arjun", "GOOD", 403), ("Meera", "BAD", 400), ("Meera", "", 400), ("Meera", &"x".repeat(61), 400)]
    {
        assert_eq!(voucher(&world, who, "PUT", id, json!({ "code": code })).await.0, expected, "{who} {code}");
    }
    let path = format!("/api/bookings/{id}/voucher");
    assert_eq!(world.ask(None, "PUT", &path, json!({ "code": "GOOD" })).await.0, 401);
    let nobody = Id::derive(&["no booking"]);
    assert_eq!(voucher(&world, "Meera", "PUT", nobody, json!({ "code": "GOOD" })).await.0, 404);
    captured(&world, id, "pay_1", Kind::Full, TOTAL, None).await;
    let (status, body) = voucher(&world, "Meera", "PUT", id, json!({ "code": "GOOD" })).await;
    assert_eq!((status, &body["detail"]), (400, &json!("Nothing is to be paid for this booking now")));
}

#[tokio::test]
async fn a_voucher_pays_a_balance_beside_money_or_alone() {
    for (credit, first) in [(100_000, false), (TOTAL, true)] {
        let world = with_voucher(credit).await;
        let id = world.booked(json!({ "paymentMode": "partial" })).await;
        let initial = world.stored(id).await.partial.unwrap().initial.0;
        captured(&world, id, "pay_1", Kind::Initial, initial, None).await;
        let (status, body) = voucher(&world, "Meera", "PUT", id, json!({ "code": "GOOD" })).await;
        assert_eq!(status, 200, "{body}");
        if !first {
            assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"));
            captured(&world, id, "pay_2", Kind::Balance, TOTAL - initial - 100_000, Some(100_000)).await;
        }
        let booking = world.stored(id).await;
        assert_eq!((booking.status, booking.paid.0), (Status::PaymentCompleted, TOTAL));
        let partial = booking.partial.unwrap();
        assert!(partial.final_paid_at.is_some() && partial.remaining == Paise::ZERO);
        assert!(world.is_settled().await);
        assert_eq!(left(&world), if first { initial } else { 0 });
    }
}

#[tokio::test]
async fn a_voucher_that_was_spent_meanwhile_is_left_out_and_the_booking_stays() {
    let world = with_voucher(TOTAL).await;
    let id = world.booked(json!({})).await;
    *world.outside.open_error.borrow_mut() = Some(CreateError::VoucherUsedUp);
    world.outside.refuse_open_once.set(true);
    world.outside.vouchers.borrow_mut().insert("GOOD".into(), 100_000);
    let (status, body) = voucher(&world, "Meera", "PUT", id, json!({ "code": "GOOD" })).await;
    assert_eq!((status, body["detail"].as_str()), (400, Some(CreateError::VoucherUsedUp.to_string().as_str())));
    let booking = world.stored(id).await;
    assert_eq!((booking.status, booking.tender), (Status::PendingPayment, None));
    assert_eq!(world.outside.payables.borrow()[&id].online(), Paise(TOTAL));
}

/// Whatever stops wherever, once before and once after it did what it was asked: the
/// booking is paid, or it is not there and nothing is spent.
#[tokio::test]
async fn a_booking_by_voucher_that_dies_anywhere_is_paid_once_or_not_at_all() {
    let (mut paid, mut gone) = (0, 0);
    for steps in 0..8 {
        for lost_answer in [false, true] {
            let what = format!("step {steps}, lost answer {lost_answer}");
            let world = with_voucher(TOTAL).await;
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost_answer);
            let (status, _) = world.book(json!({ "voucherCode": "GOOD" })).await;
            world.recover().await;
            assert!(world.is_settled().await, "{what}");
            let live = world.count("SELECT COUNT(*) AS n FROM bookings WHERE status = 'payment_completed'").await;
            assert_eq!(world.outside.payables.borrow().len(), 0, "{what}");
            assert_eq!(left(&world), if live == 1 { 0 } else { TOTAL }, "{what}");
            assert_eq!(
                (payments(&world).await, world.outside.redeemed.borrow().len()),
                (live, live as usize),
                "{what}"
            );
            assert!(live == 1 || status != 201, "{what}: an answer that is not true");
            (paid, gone) = (paid + live, gone + 1 - live);
        }
    }
    assert!(paid > 0 && gone > 0, "{paid} {gone}");
}
