//! All services of the application, by id.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use crate::{release::Routing, service::Service, telemetry::metrics::Dropped};

/// How often instances without work are looked for.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// How long an instance without work is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Instances of each component that are kept however long they are idle.
const IDLE_INSTANCES_KEPT: usize = 2;

/// The services of one application. Which there are is fixed at start; which version
/// each runs is not.
#[derive(Default)]
pub struct Registry {
    services: BTreeMap<Arc<str>, Arc<Service>>,
    routing: Arc<Routing>,
}

impl Registry {
    /// A registry of these services, whose versions are those of `routing`.
    #[must_use]
    pub fn new(services: impl IntoIterator<Item = Arc<Service>>, routing: Arc<Routing>) -> Self {
        let services = services.into_iter().map(|service| (Arc::clone(&service.id), service)).collect();
        Self { services, routing }
    }

    /// Which versions new work goes to.
    #[must_use]
    pub fn routing(&self) -> &Arc<Routing> {
        &self.routing
    }

    /// The service of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Service>> {
        self.services.get(id)
    }

    /// All services, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// Drops instances that have been without work for a while, and marks how the
    /// versions have done by now, again and again until the registry itself is gone.
    pub async fn trim_idle(registry: Weak<Self>) {
        let mut interval = tokio::time::interval(TRIM_INTERVAL);
        loop {
            interval.tick().await;
            let Some(registry) = registry.upgrade() else {
                return;
            };
            for version in registry.routing.versions() {
                version.trim(IDLE_TIME_MAX, IDLE_INSTANCES_KEPT, Dropped::Idle);
                version.lately.mark(Instant::now(), &version.tally);
            }
        }
    }
}

/// A way to the registry for what is made before it, and is itself part of it.
#[derive(Clone, Default)]
pub struct RegistryHandle(Arc<OnceLock<Weak<Registry>>>);

impl RegistryHandle {
    /// Leads to `registry` from now on. Only the first call counts.
    pub fn connect(&self, registry: &Arc<Registry>) {
        // A second registry for one handle would be a mistake in `host`, which makes both.
        let _ = self.0.set(Arc::downgrade(registry));
    }

    /// The service of that id, while the application runs.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<Arc<Service>> {
        self.0.get()?.upgrade()?.get(id).cloned()
    }
}
