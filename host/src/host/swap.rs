//! Replacing one component while requests run.
//!
//! A new version is compiled and checked aside, prepares itself, and then takes all
//! new work at once; what runs on the version before ends there. The version before
//! stays ready, so that going back costs nothing.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::Mutex;

use super::{load::Loader, prepare_version};
use crate::{
    component::Compiled, links::Plan, manifest::Component, registry::Registry, service::Service, version::Version,
};

/// Why a component was not replaced. The version before still runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    #[error("there is no component {0:?}")]
    NoComponent(String),
    #[error("the new version is refused:\n- {}", .0.join("\n- "))]
    Refused(Vec<String>),
    #[error("there is no version to go back to")]
    NoPrevious,
}

/// What was replaced by what; versions are known by the SHA-256 of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    pub component: String,
    pub from: String,
    pub to: String,
}

/// Replaces components, one at a time.
pub struct Swapper {
    loader: Loader,
    registry: Arc<Registry>,
    state: Mutex<Links>,
}

/// How the current versions are linked, and what each component ran before.
struct Links {
    plan: Plan,
    previous: BTreeMap<Arc<str>, Previous>,
}

/// A version that can be gone back to, with the links it was made for.
struct Previous {
    version: Arc<Version>,
    plan: Plan,
}

impl Swapper {
    pub(super) fn new(loader: Loader, registry: Arc<Registry>, plan: Plan) -> Self {
        Self { loader, registry, state: Mutex::new(Links { plan, previous: BTreeMap::new() }) }
    }

    /// Lets `bytes` take the place of what a component runs now.
    ///
    /// # Errors
    /// See [`SwapError`].
    pub async fn swap(&self, component: &str, bytes: Vec<u8>) -> Result<Swapped, SwapError> {
        let (settings, service, current) = self.find(component)?;
        let refused = |problem: String| SwapError::Refused(vec![problem]);
        // One at a time: two new versions checked against each other's predecessor
        // could both pass and not fit together.
        let mut state = self.state.lock().await;
        let compiled = self.loader.compile(move || Ok(bytes)).await.map_err(refused)?;
        let plan = self.check(&service, &current, &compiled, &state.plan)?;
        let version = self.loader.version(settings, &compiled, &plan).map(Arc::new).map_err(refused)?;
        prepare_version(&service, &version).await.map_err(refused)?;
        Ok(activate(&service, &version, plan, &mut state))
    }

    /// Goes back to the version that a component ran before.
    ///
    /// # Errors
    /// See [`SwapError`].
    pub async fn roll_back(&self, component: &str) -> Result<Swapped, SwapError> {
        let (_, service, current) = self.find(component)?;
        let mut state = self.state.lock().await;
        let previous = state.previous.remove(component).ok_or(SwapError::NoPrevious)?;
        let compiled = previous.version.compiled.clone();
        match self.check(&service, &current, &compiled, &state.plan) {
            Ok(plan) if plan == previous.plan => Ok(activate(&service, &previous.version, plan, &mut state)),
            Ok(_) => {
                let problem = "other components were replaced since, and it is linked to what they were".to_owned();
                state.previous.insert(Arc::clone(&service.id), previous);
                Err(SwapError::Refused(vec![problem]))
            }
            Err(error) => {
                state.previous.insert(Arc::clone(&service.id), previous);
                Err(error)
            }
        }
    }

    fn find(&self, component: &str) -> Result<(&Component, Arc<Service>, Arc<Version>), SwapError> {
        let unknown = || SwapError::NoComponent(component.to_owned());
        let settings = self.loader.application.component(component).ok_or_else(unknown)?;
        let service = self.registry.get(component).cloned().ok_or_else(unknown)?;
        let current = service.current().ok_or_else(unknown)?;
        Ok((settings, service, current))
    }

    /// Checks that a version fits in the place of `current`, and gives the links then.
    fn check(
        &self,
        service: &Service,
        current: &Version,
        compiled: &Compiled,
        before: &Plan,
    ) -> Result<Plan, SwapError> {
        let mut components: BTreeMap<Arc<str>, Compiled> = self
            .registry
            .iter()
            .filter_map(|service| Some((Arc::clone(&service.id), service.current()?.compiled.clone())))
            .collect();
        components.insert(Arc::clone(&service.id), compiled.clone());
        let plan = self
            .loader
            .plan(&components)
            .map_err(|problems| SwapError::Refused(problems.iter().map(ToString::to_string).collect()))?;
        let mut problems = Vec::new();
        if current.serves_http() && !Version::serves_http_with(compiled) {
            problems.push("it serves no HTTP, and the version before does".to_owned());
        }
        // Callers that run are bound to the interface they found; a compatible later
        // version of it alone does not reach them.
        for (interface, dependent) in before.dependents(&service.id) {
            if !compiled.exports(interface) {
                problems.push(format!("it does not export {interface}, which {dependent} calls"));
            }
        }
        if problems.is_empty() { Ok(plan) } else { Err(SwapError::Refused(problems)) }
    }
}

/// Switches to `version` and keeps the one before.
fn activate(service: &Service, version: &Arc<Version>, plan: Plan, state: &mut Links) -> Swapped {
    version.revive();
    let before = service.switch_to(Arc::clone(version));
    service.breaker.reset();
    let from = before.as_ref().map(|before| before.compiled.hash.clone()).unwrap_or_default();
    let old_plan = std::mem::replace(&mut state.plan, plan);
    if let Some(version) = before {
        state.previous.insert(Arc::clone(&service.id), Previous { version, plan: old_plan });
    }
    let to = version.compiled.hash.clone();
    tracing::info!(component = %service.id, from, to, "component replaced");
    Swapped { component: service.id.to_string(), from, to }
}
