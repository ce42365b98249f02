//! The trek service, with batches that the test answers.

use cairn_shared::identity::Role;
use serde_json::Value;
use wasmtime::component::Val;

use crate::{
    stage::{BATCH, Stage, TREK, as_caller, caller, now_ms},
    val::{batch, ok, unavailable},
};

const SCHEDULE: &str = "cairn:batch/schedule";
const MONTH_MS: i64 = 30 * 86_400_000;

#[tokio::test(flavor = "multi_thread")]
async fn treks_of_the_demo_are_listed_with_the_dates_that_batch_tells() {
    let start = now_ms() + MONTH_MS;
    let dates = move |_: &[Val]| ok(Val::List(vec![batch(BATCH, TREK, start, 5)]));
    let trek = Stage::of("trek").answer(SCHEDULE, "list-of-treks", dates).start().await;

    let list = trek.get("/api/treks").await.expect(200);
    // A trek without a date is nothing that one can book.
    let [ours] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!(ours["_id"], TREK, "{ours}");
    assert_eq!(ours["batches"][0]["_id"], BATCH, "{ours}");
    assert_eq!(ours["batches"][0]["availableSpots"], 15, "{ours}");
    // All dates of a page are asked for at once.
    assert_eq!(trek.calls.to("list-of-treks").len(), 1);

    let (_, admin) = caller("Asha", Role::Admin);
    let all = trek.send("GET", "/api/treks", &[as_caller(&admin)], &Value::Null).await.expect(200);
    assert!(all.as_array().unwrap().len() > 3, "{all}");

    let one = trek.get(&format!("/api/treks/{TREK}")).await.expect(200);
    assert_eq!(one["batches"][0]["price"], 8000, "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_batch_service_a_list_is_unavailable_and_tells_no_internals() {
    let silent = |_: &[Val]| unavailable("batch does not answer (circuit open)");
    let trek = Stage::of("trek").answer(SCHEDULE, "list-of-treks", silent).start().await;
    let inside = ["batch service", "circuit", "schedule", "unavailable(", "does not answer"];
    trek.get("/api/treks").await.expect_unavailable(&inside);
    trek.get(&format!("/api/treks/{TREK}")).await.expect_unavailable(&inside);
    // What needs no dates goes on.
    trek.get("/api/regions").await.expect(200);
}
