//! Replacing components while requests run.
//!
//! New versions are stored, compiled, checked and prepared aside; then they take all
//! new work at once, or a share of it first. What runs ends on the versions it began
//! with. Which versions are in force is on disk before they are in force. The version
//! before stays ready, so that going back costs nothing.

mod canary;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use canary::Trial;
use serde::{Deserialize, Serialize};

use super::{gate::Proposal, load::Loader, prepare_version, probe_version, record::Record};
use crate::{component::Compiled, registry::Registry, release::Release, scheduler::system_clock, version::Version};

/// Components that may be replaced in one step.
pub const REPLACEMENTS_MAX: usize = 64;

/// Why a version that an operator went back from is not in force.
const ROLLED_BACK: &str = "rolled back by the operator";

/// Why a component was not replaced. What ran before still runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    #[error("there is no component {0:?}")]
    NoComponent(String),
    #[error("the new version is refused:\n- {}", .0.join("\n- "))]
    Refused(Vec<String>),
    #[error("there is no version of {0} to go back to")]
    NoPrevious(String),
    #[error("a canary of {0} is under way: wait until it is over, or roll it back")]
    CanaryUnderWay(String),
    #[error("the versions in force could not be written to disk, so nothing was changed: {0}")]
    Storage(String),
}

/// What was replaced by what; versions are known by the SHA-256 of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    pub component: String,
    pub from: String,
    pub to: String,
}

/// Bytes that are to take the place of what a component runs.
#[derive(Debug, Clone)]
pub struct Replacement {
    pub component: String,
    pub bytes: Vec<u8>,
}

/// A share of the requests that a new version gets first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// Callers that it gets, of a hundred: 1 to 99.
    pub share_percent: u8,
    /// How long it must do well before it gets all of them.
    pub hold: Duration,
}

/// How far a swap has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Storing,
    Compiling { component: String },
    Checking,
    Probing { component: String },
    Preparing { component: String },
    Switching,
    Canary { share_percent: u8, hold: Duration },
}

/// Told of every step.
pub type Progress<'a> = &'a (dyn Fn(Step) + Send + Sync);

/// What a version is to its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// All new requests go to it, but for those of a canary.
    Current,
    /// A share of the requests goes to it.
    Canary { share_percent: u8 },
    /// What a rollback goes back to.
    Previous,
    /// Kept on disk.
    Kept,
}

/// A version that is kept of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    pub state: VersionState,
    /// When it came into force last: UTC in milliseconds since 1970.
    pub since_ms: i64,
    /// Why it was taken out of force, if it was rolled back.
    pub rolled_back: Option<String>,
}

/// What goes on with the versions of an application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The canary under way, if there is one.
    pub canary: Option<CanaryStatus>,
    /// The last automatic rollback of each component that has had one.
    pub rollbacks: Vec<Rollback>,
}

/// A canary under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryStatus {
    /// What takes the place of what, once it holds.
    pub swapped: Vec<Swapped>,
    pub share_percent: u8,
    /// When it began: UTC in milliseconds since 1970.
    pub began_ms: i64,
    /// When it gets all requests: UTC in milliseconds since 1970.
    pub ends_ms: i64,
    /// Requests from outside that it has answered.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
}

/// A version that the host itself took out of force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub component: String,
    /// The version that did not do well.
    pub hash: String,
    pub reason: String,
    /// UTC in milliseconds since 1970.
    pub at_ms: i64,
}

/// Replaces components of a running application.
pub struct Swapper {
    loader: Loader,
    registry: Arc<Registry>,
    /// Held while the versions in force change: for as long as a write to disk takes,
    /// and never while something is compiled or prepared.
    turn: tokio::sync::Mutex<()>,
    book: Mutex<Book>,
}

