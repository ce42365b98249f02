//! The daily comparison names every mismatch, and puts right what it can.

use super::{requests::request, *};
use crate::provider::{PaymentStatus, RefundStatus};

const DAY: i64 = 24 * 3_600_000;

/// Kinds of mismatch, sorted, with whether each was put right.
async fn found(world: &World, dry_run: bool) -> Vec<(String, bool)> {
    let body = json!({ "from": "2026-03-09", "to": "2026-03-20", "dryRun": dry_run });
    let (status, body) = world.admin("POST", "/api/payments/reports", body).await;
    assert_eq!((status, &body["complete"]), (201, &json!(true)), "{body}");
    let mut found: Vec<_> = body["mismatches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["kind"].as_str().unwrap().to_owned(), m["repaired"].as_bool().unwrap()))
        .collect();
    found.sort();
    found
}

fn kinds(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(kind, repaired)| ((*kind).to_owned(), *repaired)).collect()
}

#[tokio::test]
async fn books_that_agree_have_no_mismatch() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    world.app.refund(request(booking, "r", 250_000)).await.unwrap();
    assert_eq!(found(&world, false).await, []);
    world.job("/_jobs/refunds").await;
    world.wait(DAY);
    let done = world.job("/_jobs/report").await;
    assert_eq!((&done["mismatches"], &done["complete"]), (&json!(0), &json!(true)));
    let (_, listed) = world.admin("GET", "/api/payments/reports", json!({})).await;
    assert_eq!(listed["pagination"]["total"], 2);
    assert_eq!((&listed["reports"][0]["madeBy"], &listed["reports"][0]["payments"]), (&json!("schedule"), &json!(2)));
    let id = listed["reports"][0]["id"].as_str().unwrap();
    let (status, one) = world.admin("GET", &format!("/api/payments/reports/{id}"), json!({})).await;
    assert_eq!((status, &one["mismatches"]), (200, &json!([])));
}

#[tokio::test]
async fn what_the_provider_knows_better_is_named_and_applied_but_not_in_a_dry_run() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    world.double.pay("order_of_others", "pay_2", PaymentStatus::Captured);
    let unheard = [("unknown_payment", false), ("unknown_payment", false)];
    assert_eq!(found(&world, true).await, kinds(&unheard));
    assert_eq!((world.count("payments").await, world.count("reports").await), (0, 0));
    let applied = [("unknown_payment", true), ("unknown_payment", true)];
    assert_eq!(found(&world, false).await, kinds(&applied));
    world.wait(60_000);
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
    assert_eq!(world.count("refunds WHERE payment_id = 'pay_2'").await, 1, "a foreign order's money goes back");
    world.job("/_jobs/refunds").await;
    // Staff refund in the dashboard, and nobody tells us.
    world.double.refund_by_hand("pay_1", 54_200).unwrap();
    assert_eq!(found(&world, true).await, kinds(&[("refunded_amount", false), ("unknown_refund", false)]));
    assert_eq!(found(&world, false).await, kinds(&[("refunded_amount", true)]));
    assert_eq!((found(&world, false).await, world.balance("provider").await), (vec![], 200_000));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_second_payment_that_arrives_days_later_unheard_is_found_by_the_schedule() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    assert_eq!(world.verify(&order, "pay_1").await.0, 200);
    world.double.pay(&order, "pay_2", PaymentStatus::Failed);
    world.wait(3 * DAY);
    world.double.pay(&order, "pay_2", PaymentStatus::Captured);
    world.wait(DAY);
    let window = world.double.0.borrow().requests.len();
    assert_eq!(world.job("/_jobs/report").await["complete"], true);
    let asked = world.double.0.borrow().requests[window..].to_vec();
    let began = START.parse::<Timestamp>().unwrap().millis() / 1_000;
    let from = asked.iter().find_map(|request| request.strip_prefix("GET /payments?from=")).unwrap();
    let from: i64 = from.split('&').next().unwrap().parse().unwrap();
    assert!(from <= began, "the window begins before the payment did: {from} {began}");
    world.job("/_jobs/refunds").await;
    assert_eq!(world.count("refunds WHERE payment_id = 'pay_2' AND status = 'success'").await, 1);
}

