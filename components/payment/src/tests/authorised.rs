//! Money that is authorised and not taken.

use super::*;
use crate::provider::PaymentStatus;

async fn authorised(world: &World) -> (Id, String) {
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay(&order, "pay_1", PaymentStatus::Authorized);
    world.payment_event("payment.authorized", "pay_1").await;
    (booking, order)
}

#[tokio::test]
async fn it_is_taken_while_the_booking_waits_for_it() {
    let world = World::new().await;
    let (booking, _) = authorised(&world).await;
    world.job("/_jobs/reconcile").await;
    assert_eq!(world.double.requests("POST /payments/pay_1/capture"), 0, "the provider takes it itself, as a rule");
    world.wait(3 * 60_000);
    world.job("/_jobs/reconcile").await;
    assert_eq!(world.double.payment("pay_1").status, PaymentStatus::Captured);
    assert_eq!(world.app.payments(booking).await.unwrap().len(), 1);
    assert_eq!(world.told("booking", "payment.captured").await.len(), 1);
    world.check_ledger().await;
}

#[tokio::test]
async fn it_is_left_alone_when_nobody_waits_any_more() {
    for what in ["expired", "closed", "replaced", "paid"] {
        let world = World::new().await;
        let (booking, order) = authorised(&world).await;
        match what {
            "expired" => world.wait(40 * 60_000),
            "closed" => world.app.close(booking).await.unwrap(),
            "replaced" => world.app.open(world.payable("a", Kind::Full, 300_000), None).await.unwrap(),
            _ => {
                world.double.pay(&order, "pay_2", PaymentStatus::Captured);
                world.payment_event("payment.captured", "pay_2").await;
            }
        }
        world.wait(3 * 60_000);
        world.job("/_jobs/reconcile").await;
        assert_eq!(world.double.requests("POST /payments/pay_1/capture"), 0, "{what}");
        assert_eq!(world.double.payment("pay_1").status, PaymentStatus::Authorized, "{what}");
        world.check_ledger().await;
    }
}

#[tokio::test]
async fn somebody_else_may_have_taken_it_or_the_answer_may_be_lost() {
    for fault in [Fault::LostAnswer, Fault::Lost, Fault::Failed, Fault::Garbage] {
        let world = World::new().await;
        let (booking, _) = authorised(&world).await;
        world.wait(3 * 60_000);
        // The list of payments is answered, the capture is not.
        world.double.fault(&[Fault::None, fault]);
        world.job("/_jobs/reconcile").await;
        world.wait(3 * 60_000);
        world.job("/_jobs/reconcile").await;
        assert_eq!(world.app.payments(booking).await.unwrap().len(), 1, "{fault:?}");
        assert_eq!(world.told("booking", "payment.captured").await.len(), 1, "{fault:?}");
        world.check_ledger().await;
    }
}

#[tokio::test]
async fn days_later_it_is_looked_at_as_soon_as_it_is_told() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.wait(30 * 3_600_000);
    world.job("/_jobs/reconcile").await;
    world.double.pay(&order, "pay_1", PaymentStatus::Authorized);
    world.app.open(world.payable("a", Kind::Full, 254_200), None).await.unwrap();
    world.payment_event("payment.authorized", "pay_1").await;
    world.wait(3 * 60_000);
    world.job("/_jobs/reconcile").await;
    assert_eq!(world.app.payments(booking).await.unwrap().len(), 1);
}