/// What is known of the versions. Locked for moments only.
struct Book {
    record: Record,
    /// What each component ran before, ready to run again.
    previous: BTreeMap<Arc<str>, Arc<Version>>,
    trial: Option<Trial>,
    /// Hashes of versions that swaps are at work on, which the record does not name yet.
    arriving: Vec<String>,
    trials_begun: u64,
}

/// What is to become of versions.
#[derive(Clone, Copy)]
enum Move {
    Forward,
    Trial(Canary),
    Back,
}

/// How an attempt to put versions in force ended.
enum Attempt {
    Done(Vec<Swapped>),
    /// Others were put in force meanwhile; what was checked against the ones before has
    /// to be checked again.
    Overtaken,
}

impl Swapper {
    pub(super) fn new(loader: Loader, registry: Arc<Registry>, record: Record) -> Self {
        let book = Book { record, previous: BTreeMap::new(), trial: None, arriving: Vec::new(), trials_begun: 0 };
        Self { loader, registry, turn: tokio::sync::Mutex::default(), book: Mutex::new(book) }
    }

    /// Lets the replacements take the place of what their components run now: all of
    /// them or none. With a canary it returns once that is under way.
    ///
    /// # Errors
    /// See [`SwapError`].
    pub async fn swap(
        self: &Arc<Self>,
        replacements: Vec<Replacement>,
        canary: Option<Canary>,
        progress: Progress<'_>,
    ) -> Result<Vec<Swapped>, SwapError> {
        self.check_request(&replacements, canary)?;
        let mut arriving = Arriving { swapper: self, hashes: Vec::new() };
        let mut targets = BTreeMap::new();
        for Replacement { component, bytes } in replacements {
            let refused = |problem: String| SwapError::Refused(vec![format!("{component}: {problem}")]);
            let bytes = Bytes::from(bytes);
            progress(Step::Storing);
            let hash = self.loader.admit(bytes.clone()).await.map_err(refused)?;
            arriving.add(&hash);
            self.loader.keep(hash, bytes.clone()).await.map_err(SwapError::Storage)?;
            progress(Step::Compiling { component: component.clone() });
            let compiled = self.loader.compile(bytes).await.map_err(refused)?;
            targets.insert(Arc::from(component), compiled);
        }
        self.put_in_force(&targets, canary.map_or(Move::Forward, Move::Trial), progress).await
    }

    /// Goes back to the version that a component ran before, together with the
    /// components that were replaced in one step with it. A canary under way is ended;
    /// if the component is part of it, that is all.
    ///
    /// # Errors
    /// See [`SwapError`].
    pub async fn roll_back(self: &Arc<Self>, component: &str) -> Result<Vec<Swapped>, SwapError> {
        self.find(component)?;
        let trial = self.book().trial.clone();
        if let Some(trial) = trial {
            self.reject(trial.number, ROLLED_BACK, false).await;
            if trial.swapped.iter().any(|swapped| swapped.component == component) {
                let back = |Swapped { component, from, to }| Swapped { component, from: to, to: from };
                return Ok(trial.swapped.into_iter().map(back).collect());
            }
        }
        let way_back = self.book().record.way_back(component);
        let way_back = way_back.ok_or_else(|| SwapError::NoPrevious(component.to_owned()))?;
        let mut targets = BTreeMap::new();
        for (component, hash) in way_back {
            let id: Arc<str> = component.as_str().into();
            let ready = self.book().previous.get(&id).filter(|version| version.compiled.hash == hash).cloned();
            let compiled = match ready {
                Some(version) => version.compiled.clone(),
                None => self
                    .loader
                    .compile_kept(hash)
                    .await
                    .map_err(|problem| SwapError::Refused(vec![format!("{component}: {problem}")]))?,
            };
            targets.insert(id, compiled);
        }
        self.put_in_force(&targets, Move::Back, &|_| {}).await
    }

