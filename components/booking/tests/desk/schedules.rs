//! Schedules: reminders, overdue balances, finished treks; each once, and reported.

use cairn_booking::domain::{BatchStatus, Kind};
use cairn_shared::{
    Id, Timestamp,
    time::{DAY, HOUR, MINUTE},
};
use serde_json::{Value, json};

use super::world::{NOW, World, admin, batch_id};

/// When the balance of a booking made now is due: five days before the start.
const DUE: i64 = 25 * DAY;

impl World {
    async fn preview(&self, job: &str) -> Value {
        let (status, body) = self.get(&admin(), &format!("/api/bookings/jobs/{job}/preview")).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The ids that a job would act on.
    async fn would_act(&self, job: &str) -> Vec<Id> {
        let body = self.preview(job).await;
        body["wouldAct"].as_array().unwrap().iter().map(|one| one["_id"].as_str().unwrap().parse().unwrap()).collect()
    }

    /// The report of a job's newest day.
    async fn report(&self, job: &str) -> Value {
        let (_, body) = self.get(&admin(), "/api/bookings/jobs").await;
        let days = body["days"].as_array().unwrap();
        days.iter().find(|day| day["job"] == job).map_or(Value::Null, |day| day["report"].clone())
    }
}

#[tokio::test]
async fn a_balance_is_reminded_of_once_in_its_last_three_days() {
    let world = World::new().await;
    let id = world.partial().await;
    world.advance(DUE - 3 * DAY - 1);
    assert_eq!(world.job("partial-reminder").await, 204);
    assert_eq!(world.sent().await, [], "too early");
    world.advance(1);
    assert_eq!(world.would_act("partial-reminder").await, [id]);
    for _ in 0..2 {
        assert_eq!(world.job("partial-reminder").await, 204);
    }
    world.advance(DAY);
    assert_eq!(world.job("partial-reminder").await, 204);
    assert_eq!(world.sent().await, [("meera@example.org".to_owned(), "reminder")]);
    let detail = world.detail(id).await;
    assert_eq!(detail["partialPaymentDetails"]["reminderSent"], true);
    assert!(world.would_act("partial-reminder").await.is_empty());
}

#[tokio::test]
async fn a_reminder_of_a_balance_that_was_paid_meanwhile_is_not_sent() {
    let world = World::new().await;
    let id = world.partial().await;
    world.advance(DUE - DAY);
    world.job("partial-reminder").await;
    world.captured(id, "pay_2", Kind::Balance, 5_992).await;
    let kinds: Vec<_> = world.sent().await.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, ["balance"]);
}

#[tokio::test]
async fn a_trip_is_reminded_of_once_two_calendar_days_before_it() {
    let world = World::new().await;
    // Midnight in UTC is half past five in the morning of the same day in India.
    let start = Timestamp::from_millis(NOW - NOW % DAY + 30 * DAY);
    world.outside.batches.borrow_mut()[0].start = start;
    let id = world.confirmed(2).await;
    world.sent().await;
    let eve = start.millis() - 5 * HOUR - 30 * MINUTE - 2 * DAY;
    world.clock.set(eve - 1);
    world.job("trek-reminder").await;
    assert_eq!(world.sent().await, [], "it is still three days before");
    world.clock.set(eve);
    assert_eq!(world.would_act("trek-reminder").await, [id]);
    for _ in 0..3 {
        assert_eq!(world.job("trek-reminder").await, 204);
        world.advance(HOUR);
    }
    assert_eq!(world.sent().await, [("meera@example.org".to_owned(), "trip")]);
    assert!(world.would_act("trek-reminder").await.is_empty());
    world.clock.set(eve + DAY);
    world.job("trek-reminder").await;
    assert_eq!(world.sent().await, [], "the day has passed");
}

