//! Bookings without a checkout: of custom treks, and by staff for customers.

use cairn_booking::{
    app::Customer,
    domain::{Kind, Terms},
};
use cairn_shared::{
    Id, Paise, Timestamp,
    http::Request,
    identity::{CALLER_HEADER, Identity},
    time::DAY,
};
use serde_json::{Value, json};

use super::{
    MANUAL, details, manual,
    world::{NOW, World, admin, batch_id, caller, customer, terms, trek_id},
};

const CUSTOM: &str = "/api/bookings/custom";

async fn custom_world() -> World {
    let world = World::new().await;
    let expiry = Some(Timestamp::from_millis(NOW + DAY));
    *world.outside.terms.borrow_mut() = Some(Terms { custom: true, custom_link_expiry: expiry, ..terms() });
    // A custom trek's batch starts when it is made.
    world.outside.batches.borrow_mut()[0].start = Timestamp::from_millis(NOW - DAY);
    world
}

fn custom(changes: Value) -> Value {
    let mut body = json!({ "trekId": trek_id(), "numberOfParticipants": 2, "userDetails": details(), "totalPrice": 1 });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_custom_trek_is_booked_at_its_own_price_and_confirmed_at_once() {
    let world = custom_world().await;
    let meera = caller("Meera");
    let (status, body) = world.ask(Some(&meera), "POST", CUSTOM, custom(json!({}))).await;
    assert_eq!((status, body["status"].as_str()), (201, Some("confirmed")), "{body}");
    assert_eq!((&body["totalPrice"], &body["amountPaid"]), (&json!(10_000), &json!(0)), "the price is the trek's");
    assert_eq!(body["message"], "Custom trek booking confirmed successfully!");
    assert_eq!((&body["addOns"], &body["paymentMethod"]), (&json!([]), &json!("Manual/Offline")));
    let id: Id = body["_id"].as_str().unwrap().parse().unwrap();
    assert_eq!((world.outside.holds.borrow()[&id].seats, world.outside.holds.borrow()[&id].until), (2, None));
    assert!(world.outside.payables.borrow().is_empty() && world.is_settled().await);
    assert_eq!(*world.outside.phones.borrow(), ["9800000002"], "an empty profile takes the phone number");
    let to = "arjun@example.org".to_owned();
    assert_eq!(world.sent().await, [(to.clone(), "confirmed"), (to, "invoice")]);
}

#[tokio::test]
async fn custom_bookings_are_refused_with_the_contracts_words() {
    let world = custom_world().await;
    let meera = caller("Meera");
    let mut refused = Vec::new();
    for (body, status, message) in [
        (json!({ "trekId": "" }), 400, "Please provide all required fields"),
        (json!({ "userDetails": { "name": "A" } }), 400, "Please provide all user details"),
        (json!({ "numberOfParticipants": 0 }), 400, "Invalid number of participants"),
        (json!({ "trekId": "x" }), 404, "Trek not found"),
        (json!({ "numberOfParticipants": 19 }), 400, "Not enough spots available in this custom trek"),
    ] {
        let (got, answer) = world.ask(Some(&meera), "POST", CUSTOM, custom(body)).await;
        refused.push(((got, answer["message"].as_str().unwrap().to_owned()), (status, message.to_owned())));
    }
    let change = |change: fn(&mut Terms)| change(world.outside.terms.borrow_mut().as_mut().unwrap());
    change(|terms| terms.custom_link_expiry = Some(Timestamp::from_millis(NOW)));
    let (got, answer) = world.ask(Some(&meera), "POST", CUSTOM, custom(json!({}))).await;
    refused
        .push(((got, answer["message"].as_str().unwrap().into()), (410, "This custom trek link has expired.".into())));
    change(|terms| terms.custom = false);
    let (got, answer) = world.ask(Some(&meera), "POST", CUSTOM, custom(json!({}))).await;
    refused.push(((got, answer["message"].as_str().unwrap().into()), (400, "This is not a custom trek".into())));
    change(|terms| (terms.custom, terms.custom_link_expiry) = (true, None));
    world.outside.batches.borrow_mut().clear();
    let (got, answer) = world.ask(Some(&meera), "POST", CUSTOM, custom(json!({}))).await;
    refused.push(((got, answer["message"].as_str().unwrap().into()), (404, "Custom batch not found".into())));
    for (got, expected) in refused {
        assert_eq!(got, expected);
    }
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 0);
}

