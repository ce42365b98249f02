//! Canaries: how one begins, is watched, and ends.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use super::{Canary, SwapError, Swapped, Swapper, names, now_ms};
use crate::{
    host::{
        gate::short,
        trial::{CHECK_INTERVAL, judge},
    },
    registry::Registry,
    release::{self, Release},
    tally::Sample,
    version::Version,
};

/// A canary under way.
#[derive(Clone)]
pub(super) struct Trial {
    pub number: u64,
    /// What has the other requests.
    pub base: Arc<Release>,
    pub release: Arc<Release>,
    pub swapped: Vec<Swapped>,
    pub canary: Canary,
    pub began: Instant,
    pub began_ms: i64,
}

impl Swapper {
    /// Lets `candidate` have its share of the requests, and watches it. The caller has the turn.
    pub(super) fn begin(
        self: &Arc<Self>,
        base: Arc<Release>,
        candidate: Arc<Release>,
        swapped: &[Swapped],
        canary: Canary,
    ) {
        // As many at once as its share of what the smallest of the components takes.
        let services = swapped.iter().filter_map(|swapped| self.registry.get(&swapped.component));
        let concurrency = services.map(|service| service.limits.concurrency_max).min().unwrap_or(1);
        let requests_max = (concurrency * usize::from(canary.share_percent)).div_ceil(100);
        let number = {
            let mut book = self.book();
            book.trials_begun += 1;
            let trial = Trial {
                number: book.trials_begun,
                base,
                release: Arc::clone(&candidate),
                swapped: swapped.to_vec(),
                canary,
                began: Instant::now(),
                began_ms: now_ms(),
            };
            tokio::spawn(watch(Arc::downgrade(self), trial.clone(), Comparison::new(&self.registry, &trial)));
            book.trial = Some(trial);
            book.trials_begun
        };
        self.registry.routing().begin(release::Canary::new(candidate, canary.share_percent, requests_max));
        let (components, share_percent) = (names(swapped), canary.share_percent);
        tracing::info!(components, share_percent, hold = ?canary.hold, number, "canary begun");
    }

    /// A canary has held: it gets all requests.
    async fn promote(self: &Arc<Self>, trial: &Trial) -> Result<(), SwapError> {
        let _turn = self.turn.lock().await;
        if !self.is_under_way(trial) {
            return Ok(());
        }
        self.activate(&trial.base, Arc::clone(&trial.release), &trial.swapped, None).await?;
        self.book().trial = None;
        let requests = trial.release.tally.sample().requests();
        tracing::info!(components = names(&trial.swapped), requests, "canary promoted");
        Ok(())
    }

    /// Ends a canary, unless it is over: no new request goes to it, whether or not that can
    /// be written down.
    pub(super) async fn reject(self: &Arc<Self>, number: u64, reason: &str, automatic: bool) {
        let _turn = self.turn.lock().await;
        let Some(trial) = self.book().trial.clone().filter(|trial| trial.number == number) else { return };
        self.registry.routing().end_canary();
        tracing::warn!(components = names(&trial.swapped), reason, automatic, "canary rolled back");
        let mut record = self.book().record.clone();
        for Swapped { component, to, .. } in &trial.swapped {
            record.reject(component, to, trial.began_ms, reason, now_ms(), automatic);
        }
        if let Err(error) = self.write(record).await {
            tracing::error!(%error, "the rollback of a canary could not be written down");
        }
        // Last: whoever sees that it is over finds out why.
        self.book().trial = None;
    }

    fn is_under_way(&self, trial: &Trial) -> bool {
        self.book().trial.as_ref().is_some_and(|under_way| under_way.number == trial.number)
    }
}

/// What a canary is compared with.
struct Comparison {
    /// Whole requests: what both releases had answered when it began.
    requests: [Sample; 2],
    components: Vec<Pair>,
}

/// Two versions of one component, and what both had answered when the canary began.
struct Pair {
    name: String,
    versions: [Arc<Version>; 2],
    samples: [Sample; 2],
}

impl Comparison {
    fn new(registry: &Registry, trial: &Trial) -> Self {
        let pair = |swapped: &Swapped| {
            let place = registry.get(&swapped.component)?.place();
            let versions = [trial.release.version(place)?.clone(), trial.base.version(place)?.clone()];
            let samples = [&versions[0], &versions[1]].map(|version| version.tally.sample());
            Some(Pair { name: format!("{}@{}", swapped.component, short(&swapped.to)), versions, samples })
        };
        Self {
            requests: [&trial.release, &trial.base].map(|release| release.tally.sample()),
            components: trial.swapped.iter().filter_map(pair).collect(),
        }
    }

    /// What speaks against the canary: how its versions do, or how all do with it.
    fn objection(&self, trial: &Trial) -> Option<String> {
        let [canary, current] = &self.requests;
        let requests = judge(&trial.release.tally.sample().since(canary), &trial.base.tally.sample().since(current));
        let of_components = self.components.iter().find_map(|Pair { name, versions, samples }| {
            let [canary, current] = [0, 1].map(|of| versions[of].tally.sample().since(&samples[of]));
            Some(format!("{name} has {}", judge(&canary, &current)?))
        });
        of_components.or_else(|| Some(format!("requests with it have {}", requests?)))
    }
}

/// Watches a canary until it is over.
async fn watch(swapper: Weak<Swapper>, trial: Trial, comparison: Comparison) {
    loop {
        let left = trial.canary.hold.saturating_sub(trial.began.elapsed());
        tokio::time::sleep(left.min(CHECK_INTERVAL)).await;
        let Some(swapper) = swapper.upgrade().filter(|swapper| swapper.is_under_way(&trial)) else { return };
        let over = trial.began.elapsed() >= trial.canary.hold;
        let objection = match comparison.objection(&trial) {
            None if !over => continue,
            None => swapper.promote(&trial).await.err().map(|error| error.to_string()),
            objection => objection,
        };
        if let Some(reason) = objection {
            swapper.reject(trial.number, &reason, true).await;
        }
        return;
    }
}
