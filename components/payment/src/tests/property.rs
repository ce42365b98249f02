//! Whatever the provider tells, in whatever order and however often.

use proptest::prelude::*;

use super::*;
use crate::provider::PaymentStatus;

/// What the provider tells of an order paid at the second attempt and refunded in parts.
fn deliveries(order: &str) -> Vec<Value> {
    let payment = |id: &str, status: &str| {
        json!({ "id": id, "order_id": order, "amount": 254_200, "currency": "INR", "status": status, "method": "upi",
                "error_code": (status == "failed").then_some("BAD"), "error_description": (status == "failed").then_some("no") })
    };
    let refund = |id: &str, amount: i64, status: &str| json!({ "id": id, "payment_id": "pay_2", "amount": amount, "status": status, "notes": {} });
    vec![
        payment_body("payment.failed", &payment("pay_1", "failed")),
        payment_body("payment.failed", &payment("pay_2", "failed")),
        payment_body("payment.authorized", &payment("pay_2", "authorized")),
        payment_body("payment.captured", &payment("pay_2", "captured")),
        payment_body("order.paid", &payment("pay_2", "captured")),
        refund_body("refund.created", &refund("rfnd_1", 54_200, "pending")),
        refund_body("refund.processed", &refund("rfnd_1", 54_200, "processed")),
        refund_body("refund.created", &refund("rfnd_2", 100_000, "pending")),
        refund_body("refund.failed", &refund("rfnd_2", 100_000, "failed")),
        refund_body("refund.processed", &refund("rfnd_3", 100_000, "processed")),
    ]
}

/// What is left of it all in the tables, without instants and our own ids.
async fn state(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (select, columns) in [
        ("SELECT id, status FROM orders", &["status"][..]),
        ("SELECT id, problem, kind FROM payments ORDER BY id", &["id", "kind"]),
        (
            "SELECT provider_id, status, CAST(amount AS TEXT) AS amount, booking_id FROM refunds ORDER BY provider_id",
            &["provider_id", "status", "amount", "booking_id"],
        ),
        (
            "SELECT a.name, COALESCE(t.refund_id, '') AS refund_id, CAST(SUM(CASE WHEN t.debit = a.name THEN t.amount ELSE -t.amount END) AS TEXT) AS amount \
             FROM ledger_accounts a JOIN ledger_transfers t ON t.debit = a.name OR t.credit = a.name GROUP BY a.name, t.refund_id \
             HAVING SUM(CASE WHEN t.debit = a.name THEN t.amount ELSE -t.amount END) <> 0 ORDER BY a.name, refund_id",
            &["name", "refund_id", "amount"],
        ),
        (
            "SELECT payment_id, error_code, CAST(failed_at IS NULL AS TEXT) AS f, CAST(authorized_at IS NULL AS TEXT) AS a FROM attempts ORDER BY payment_id",
            &["payment_id", "error_code", "f", "a"],
        ),
        ("SELECT promo_id, CAST(paid AS TEXT) AS paid FROM promo_uses", &["promo_id", "paid"]),
        ("SELECT status FROM payables", &["status"]),
    ] {
        for row in world.app.db.query(select, params![]).await.unwrap() {
            let values: Vec<_> =
                columns.iter().map(|column| row.get::<Option<String>>(column).unwrap().unwrap_or_default()).collect();
            lines.push(values.join(" "));
        }
    }
    lines
}

/// Delivers these, and tells what is left.
async fn end(order_of: &[usize]) -> Vec<String> {
    let world = World::new().await;
    let promo = crate::domain::Promo { created_by: world.user, ..promo() };
    world.app.db.transaction(async |tx| store::promo_insert(tx, &promo).await).await.unwrap();
    let payable = world.payable("a", Kind::Full, 254_200);
    let booking = payable.booking_id;
    world.app.open(payable, Some("EARLY10")).await.unwrap();
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_2", PaymentStatus::Captured);
    let all = deliveries(&order);
    for at in order_of {
        // The same delivery again has the same event id at one time, a new one at another.
        let id =
            if world.events.get() % 3 == 0 { format!("evt_{at}") } else { format!("evt_{at}_{}", world.events.get()) };
        world.events.set(world.events.get() + 1);
        assert_eq!(world.deliver(&all[*at], &id).await.0, 200);
        world.check_ledger().await;
    }
    assert_eq!(world.balance("provider").await, 254_200 - 54_200 - 100_000);
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
    state(&world).await
}

fn promo() -> crate::domain::Promo {
    crate::domain::Promo {
        id: Id::derive(&["promo"]),
        code: "EARLY10".into(),
        discount_type: crate::domain::DiscountType::Percentage,
        discount_value: 1_000,
        max_uses: Some(1),
        max_uses_per_user: Some(1),
        used: 0,
        valid_from: "2026-03-01".parse().unwrap(),
        valid_until: "2026-03-31".parse().unwrap(),
        min_order_value: Paise::ZERO,
        applicable_treks: Vec::new(),
        is_active: true,
        created_by: Id::derive(&["desk"]),
        created_by_name: String::new(),
        created_at: "2026-03-01".parse().unwrap(),
    }
}

/// Every delivery at least once, some again, in any order.
fn interleaving() -> impl Strategy<Value = Vec<usize>> {
    let count = deliveries("").len();
    proptest::collection::vec(0..count, 0..count).prop_flat_map(move |again| {
        let all: Vec<usize> = (0..count).chain(again).collect();
        Just(all).prop_shuffle()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_repetition_of_deliveries_ends_the_same(order_of in interleaving()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (expected, found) = runtime.block_on(async {
            let straight: Vec<usize> = (0..deliveries("").len()).collect();
            (end(&straight).await, end(&order_of).await)
        });
        prop_assert_eq!(expected, found);
    }
}