#[tokio::test]
async fn overdue_bookings_are_reported_on_the_first_day_and_cancelled_from_the_second() {
    let world = World::new().await;
    let id = world.partial().await;
    world.advance(DUE + HOUR);
    for _ in 0..2 {
        assert_eq!(world.job("auto-cancel").await, 204);
        assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"));
    }
    let report = world.report("auto-cancel").await;
    assert_eq!((&report["reportOnly"], &report["wouldAct"], &report["done"]), (&json!(true), &json!([id]), &json!([])));
    world.advance(DAY);
    assert_eq!(world.job("auto-cancel").await, 204);
    let detail = world.detail(id).await;
    assert_eq!((&detail["status"], &detail["cancelledBy"]), (&json!("cancelled"), &json!("system")));
    assert_eq!(detail["cancellationReason"], "Auto-cancelled due to non-payment of remaining balance");
    assert_eq!((&detail["refundStatus"], world.outside.taken(batch_id())), (&json!("not_applicable"), 0));
    assert_eq!(world.sent().await, [("meera@example.org".to_owned(), "unpaid")]);
    assert_eq!(world.report("auto-cancel").await["done"], json!([id]));
    assert_eq!(world.job("auto-cancel").await, 204);
    assert_eq!(world.sent().await, [], "once");
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn who_is_about_to_pay_and_whose_trek_does_not_want_it_is_left_alone() {
    let world = World::new().await;
    world.job("auto-cancel").await;
    let id = world.partial().await;
    world.advance(DUE + DAY);
    let order =
        json!({ "bookingId": id, "orderId": "o", "kind": "balance", "amountPaise": 599_200, "sessionExpiresAt": null });
    assert_eq!(world.event("payment.order_created", order).await, 204);
    assert_eq!(world.job("auto-cancel").await, 204);
    let skipped = world.report("auto-cancel").await["skipped"].clone();
    assert_eq!(skipped[0]["booking"], json!(id));
    assert!(skipped[0]["reason"].as_str().unwrap().contains("asked to pay"), "{skipped}");
    world.advance(30 * MINUTE);
    world.outside.terms.borrow_mut().as_mut().unwrap().partial.auto_cancel = false;
    assert_eq!(world.job("auto-cancel").await, 204);
    assert!(world.preview("auto-cancel").await["skipped"][0]["reason"].as_str().unwrap().contains("trek"));
    assert_eq!(world.status(id).await.as_deref(), Some("payment_confirmed_partial"));
    world.outside.terms.borrow_mut().as_mut().unwrap().partial.auto_cancel = true;
    assert_eq!(world.job("auto-cancel").await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_cancelling_run_that_dies_is_finished_by_the_next() {
    for steps in 0..3 {
        let world = World::new().await;
        world.job("auto-cancel").await;
        let id = world.partial().await;
        world.advance(DUE + DAY);
        world.outside.stop_after.set(Some(steps));
        world.job("auto-cancel").await;
        world.recover().await;
        assert_eq!(world.job("auto-cancel").await, 204);
        assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
        assert_eq!((world.outside.taken(batch_id()), world.outside.payables.borrow().len()), (0, 0));
        assert_eq!(world.sent().await.len(), 1, "one mail");
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn a_trek_is_completed_the_day_after_its_last_one() {
    let world = World::new().await;
    let midnight = NOW - NOW % DAY + 30 * DAY;
    {
        let mut batches = world.outside.batches.borrow_mut();
        (batches[0].start, batches[0].end) = (Timestamp::from_millis(midnight), Timestamp::from_millis(midnight + DAY));
    }
    let id = world.confirmed(2).await;
    world.sent().await;
    let over = midnight + 2 * DAY - 5 * HOUR - 30 * MINUTE;
    world.clock.set(over - 1);
    assert_eq!(world.job("complete").await, 204);
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    world.clock.set(over);
    assert_eq!(world.would_act("complete").await, [id]);
    for _ in 0..2 {
        assert_eq!(world.job("complete").await, 204);
    }
    assert_eq!(world.status(id).await.as_deref(), Some("trek_completed"));
    assert_eq!(world.report("complete").await["done"], json!([id]));
}

#[tokio::test]
async fn a_custom_treks_dates_complete_nothing() {
    let world = World::new().await;
    world.outside.terms.borrow_mut().as_mut().unwrap().custom = true;
    {
        let mut batches = world.outside.batches.borrow_mut();
        batches[0].start = Timestamp::from_millis(NOW - 3 * DAY);
        batches[0].end = batches[0].start;
        batches[0].status = BatchStatus::Completed;
    }
    let body = json!({ "trekId": super::trek_id(), "numberOfParticipants": 1, "userDetails": super::details() });
    let (status, answer) = world.post("/api/bookings/custom", body).await;
    assert_eq!(status, 201, "{answer}");
    assert!(world.would_act("complete").await.is_empty());
}

#[tokio::test]
async fn sessions_that_end_can_be_looked_at_before_and_unknown_jobs_are_none() {
    let world = World::new().await;
    let id = world.booked(json!({})).await;
    assert!(world.would_act("expire").await.is_empty());
    world.advance(31 * MINUTE);
    assert_eq!(world.would_act("expire").await, [id]);
    assert_eq!(world.status(id).await.as_deref(), Some("pending_payment"), "a preview does nothing");
    assert_eq!(world.get(&admin(), "/api/bookings/jobs/nonsense/preview").await.0, 404);
}