    /// The versions that are kept of a component, the newest first.
    ///
    /// # Errors
    /// When there is no such component.
    pub fn versions(&self, component: &str) -> Result<Vec<VersionInfo>, SwapError> {
        let unknown = || SwapError::NoComponent(component.to_owned());
        let book = self.book();
        let kept = book.record.get(component).ok_or_else(unknown)?;
        let previous = kept.previous().map(|entry| &entry.hash);
        let mut versions = Vec::new();
        if let Some(trial) = &book.trial
            && let Some(swapped) = trial.swapped.iter().find(|swapped| swapped.component == component)
        {
            let state = VersionState::Canary { share_percent: trial.canary.share_percent };
            versions.push(VersionInfo { hash: swapped.to.clone(), state, since_ms: trial.began_ms, rolled_back: None });
        }
        let states = std::iter::once((&kept.current, VersionState::Current)).chain(kept.before.iter().map(|entry| {
            (entry, if Some(&entry.hash) == previous { VersionState::Previous } else { VersionState::Kept })
        }));
        versions.extend(states.map(|(entry, state)| VersionInfo {
            hash: entry.hash.clone(),
            state,
            since_ms: entry.since_ms,
            rolled_back: entry.rolled_back.clone(),
        }));
        Ok(versions)
    }

    /// The canary under way, and what was rolled back by itself.
    #[must_use]
    pub fn status(&self) -> Status {
        let book = self.book();
        let canary = book.trial.as_ref().map(|trial| {
            let sample = trial.release.tally.sample();
            CanaryStatus {
                swapped: trial.swapped.clone(),
                share_percent: trial.canary.share_percent,
                began_ms: trial.began_ms,
                ends_ms: trial.began_ms.saturating_add(milliseconds(trial.canary.hold)),
                requests: sample.requests(),
                errors: sample.errors,
            }
        });
        let rollbacks = book.record.iter().filter_map(|(_, kept)| kept.rollback.clone()).collect();
        Status { canary, rollbacks }
    }

    fn check_request(&self, replacements: &[Replacement], canary: Option<Canary>) -> Result<(), SwapError> {
        let mut named = BTreeSet::new();
        for Replacement { component, .. } in replacements {
            self.find(component)?;
            if !named.insert(component) {
                return Err(SwapError::Refused(vec![format!("{component} is named twice")]));
            }
        }
        if replacements.is_empty() || replacements.len() > REPLACEMENTS_MAX {
            return Err(SwapError::Refused(vec![format!("name 1 to {REPLACEMENTS_MAX} components to replace")]));
        }
        if canary.is_some_and(|canary| !(1..=99).contains(&canary.share_percent)) {
            return Err(SwapError::Refused(vec!["the share of a canary is 1 to 99 %".to_owned()]));
        }
        match &self.book().trial {
            Some(trial) => Err(SwapError::CanaryUnderWay(names(&trial.swapped))),
            None => Ok(()),
        }
    }

    fn find(&self, component: &str) -> Result<(), SwapError> {
        match self.registry.get(component) {
            Some(_) => Ok(()),
            None => Err(SwapError::NoComponent(component.to_owned())),
        }
    }

    /// Checks and prepares versions and puts them in force, again if others were put in
    /// force meanwhile.
    async fn put_in_force(
        self: &Arc<Self>,
        targets: &BTreeMap<Arc<str>, Compiled>,
        direction: Move,
        progress: Progress<'_>,
    ) -> Result<Vec<Swapped>, SwapError> {
        loop {
            progress(Step::Checking);
            let base = self.current()?;
            let candidate = Arc::new(self.candidate(&base, targets)?);
            self.make_ready(&base, &candidate, targets, direction, progress).await?;
            progress(Step::Switching);
            let swapped = self.differences(&base, targets);
            if let Attempt::Done(swapped) = self.switch(base, candidate, swapped, direction).await? {
                if let Move::Trial(Canary { share_percent, hold }) = direction {
                    progress(Step::Canary { share_percent, hold });
                }
                return Ok(swapped);
            }
        }
    }

