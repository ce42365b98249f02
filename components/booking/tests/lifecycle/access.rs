//! Who may do what: every route of a booking's life, asked by everybody.

use cairn_shared::{Id, identity::Caller};
use serde_json::{Value, json};

use super::{
    participants, put,
    world::{World, admin, caller, desk, later_batch, trek_id},
};

/// What a booking is before the route is asked.
#[derive(Clone, Copy)]
enum Given {
    Confirmed,
    Unpaid,
    Cancelled,
    OneCancelled,
    Requested,
}

/// What each of these gets: nobody, a stranger, the owner, staff who see bookings, staff
/// who manage them, an admin.
type Expected = [u16; 6];

#[tokio::test]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    use Given::{Cancelled, Confirmed, OneCancelled, Requested, Unpaid};
    let shift = json!({ "newBatchId": later_batch().id });
    let table: &[(&str, &str, Given, Value, Expected)] = &[
        ("PUT", "cancel", Confirmed, json!({}), [401, 403, 403, 403, 403, 200]),
        ("PATCH", "admin cancel", Confirmed, json!({}), [401, 403, 403, 403, 403, 200]),
        ("PUT", "restore", Cancelled, json!({}), [401, 403, 403, 403, 200, 200]),
        ("DELETE", "", Unpaid, json!({}), [401, 403, 403, 403, 403, 200]),
        ("PUT", "participants/0/cancel", Confirmed, json!({}), [401, 401, 200, 401, 401, 200]),
        ("PUT", "participants/0/restore", OneCancelled, json!({}), [401, 401, 401, 401, 200, 200]),
        ("PUT", "complete-trek", Confirmed, json!({}), [401, 403, 403, 403, 200, 200]),
        ("PUT", "shift-batch", Confirmed, shift, [401, 403, 403, 403, 403, 200]),
        (
            "POST",
            "cancellation-request",
            Confirmed,
            json!({ "requestType": "cancellation" }),
            [401, 403, 200, 403, 403, 403],
        ),
        ("PUT", "cancellation-request", Requested, json!({ "status": "rejected" }), [401, 403, 403, 403, 200, 200]),
        ("POST", "calculate-refund", Confirmed, json!({}), [401, 403, 200, 403, 200, 200]),
        ("GET", "commands", Confirmed, json!({}), [401, 403, 403, 200, 200, 200]),
    ];
    for (method, route, given, body, expected) in table {
        for (who, expected) in people().iter().zip(expected) {
            let world = World::new().await;
            let id = make(&world, *given).await;
            let target = target(&world, id, route).await;
            let body = if *method == "GET" { Value::Null } else { body.clone() };
            let (status, answer) = world.ask(who.as_ref(), method, &target, body).await;
            let name = who.as_ref().map_or("nobody", |who| who.name.as_str());
            assert_eq!(status, *expected, "{method} {route} by {name}: {answer}");
            if status >= 400 {
                assert!(answer["message"].is_string(), "{answer}");
                let changed = world.commands().await.len();
                let made = if matches!(given, Cancelled | OneCancelled | Requested) { 1 } else { 0 };
                assert_eq!(changed, made, "{method} {route} by {name} changed something");
            }
        }
    }
}

fn people() -> [Option<Caller>; 6] {
    [
        None,
        Some(caller("Stranger")),
        Some(caller("Meera")),
        Some(desk("stats.bookings")),
        Some(desk("actions.manageBookings")),
        Some(admin()),
    ]
}

async fn make(world: &World, given: Given) -> Id {
    if let Given::Unpaid = given {
        return world.booked(json!({})).await;
    }
    let id = world.confirmed(2).await;
    match given {
        Given::Confirmed | Given::Unpaid => {}
        Given::Cancelled => {
            put(world, &admin(), id, "cancel", json!({ "refund": false })).await;
        }
        Given::OneCancelled => {
            let first = participants(world, id).await[0];
            put(world, &admin(), id, "cancel", json!({ "refund": false, "participantId": first })).await;
        }
        Given::Requested => {
            let target = format!("/api/bookings/{id}/cancellation-request");
            world.ask(Some(&caller("Meera")), "POST", &target, json!({ "requestType": "cancellation" })).await;
        }
    }
    id
}

async fn target(world: &World, id: Id, route: &str) -> String {
    let first = participants(world, id).await.first().map(ToString::to_string).unwrap_or_default();
    match route {
        "" => format!("/api/bookings/{id}"),
        "admin cancel" => format!("/api/admin/bookings/{id}/cancel"),
        route => format!("/api/bookings/{id}/{}", route.replace("/0/", &format!("/{first}/"))),
    }
}

#[tokio::test]
async fn a_booking_that_is_none_is_not_found_on_every_route() {
    let world = World::new().await;
    let person = Id::derive(&["p"]);
    for (method, route, body) in [
        ("PUT", "/cancel".to_owned(), json!({})),
        ("PUT", "/restore".to_owned(), json!({})),
        ("DELETE", String::new(), json!({})),
        ("PUT", format!("/participants/{person}/cancel"), json!({})),
        ("PUT", format!("/participants/{person}/restore"), json!({})),
        ("PUT", "/complete-trek".to_owned(), json!({})),
        ("PUT", "/shift-batch".to_owned(), json!({ "newBatchId": later_batch().id })),
        ("POST", "/cancellation-request".to_owned(), json!({ "requestType": "cancellation" })),
        ("PUT", "/cancellation-request".to_owned(), json!({ "status": "approved" })),
        ("POST", "/calculate-refund".to_owned(), json!({})),
        ("GET", "/commands".to_owned(), Value::Null),
    ] {
        for id in
            [Id::derive(&["no booking"]).to_string(), "nonsense".into(), "BT12345678".into(), trek_id().to_string()]
        {
            let target = format!("/api/bookings/{id}{route}");
            let (status, answer) = world.ask(Some(&admin()), method, &target, body.clone()).await;
            assert_eq!((status, &answer["message"]), (404, &json!("Booking not found")), "{method} {target}");
        }
    }
}

#[tokio::test]
async fn staff_may_name_a_booking_by_its_code_and_customers_may_not() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let code = format!("BT{}", id.short_code());
    let preview = format!("/api/bookings/{code}/calculate-refund");
    assert_eq!(world.ask(Some(&caller("Meera")), "POST", &preview, json!({})).await.0, 404);
    assert_eq!(world.ask(Some(&admin()), "POST", &preview, json!({})).await.0, 200);
    let cancel = format!("/api/bookings/{code}/cancel");
    assert_eq!(world.ask(Some(&admin()), "PUT", &cancel, json!({})).await.0, 200);
    assert_eq!(world.status(id).await.as_deref(), Some("cancelled"));
}