#[tokio::test]
async fn a_custom_booking_that_stops_anywhere_leaves_all_of_it_or_nothing() {
    for (steps, lost) in (0..4).flat_map(|steps| [(steps, false), (steps, true)]) {
        let world = custom_world().await;
        world.outside.stop_after.set(Some(steps));
        world.outside.lost_answer.set(lost);
        let (status, _) = world.ask(Some(&caller("Meera")), "POST", CUSTOM, custom(json!({}))).await;
        world.recover().await;
        let (bookings, taken) =
            (world.count("SELECT COUNT(*) AS n FROM bookings").await, world.outside.taken(batch_id()));
        let expected = if status == 201 { (1, 2) } else { (0, 0) };
        assert_eq!((bookings, taken), expected, "{status} after {steps} steps, answer lost: {lost}");
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn a_manual_booking_is_what_staff_were_paid_for_it() {
    for (paid, status, amount, mode) in [
        ("payment_completed", "confirmed", 8_000, "full"),
        ("payment_confirmed_partial", "payment_confirmed_partial", 2_400, "partial"),
        ("unpaid", "pending", 0, "full"),
    ] {
        let world = World::new().await;
        let (code, body) = world.post(MANUAL, manual(json!({ "paymentStatus": paid }))).await;
        assert_eq!(code, 201, "{body}");
        assert_eq!(body["message"], "Manual booking created successfully");
        assert_eq!(body["bookingId"], body["booking"]["bookingId"]);
        assert_eq!((body["booking"]["status"].as_str(), &body["booking"]["totalPrice"]), (Some(status), &json!(8_000)));
        assert_eq!(body["booking"]["user"]["email"], customer().email);
        let id: Id = body["booking"]["_id"].as_str().unwrap().parse().unwrap();
        let detail = world.detail(id).await;
        assert_eq!((&detail["amountPaid"], detail["paymentMode"].as_str()), (&json!(amount), Some(mode)), "{paid}");
        assert_eq!((&detail["participants"], &detail["adminRemarks"]), (&json!(2), &json!("Admin Created Booking")));
        assert_eq!(detail["participantDetails"][1]["medicalConditions"], "Asthma");
        assert_eq!((&detail["adminCreated"], detail.get("emergencyContact")), (&json!(true), None));
        let booked: Vec<_> = world.outside.offline.borrow().values().map(|(_, payment)| payment.amount).collect();
        assert_eq!(booked, if amount == 0 { vec![] } else { vec![Paise::rupees(amount)] }, "payment has the money");
        assert_eq!((world.outside.holds.borrow()[&id].seats, world.outside.holds.borrow()[&id].until), (2, None));
        assert_eq!(world.outside.payables.borrow().contains_key(&id), mode == "partial", "the balance can be paid");
        let to = "arjun@example.org".to_owned();
        let mails = match paid {
            "payment_completed" => vec![(to.clone(), "confirmed"), (to, "payment")],
            "payment_confirmed_partial" => vec![(to, "payment")],
            _ => vec![],
        };
        assert_eq!(world.sent().await, mails, "{paid}");
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn halves_and_a_week_where_the_trek_has_no_instalments_and_never_after_the_start() {
    let world = World::new().await;
    world.outside.terms.borrow_mut().as_mut().unwrap().partial.enabled = false;
    let id = world.manual(json!({ "paymentStatus": "payment_confirmed_partial", "totalPrice": 1001 })).await;
    let partial = &world.detail(id).await["partialPaymentDetails"];
    assert_eq!((&partial["initialAmount"], &partial["remainingAmount"]), (&json!(500.5), &json!(500.5)));
    assert_eq!(partial["finalPaymentDueDate"], json!(Timestamp::from_millis(NOW + 7 * DAY)));
    world.outside.batches.borrow_mut()[0].start = Timestamp::from_millis(NOW + 2 * DAY);
    let id = world.manual(json!({ "paymentStatus": "payment_confirmed_partial" })).await;
    let due = &world.detail(id).await["partialPaymentDetails"]["finalPaymentDueDate"];
    assert_eq!(*due, json!(Timestamp::from_millis(NOW + 2 * DAY)));
}

#[tokio::test]
async fn manual_bookings_are_refused_with_the_contracts_words() {
    let world = World::new().await;
    for (body, status, message) in [
        (json!({ "userId": "" }), 400, "Please provide all required fields"),
        (json!({ "totalPrice": 0 }), 400, "Please provide all required fields"),
        (json!({ "totalPrice": -5 }), 400, "Please provide all required fields"),
        (json!({ "paymentStatus": null }), 400, "Please provide all required fields"),
        (json!({ "userDetails": { "name": "A" } }), 400, "Please provide all user details"),
        (json!({ "userId": trek_id() }), 404, "User not found"),
        (json!({ "trekId": batch_id() }), 404, "Trek not found"),
        (json!({ "batchId": trek_id() }), 404, "Batch not found in trek"),
        (
            json!({ "participantDetails": [], "numberOfParticipants": 21 }),
            400,
            "Not enough spots available in this batch",
        ),
        (json!({ "participantDetails": [], "numberOfParticipants": 51 }), 400, "Invalid number of participants"),
        (
            json!({ "participantDetails": [{ "age": "9" }] }),
            400,
            "Participant 1 is missing required fields (name, email, phone)",
        ),
        (json!({ "paymentMethod": "barter" }), 400, "paymentMethod has to be cash, bank_transfer or other"),
    ] {
        let (got, answer) = world.post(MANUAL, manual(body.clone())).await;
        assert_eq!((got, answer["message"].as_str()), (status, Some(message)), "{body}");
    }
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 0);
    assert!(world.outside.holds.borrow().is_empty() && world.outside.offline.borrow().is_empty());
}

#[tokio::test]
async fn staff_sell_reserved_seats_and_book_beside_the_customers_own_unpaid_booking() {
    let world = World::new().await;
    world.booked(json!({ "numberOfParticipants": 18 })).await;
    let own = json!({ "userId": caller("Meera").id });
    world.outside.customers.borrow_mut().push(Customer { id: caller("Meera").id, ..customer() });
    let id = world.manual(own).await;
    assert_eq!(world.outside.taken(batch_id()), 20);
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
}

#[tokio::test]
async fn a_manual_booking_that_stops_anywhere_is_undone_or_finished_with_its_money_once() {
    for (steps, lost) in (0..7).flat_map(|steps| [(steps, false), (steps, true)]) {
        let world = World::new().await;
        world.outside.stop_after.set(Some(steps));
        world.outside.lost_answer.set(lost);
        let (status, _) = world.post(MANUAL, manual(json!({}))).await;
        world.recover().await;
        let bookings = world.count("SELECT COUNT(*) AS n FROM bookings").await;
        let (taken, booked) = (world.outside.taken(batch_id()), world.outside.offline.borrow().len());
        if status == 201 {
            assert_eq!((bookings, taken, booked), (1, 2, 1), "after {steps} steps, answer lost: {lost}");
            assert_eq!(
                world.count("SELECT COUNT(*) AS n FROM bookings WHERE status = 'confirmed' AND paid = 800000").await,
                1
            );
            assert_eq!(world.count("SELECT COUNT(*) AS n FROM payments").await, 1);
        } else {
            assert_eq!((bookings, taken, booked), (0, 0, 0), "after {steps} steps, answer lost: {lost}");
        }
        assert!(world.is_settled().await);
    }
}

#[tokio::test]
async fn the_event_of_offline_money_may_come_before_or_after_its_answer() {
    let world = World::new().await;
    world.outside.stop_after.set(Some(4));
    world.outside.lost_answer.set(true);
    let (_, body) = world.post(MANUAL, manual(json!({}))).await;
    let id: Id = body["booking"]["_id"].as_str().unwrap().parse().unwrap();
    let recorded = world.outside.offline.borrow().values().next().cloned();
    let Some((_, payment)) = recorded else { panic!("payment has the money, and nobody heard of it") };
    assert_eq!(world.status(id).await.as_deref(), Some("pending"));
    world.outside.stop_after.set(None);
    world.advance(21_000);
    let data = json!({ "bookingId": id, "paymentId": payment.id, "orderId": "", "kind": Kind::Full,
        "amountPaise": payment.amount.0, "method": "offline", "capturedAt": NOW, "offline": true });
    for _ in 0..2 {
        assert_eq!(world.event("payment.captured", data.clone()).await, 204);
    }
    assert_eq!(world.status(id).await.as_deref(), Some("confirmed"));
    world.recover().await;
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM payments").await, 1);
    assert_eq!(world.count("SELECT paid AS n FROM bookings").await, 800_000);
    assert_eq!(world.detail(id).await["paymentMethod"], "Manual/Offline");
}

#[tokio::test]
async fn a_repeated_request_with_its_key_books_once() {
    let world = World::new().await;
    let send = |body: Value| {
        let identity = Identity::Caller(Box::new(admin()));
        let request = Request::json("POST", MANUAL, &body).with_header(CALLER_HEADER, identity.encode());
        world.send(request.with_header("idempotency-key", "k-1"))
    };
    let (first, again) = (send(manual(json!({}))).await, send(manual(json!({}))).await);
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(send(manual(json!({ "totalPrice": 9000 }))).await.status, 422);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM bookings").await, 1);
    assert_eq!(world.outside.offline.borrow().len(), 1);
}

#[tokio::test]
async fn customers_are_found_by_phone_and_made_once() {
    let world = World::new().await;
    let find = "/api/bookings/manual/validate-user";
    let (status, body) = world.post(find, json!({ "phone": "9800000002" })).await;
    assert_eq!((status, &body["exists"], &body["user"]["_id"]), (200, &json!(true), &json!(customer().id)));
    assert_eq!((&body["user"]["address"], &body["user"]["city"]), (&json!(""), &json!("Mysuru")));
    let (status, body) = world.post(find, json!({ "phone": "9811111111" })).await;
    assert_eq!((status, body["message"].as_str()), (200, Some("User not found. Please create a new user.")));
    assert_eq!(body["exists"], false);
    let (status, body) = world.post(find, json!({})).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Phone number is required")));

    let make = "/api/bookings/manual/create-user";
    let new = json!({ "name": "Uma", "email": "uma@example.org", "phone": "9800000007", "city": "Hubli" });
    let (status, body) = world.post(make, new.clone()).await;
    assert_eq!((status, body["message"].as_str()), (201, Some("User created successfully")));
    assert_eq!((&body["user"]["name"], &body["user"]["adminCreated"]), (&json!("Uma"), &json!(true)));
    let (status, body) = world.post(make, new).await;
    let taken = "User with this phone number or email already exists";
    assert_eq!((status, body["message"].as_str()), (400, Some(taken)));
    let (status, body) = world.post(make, json!({ "name": "Uma", "phone": "9800000007" })).await;
    assert_eq!((status, body["message"].as_str()), (400, Some("Name, email, and phone are required")));
    assert_eq!(world.post(make, json!({ "name": "U", "email": "nobody", "phone": "98" })).await.0, 400);
}
