//! No request fails while services are replaced, on the real system.

use std::time::Duration;

use anyhow::Result;
use cairn_bench::storm::{self, Options};

#[tokio::test(flavor = "multi_thread")]
async fn no_booking_fails_while_the_services_behind_it_are_replaced() -> Result<()> {
    let options = Options { swaps: 12, connections: 4, quiet: Duration::from_secs(2), people: 4_000 };
    let outcome = storm::run(options).await?;
    println!("{outcome}");
    assert_eq!((outcome.swaps.len(), outcome.rollbacks.len()), (12, 2));
    outcome.check()
}
