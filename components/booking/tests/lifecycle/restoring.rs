//! Bookings and participants that live again.

use cairn_booking::domain::Kind;
use cairn_shared::{Id, time::DAY};
use serde_json::{Value, json};

use super::{
    participants, put, refused,
    world::{World, admin, batch_id, caller},
};

#[tokio::test]
async fn a_cancelled_booking_lives_again_as_it_is_paid() {
    let world = World::new().await;
    for (paid, details, expected) in [
        (0, false, "pending"),
        (2_568, false, "payment_confirmed_partial"),
        (8_560, false, "payment_completed"),
        (8_560, true, "confirmed"),
    ] {
        let mode = if paid == 2_568 { "partial" } else { "full" };
        let id = world.booked(json!({ "paymentMode": mode })).await;
        let kind = if mode == "full" { Kind::Full } else { Kind::Initial };
        if paid > 0 {
            world.captured(id, &format!("pay_{id}"), kind, paid).await;
        }
        if details {
            let path = format!("/api/bookings/{id}/participants");
            world.ask(Some(&caller("Meera")), "PUT", &path, super::world::people(2)).await;
        }
        put(&world, &admin(), id, "cancel", json!({ "refund": false })).await;
        assert_eq!(world.outside.earned.borrow().contains_key(&id), paid > 0, "what is kept is earned");
        let taken = world.outside.taken(batch_id());
        let (status, body) = put(&world, &admin(), id, "restore", Value::Null).await;
        assert_eq!((status, &body["message"]), (200, &json!("Booking restored successfully")), "{body}");
        assert_eq!(body["booking"]["status"], expected);
        assert!(body["booking"].get("cancelledAt").is_none());
        assert!(!world.outside.earned.borrow().contains_key(&id), "and owed again");
        assert_eq!(world.outside.taken(batch_id()), taken + 2);
        assert_eq!(world.outside.holds.borrow()[&id].until, None, "for good");
        if details {
            assert_eq!(body["booking"]["participantDetails"][0]["isCancelled"], false);
        }
        let again = refused(&world, &admin(), id, "restore", Value::Null).await;
        assert_eq!(again, (400, "Only cancelled bookings can be restored".into()));
    }
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_full_batch_a_refund_and_a_started_trek_stand_in_the_way() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    put(&world, &admin(), id, "cancel", json!({ "refund": false })).await;
    world.outside.batches.borrow_mut()[0].taken = 19;
    let full = refused(&world, &admin(), id, "restore", Value::Null).await;
    assert_eq!(full, (400, "Cannot restore booking - batch is now full".into()));
    assert_eq!((world.outside.taken(batch_id()), world.status(id).await.as_deref()), (0, Some("cancelled")));
    assert_eq!(world.commands().await, ["cancel done", "restore undone"]);
    // Staff may use the reserved seats.
    world.outside.batches.borrow_mut()[0].taken = 18;
    assert_eq!(put(&world, &admin(), id, "restore", Value::Null).await.0, 200);
    put(&world, &admin(), id, "cancel", json!({})).await;
    let refunded = refused(&world, &admin(), id, "restore", Value::Null).await;
    assert_eq!(refunded, (400, "Cannot restore a refunded booking".into()));

    let world = World::new().await;
    let id = world.confirmed(2).await;
    put(&world, &admin(), id, "cancel", json!({ "refund": false })).await;
    world.advance(31 * DAY);
    let started = refused(&world, &admin(), id, "restore", Value::Null).await;
    assert_eq!(started, (400, "This batch is no longer open for booking".into()));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn a_participant_comes_along_again_if_there_is_a_seat_and_no_refund() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let people = participants(&world, id).await;
    let route = |participant: &dyn std::fmt::Display| format!("participants/{participant}/restore");
    let first = route(&people[0]);
    let restored = async |route: &str| refused(&world, &admin(), id, route, Value::Null).await;
    assert_eq!(restored(&first).await, (400, "Participant is not cancelled".into()));
    for unknown in ["nonsense".to_owned(), Id::derive(&["x"]).to_string()] {
        assert_eq!(restored(&route(&unknown)).await, (404, "Participant not found".into()));
    }
    put(&world, &admin(), id, "cancel", json!({ "participantId": people[0], "refund": false })).await;
    assert_eq!(world.outside.taken(batch_id()), 1);
    world.outside.batches.borrow_mut()[0].taken = 19;
    assert_eq!(restored(&first).await, (400, "Not enough spots available in this batch".into()));
    world.outside.batches.borrow_mut()[0].taken = 18;
    assert_eq!(restored(&first).await, (200, "Participant restored successfully".into()));
    assert_eq!(world.outside.taken(batch_id()), 2);
    put(&world, &admin(), id, "cancel", json!({ "participantId": people[0] })).await;
    assert_eq!(restored(&first).await, (400, "Cannot restore a refunded participant".into()));
    assert!(world.is_settled().await);
}

#[tokio::test]
async fn the_last_participant_brings_the_booking_back() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let people = participants(&world, id).await;
    let both = json!({ "cancellationType": "individual", "selectedParticipants": people, "refund": false });
    put(&world, &admin(), id, "cancel", both).await;
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
    let route = format!("participants/{}/restore", people[1]);
    let (status, body) = put(&world, &admin(), id, &route, Value::Null).await;
    assert_eq!((status, &body["booking"]["status"]), (200, &json!("confirmed")), "{body}");
    assert_eq!(world.outside.taken(batch_id()), 1, "the other one stays at home");
    // As a whole it is restored as a whole.
    put(&world, &admin(), id, "cancel", json!({ "refund": false })).await;
    for person in &people {
        let route = format!("participants/{person}/restore");
        let (status, message) = refused(&world, &admin(), id, &route, Value::Null).await;
        assert_eq!(
            (status, message.as_str()),
            (400, "The booking was cancelled as a whole. Please restore the booking.")
        );
    }
    put(&world, &admin(), id, "restore", Value::Null).await;
    assert_eq!(world.outside.taken(batch_id()), 2);
}
