//! A balance in shares: each is paid once, by its link or with the rest, whoever is first.

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{KeyDigest, OpenError, Share},
    provider::PaymentStatus,
};

const BALANCE: i64 = 200_000;

fn key(n: usize) -> String {
    format!("key-{n}")
}

fn share(world: &World, booking_id: Id, n: usize, amount: i64) -> Share {
    Share {
        id: Id::derive(&["share", &n.to_string()]),
        booking_id,
        amount: Paise(amount),
        key_digest: KeyDigest::of(&key(n)).unwrap(),
        expires_at: world.now().plus(48 * 3_600_000),
    }
}

/// Opens what is left of the balance, in these shares.
async fn open(world: &World, left: i64, shares: &[(usize, i64)]) -> Result<Id, OpenError> {
    let payable = world.payable("a", Kind::Balance, left);
    let id = payable.booking_id;
    let shares: Vec<_> = shares.iter().map(|(n, amount)| share(world, id, *n, *amount)).collect();
    world.app.open_shared(payable, &shares).await.map(|()| id)
}

async fn share_order(world: &World, n: usize) -> (u16, Value) {
    world.send(Request::json("POST", "/api/payments/shares/order", &json!({ "token": key(n) }))).await
}

async fn ordered(world: &World, n: usize) -> String {
    let (status, body) = share_order(world, n).await;
    assert_eq!(status, 200, "{body}");
    body["order"]["id"].as_str().unwrap().to_owned()
}

async fn report(world: &World, n: usize, order: &str, payment: &str) -> (u16, Value) {
    let signature = signature::sign(KEY_SECRET, format!("{order}|{payment}").as_bytes()).unwrap();
    let body = json!({ "token": key(n), "razorpay_order_id": order, "razorpay_payment_id": payment,
        "razorpay_signature": signature });
    world.send(Request::json("POST", "/api/payments/shares/verify", &body)).await
}

async fn rest_order(world: &World, booking: Id) -> (u16, Value) {
    world.post("/api/payments/create-remaining-balance-order", json!({ "bookingId": booking })).await
}

/// Money that counts for the booking, and money that went or goes back by itself.
async fn counted(world: &World, booking: Id) -> (i64, i64) {
    let payments = world.app.payments(booking).await.unwrap();
    let back = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS n FROM refunds";
    let back: i64 = world.app.db.query_one(back, params![]).await.unwrap().get("n").unwrap();
    (payments.iter().map(|payment| payment.counted().0).sum(), back)
}

fn detail(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["detail"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn each_pays_a_share_and_the_owner_the_rest() {
    let world = World::new().await;
    let booking = open(&world, BALANCE, &[(1, 70_000), (2, 70_000)]).await.unwrap();
    let first = ordered(&world, 1).await;
    assert_eq!(ordered(&world, 1).await, first, "the same order each time");
    assert_ne!(ordered(&world, 2).await, first, "shares of one amount have orders of their own");
    let (_, rest) = rest_order(&world, booking).await;
    assert_eq!(rest["remainingAmount"], 2_000);
    world.double.pay(&first, "pay_1", PaymentStatus::Captured);
    for _ in 0..2 {
        assert_eq!(report(&world, 1, &first, "pay_1").await.0, 200);
        world.payment_event("payment.captured", "pay_1").await;
    }
    let told = world.told("booking", "payment.captured").await;
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&told["shareId"], &told["amountPaise"]), (&json!(Id::derive(&["share", "1"])), &json!(70_000)));
    assert_eq!(told["kind"], "balance");
    assert_eq!(detail(&share_order(&world, 1).await), (409, "This share has been paid already"));
    // Its owner was at the checkout for everything: that order is void, and this one for the rest.
    let (_, rest) = rest_order(&world, booking).await;
    assert_eq!(rest["remainingAmount"], 1_300);
    let order = rest["order"]["id"].as_str().unwrap();
    world.double.pay(order, "pay_2", PaymentStatus::Captured);
    assert_eq!(world.verify(order, "pay_2").await.0, 200);
    assert_eq!(detail(&share_order(&world, 2).await), (409, "This share is not to be paid any more"));
    assert_eq!(message(&rest_order(&world, booking).await), (400, "No remaining balance to pay"));
    assert_eq!(counted(&world, booking).await, (BALANCE, 0));
    world.check_ledger().await;
}

