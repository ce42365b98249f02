//! The book: what the one before it had, and what it shows at any date.

use cairn_shared::{Component, migrations};

use super::*;
use crate::provider::{PaymentStatus, RefundStatus};

/// Rows as the first version of the service left them.
const BEFORE: &str = "INSERT INTO payments (id, order_id, booking_id, kind, amount, currency, method, problem, captured_at, learned_from) VALUES
    ('pay_1', 'order_1', '68f0a1b2c3d4e5f607182930', 'full', 1000, 'INR', 'upi', NULL, 5, 'webhook'),
    ('pay_2', 'order_2', NULL, NULL, 700, 'INR', 'upi', 'unknown_order', 6, 'webhook');
INSERT INTO refunds (id, payment_id, booking_id, provider_id, amount, status, reason, requested_at, settled_at) VALUES
    ('68f0a1b2c3d4e5f600000001', 'pay_1', '68f0a1b2c3d4e5f607182930', 'rfnd_1', 300, 'success', 'x', 7, 8),
    ('68f0a1b2c3d4e5f600000002', 'pay_1', '68f0a1b2c3d4e5f607182930', NULL, 200, 'processing', 'x', 9, NULL),
    ('68f0a1b2c3d4e5f600000003', 'pay_1', '68f0a1b2c3d4e5f607182930', 'rfnd_3', 100, 'failed', 'x', 9, 10),
    ('68f0a1b2c3d4e5f600000004', 'pay_2', NULL, NULL, 700, 'processing', 'unknown_order', 11, NULL),
    ('68f0a1b2c3d4e5f600000005', 'pay_9', NULL, 'rfnd_9', 50, 'success', 'made at the provider', 12, 12);
INSERT INTO ledger_entries (transaction_id, account, amount, payment_id, posted_at) VALUES
    ('capture:pay_1', 'provider', 1000, 'pay_1', 5),
    ('capture:pay_1', 'unearned', -1000, 'pay_1', 5),
    ('capture:pay_2', 'provider', 700, 'pay_2', 6),
    ('capture:pay_2', 'customer', -700, 'pay_2', 6),
    ('refund:68f0a1b2c3d4e5f600000001', 'unearned', 300, 'pay_1', 8),
    ('refund:68f0a1b2c3d4e5f600000001', 'provider', -300, 'pay_1', 8);
";

#[tokio::test]
async fn the_book_before_this_one_is_moved_without_loss() {
    let db = Db::for_test().await.unwrap();
    migrations::apply(&db, &App::MIGRATIONS[..1]).await.unwrap();
    for statement in BEFORE.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        db.execute(statement, params![]).await.unwrap();
    }
    let world = World::on(db, &VARIABLES).await;
    world.check_ledger().await;
    assert_eq!(world.balance("provider").await, 1_000 + 700 - 300);
    assert_eq!(world.balance("unearned").await, -(1_000 - 300 - 200));
    assert_eq!((world.balance("customer").await, world.balance("refunds").await), (0, -900));
    // What was on its way ends as it would have.
    world.double.pay_amount("order_1", "pay_1", PaymentStatus::Captured, 1_000);
    world.double.pay_amount("order_2", "pay_2", PaymentStatus::Captured, 700);
    for id in ["68f0a1b2c3d4e5f600000002", "68f0a1b2c3d4e5f600000004"] {
        let told = |payment: &str, amount: i64| json!({ "id": format!("rfnd_{id}"), "payment_id": payment, "amount": amount, "status": "processed", "notes": { "refundId": id } });
        let told = if id.ends_with('2') { told("pay_1", 200) } else { told("pay_2", 700) };
        assert_eq!(world.webhook(&refund_body("refund.processed", &told)).await.0, 200);
    }
    world.check_ledger().await;
    assert_eq!((world.balance("provider").await, world.balance("refunds").await), (500, 0));
    let at = |millis| store::ledger_balances(&world.app.db, Timestamp::from_millis(millis));
    let provider = |balances: Vec<store::Balance>| {
        let found = balances.into_iter().find(|balance| balance.account.as_str() == "provider:razorpay").unwrap();
        (found.debits - found.credits).0
    };
    assert_eq!(provider(at(4).await.unwrap()), 0);
    assert_eq!(provider(at(5).await.unwrap()), 1_000);
    assert_eq!(provider(at(8).await.unwrap()), 1_400);
}

#[tokio::test]
async fn the_database_refuses_what_could_not_balance() {
    let world = World::new().await;
    for (debit, credit, amount) in
        [("bank", "bank", 5), ("bank", "unearned", 0), ("bank", "unearned", -5), ("bank", "no such account", 5)]
    {
        let insert = "INSERT INTO ledger_transfers (id, debit, credit, amount, posted_at) VALUES ('x', $1, $2, $3, 0)";
        assert!(
            world.app.db.execute(insert, params![debit, credit, amount]).await.is_err(),
            "{debit} {credit} {amount}"
        );
    }
    assert_eq!(world.count("ledger_transfers").await, 0);
}

