//! All services in one native process.
//!
//! Handlers are not `Send`, so every thread that serves has its own set of services
//! over shared database pools. What the host gives a component is given here in
//! process: other services, background work, counters, the way to the payment
//! provider. Scheduled jobs do not run, since they would only add noise.

mod background;
pub mod links;
mod neighbours;
mod notices;
mod offline;
mod outbound;
mod server;
mod services;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};

use services::World;

/// Where the twin serves and keeps its data.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: String,
    /// The data folder of a host, or a copy of one: databases are at `sqlite/<service>.db`.
    pub data: PathBuf,
    /// Threads that serve requests.
    pub threads: usize,
}

/// Serves until the process ends.
///
/// # Errors
/// A service is not configured, a database cannot be opened, or the address is taken.
pub fn run(settings: &Settings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let world = Arc::new(World::open(&settings.data.join("sqlite")).await?);
        background::start(&world)?;
        server::serve(&settings.listen, settings.threads, &world).await.with_context(|| settings.listen.clone())
    })
}
