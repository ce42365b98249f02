//! Changing a booking, by its owner and by admins.

use cairn_booking::domain::Kind;
use cairn_shared::{Paise, time::DAY};
use serde_json::{Value, json};

use super::world::{World, admin, batch_id, caller, people, trek_id};

impl World {
    async fn edit(&self, owner: bool, id: cairn_shared::Id, body: Value) -> (u16, Value) {
        let who = if owner { caller("Meera") } else { admin() };
        self.ask(Some(&who), "PUT", &format!("/api/bookings/{id}"), body).await
    }

    async fn paid(&self) -> cairn_shared::Id {
        let id = self.booked(json!({})).await;
        self.captured(id, "pay_1", Kind::Full, 8_560).await;
        self.sent().await;
        id
    }
}

#[tokio::test]
async fn an_owner_changes_whom_to_reach_and_nothing_that_was_sold() {
    let world = World::new().await;
    let id = world.paid().await;
    world.ask(Some(&caller("Meera")), "PUT", &format!("/api/bookings/{id}/participants"), people(2)).await;
    world.sent().await;
    let (_, before) = world.get(&caller("Meera"), &format!("/api/bookings/{id}")).await;
    let first = before["participantDetails"][0]["_id"].clone();
    let body = json!({
        "contactInfo": { "name": "Meera R", "email": "Meera.R@Example.org", "phone": "9800000009" },
        "emergencyContact": { "name": "Ravi", "phone": "9811111112", "relationship": "Spouse" },
        "specialRequirements": "Vegetarian",
        "status": "cancelled", "totalPrice": 1, "participants": 1, "batch": trek_id(), "addOns": [],
        "participantDetails": [
            { "_id": first, "name": "Somebody Else", "phone": "9822222222", "isCancelled": true, "refundAmount": 9 },
            {},
        ],
    });
    let (status, answer) = world.edit(true, id, body).await;
    assert_eq!((status, answer["message"].as_str()), (200, Some("Booking updated successfully")), "{answer}");
    let booking = &answer["booking"];
    assert_eq!(
        (&booking["status"], &booking["totalPrice"], &booking["participants"]),
        (&json!("confirmed"), &json!(8_560), &json!(2))
    );
    assert_eq!(
        booking["userDetails"],
        json!({ "name": "Meera R", "email": "meera.r@example.org", "phone": "9800000009" })
    );
    assert_eq!(
        (&booking["emergencyContact"]["relation"], &booking["specialRequirements"]),
        (&json!("Spouse"), &json!("Vegetarian"))
    );
    assert_eq!(
        (&booking["batch"]["_id"], &booking["trek"]["name"]),
        (&json!(batch_id()), &json!("Kodachadri Weekend"))
    );
    let people = &booking["participantDetails"];
    assert_eq!((&people[0]["name"], &people[0]["phone"]), (&json!("Person 0"), &json!("9822222222")));
    assert_eq!((&people[0]["isCancelled"], &people[0]["refundAmount"]), (&json!(false), &json!(0)));
    assert_eq!(people[1]["name"], "Person 1", "what is not given stays");
    assert_eq!(world.sent().await.len(), 1, "the booker hears of new details");
}

#[tokio::test]
async fn an_owner_changes_nothing_once_the_trek_has_begun_or_is_off() {
    let world = World::new().await;
    let id = world.paid().await;
    world.advance(30 * DAY);
    let (status, body) = world.edit(true, id, json!({ "specialRequirements": "x" })).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("This booking cannot be updated")));
    assert_eq!(world.edit(false, id, json!({ "specialRequirements": "x" })).await.0, 200, "staff may");
    let world = World::new().await;
    let id = world.paid().await;
    world.put(&format!("/api/bookings/{id}/status"), json!({ "status": "cancelled" })).await;
    assert_eq!(world.edit(true, id, json!({ "specialRequirements": "x" })).await.0, 400);
}

#[tokio::test]
async fn details_by_staff_confirm_a_paid_booking() {
    let world = World::new().await;
    let id = world.paid().await;
    let one = json!([{ "name": "A" }]);
    let (status, body) = world.edit(false, id, json!({ "participantDetails": one })).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Number of participants does not match the booking")));
    let two = json!([{ "name": "A", "age": "30" }, { "name": "B", "email": "b@example.org" }]);
    let code = format!("BT{}", id.short_code());
    let (status, body) = world.put(&format!("/api/bookings/{code}"), json!({ "participantDetails": two })).await;
    assert_eq!((status, &body["booking"]["status"]), (200, &json!("confirmed")), "{body}");
    let sent = world.sent().await;
    assert_eq!(sent, [("b@example.org".to_owned(), "confirmed"), ("meera@example.org".to_owned(), "confirmed")]);
}

