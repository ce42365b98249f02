//! A booking's life after it was made.

#[path = "../world/mod.rs"]
mod world;

mod access;
mod cancellation;
mod faults;
mod policies;
mod restoring;
mod shifting;
mod transferring;

use cairn_shared::{Id, identity::Caller};
use serde_json::Value;
use world::World;

/// What somebody gets from a route of a booking, a moment later than whatever was before.
async fn put(world: &World, who: &Caller, id: Id, route: &str, body: Value) -> (u16, Value) {
    world.advance(1);
    world.ask(Some(who), "PUT", &format!("/api/bookings/{id}/{route}"), body).await
}

/// A refusal's status and words.
async fn refused(world: &World, who: &Caller, id: Id, route: &str, body: Value) -> (u16, String) {
    let (status, body) = put(world, who, id, route, body).await;
    (status, body["message"].as_str().unwrap_or_default().to_owned())
}

/// The ids of a booking's participants.
async fn participants(world: &World, id: Id) -> Vec<Id> {
    world.stored(id).await.participants.iter().map(|participant| participant.id).collect()
}