    fn current(&self) -> Result<Arc<Release>, SwapError> {
        let stopped = || SwapError::Refused(vec!["the host is not running".to_owned()]);
        self.registry.routing().current().ok_or_else(stopped)
    }

    /// The release with the targets in place of what their components run in `base`.
    fn candidate(&self, base: &Release, targets: &BTreeMap<Arc<str>, Compiled>) -> Result<Release, SwapError> {
        let ids = self.registry.iter().map(|service| Arc::clone(&service.id));
        let before: BTreeMap<Arc<str>, Compiled> =
            ids.zip(base.versions()).map(|(id, version)| (id, version.compiled.clone())).collect();
        let mut after = before.clone();
        after.extend(targets.iter().map(|(id, compiled)| (Arc::clone(id), compiled.clone())));
        let proposal = Proposal {
            replaced: targets.keys().map(AsRef::as_ref).collect(),
            before: &before,
            plan: &base.plan,
            after: &after,
        };
        let settings = targets.keys().filter_map(|id| self.loader.application.component(id));
        let mut problems: Vec<String> = settings.flat_map(|settings| proposal.misfits(settings)).collect();
        let plan = match self.loader.plan(&after) {
            Ok(plan) => plan,
            Err(found) => {
                problems.extend(found.iter().map(|problem| proposal.describe(problem)));
                return Err(SwapError::Refused(problems));
            }
        };
        if !problems.is_empty() {
            return Err(SwapError::Refused(problems));
        }
        let ready = self.book().previous.values().cloned().collect::<Vec<_>>();
        let known: Vec<Arc<Version>> = base.versions().cloned().chain(ready).collect();
        self.loader.release(&after, plan, &known).map_err(SwapError::Refused)
    }

    /// Probes and prepares what is new in `candidate`, each component after those that
    /// it calls.
    async fn make_ready(
        &self,
        base: &Release,
        candidate: &Arc<Release>,
        targets: &BTreeMap<Arc<str>, Compiled>,
        direction: Move,
        progress: Progress<'_>,
    ) -> Result<(), SwapError> {
        // What ran before has shown that it works, and there is no time to lose.
        let known = if matches!(direction, Move::Back) { self.book().previous.clone() } else { BTreeMap::new() };
        for id in candidate.plan.providers_first() {
            let Some(service) = self.registry.get(&id).filter(|_| targets.contains_key(&id)) else { continue };
            let Some(version) = candidate.version(service.place()) else { continue };
            let runs = base.version(service.place()).is_some_and(|current| Arc::ptr_eq(current, version));
            if runs || known.get(&id).is_some_and(|known| known.compiled.hash == version.compiled.hash) {
                continue;
            }
            let refused = |problem: String| SwapError::Refused(vec![format!("{id}: {problem}")]);
            progress(Step::Probing { component: id.to_string() });
            probe_version(service, version, candidate).await.map_err(refused)?;
            progress(Step::Preparing { component: id.to_string() });
            prepare_version(service, version, candidate).await.map_err(refused)?;
        }
        Ok(())
    }

    /// What the targets change in `base`.
    fn differences(&self, base: &Release, targets: &BTreeMap<Arc<str>, Compiled>) -> Vec<Swapped> {
        let changed = self.registry.iter().zip(base.versions()).filter_map(|(service, version)| {
            let (from, to) = (&version.compiled.hash, &targets.get(&service.id)?.hash);
            (from != to).then(|| Swapped { component: service.id.to_string(), from: from.clone(), to: to.clone() })
        });
        changed.collect()
    }

