//! Money that staff received, and money that they give back by hand.

use super::{requests::request, *};
use crate::{
    app::{Receipt, ReceiptError},
    domain::{OfflineMethod, Provider, RefundStatus},
    provider::PaymentStatus,
};

pub(super) fn receipt(booking_id: Id, key: &str, kind: Kind, amount: i64) -> Receipt {
    Receipt {
        key: key.into(),
        booking_id,
        user_id: Id::derive(&["user"]),
        kind,
        amount: Paise(amount),
        method: OfflineMethod::BankTransfer,
        reference: "UTR 4711".into(),
        actor: Id::derive(&["desk"]),
    }
}

#[tokio::test]
async fn money_that_staff_received_pays_the_booking_once() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    let given = receipt(booking, "cmd:1", Kind::Full, 254_200);
    let recorded = world.app.record_offline(&given).await.unwrap();
    assert_eq!(world.app.record_offline(&given).await.unwrap(), recorded);
    assert_eq!((recorded.method.as_str(), recorded.provider), ("bank transfer", Provider::Offline));
    assert_eq!(world.app.payments(booking).await.unwrap(), [recorded.clone()]);
    assert_eq!((world.balance("bank").await, world.balance("unearned").await), (254_200, -254_200));
    assert_eq!(message(&world.create_order(booking).await), (400, "This booking is not awaiting payment"));
    let told = world.told("booking", "payment.captured").await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["paymentId"], &told[0]["offline"]), (&json!(recorded.id), &json!(true)));
    // Somebody was at the checkout meanwhile.
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_1").await;
    world.job("/_jobs/refunds").await;
    assert_eq!((world.balance("provider").await, world.told("booking", "payment.captured").await.len()), (0, 1));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_receipt_needs_no_payable_and_its_key_is_one_receipt() {
    let world = World::new().await;
    let booking = Id::derive(&["manual"]);
    let given = receipt(booking, "cmd:1", Kind::Initial, 100_000);
    world.app.record_offline(&given).await.unwrap();
    let other = Receipt { amount: Paise(5), ..given.clone() };
    assert!(matches!(world.app.record_offline(&other).await, Err(ReceiptError::KeyReused)));
    let other = Receipt { booking_id: Id::derive(&["another"]), ..given.clone() };
    assert!(matches!(world.app.record_offline(&other).await, Err(ReceiptError::KeyReused)));
    for bad in [
        Receipt { key: String::new(), ..given.clone() },
        Receipt { key: "x".repeat(201), ..given.clone() },
        Receipt { amount: Paise::ZERO, ..given.clone() },
        Receipt { reference: "x".repeat(201), ..given.clone() },
    ] {
        assert!(matches!(world.app.record_offline(&bad).await, Err(ReceiptError::Invalid(_))));
    }
    let cash = Receipt { key: "cmd:2".into(), method: OfflineMethod::Cash, reference: String::new(), ..given };
    world.app.record_offline(&cash).await.unwrap();
    assert_eq!((world.balance("bank").await, world.balance("cash").await), (100_000, 100_000));
    assert_eq!(world.count("payments").await, 2);
    world.check_ledger().await;
}

#[tokio::test]
async fn two_staff_with_one_key_receive_the_money_once() {
    let world = World::on(database_file("offline").await, &VARIABLES).await;
    let booking = world.booking("a").await;
    let given = receipt(booking, "cmd:1", Kind::Full, 254_200);
    let (one, two) = tokio::join!(world.app.record_offline(&given), world.app.record_offline(&given));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(world.balance("bank").await, 254_200);
    world.check_ledger().await;
}

#[tokio::test]
async fn a_refund_of_an_offline_payment_waits_for_staff() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    world.app.record_offline(&receipt(booking, "cmd:1", Kind::Full, 254_200)).await.unwrap();
    world.app.refund(request(booking, "r", 54_200)).await.unwrap();
    world.job("/_jobs/refunds").await;
    assert!(world.double.0.borrow().requests.iter().all(|request| !request.contains("refund")));
    let (status, body) = world.admin("GET", "/api/payments/refunds?status=processing&byHand=true", json!({})).await;
    assert_eq!((status, &body["pagination"]["total"]), (200, &json!(1)), "{body}");
    let id = body["refunds"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/payments/refunds/{id}/pay-out");
    let (status, body) = world.admin("POST", &path, json!({ "method": "cash" })).await;
    assert_eq!((status, &body["title"]), (400, &json!("Bad Request")));
    for _ in 0..2 {
        let (status, body) = world.admin("POST", &path, json!({ "method": "cash", "reference": "slip 12" })).await;
        assert_eq!((status, &body["status"], &body["paidOut"]), (200, &json!("success"), &json!("cash")), "{body}");
    }
    assert_eq!((world.balance("bank").await, world.balance("cash").await), (254_200, -54_200));
    let done = world.app.requested_refunds(booking).await.unwrap().remove(0);
    assert_eq!(done.status, RefundStatus::Success);
    assert_eq!(world.told("booking", "payment.refunded").await.len(), 2);
    world.check_ledger().await;
}

#[tokio::test]
async fn what_the_provider_cannot_refund_any_more_is_paid_out_by_hand() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    world.double.0.borrow_mut().refund_status = None;
    world.app.refund(request(booking, "r", 200_000)).await.unwrap();
    let (_, body) = world.admin("GET", "/api/payments/refunds?status=processing", json!({})).await;
    let id = body["refunds"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/payments/refunds/{id}/pay-out");
    let by_bank = json!({ "method": "bank transfer", "reference": "UTR 1" });
    let (status, body) = world.admin("POST", &path, by_bank.clone()).await;
    assert_eq!(
        (status, &body["detail"]),
        (409, &json!("This refund is on its way. Wait until the provider has answered."))
    );
    world.job("/_jobs/refunds").await;
    let (_, listed) = world.admin("GET", "/api/payments/refunds", json!({})).await;
    assert_eq!(listed["refunds"][0]["lastError"], "refused: 400 BAD_REQUEST_ERROR no refunds today");
    assert_eq!(world.admin("POST", &path, by_bank).await.0, 200);
    assert_eq!((world.balance("provider").await, world.balance("bank").await), (300_000, -200_000));
    let (status, _) = world.admin("POST", &format!("/api/payments/refunds/{id}/retry"), json!({})).await;
    assert_eq!(status, 409, "it has arrived");
    world.check_ledger().await;
}