#[tokio::test]
async fn staff_sell_an_unpaid_booking_anew_with_seats_price_and_checkout() {
    let world = World::new().await;
    let id = world.booked(json!({ "couponCode": "EARLY10" })).await;
    let (status, body) =
        world.edit(false, id, json!({ "numberOfParticipants": 3, "addOns": [{ "name": "Rental tent" }] })).await;
    assert_eq!(status, 200, "{body}");
    // (4000 + 400) · 3 = 13200, less 10 %: 11880, and 7 % of tax and charges.
    assert_eq!((&body["booking"]["totalPrice"], &body["booking"]["participants"]), (&json!(12_711.6), &json!(3)));
    assert_eq!(world.outside.payables.borrow()[&id].amount, Paise(1_271_160));
    assert_eq!(world.outside.taken(batch_id()), 3);
    let (status, body) = world.edit(false, id, json!({ "totalPrice": 9000, "participants": 1 })).await;
    assert_eq!((status, &body["booking"]["totalPrice"]), (200, &json!(9_000)), "{body}");
    assert_eq!(
        (world.outside.payables.borrow()[&id].amount, world.outside.taken(batch_id())),
        (Paise::rupees(9_000), 1)
    );
    assert!(world.is_settled().await);
    let (status, body) = world.edit(false, id, json!({ "numberOfParticipants": 30 })).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Not enough spots available in this batch")));
    let (status, _) = world.edit(false, id, json!({ "addOns": [{ "name": "Helicopter" }] })).await;
    assert_eq!(status, 400);
    assert_eq!(world.outside.taken(batch_id()), 1, "nothing has changed");
    world.captured(id, "pay_1", Kind::Full, 9_000).await;
    let (status, body) = world.edit(false, id, json!({ "numberOfParticipants": 2 })).await;
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("paid for"), "{body}");
    assert_eq!(
        world.edit(false, id, json!({ "numberOfParticipants": 1, "totalPrice": 9000 })).await.0,
        200,
        "no change"
    );
}

#[tokio::test]
async fn a_resale_that_stops_anywhere_leaves_the_old_sale_or_the_new_one() {
    for (steps, lost) in (0..4).flat_map(|steps| [(steps, false), (steps, true)]) {
        for count in [1, 3] {
            let world = World::new().await;
            let id = world.booked(json!({})).await;
            world.outside.stop_after.set(Some(steps));
            world.outside.lost_answer.set(lost);
            world.edit(false, id, json!({ "numberOfParticipants": count })).await;
            // Within the session: the booking is still wanted.
            world.outside.stop_after.set(None);
            world.advance(21_000);
            assert_eq!(world.job("expire").await, 204);
            let seats = world.count("SELECT seats AS n FROM bookings").await;
            let total = world.count("SELECT total AS n FROM bookings").await;
            assert!(seats == 2 || seats == count, "{seats}");
            assert_eq!(total, 428_000 * seats, "after {steps} steps, answer lost: {lost}");
            assert_eq!(i64::from(world.outside.taken(batch_id())), seats, "after {steps} steps, answer lost: {lost}");
            assert_eq!(world.outside.payables.borrow()[&id].amount, Paise(total));
            assert!(world.is_settled().await);
        }
    }
}

#[tokio::test]
async fn status_and_batch_go_the_way_of_their_commands() {
    let world = World::new().await;
    let id = world.paid().await;
    let (status, body) = world.edit(false, id, json!({ "status": "pending" })).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Invalid status")));
    let (status, body) = world.edit(false, id, json!({ "batch": trek_id() })).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Batch is not part of the selected trek.")), "{body}");
    assert_eq!(world.edit(false, id, json!({ "batch": batch_id(), "status": "payment_completed" })).await.0, 200);
    let (status, body) = world.edit(false, id, json!({ "status": "cancelled" })).await;
    assert_eq!((status, &body["booking"]["status"]), (200, &json!("cancelled")));
    assert_eq!(world.outside.taken(batch_id()), 0);
}