#[tokio::test]
async fn a_refund_that_ended_unheard_is_named_and_settled() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    world.double.0.borrow_mut().refund_status = Some(RefundStatus::Pending);
    world.app.refund(request(booking, "r", 100_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    for refund in world.double.0.borrow_mut().refunds.values_mut() {
        refund.status = RefundStatus::Processed;
    }
    assert_eq!(found(&world, false).await, kinds(&[("refund_status", true)]));
    assert_eq!(found(&world, false).await, []);
    world.check_ledger().await;
}

#[tokio::test]
async fn what_does_not_agree_and_cannot_be_put_right_is_named_each_time() {
    let world = World::new().await;
    requests::paid(&world).await;
    world.double.0.borrow_mut().payments.retain(|payment| payment.id != "pay_1");
    world.double.0.borrow_mut().payments[0].amount = 150_000;
    for _ in 0..2 {
        let expected = [("missing_payment", false), ("payment_amount", false)];
        assert_eq!(found(&world, false).await, kinds(&expected));
    }
    world.check_ledger().await;
}

#[tokio::test]
async fn a_book_that_lacks_something_is_named_and_completed() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    world.app.refund(request(booking, "r", 100_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    world.app.db.execute("DELETE FROM ledger_transfers WHERE id = 'capture:pay_1'", params![]).await.unwrap();
    assert_eq!(found(&world, true).await, kinds(&[("book", false)]));
    assert_eq!(found(&world, false).await, kinds(&[("book", true)]));
    world.check_ledger().await;
}

#[tokio::test]
async fn bookings_refunds_and_held_money_that_wait_for_staff_are_named() {
    let mut variables = VARIABLES.to_vec();
    variables.push(("razorpay_unknown_orders", "hold"));
    let world = World::on(Db::for_test().await.unwrap(), &variables).await;
    let booking = requests::paid(&world).await;
    world.double.pay("order_of_others", "pay_9", PaymentStatus::Captured);
    world.payment_event("payment.captured", "pay_9").await;
    world.double.0.borrow_mut().refund_status = None;
    world.app.refund(request(booking, "a", 100_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    world.app.db.execute("UPDATE payables SET status = 'closed'", params![]).await.unwrap();
    world.wait(2 * 3_600_000);
    let expected = [("failed_refund", false), ("held_payment", false), ("money_without_payable", false)];
    assert_eq!(found(&world, false).await, kinds(&expected));
    world.app.db.execute("UPDATE payables SET status = 'paid', amount = 200001", params![]).await.unwrap();
    let expected = [("failed_refund", false), ("held_payment", false), ("paid_without_money", false)];
    assert_eq!(found(&world, false).await, kinds(&expected));
    let (_, listed) = world.admin("GET", "/api/payments/refunds?status=failed", json!({})).await;
    assert_eq!(listed["refunds"][0]["key"], "a");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_makes_it_incomplete() {
    let world = World::new().await;
    requests::paid(&world).await;
    world.double.fault(&[Fault::Lost]);
    let body = json!({ "from": "2026-03-10", "to": "2026-03-10" });
    let (status, report) = world.admin("POST", "/api/payments/reports", body).await;
    assert_eq!((status, &report["complete"]), (201, &json!(false)));
    for body in [
        json!({}),
        json!({ "from": "2026-03-10" }),
        json!({ "from": "2026-03-10", "to": "2026-03-09" }),
        json!({ "from": "2026-01-01", "to": "2026-12-31" }),
        json!({ "from": "x", "to": "2026-03-09" }),
    ] {
        assert_eq!(world.admin("POST", "/api/payments/reports", body.clone()).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn what_came_in_while_no_report_could_ask_everything_is_found_afterwards() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Captured);
    for _ in 0..8 {
        world.wait(DAY);
        world.double.fault(&[Fault::Lost]);
        assert_eq!(world.job("/_jobs/report").await["complete"], json!(false));
    }
    assert_eq!(world.count("payments").await, 0);
    world.wait(DAY);
    assert_eq!(world.job("/_jobs/report").await["complete"], json!(true));
    assert_eq!(world.count("payments").await, 1);
    // From then on it looks back as far as it has to, and no further.
    world.wait(DAY);
    world.job("/_jobs/report").await;
    let select = "SELECT MIN(to_at - from_at) AS n FROM reports WHERE complete = 1";
    let shortest: i64 = world.app.db.query_one(select, params![]).await.unwrap().get("n").unwrap();
    assert_eq!(shortest, 6 * DAY);
}
