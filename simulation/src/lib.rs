//! Bookings and their money under everything that can go wrong.
//!
//! A run has batch, booking, payment and notification as they are, each on a SQLite of its
//! own, linked in process; customers, staff and schedules who do things at the same time;
//! payment providers that lose, repeat and delay; databases that fail; crashes between
//! any two steps; and a clock that jumps. All of it follows from a seed: the same seed
//! gives the same history, to the last id.
//!
//! In the end everything comes to rest, and [`invariants`] says what has to be true. What
//! has to be true always is looked at after every commit ([`seen`]).

pub mod chance;
pub mod deeds;
pub mod invariants;
pub mod jobs;
pub mod play;
pub mod process;
pub mod provider;
pub mod seen;
pub mod stage;
pub mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use anyhow::{Context, Result};
use cairn_shared::conduct::conducted_by;

use crate::{
    play::{Numbers, Play},
    stage::Stage,
};

/// How a run went.
#[derive(Debug)]
pub struct Run {
    pub seed: u64,
    pub numbers: Numbers,
    /// What happened, oldest first.
    pub history: Vec<String>,
    /// What is not as it has to be.
    pub problem: Option<String>,
}

/// Plays one seed. `aloud` says everything at once as well.
///
/// # Errors
/// The runtime does not start.
pub fn run(seed: u64, aloud: bool) -> Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stage = Stage::new(seed, world::START.parse().context("the first instant")?, aloud);
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut play = Play::new(stage.clone()).await?;
            let outcome = play.run().await;
            Ok::<_, anyhow::Error>((play.numbers(), outcome))
        })
    }));
    conducted_by(None);
    let (numbers, problem) = match played {
        Ok(Ok((numbers, outcome))) => (numbers, outcome.err().map(|problem| format!("{problem:#}"))),
        Ok(Err(problem)) => (Numbers::default(), Some(format!("{problem:#}"))),
        Err(_) => (Numbers::default(), Some("a panic, which was told above".into())),
    };
    Ok(Run { seed, numbers, history: stage.history(), problem })
}

/// Plays seeds on all processors. `each` is told of every run.
///
/// # Errors
/// The first that a thread came to.
pub fn run_all(first: u64, count: u64, each: impl Fn(Run) + Sync) -> Result<()> {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(());
                }
                each(run(first + at, false)?);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("panics of runs are caught"))
    })
}
