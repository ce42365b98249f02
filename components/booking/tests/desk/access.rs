//! Who may do what: every route of the desk, asked by everybody.

use cairn_shared::identity::Caller;
use serde_json::{Value, json};

use super::{
    manual,
    world::{World, admin, caller, desk},
};

/// What each of these gets: nobody, a stranger, the owner, staff who see bookings, staff
/// who manage them, an admin.
type Expected = [u16; 6];

const ADMINS: Expected = [401, 403, 403, 403, 403, 200];

fn everybody() -> [Option<Caller>; 6] {
    [
        None,
        Some(caller("Stranger")),
        Some(caller("Meera")),
        Some(desk("stats.bookings")),
        Some(desk("actions.manageBookings")),
        Some(admin()),
    ]
}

#[tokio::test]
async fn every_route_of_the_desk_lets_in_whom_it_should_and_nobody_else() {
    let made = [401, 403, 403, 403, 403, 201];
    let edit = json!({ "specialRequirements": "Vegetarian" });
    let table: &[(&str, &str, Value, Expected)] = &[
        ("PUT", "/api/bookings/{id}", edit, [401, 403, 200, 403, 403, 200]),
        ("PUT", "/api/bookings/{id}/status", json!({ "status": "cancelled" }), ADMINS),
        ("PUT", "/api/bookings/{id}/remarks", json!({ "adminRemarks": "x" }), ADMINS),
        ("PUT", "/api/bookings/{id}/mark-partial-complete", json!({}), ADMINS),
        ("PUT", "/api/bookings/{manual}/admin-status", json!({ "paymentStatus": "payment_completed" }), ADMINS),
        ("POST", "/api/bookings/{id}/send-reminder", Value::Null, ADMINS),
        ("POST", "/api/bookings/{id}/send-partial-reminder", Value::Null, ADMINS),
        ("POST", "/api/bookings/{id}/send-confirmation", Value::Null, ADMINS),
        ("POST", "/api/bookings/{id}/send-invoice", Value::Null, ADMINS),
        ("POST", "/api/bookings/{id}/send-participant-reminder", Value::Null, ADMINS),
        ("POST", "/api/bookings/cleanup-expired", Value::Null, ADMINS),
        ("POST", "/api/bookings/manual/validate-user", json!({ "phone": "1" }), ADMINS),
        (
            "POST",
            "/api/bookings/manual/create-user",
            json!({ "name": "U", "email": "u@example.org", "phone": "9800000011" }),
            made,
        ),
        ("POST", "/api/bookings/manual/create-booking", manual(json!({})), made),
        ("GET", "/api/bookings/jobs", Value::Null, ADMINS),
        ("GET", "/api/bookings/jobs/auto-cancel/preview", Value::Null, ADMINS),
        ("GET", "/api/failed-bookings", Value::Null, ADMINS),
        ("GET", "/api/failed-bookings/{failed}", Value::Null, ADMINS),
        ("POST", "/api/failed-bookings/{failed}/restore", Value::Null, ADMINS),
        ("DELETE", "/api/failed-bookings/{failed}", Value::Null, ADMINS),
    ];
    for (method, path, body, expected) in table {
        for (who, expected) in everybody().iter().zip(expected) {
            let world = World::new().await;
            let failed = world.failed().await;
            let (id, manual) = (world.partial().await, world.manual(json!({ "paymentStatus": "unpaid" })).await);
            let target = path
                .replace("{id}", &id.to_string())
                .replace("{manual}", &manual.to_string())
                .replace("{failed}", &failed.to_string());
            let before = world.count("SELECT CAST(SUM(version) AS BIGINT) AS n FROM bookings").await;
            let (status, answer) = world.ask(who.as_ref(), method, &target, body.clone()).await;
            let name = who.as_ref().map_or("nobody", |who| who.name.as_str());
            assert_eq!(status, *expected, "{method} {path} by {name}: {answer}");
            if status >= 400 {
                assert!(answer["message"].is_string(), "{answer}");
                let after = world.count("SELECT CAST(SUM(version) AS BIGINT) AS n FROM bookings").await;
                assert_eq!(after, before, "{method} {path} by {name} changed something");
            }
        }
    }
}

#[tokio::test]
async fn refusals_have_the_words_of_their_routes() {
    let world = World::new().await;
    let id = world.partial().await;
    for (route, body, message) in [
        ("status", json!({ "status": "confirmed" }), "Not authorized to update booking status"),
        ("remarks", json!({}), "Only admins can update remarks"),
        ("admin-status", json!({}), "Not authorized to update admin-created booking status"),
        ("mark-partial-complete", json!({}), "Not authorized as an admin"),
    ] {
        let (_, answer) = world.ask(Some(&caller("Meera")), "PUT", &format!("/api/bookings/{id}/{route}"), body).await;
        assert_eq!(answer["message"], message);
    }
    let stranger = caller("Stranger");
    let (_, answer) = world.ask(Some(&stranger), "PUT", &format!("/api/bookings/{id}"), json!({})).await;
    assert_eq!(answer["message"], "Not authorized to update this booking");
}
