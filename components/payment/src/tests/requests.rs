//! Refunds as they are asked for: by key, of so much, at once, again.

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{RefundError, RefundKind, RefundRequest, RefundStatus},
    provider::{PaymentStatus, RefundStatus as Theirs},
};

pub(super) fn request(booking_id: Id, key: &str, amount: i64) -> RefundRequest {
    RefundRequest {
        key: key.into(),
        booking_id,
        participant_id: None,
        payment_id: None,
        amount: Paise(amount),
        kind: RefundKind::Auto,
        reason: "Booking cancellation".into(),
        requested_by: "system".into(),
    }
}

/// A booking that paid 1000 rupees first and 2000 as its balance.
pub(super) async fn paid(world: &World) -> Id {
    super::refunds::paid(world).await
}

#[tokio::test]
async fn a_refund_is_split_over_the_payments_and_made_once_for_its_key() {
    let world = World::new().await;
    let booking = paid(&world).await;
    let participant = Id::derive(&["participant"]);
    let asked = RefundRequest { participant_id: Some(participant), ..request(booking, "cancel:1", 250_000) };
    for _ in 0..3 {
        let queued = world.app.refund(asked.clone()).await.unwrap();
        assert_eq!((queued.status, queued.succeeded), (RefundStatus::Processing, Paise::ZERO));
    }
    world.job("/_jobs/refunds").await;
    let made: std::collections::BTreeMap<_, _> =
        world.double.0.borrow().refunds.values().map(|refund| (refund.payment_id.clone(), refund.amount)).collect();
    assert_eq!(made, [("pay_1".into(), 50_000), ("pay_2".into(), 200_000)].into());
    let done = world.app.refund(asked).await.unwrap();
    assert_eq!((done.status, done.succeeded), (RefundStatus::Success, Paise(250_000)));
    assert_eq!(done.settled_at, Some(world.now()));
    assert_eq!(world.app.requested_refunds(booking).await.unwrap(), [done]);
    for told in world.told("booking", "payment.refunded").await {
        assert_eq!((&told["key"], &told["kind"]), (&json!("cancel:1"), &json!("auto")));
        assert_eq!(told["participantId"], json!(participant));
    }
    world.check_ledger().await;
}

#[tokio::test]
async fn more_than_is_there_is_refused_with_what_is_there() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.app.refund(request(booking, "a", 100_000)).await.unwrap();
    let refused = world.app.refund(request(booking, "b", 200_001)).await;
    assert!(matches!(refused, Err(RefundError::Exceeds(Paise(200_000)))), "{refused:?}");
    let only = RefundRequest { payment_id: Some("pay_2".into()), ..request(booking, "c", 100_001) };
    assert!(matches!(world.app.refund(only).await, Err(RefundError::Exceeds(Paise(100_000)))));
    let unknown = world.app.refund(request(Id::derive(&["nobody"]), "d", 1)).await;
    assert!(matches!(unknown, Err(RefundError::Exceeds(Paise::ZERO))));
    for bad in [request(booking, "", 1), request(booking, "e", 0), request(booking, "f", -5)] {
        assert!(matches!(world.app.refund(bad).await, Err(RefundError::Invalid(_))));
    }
    let again = RefundRequest { participant_id: Some(Id::derive(&["x"])), ..request(booking, "a", 100_000) };
    assert!(matches!(world.app.refund(again).await, Err(RefundError::KeyReused)));
    assert!(matches!(world.app.retry_request("zzz").await, Err(RefundError::Unknown)));
    assert_eq!(world.count("refund_requests").await, 1);
    world.check_ledger().await;
}

