//! The batch service: seats, by its WIT exports.

use wasmtime::component::Val;

use crate::{
    stage::{Alone, BATCH, Stage, eventually, now_ms},
    val::{failure, field, record, success, text},
};

const SEATS: &str = "cairn:batch/seats";
const MINUTE_MS: i64 = 60_000;

impl Alone {
    async fn hold(&self, key: &str, seats: u32, expires_at: i64) -> Val {
        let request = record([
            ("key", text(key)),
            ("batch-id", text(BATCH)),
            ("seats", Val::U32(seats)),
            ("expires-at", Val::S64(expires_at)),
            ("use-reserved", Val::Bool(false)),
        ]);
        self.call(SEATS, "hold", vec![request]).await
    }

    async fn free(&self) -> u64 {
        let batch = self.get(&format!("/api/batches/{BATCH}")).await.expect(200);
        batch["availableSpots"].as_u64().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_takes_seats_and_a_release_gives_them_back() {
    let batch = Stage::of("batch").start().await;
    let until = now_ms() + 30 * MINUTE_MS;
    assert_eq!(batch.free().await, 20);

    let held = success(batch.hold("booking-1", 3, until).await);
    assert_eq!(batch.free().await, 17);
    assert!(matches!(field(&held, "max-participants"), Val::U32(_)), "{held:?}");

    // The same key again is the same hold, with another number of seats.
    success(batch.hold("booking-1", 2, until).await);
    assert_eq!(batch.free().await, 18);

    let release = async || batch.call(SEATS, "release", vec![text("booking-1")]).await;
    for _ in 0..2 {
        assert_eq!(release().await, Val::Result(Ok(None)));
        assert_eq!(batch.free().await, 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_hold_outlives_its_expiry() {
    let batch = Stage::of("batch").start().await;
    success(batch.hold("lasting", 2, now_ms() + 4_000).await);
    success(batch.hold("passing", 3, now_ms() + 4_000).await);
    assert_eq!(batch.call(SEATS, "confirm", vec![text("lasting")]).await, Val::Result(Ok(None)));
    assert_eq!(batch.free().await, 15);
    // Nothing runs in between: an expired hold does not count, job or not.
    eventually("the unconfirmed seats are free", async || (batch.free().await == 18).then_some(())).await;
    let unknown = batch.call(SEATS, "confirm", vec![text("nobody")]).await;
    assert_eq!(failure(&unknown), "no-hold");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_seat_goes_to_one_of_two_who_ask_at_once() {
    let batch = Stage::of("batch").start().await;
    let until = now_ms() + 30 * MINUTE_MS;
    success(batch.hold("all-but-one", 19, until).await);
    let (one, other) = tokio::join!(batch.hold("one", 1, until), batch.hold("other", 1, until));
    let refused: Vec<_> = [&one, &other].into_iter().filter(|result| matches!(result, Val::Result(Err(_)))).collect();
    let [refused] = refused[..] else { panic!("{one:?} {other:?}") };
    assert_eq!(failure(refused), "sold-out");
    assert_eq!(batch.free().await, 0);
}
