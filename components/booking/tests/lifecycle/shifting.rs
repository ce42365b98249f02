//! Other batches: by staff, and on request.

use cairn_booking::{
    app::{Message, News},
    domain::{BatchStatus, Kind, RequestKind},
};
use cairn_shared::{
    Id,
    http::Request,
    identity::{CALLER_HEADER, Identity},
    time::DAY,
};
use serde_json::{Value, json};

use super::{
    participants, put, refused,
    world::{World, admin, batch, batch_id, caller, desk, later_batch},
};

async fn ask(world: &World, id: Id, body: Value) -> (u16, String) {
    let target = format!("/api/bookings/{id}/cancellation-request");
    let (status, body) = world.ask(Some(&caller("Meera")), "POST", &target, body).await;
    (status, body["message"].as_str().unwrap().to_owned())
}

fn reschedule(to: Id) -> Value {
    json!({ "requestType": "reschedule", "reason": "Exams", "preferredBatch": to })
}

#[tokio::test]
async fn a_booking_goes_to_another_batch_with_its_seats_and_its_price() {
    let world = World::new().await;
    let (id, to) = (world.confirmed(3).await, later_batch().id);
    let people = participants(&world, id).await;
    put(&world, &admin(), id, "cancel", json!({ "participantId": people[0] })).await;
    let (status, body) = put(&world, &admin(), id, "shift-batch", json!({ "newBatchId": to })).await;
    assert_eq!((status, &body["message"]), (200, &json!("Booking shifted to new batch successfully")), "{body}");
    assert_eq!(body["booking"], json!({ "_id": id, "batch": to }));
    assert_eq!((world.outside.taken(batch_id()), world.outside.taken(to)), (0, 2), "those who still come");
    assert!(world.outside.places.borrow().is_empty(), "no place is kept");
    let (_, body) = world.get(&admin(), &format!("/api/bookings/{id}")).await;
    assert_eq!((&body["batch"]["_id"], &body["totalPrice"]), (&json!(to), &json!(12_840)));
    assert_eq!(body["startDate"], json!(later_batch().start));
    let again = refused(&world, &admin(), id, "shift-batch", json!({ "newBatchId": to })).await;
    assert_eq!(again, (400, "Preferred batch is the same as current batch".into()));
    world.job("mails").await;
    let told = world.outside.mails.borrow().iter().any(|mail| {
        matches!(&mail.message, Message::Notice(trip, News::DatesChanged { old_start, answer: None, .. })
            if *old_start == batch().start && trip.start == later_batch().start)
    });
    assert!(told);
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_balance_is_due_before_the_new_start_and_may_be_reminded_of_again() {
    let world = World::new().await;
    let id = world.booked(json!({ "paymentMode": "partial" })).await;
    world.captured(id, "pay_1", Kind::Initial, 2_568).await;
    put(&world, &admin(), id, "shift-batch", json!({ "newBatchId": later_batch().id })).await;
    let partial = world.stored(id).await.partial.unwrap();
    assert_eq!(partial.due, later_batch().start.plus(-5 * DAY));
    assert_eq!(partial.reminder_sent_at, None);
    // Into a batch that starts the day after tomorrow: there is a day left to pay.
    world.outside.batches.borrow_mut()[0].start = later_batch().start.plus(-38 * DAY);
    put(&world, &admin(), id, "shift-batch", json!({ "newBatchId": batch_id() })).await;
    assert_eq!(world.stored(id).await.partial.unwrap().due.millis(), world.clock.get() + DAY);
}

#[tokio::test]
async fn an_unpaid_booking_goes_along_and_stays_payable() {
    let world = World::new().await;
    let (id, to) = (world.booked(json!({})).await, later_batch().id);
    assert_eq!(put(&world, &admin(), id, "shift-batch", json!({ "newBatchId": to })).await.0, 200);
    assert_eq!((world.outside.taken(batch_id()), world.outside.taken(to)), (0, 2));
    assert!(world.outside.holds.borrow()[&id].until.is_some(), "until its session ends");
    world.captured(id, "pay", Kind::Full, 8_560).await;
    assert_eq!(world.status(id).await.as_deref(), Some("payment_completed"));
    // Another unpaid one of the same customer cannot join it there.
    let second = world.booked(json!({})).await;
    world.booked(json!({ "batchId": to, "numberOfParticipants": 1 })).await;
    let refusal = refused(&world, &admin(), second, "shift-batch", json!({ "newBatchId": to })).await;
    assert_eq!(refusal, (400, "This customer already has an unpaid booking on that batch".into()));
    assert!(world.outside.places.borrow().is_empty());
    assert_eq!(world.outside.taken(batch_id()), 2);
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn where_a_booking_cannot_go() {
    let world = World::new().await;
    let (id, to) = (world.confirmed(3).await, later_batch().id);
    let shift = async |body: Value| refused(&world, &admin(), id, "shift-batch", body).await;
    assert_eq!(shift(json!({})).await, (400, "New batch ID is required".into()));
    for unknown in [json!("nonsense"), json!(Id::derive(&["x"]))] {
        assert_eq!(shift(json!({ "newBatchId": unknown })).await, (404, "New batch not found".into()));
    }
    let same = "Preferred batch is the same as current batch";
    assert_eq!(shift(json!({ "newBatchId": batch_id() })).await, (400, same.into()));
    world.outside.batches.borrow_mut()[1].taken = 4;
    assert_eq!(shift(json!({ "newBatchId": to })).await, (400, "New batch does not have enough capacity".into()));
    world.outside.batches.borrow_mut()[1].status = BatchStatus::Cancelled;
    assert_eq!(shift(json!({ "newBatchId": to })).await, (400, "This batch is no longer open for booking".into()));
    world.outside.batches.borrow_mut()[1].status = BatchStatus::Ongoing;
    let started = "Cannot shift to a batch that has already started";
    assert_eq!(shift(json!({ "newBatchId": to })).await, (400, started.into()));
    world.outside.batches.borrow_mut()[1].trek_id = Id::derive(&["another trek"]);
    assert_eq!(shift(json!({ "newBatchId": to })).await, (404, "New batch not found".into()));
    *world.outside.terms.borrow_mut() = None;
    assert_eq!(shift(json!({ "newBatchId": to })).await, (404, "Trek not found".into()));
    let nobody = refused(&world, &admin(), Id::derive(&["no"]), "shift-batch", json!({ "newBatchId": to })).await;
    assert_eq!(nobody, (404, "Booking not found".into()));
    assert_eq!((world.outside.taken(batch_id()), world.outside.places.borrow().len()), (3, 0));

    let world = World::new().await;
    let id = world.confirmed(1).await;
    put(&world, &admin(), id, "complete-trek", Value::Null).await;
    let over = refused(&world, &admin(), id, "shift-batch", json!({ "newBatchId": to })).await;
    assert_eq!(over, (400, "This booking cannot be shifted".into()));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn staff_may_give_reserved_seats_away_and_the_public_may_not_ask_for_them() {
    let world = World::new().await;
    let (id, to) = (world.confirmed(2).await, later_batch().id);
    // Six seats, one of them reserved.
    world.outside.batches.borrow_mut()[1].taken = 4;
    assert_eq!(ask(&world, id, reschedule(to)).await, (400, "Preferred batch is full".into()));
    assert_eq!(put(&world, &admin(), id, "shift-batch", json!({ "newBatchId": to })).await.0, 200);
}

#[tokio::test]
async fn what_an_owner_cannot_ask_for() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let type_error = r#"Invalid request type. Must be either "cancellation" or "reschedule""#;
    let foreign = "Preferred batch does not belong to this trek";
    for (body, message) in [
        (json!({}), type_error),
        (json!({ "requestType": "refund" }), type_error),
        (json!({ "requestType": "reschedule" }), "Preferred batch is required for reschedule requests"),
        (json!({ "requestType": "reschedule", "preferredBatch": "x" }), foreign),
        (reschedule(Id::derive(&["x"])), foreign),
        (reschedule(batch_id()), "Preferred batch cannot be the same as current batch"),
        (
            json!({ "requestType": "cancellation", "reason": "x".repeat(1_001) }),
            "reason may have at most 1000 characters",
        ),
    ] {
        assert_eq!(ask(&world, id, body.clone()).await, (400, message.into()), "{body}");
    }
    world.outside.batches.borrow_mut()[1].start = batch().start.plus(-40 * DAY);
    let started = "Cannot shift to a batch that has already started";
    assert_eq!(ask(&world, id, reschedule(later_batch().id)).await, (400, started.into()));
    world.outside.batches.borrow_mut().clear();
    assert_eq!(ask(&world, id, reschedule(later_batch().id)).await, (400, "Trek or batches not found".into()));
    *world.outside.batches.borrow_mut() = vec![batch(), later_batch()];

    assert_eq!(ask(&world, id, json!({ "requestType": "cancellation" })).await.0, 200);
    let pending = "There is already a pending request for this booking";
    assert_eq!(ask(&world, id, json!({ "requestType": "cancellation" })).await, (400, pending.into()));
    put(&world, &admin(), id, "cancel", json!({})).await;
    let cancelled = "Cannot create request for cancelled booking";
    assert_eq!(ask(&world, id, json!({ "requestType": "cancellation" })).await, (400, cancelled.into()));
    let unpaid = world.booked(json!({})).await;
    let message = "Only paid bookings can be cancelled or rescheduled on request";
    assert_eq!(ask(&world, unpaid, json!({ "requestType": "cancellation" })).await, (400, message.into()));
}

#[tokio::test]
async fn an_approved_reschedule_moves_the_booking_in_the_same_step() {
    let world = World::new().await;
    let (id, to) = (world.confirmed(2).await, later_batch().id);
    assert_eq!(ask(&world, id, reschedule(to)).await, (200, "reschedule request created successfully".into()));
    let (_, body) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    let request = &body["cancellationRequest"];
    assert_eq!(
        (&request["type"], &request["status"], &request["preferredBatch"]),
        (&json!("reschedule"), &json!("pending"), &json!(to))
    );
    assert_eq!(world.outside.taken(to), 0, "a request takes no seats");
    let clerk = desk("actions.manageBookings");
    let answer = json!({ "status": "approved", "adminResponse": "See you then" });
    let (status, body) = put(&world, &clerk, id, "cancellation-request", answer).await;
    assert_eq!(
        (status, &body["message"]),
        (200, &json!("Request approved successfully and booking shifted to preferred batch"))
    );
    let request = &body["booking"]["cancellationRequest"];
    assert_eq!((&request["status"], &request["adminResponse"]), (&json!("approved"), &json!("See you then")));
    assert_eq!(body["booking"]["batch"], json!(to));
    assert_eq!((world.outside.taken(batch_id()), world.outside.taken(to)), (0, 2));
    let again = refused(&world, &clerk, id, "cancellation-request", json!({ "status": "approved" })).await;
    assert_eq!(again, (400, "No pending request found for this booking".into()));
    world.job("mails").await;
    let answered = world.outside.mails.borrow().iter().any(|mail| {
        matches!(&mail.message, Message::Notice(_, News::DatesChanged { answer: Some(words), .. }) if words == "See you then")
    });
    assert!(answered);
}

#[tokio::test]
async fn a_reschedule_that_is_not_to_be_had_stays_pending() {
    let world = World::new().await;
    let (id, to) = (world.confirmed(2).await, later_batch().id);
    ask(&world, id, reschedule(to)).await;
    let approve = async || refused(&world, &admin(), id, "cancellation-request", json!({ "status": "approved" })).await;
    world.outside.batches.borrow_mut()[1].taken = 5;
    assert_eq!(approve().await, (400, "Preferred batch is full".into()));
    world.outside.batches.borrow_mut()[1].start = batch().start.plus(-40 * DAY);
    assert_eq!(approve().await, (400, "Cannot shift to a batch that has already started".into()));
    world.outside.batches.borrow_mut().truncate(1);
    assert_eq!(approve().await, (400, "Preferred batch not found in trek".into()));
    *world.outside.terms.borrow_mut() = None;
    assert_eq!(approve().await, (400, "Trek or batches not found".into()));
    assert_eq!(world.stored(id).await.cancellation_request.status.as_deref(), Some("pending"));
    assert_eq!((world.outside.taken(batch_id()), world.outside.places.borrow().len()), (2, 0));
    let nonsense = refused(&world, &admin(), id, "cancellation-request", json!({ "status": "maybe" })).await;
    assert_eq!(nonsense, (400, r#"Invalid status. Must be either "approved" or "rejected""#.into()));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_rejection_is_told_and_a_new_request_may_follow() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    ask(&world, id, json!({ "requestType": "cancellation", "reason": "Too hot" })).await;
    let answer = json!({ "status": "rejected", "adminResponse": "It is cool up there" });
    let (_, body) = put(&world, &admin(), id, "cancellation-request", answer).await;
    assert_eq!(body["message"], "Request rejected successfully");
    world.job("mails").await;
    let mails = world.outside.mails.borrow().clone();
    let told = |wanted: &dyn Fn(&News) -> bool| {
        mails.iter().any(|mail| matches!(&mail.message, Message::Notice(_, news) if wanted(news)))
    };
    assert!(told(
        &|news| matches!(news, News::RequestDeclined { kind: RequestKind::Cancellation, answer } if answer == "It is cool up there")
    ));
    assert!(
        told(&|news| matches!(news, News::RequestReceived { reason, .. } if reason == "Too hot")),
        "staff knew of it"
    );
    assert_eq!(ask(&world, id, json!({ "requestType": "cancellation" })).await.0, 200);
}

#[tokio::test]
async fn staff_cancel_first_and_answer_then() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    ask(&world, id, json!({ "requestType": "cancellation", "reason": "Wedding" })).await;
    let (_, body) = put(&world, &admin(), id, "cancel", json!({ "refundType": "full" })).await;
    assert_eq!(body["booking"]["cancellationReason"], "Wedding", "the request's reason");
    let (status, body) = put(&world, &admin(), id, "cancellation-request", json!({ "status": "approved" })).await;
    assert_eq!((status, &body["message"]), (200, &json!("Request approved successfully")));
    assert_eq!(body["booking"]["status"], "cancelled");
    assert_eq!(world.outside.asked.borrow().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_key_is_made_once() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let target = format!("/api/bookings/{id}/cancellation-request");
    let body = json!({ "requestType": "cancellation", "reason": "Exams" });
    let meera = Identity::Caller(Box::new(caller("Meera"))).encode();
    for _ in 0..2 {
        let request = Request::json("POST", &target, &body)
            .with_header(CALLER_HEADER, meera.clone())
            .with_header("idempotency-key", "once");
        let response = world.send(request).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    }
    assert_eq!(world.commands().await, ["request done"]);
}