#[tokio::test]
async fn what_failed_of_a_refund_is_tried_again_under_another_key() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.double.0.borrow_mut().refund_status = None;
    world.app.refund(request(booking, "a", 300_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    let failed = world.app.requested_refunds(booking).await.unwrap().remove(0);
    assert_eq!((failed.status, failed.settled_at.is_some()), (RefundStatus::Failed, true));
    world.double.0.borrow_mut().refund_status = Some(Theirs::Processed);
    world.wait(1_000);
    world.app.retry_request("a").await.unwrap();
    world.app.retry_request("a").await.unwrap();
    world.job("/_jobs/refunds").await;
    let done = world.app.requested_refunds(booking).await.unwrap().remove(0);
    assert_eq!((done.status, done.succeeded), (RefundStatus::Success, Paise(300_000)));
    assert_eq!(world.double.0.borrow().keys.len(), 4, "two rows, each asked for under two keys");
    let mut told: Vec<_> = world.told("booking", "payment.refunded").await;
    told.retain(|told| told["paymentId"] == "pay_1");
    let ids: std::collections::BTreeSet<_> = told.iter().map(|told| told["refundId"].to_string()).collect();
    assert_eq!((told.len(), ids.len()), (4, 1), "the same refund: processing, failed, processing, success");
    world.check_ledger().await;
}

#[tokio::test]
async fn a_refund_that_failed_and_worked_after_all_is_not_made_again() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.double.0.borrow_mut().refund_status = Some(Theirs::Failed);
    world.app.refund(request(booking, "a", 200_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!(world.count("refunds WHERE status = 'failed'").await, 1);
    let told = world.double.0.borrow().refunds.values().next().unwrap().clone();
    world.app.retry_request("a").await.unwrap();
    // The failure is told again: that is no news of the retry.
    world.webhook(&refund_body("refund.failed", &json!(told))).await;
    assert_eq!(world.count("refunds WHERE status = 'processing'").await, 1);
    // It worked, and the retry finds that out before it asks for another one.
    for refund in world.double.0.borrow_mut().refunds.values_mut() {
        refund.status = Theirs::Processed;
    }
    world.job("/_jobs/refunds").await;
    assert_eq!((world.count("refunds WHERE status = 'success'").await, world.double.0.borrow().refunds.len()), (1, 1));
    world.check_ledger().await;
}

#[tokio::test]
async fn a_failed_refund_is_not_tried_again_once_its_money_has_gone_back() {
    let world = World::new().await;
    let booking = paid(&world).await;
    world.double.0.borrow_mut().refund_status = None;
    world.app.refund(request(booking, "a", 300_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    world.double.0.borrow_mut().refund_status = Some(Theirs::Processed);
    world.app.refund(request(booking, "b", 300_000)).await.unwrap();
    assert!(matches!(world.app.retry_request("a").await, Err(RefundError::Exceeds(Paise::ZERO))));
    world.app.refund_all(booking, "x").await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!(world.double.0.borrow().refunds.values().map(|refund| refund.amount).sum::<i64>(), 300_000);
    world.check_ledger().await;
}

#[tokio::test]
async fn what_is_paid_beyond_the_order_goes_back_and_the_booking_is_paid() {
    let world = World::new().await;
    let booking = world.booking("a").await;
    let order = world.order(booking).await;
    world.double.pay_amount(&order, "pay_1", PaymentStatus::Captured, 300_000);
    assert_eq!(world.verify(&order, "pay_1").await.0, 200);
    let told = world.told("booking", "payment.captured").await;
    assert_eq!((told.len(), &told[0]["amountPaise"]), (1, &json!(254_200)));
    world.job("/_jobs/refunds").await;
    assert_eq!(world.double.0.borrow().refunds.values().map(|refund| refund.amount).sum::<i64>(), 45_800);
    assert!(world.told("booking", "payment.refunded").await.is_empty(), "it was never the booking's");
    assert_eq!((world.balance("unearned").await, world.balance("customer").await), (-254_200, 0));
    let payment = world.app.payments(booking).await.unwrap().remove(0);
    assert_eq!((payment.counted(), payment.refundable()), (Paise(254_200), Paise(254_200)));
    world.check_ledger().await;
}

/// What happens between two looks at the invariants.
#[derive(Debug, Clone)]
enum Step {
    /// These amounts are asked for at the same time, each under a key of its own.
    Ask(Vec<i64>),
    /// The last requests are repeated.
    Repeat,
    RetryAll,
    RefundAll,
    /// The job runs, twice at the same time, and refunds come to this.
    Run(u8),
    /// The job runs and the provider's answer is lost.
    RunUnanswered,
    /// The provider tells of all refunds again, with what became of them.
    Tell,
    /// Staff give money back in the dashboard.
    Dashboard(i64),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(1_i64..200_000, 1..5).prop_map(Step::Ask),
        1 => Just(Step::Repeat),
        2 => Just(Step::RetryAll),
        1 => Just(Step::RefundAll),
        4 => (0_u8..4).prop_map(Step::Run),
        1 => Just(Step::RunUnanswered),
        2 => Just(Step::Tell),
        1 => (1_i64..100_000).prop_map(Step::Dashboard),
        3 => Just(Step::Wait),
    ]
}

struct Model {
    world: World,
    booking: Id,
    asked: Vec<RefundRequest>,
    dashboard: i64,
}

impl Model {
    async fn run(&mut self, step: Step) {
        let world = &self.world;
        match step {
            Step::Ask(amounts) => {
                let first = self.asked.len();
                let new: Vec<_> = amounts
                    .iter()
                    .enumerate()
                    .map(|(nth, amount)| request(self.booking, &format!("key {}", first + nth), *amount))
                    .collect();
                let answers =
                    futures::future::join_all(new.iter().map(|request| world.app.refund(request.clone()))).await;
                for answer in answers {
                    assert!(matches!(answer, Ok(_) | Err(RefundError::Exceeds(_))), "{answer:?}");
                }
                self.asked.extend(new);
            }
            Step::Repeat => {
                for request in self.asked.iter().rev().take(3) {
                    let answer = world.app.refund(request.clone()).await;
                    assert!(matches!(answer, Ok(_) | Err(RefundError::Exceeds(_))), "{answer:?}");
                }
            }
            Step::RetryAll => {
                for request in &self.asked {
                    let answer = world.app.retry_request(&request.key).await;
                    assert!(
                        matches!(answer, Ok(_) | Err(RefundError::Exceeds(_) | RefundError::Unknown)),
                        "{answer:?}"
                    );
                }
            }
            Step::RefundAll => world.app.refund_all(self.booking, "all").await.unwrap(),
            Step::Run(outcome) => {
                let statuses = [Some(Theirs::Processed), Some(Theirs::Pending), Some(Theirs::Failed), None];
                world.double.0.borrow_mut().refund_status = statuses[usize::from(outcome)];
                let (one, two) = tokio::join!(world.app.execute_refunds(), world.app.execute_refunds());
                one.unwrap();
                two.unwrap();
            }
            Step::RunUnanswered => {
                world.double.0.borrow_mut().refund_status = Some(Theirs::Processed);
                world.double.fault(&[Fault::LostAnswer]);
                world.app.execute_refunds().await.unwrap();
                world.double.0.borrow_mut().faults.clear();
            }
            Step::Tell => {
                let mut told = Vec::new();
                for refund in world.double.0.borrow_mut().refunds.values_mut() {
                    if refund.status == Theirs::Pending {
                        refund.status = Theirs::Processed;
                    }
                    told.push(refund.clone());
                }
                for refund in told {
                    let event = if refund.status == Theirs::Failed { "refund.failed" } else { "refund.processed" };
                    assert_eq!(world.webhook(&refund_body(event, &json!(refund))).await.0, 200);
                }
            }
            Step::Dashboard(amount) => {
                let made = world.double.refund_by_hand("pay_2", amount);
                if let Some(refund) = made {
                    self.dashboard += amount;
                    assert_eq!(world.webhook(&refund_body("refund.processed", &json!(refund))).await.0, 200);
                }
            }
            Step::Wait => world.wait(13 * 3_600_000),
        }
    }

    /// Nobody was given more than was captured, the book agrees with the records, and
    /// what we know of the provider's refunds is what the provider has made.
    async fn check(&self) {
        let world = &self.world;
        world.check_ledger().await;
        let given: i64 = world
            .double
            .0
            .borrow()
            .refunds
            .values()
            .filter(|refund| refund.status != Theirs::Failed)
            .map(|refund| refund.amount)
            .sum();
        assert!(given <= 300_000, "{given}");
        for payment in world.app.payments(self.booking).await.unwrap() {
            // What staff do in the dashboard is a fact that we only hear of.
            let most = payment.amount.0 + self.dashboard;
            assert!(payment.refunded.0 <= most, "{} of {}", payment.refunded, payment.amount);
        }
        if self.dashboard == 0 {
            let requests = world.app.requested_refunds(self.booking).await.unwrap();
            let live = requests.iter().filter(|requested| requested.status != RefundStatus::Failed);
            assert!(live.map(|requested| requested.request.amount.0).sum::<i64>() <= 300_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn never_more_goes_back_than_was_captured(steps in proptest::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::on(database_file("requests").await, &VARIABLES).await;
            let booking = paid(&world).await;
            let mut model = Model { world, booking, asked: Vec::new(), dashboard: 0 };
            for step in steps {
                model.run(step).await;
                model.check().await;
            }
            // In the end everything settles, and both sides have the same figures.
            for _ in 0..4 {
                model.run(Step::Tell).await;
                model.run(Step::Wait).await;
                model.run(Step::Run(0)).await;
            }
            model.check().await;
            let given: i64 = model.world.double.0.borrow().refunds.values()
                .filter(|refund| refund.status == Theirs::Processed).map(|refund| refund.amount).sum();
            prop_assert_eq!(model.world.balance("provider").await, 300_000 - given);
            Ok(())
        })?;
    }
}
