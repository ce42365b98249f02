//! Seats that go to another person.

use cairn_booking::app::{Message, News};
use cairn_shared::{Id, identity::Caller, time::DAY};
use serde_json::{Value, json};

use super::{
    participants, put,
    world::{World, admin, caller, desk},
};

/// Somebody who comes instead.
fn newcomer() -> Value {
    json!({ "participant": {
        "name": "Kavya Nair", "email": "kavya@example.org", "phone": "9800000009", "age": 28, "gender": "Female",
    }})
}

async fn give(world: &World, who: &Caller, id: Id, participant: Id, body: Value) -> (u16, Value) {
    world.advance(1);
    let target = format!("/api/bookings/{id}/participants/{participant}/transfer");
    world.ask(Some(who), "POST", &target, body).await
}

/// Recipients of mails about seats that changed hands, and of confirmations.
async fn mails(world: &World) -> Vec<(String, &'static str)> {
    assert_eq!(world.job("mails").await, 204);
    let mut told: Vec<_> = world
        .outside
        .mails
        .borrow_mut()
        .drain(..)
        .filter_map(|mail| match mail.message {
            Message::Notice(_, News::SeatTransferred { old_name, new_name }) => {
                assert_eq!((old_name.as_str(), new_name.as_str()), ("Person 1", "Kavya Nair"));
                Some((mail.email, "transferred"))
            }
            Message::Notice(_, News::Confirmed { .. }) => Some((mail.email, "confirmed")),
            _ => None,
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn a_seat_goes_to_another_person_with_its_price_and_its_place() {
    let world = World::new().await;
    let id = world.confirmed(3).await;
    mails(&world).await;
    let (before, people) = (world.stored(id).await, participants(&world, id).await);
    let (status, body) = give(&world, &caller("Meera"), id, people[1], newcomer()).await;
    assert_eq!((status, body["booking"]["status"].as_str()), (200, Some("confirmed")), "{body}");
    let after = world.stored(id).await;
    let newcomer_ = &after.participants[1];
    assert_eq!((newcomer_.name.as_str(), newcomer_.age), ("Kavya Nair", Some(28)));
    assert!(newcomer_.id != people[1], "another person has another id");
    assert_eq!((after.participants[0].id, after.participants[2].id), (people[0], people[2]));
    assert_eq!((&after.price, after.paid, after.batch_id), (&before.price, before.paid, before.batch_id));
    let expected =
        [("kavya@example.org", "confirmed"), ("meera@example.org", "transferred"), ("p1@example.org", "transferred")];
    assert_eq!(mails(&world).await, expected.map(|(to, kind)| (to.to_owned(), kind)));
    let (status, body) = give(&world, &caller("Meera"), id, people[1], newcomer()).await;
    assert_eq!((status, body["detail"].as_str()), (404, Some("Participant not found")));
    assert!(world.commands().await.contains(&"transfer done".into()) && world.is_settled().await);
    // The share of the seat is that of its place.
    let (status, _) =
        put(&world, &admin(), id, &format!("participants/{}/cancel", newcomer_.id), json!({ "refundType": "full" }))
            .await;
    assert_eq!((status, world.outside.asked.borrow()[0].1.amount), (200, before.share(1)));
    let (status, body) = give(&world, &admin(), id, newcomer_.id, newcomer()).await;
    assert_eq!((status, body["detail"].as_str()), (400, Some("Participant is already cancelled")));
}

#[tokio::test]
async fn owners_give_seats_away_in_time_and_staff_until_the_start() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let people = participants(&world, id).await;
    world.advance(27 * DAY + 1);
    let (status, body) = give(&world, &caller("Meera"), id, people[0], newcomer()).await;
    assert_eq!(status, 200, "three begun days are left: {body}");
    world.advance(DAY);
    let (status, body) = give(&world, &caller("Meera"), id, people[1], newcomer()).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["detail"].as_str().unwrap().contains("until 3 days before"), "{body}");
    let clerk = desk("actions.manageBookings");
    assert_eq!(give(&world, &clerk, id, people[1], newcomer()).await.0, 200);
    world.advance(2 * DAY);
    let newest = participants(&world, id).await[1];
    let (status, body) = give(&world, &admin(), id, newest, newcomer()).await;
    assert_eq!((status, body["title"].as_str()), (400, Some("Bad Request")), "{body}");
}

#[tokio::test]
async fn a_seat_is_given_by_those_who_may_and_to_somebody_whole() {
    let world = World::new().await;
    let id = world.confirmed(1).await;
    let person = participants(&world, id).await[0];
    let target = format!("/api/bookings/{id}/participants/{person}/transfer");
    assert_eq!(world.ask(None, "POST", &target, newcomer()).await.0, 401);
    for stranger in [caller("Asha"), desk("stats.bookings")] {
        assert_eq!(give(&world, &stranger, id, person, newcomer()).await.0, 403);
    }
    for (body, problem) in [
        (json!({}), "participant"),
        (json!({ "participant": { "name": "Kavya" } }), "missing required fields"),
        (json!({ "participant": { "name": "K", "email": "k@example.org", "phone": "1", "age": 200 } }), "age"),
    ] {
        let (status, answer) = give(&world, &caller("Meera"), id, person, body).await;
        assert!(status == 400 && answer["detail"].as_str().unwrap().contains(problem), "{answer}");
    }
    put(&world, &admin(), id, "cancel", json!({ "refundType": "full" })).await;
    let (status, body) = give(&world, &admin(), id, person, newcomer()).await;
    assert_eq!(
        (status, body["detail"].as_str()),
        (400, Some("A seat of this booking cannot be given to somebody else"))
    );
    let unpaid = world.booked(json!({})).await;
    assert_eq!(give(&world, &caller("Meera"), unpaid, person, newcomer()).await.0, 404, "nobody is on it yet");
}