#[tokio::test]
async fn staff_read_the_book_of_a_booking_and_the_balances_of_a_day() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    world.wait(2 * 24 * 3_600_000);
    world.double.0.borrow_mut().refund_status = Some(RefundStatus::Processed);
    world.app.refund(requests::request(booking, "r", 50_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    let (status, body) = world.admin("GET", &format!("/api/payments/ledger/bookings/{booking}"), json!({})).await;
    assert_eq!(status, 200, "{body}");
    let rows: Vec<_> = body["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["debit"].as_str().unwrap(), row["credit"].as_str().unwrap(), row["amount"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ("provider:razorpay", "unearned", 1_000),
            ("provider:razorpay", "unearned", 2_000),
            ("unearned", "refunds", 500),
            ("refunds", "provider:razorpay", 500),
        ]
    );
    let balance = async |at: &str, account: &str| {
        let (status, body) = world.admin("GET", &format!("/api/payments/ledger/balances{at}"), json!({})).await;
        assert_eq!(status, 200, "{body}");
        let accounts = body["accounts"].as_array().unwrap().clone();
        accounts.into_iter().find(|row| row["account"] == account).unwrap()["balance"].as_i64().unwrap()
    };
    assert_eq!(balance("?at=2026-03-10", "unearned").await, 3_000);
    assert_eq!(balance("?at=2026-03-09", "unearned").await, 0);
    assert_eq!(balance("", "unearned").await, 2_500);
    assert_eq!(balance("", "provider:razorpay").await, 2_500);
    let (status, body) = world.admin("GET", "/api/payments/ledger/balances?at=yesterday", json!({})).await;
    assert_eq!((status, &body["status"], &body["title"]), (400, &json!(400), &json!("Bad Request")));
}

#[tokio::test]
async fn every_route_of_staff_is_for_admins_and_says_so_as_a_problem() {
    let world = World::new().await;
    let id = world.user;
    for (method, path) in [
        ("GET", "/api/payments/ledger/balances".to_owned()),
        ("GET", format!("/api/payments/ledger/bookings/{id}")),
        ("GET", "/api/payments/refunds".into()),
        ("POST", format!("/api/payments/refunds/{id}/retry")),
        ("POST", format!("/api/payments/refunds/{id}/pay-out")),
        ("GET", "/api/payments/reports".into()),
        ("POST", "/api/payments/reports".into()),
        ("GET", format!("/api/payments/reports/{id}")),
    ] {
        let request = Request::json(method, &path, &json!({}));
        let anonymous = world.router.handle(world.app.clone(), &world.app.env, request.clone()).await;
        assert_eq!(anonymous.status, 401, "{method} {path}");
        assert_eq!(anonymous.header_value("content-type"), Some("application/problem+json"), "{method} {path}");
        let group = cairn_shared::identity::Group {
            id,
            name: "Desk".into(),
            permissions: vec!["actions.manageBookings".into(), "stats.bookings".into()],
        };
        for group in [None, Some(group)] {
            let caller =
                Caller { id, name: "M".into(), email: "m@example.org".into(), phone: None, role: Role::User, group };
            let request = request.clone().with_header(CALLER_HEADER, Identity::Caller(Box::new(caller)).encode());
            let (status, body) = world.send(request).await;
            assert_eq!((status, &body["detail"]), (403, &json!("Not authorized as an admin")), "{method} {path}");
        }
        let (status, body) = world.admin(method, &path, json!({})).await;
        let expected = match (method, path.contains("/refunds/"), path.contains("/reports")) {
            ("POST", true, _) if path.ends_with("retry") => 404,
            ("POST", ..) => 400,
            ("GET", _, true) if path.contains(&id.to_string()) => 404,
            _ => 200,
        };
        assert_eq!(status, expected, "{method} {path}: {body}");
    }
    for path in ["/api/payments/refunds?status=lost", "/api/payments/refunds?page=0", "/api/payments/refunds?limit=101"]
    {
        assert_eq!(world.admin("GET", path, json!({})).await.0, 400, "{path}");
    }
    assert_eq!(world.admin("GET", "/api/payments/ledger/bookings/nonsense", json!({})).await.0, 400);
}

#[tokio::test]
async fn what_a_trip_that_took_place_has_paid_is_earned_once() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    for _ in 0..2 {
        world.app.earn(booking, Paise(14_286)).await.unwrap();
    }
    let balances =
        || async { (world.balance("unearned").await, world.balance("tax").await, world.balance("revenue").await) };
    assert_eq!(balances().await, (0, -14_286, -285_714));
    world.app.refund(requests::request(booking, "late", 10_000)).await.unwrap();
    assert_eq!(balances().await, (0, -14_286, -275_714), "what goes back is taken out of the revenue at once");
    world.job("/_jobs/refunds").await;
    world.app.earn(booking, Paise(14_286)).await.unwrap();
    assert_eq!(balances().await, (0, -14_286, -275_714));
    for _ in 0..2 {
        world.app.defer(booking).await.unwrap();
        assert_eq!(balances().await, (-290_000, 0, 0), "the trip is to take place after all");
    }
    world.app.earn(booking, Paise(13_810)).await.unwrap();
    assert_eq!(balances().await, (0, -13_810, -276_190));
    world.check_ledger().await;
}
