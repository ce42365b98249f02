//! Writes that carry an `Idempotency-Key`.

mod world;

use cairn_booking::app::App;
use cairn_shared::{
    Id, component,
    http::Request,
    identity::{CALLER_HEADER, Identity},
};
use serde_json::{Value, json};
use world::{World, admin, batch_id, trek_id};

/// Every write that people can ask for, whatever is added.
fn writes() -> Vec<(&'static str, &'static str)> {
    let routes = component::router::<App>().routes();
    routes.into_iter().filter(|(method, path)| *method != "GET" && !path.starts_with("/_")).collect()
}

#[tokio::test]
async fn every_write_is_done_once_for_a_key() {
    let world = World::new().await;
    let id = Id::derive(&["nothing"]).to_string();
    let writes = writes();
    assert!(writes.len() > 20, "{writes:?}");
    for (method, path) in writes {
        let part = |part: &'static str| if part.starts_with('{') { id.as_str() } else { part };
        let target = path.split('/').map(part).collect::<Vec<_>>().join("/");
        let ask = async |body: Value| {
            let request = Request::json(method, &target, &body)
                .with_header(CALLER_HEADER, Identity::Caller(Box::new(admin())).encode())
                .with_header("idempotency-key", "a key");
            world.send(request).await
        };
        let first = ask(json!({ "a": 1 })).await;
        assert!(first.status < 500, "{method} {target}: {}", first.status);
        world.advance(1_000);
        assert_eq!(ask(json!({ "a": 1 })).await, first, "{method} {target}");
        if first.status != 409 {
            assert_eq!(ask(json!({ "a": 2 })).await.status, 422, "{method} {target}");
        }
    }
}

#[tokio::test]
async fn a_repeated_cancellation_is_one() {
    let world = World::new().await;
    let id = world.confirmed(2).await;
    let ask = async || {
        let request = Request::json("PUT", &format!("/api/bookings/{id}/cancel"), &json!({ "refundType": "full" }))
            .with_header(CALLER_HEADER, Identity::Caller(Box::new(admin())).encode())
            .with_header("idempotency-key", "cancel-1");
        world.send(request).await
    };
    let first = ask().await;
    world.advance(5_000);
    assert_eq!((first.status, ask().await), (200, first.clone()));
    assert_eq!(world.outside.asked.borrow().len(), 1);
    let other = json!({ "trekId": trek_id(), "batchId": batch_id() });
    assert_eq!(world.book(other).await.0, 201, "without a key nothing is kept");
}
