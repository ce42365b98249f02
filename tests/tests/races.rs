//! Many people who want the same seats.

use anyhow::{Result, ensure};
use cairn_tests::{
    system::System,
    trekker::{Trekker, expect},
};
use futures::future::{join_all, try_join_all};

const TREK: &str = "68c5a7d0b3e19f4200002001";
/// Exactly twenty free seats.
const BATCH: &str = "68c5a7d0b3e19f4200004008";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_race_for_twenty_seats_and_exactly_twenty_are_sold() -> Result<()> {
    let system = System::start().await?;
    let names: Vec<_> = (0..200).map(|n| format!("Racer {n}")).collect();
    let mut racers = Vec::new();
    for group in names.chunks(20) {
        racers.extend(try_join_all(group.iter().map(|name| Trekker::register(&system, name))).await?);
    }
    let replies = join_all(racers.iter().map(async |racer| {
        let request = racer.booking_request(TREK, BATCH, 1);
        racer.client.post("/api/bookings", &request).await
    }))
    .await;
    let mut sold = 0;
    for reply in replies {
        let reply = reply?;
        match reply.status.as_u16() {
            201 => sold += 1,
            400 => ensure!(reply.json["message"] == "Not enough spots available in this batch", "{}", reply.json),
            other => anyhow::bail!("{other}: {}", reply.json),
        }
    }
    ensure!(sold == 20, "{sold} seats were sold");
    let batch = expect(system.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
    ensure!(batch["availableSpots"] == 0 && batch["currentParticipants"] == batch["maxParticipants"], "{batch}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_who_presses_twice_has_one_booking() -> Result<()> {
    let system = System::start().await?;
    let racer = Trekker::register(&system, "Double Click").await?;
    let request = racer.booking_request(TREK, BATCH, 2);
    let replies = try_join_all((0..8).map(|_| racer.client.post("/api/bookings", &request))).await?;
    // Whoever comes while the first is at work is told to try again, and then gets the same one.
    ensure!(replies.iter().all(|reply| reply.status == 201 || reply.status == 409), "{replies:?}");
    let again = racer.book(TREK, BATCH, 2).await?;
    let made = replies.iter().filter(|reply| reply.status == 201);
    ensure!(made.clone().count() >= 1 && made.clone().all(|reply| reply.json["_id"] == again["_id"]), "{replies:?}");
    let batch = expect(system.client().get(&format!("/api/batches/{BATCH}")).await?, 200)?;
    ensure!(batch["availableSpots"] == 18, "{batch}");
    Ok(())
}