    /// Puts `candidate` in force in place of `base`, in a task of its own: whoever asked
    /// may go away, and the disk and the running host must not disagree.
    async fn switch(
        self: &Arc<Self>,
        base: Arc<Release>,
        candidate: Arc<Release>,
        swapped: Vec<Swapped>,
        direction: Move,
    ) -> Result<Attempt, SwapError> {
        let this = Arc::clone(self);
        let switching = tokio::spawn(async move {
            let _turn = this.turn.lock().await;
            if let Some(trial) = &this.book().trial {
                return Err(SwapError::CanaryUnderWay(names(&trial.swapped)));
            }
            if !Arc::ptr_eq(&this.current()?, &base) {
                return Ok(Attempt::Overtaken);
            }
            // Versions that run already need no switch.
            if !swapped.is_empty() {
                match direction {
                    Move::Forward => this.activate(&base, candidate, &swapped, None).await?,
                    Move::Back => this.activate(&base, candidate, &swapped, Some(ROLLED_BACK)).await?,
                    Move::Trial(canary) => this.begin(base, candidate, &swapped, canary),
                }
            }
            Ok(Attempt::Done(swapped))
        });
        switching.await.unwrap_or_else(|error| Err(SwapError::Storage(error.to_string())))
    }

    /// Puts versions in force for all requests. The caller has the turn.
    async fn activate(
        self: &Arc<Self>,
        base: &Release,
        release: Arc<Release>,
        swapped: &[Swapped],
        rolled_back: Option<&str>,
    ) -> Result<(), SwapError> {
        let changes = self.loader.changes(swapped).await;
        let mut record = self.book().record.clone();
        match rolled_back {
            None => record.replace(&changes, now_ms()),
            Some(reason) => record.go_back(&changes, reason, now_ms()),
        }
        self.write(record).await?;
        self.registry.routing().switch(release);
        let mut book = self.book();
        for swapped in swapped {
            let service = self.registry.get(&swapped.component);
            let before = service.and_then(|service| Some((service, base.version(service.place())?)));
            if let Some((service, version)) = before {
                book.previous.insert(Arc::clone(&service.id), Arc::clone(version));
            }
            let Swapped { component, from, to } = swapped;
            tracing::info!(component, from, to, rolled_back, "component replaced");
        }
        Ok(())
    }

    /// Makes `record` the one on disk, then the one in memory.
    async fn write(self: &Arc<Self>, record: Record) -> Result<(), SwapError> {
        let before = self.book().record.clone();
        let written = self.loader.write_record(record.clone()).await;
        if let Err(problem) = written {
            // The new one may be in place all the same, and must not be found by the next start.
            if let Err(error) = self.loader.write_record(before).await {
                tracing::error!(%error, "the versions in force on disk are uncertain: they may not be those that run");
            }
            return Err(SwapError::Storage(problem));
        }
        self.book().record = record;
        self.prune();
        Ok(())
    }

    /// Removes versions that nothing needs, in the background.
    pub(super) fn prune(self: &Arc<Self>) {
        let this = Arc::clone(self);
        self.loader.prune(move || {
            let book = this.book();
            let on_trial = book.trial.iter().flat_map(|trial| &trial.swapped).map(|swapped| swapped.to.as_str());
            let arriving = book.arriving.iter().map(String::as_str);
            book.record.hashes().into_iter().chain(on_trial).chain(arriving).map(str::to_owned).collect()
        });
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics between two changes that belong together.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Versions that a swap is at work on: they stay on disk until it is over.
struct Arriving<'a> {
    swapper: &'a Arc<Swapper>,
    hashes: Vec<String>,
}

impl Arriving<'_> {
    fn add(&mut self, hash: &str) {
        self.hashes.push(hash.to_owned());
        self.swapper.book().arriving.push(hash.to_owned());
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        {
            let mut book = self.swapper.book();
            for hash in &self.hashes {
                if let Some(at) = book.arriving.iter().position(|arriving| arriving == hash) {
                    book.arriving.swap_remove(at);
                }
            }
        }
        self.swapper.prune();
    }
}

fn names(swapped: &[Swapped]) -> String {
    let names: Vec<&str> = swapped.iter().map(|swapped| swapped.component.as_str()).collect();
    names.join(", ")
}

/// UTC in milliseconds since 1970.
fn now_ms() -> i64 {
    system_clock()()
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
