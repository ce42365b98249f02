//! Releases: one version of each component, and which of them a request gets.
//!
//! A request takes one release where it comes in and carries it along, so that all
//! components that take part in answering it are of versions that were checked
//! against each other, whatever is replaced meanwhile. A release never changes;
//! replacing versions makes another one, and the switch is one store of a pointer.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{links::Plan, tally::Tally, telemetry::metrics::Dropped, version::Version};

/// One version of each component.
pub struct Release {
    /// In the order of the services of the registry.
    versions: Box<[Arc<Version>]>,
    /// How they are linked.
    pub plan: Plan,
    /// How requests from outside have fared on it.
    pub tally: Tally,
}

impl Release {
    /// A release of these versions, in the order of the registry's services.
    #[must_use]
    pub fn new(versions: Vec<Arc<Version>>, plan: Plan) -> Self {
        Self { versions: versions.into(), plan, tally: Tally::default() }
    }

    /// The version of the service at that place of the registry.
    #[must_use]
    pub fn version(&self, place: usize) -> Option<&Arc<Version>> {
        self.versions.get(place)
    }

    /// All versions, in the order of the registry's services.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.versions.iter()
    }

    fn has(&self, version: &Arc<Version>) -> bool {
        self.versions.iter().any(|own| Arc::ptr_eq(own, version))
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.versions.iter().map(|version| &version.compiled.hash)).finish()
    }
}

/// A release that gets a share of the requests.
pub struct Canary {
    pub release: Arc<Release>,
    /// Callers that it gets, of a hundred.
    pub share_percent: u8,
    /// Requests that it may work on at once: one that hangs must not use up the room
    /// of everybody.
    places: Arc<Semaphore>,
    /// Makes each canary choose other callers.
    seed: u64,
}

impl Canary {
    /// A canary that works on at most `requests_max` requests at once.
    #[must_use]
    pub fn new(release: Arc<Release>, share_percent: u8, requests_max: usize) -> Self {
        let mut seed = DefaultHasher::new();
        release.versions().for_each(|version| version.compiled.hash.hash(&mut seed));
        Self { release, share_percent, places: Arc::new(Semaphore::new(requests_max.max(1))), seed: seed.finish() }
    }

    /// A place in the canary, for a caller that is one of its.
    fn take(&self, caller: impl std::hash::Hash) -> Option<OwnedSemaphorePermit> {
        let mut hasher = DefaultHasher::new();
        (self.seed, caller).hash(&mut hasher);
        let chosen = hasher.finish() % 100 < u64::from(self.share_percent);
        chosen.then(|| Arc::clone(&self.places).try_acquire_owned().ok()).flatten()
    }
}

/// The releases that requests go to.
struct Routes {
    current: Arc<Release>,
    canary: Option<Arc<Canary>>,
}

/// Which release new requests go to.
#[derive(Default)]
pub struct Routing(ArcSwapOption<Routes>);

/// The release of one request, and its place in a canary.
pub struct Chosen {
    pub release: Arc<Release>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Routing {
    /// The release that all new work goes to, but for the requests of a canary.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Release>> {
        self.0.load().as_ref().map(|routes| Arc::clone(&routes.current))
    }

    /// The canary, if there is one.
    #[must_use]
    pub fn canary(&self) -> Option<Arc<Canary>> {
        self.0.load().as_ref()?.canary.clone()
    }

    /// The release for a request of `caller`: during a canary, always the same one for
    /// the same caller, unless the canary has no place left.
    #[must_use]
    pub fn choose(&self, caller: impl FnOnce() -> u64) -> Option<Chosen> {
        let routes = self.0.load();
        let routes = routes.as_ref()?;
        if let Some(canary) = &routes.canary
            && let Some(place) = canary.take(caller())
        {
            return Some(Chosen { release: Arc::clone(&canary.release), _place: Some(place) });
        }
        Some(Chosen { release: Arc::clone(&routes.current), _place: None })
    }

    /// All new requests go to `release` from now on; a canary is over. What runs on
    /// other versions ends there.
    pub fn switch(&self, release: Arc<Release>) {
        self.set(Routes { current: release, canary: None });
    }

    /// Some new requests go to `canary` from now on.
    pub fn begin(&self, canary: Canary) {
        if let Some(current) = self.current() {
            self.set(Routes { current, canary: Some(Arc::new(canary)) });
        }
    }

    /// No new request goes to the canary any more.
    pub fn end_canary(&self) {
        if let Some(current) = self.current() {
            self.switch(current);
        }
    }

    /// Every version that requests may go to, once each.
    pub fn versions(&self) -> Vec<Arc<Version>> {
        let routes = self.0.load();
        let Some(routes) = routes.as_ref() else { return Vec::new() };
        let canary = routes.canary.iter().flat_map(|canary| canary.release.versions());
        let only_there = canary.filter(|version| !routes.current.has(version));
        routes.current.versions().chain(only_there).cloned().collect()
    }

    fn set(&self, routes: Routes) {
        let before = self.versions();
        self.0.store(Some(Arc::new(routes)));
        let after = self.versions();
        only_in(&after, &before).for_each(|version| version.revive());
        only_in(&before, &after).for_each(|version| version.retire(Dropped::Swap));
    }
}

fn only_in<'a>(versions: &'a [Arc<Version>], others: &'a [Arc<Version>]) -> impl Iterator<Item = &'a Arc<Version>> {
    versions.iter().filter(|version| !others.iter().any(|other| Arc::ptr_eq(other, version)))
}