#[tokio::test]
async fn who_pays_what_is_paid_already_gets_it_back() {
    let world = World::new().await;
    let booking = open(&world, BALANCE, &[(1, 70_000), (2, 130_000)]).await.unwrap();
    let share = ordered(&world, 1).await;
    let (_, all) = rest_order(&world, booking).await;
    let all = all["order"]["id"].as_str().unwrap();
    world.double.pay(all, "pay_all", PaymentStatus::Captured);
    world.double.pay(&share, "pay_1", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_all").await;
    world.payment_event("payment.captured", "pay_1").await;
    assert_eq!(counted(&world, booking).await, (BALANCE, 70_000));
    assert_eq!(detail(&report(&world, 1, &share, "pay_1").await), (400, "Payment does not match this booking"));

    // The other way round.
    let world = World::new().await;
    let booking = open(&world, BALANCE, &[(1, 70_000)]).await.unwrap();
    let share = ordered(&world, 1).await;
    let (_, all) = rest_order(&world, booking).await;
    let all = all["order"]["id"].as_str().unwrap();
    world.double.pay(&share, "pay_1", PaymentStatus::Captured);
    world.double.pay(all, "pay_all", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_1").await;
    world.payment_event("payment.captured", "pay_all").await;
    assert_eq!(counted(&world, booking).await, (70_000, BALANCE));
    assert_eq!(rest_order(&world, booking).await.1["remainingAmount"], 1_300, "the rest is still owed");
    world.check_ledger().await;
}

#[tokio::test]
async fn a_share_that_is_replaced_or_closed_is_not_paid() {
    let world = World::new().await;
    let booking = open(&world, BALANCE, &[(1, 70_000), (2, 60_000), (3, 50_000)]).await.unwrap();
    let orders = [ordered(&world, 1).await, ordered(&world, 2).await, ordered(&world, 3).await];
    // The first is gone, the second another amount, the third as it was.
    open(&world, 150_000, &[(2, 61_000), (3, 50_000)]).await.unwrap();
    assert_eq!(share_order(&world, 1).await.0, 409);
    assert_ne!(ordered(&world, 2).await, orders[1]);
    assert_eq!(ordered(&world, 3).await, orders[2]);
    for (n, order) in orders.iter().enumerate() {
        let payment = format!("pay_{n}");
        world.double.pay(order, &payment, PaymentStatus::Captured);
        world.payment_event("payment.captured", &payment).await;
    }
    assert_eq!(counted(&world, booking).await, (50_000, 130_000));
    // Closed with all of it: by the booking, or because it is opened without shares.
    let second = ordered(&world, 2).await;
    world.told("booking", "payment.captured").await;
    world.app.open(world.payable("a", Kind::Balance, 100_000), None).await.unwrap();
    world.double.pay(&second, "pay_9", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_9").await;
    assert_eq!(counted(&world, booking).await, (50_000, 130_000 + 61_000));
    open(&world, 100_000, &[(2, 61_000)]).await.unwrap();
    let again = ordered(&world, 2).await;
    world.app.close(booking).await.unwrap();
    world.double.pay(&again, "pay_10", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_10").await;
    assert_eq!(counted(&world, booking).await, (50_000, 130_000 + 2 * 61_000));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_key_opens_its_own_share_until_it_is_over() {
    let world = World::new().await;
    let booking = open(&world, BALANCE, &[(1, 70_000), (2, 60_000)]).await.unwrap();
    for (body, status) in [(json!({}), 404), (json!({ "token": "guessed" }), 404), (json!({ "token": 1 }), 400)] {
        assert_eq!(world.send(Request::json("POST", "/api/payments/shares/order", &body)).await.0, status, "{body}");
    }
    let order = ordered(&world, 1).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    assert_eq!(detail(&report(&world, 2, &order, "pay_1").await), (403, "This payment is not for this share"));
    let (_, all) = rest_order(&world, booking).await;
    let all = all["order"]["id"].as_str().unwrap();
    assert_eq!(detail(&report(&world, 1, all, "pay_2").await).0, 403);
    world.wait(48 * 3_600_000);
    assert_eq!(share_order(&world, 2).await.0, 409);
    assert_eq!(report(&world, 1, &order, "pay_1").await.0, 200, "what was paid in time counts");
    assert_eq!(counted(&world, booking).await, (70_000, 0));
}

#[tokio::test]
async fn shares_that_make_no_sense_are_not_opened() {
    let world = World::new().await;
    let refused = |outcome: Result<Id, OpenError>| matches!(outcome, Err(OpenError::Invalid(_)));
    assert!(refused(open(&world, BALANCE, &[(1, BALANCE), (2, 100)]).await));
    assert!(refused(open(&world, BALANCE, &[(1, 99)]).await));
    let many: Vec<_> = (0..51).map(|n| (n, 100)).collect();
    assert!(refused(open(&world, BALANCE, &many).await));
    let full = world.payable("a", Kind::Full, BALANCE);
    let part = share(&world, full.booking_id, 1, 100);
    assert!(matches!(world.app.open_shared(full, &[part]).await, Err(OpenError::Invalid(_))));
    assert_eq!(world.count("payables").await, 0);
}

#[tokio::test]
async fn a_refund_takes_the_owners_money_before_that_of_others() {
    let world = World::new().await;
    let initial = world.payable("a", Kind::Initial, 100_000);
    let booking = initial.booking_id;
    world.app.open(initial, None).await.unwrap();
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_own", PaymentStatus::Captured);
    world.verify(&order, "pay_own").await;
    open(&world, BALANCE, &[(1, 70_000)]).await.unwrap();
    let order = ordered(&world, 1).await;
    world.double.pay(&order, "pay_share", PaymentStatus::Captured);
    report(&world, 1, &order, "pay_share").await;
    let mut request = super::requests::request(booking, "own", 90_000);
    world.app.refund(request.clone()).await.unwrap();
    request.key = "share".into();
    request.payment_id = Some("pay_share".into());
    request.amount = Paise(70_000);
    world.app.refund(request).await.unwrap();
    world.job("/_jobs/refunds").await;
    let state = world.double.0.borrow();
    let mut back: Vec<_> = state.refunds.values().map(|refund| (refund.payment_id.as_str(), refund.amount)).collect();
    back.sort_unstable();
    assert_eq!(back, [("pay_own", 90_000), ("pay_share", 70_000)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Everybody has an order and pays, some twice, in any order: what counts is exactly
    /// the balance or less, and everything else goes back.
    #[test]
    fn nobody_pays_for_what_is_paid(deeds in proptest::collection::vec(0_usize..4, 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let booking = open(&world, BALANCE, &[(0, 50_000), (1, 50_000), (2, 100_000)]).await.unwrap();
            let mut captured = 0;
            for (nth, deed) in deeds.iter().enumerate() {
                let made = match deed {
                    3 => rest_order(&world, booking).await,
                    n => share_order(&world, *n).await,
                };
                let Some(order) = made.1["order"]["id"].as_str() else { continue };
                captured += made.1["order"]["amount"].as_i64().unwrap();
                let payment = format!("pay_{nth}");
                world.double.pay(order, &payment, PaymentStatus::Captured);
                // Some are told of at once, others later.
                if nth % 2 == 0 {
                    world.payment_event("payment.captured", &payment).await;
                }
            }
            for nth in (0..deeds.len()).rev() {
                let payment = format!("pay_{nth}");
                if world.double.0.borrow().payments.iter().any(|known| known.id == payment) {
                    world.payment_event("payment.captured", &payment).await;
                }
            }
            let (counts, back) = counted(&world, booking).await;
            assert!(counts <= BALANCE);
            assert_eq!(counts + back, captured);
            world.check_ledger().await;
        });
    }
}
