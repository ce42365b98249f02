//! `cairn:jobs/wake`: a component asks that one of its own private routes be POSTed soon.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use wasmtime::component::{Accessor, HasData, Linker};

use crate::{platform::wake, scheduler::Scheduler, state::State};

/// Wakes kept for a scheduler that does not run yet.
const EARLY_WAKES_MAX: usize = 256;

/// A way to the scheduler for what is made before it.
#[derive(Clone, Default)]
pub struct SchedulerHandle(Arc<Inner>);

#[derive(Default)]
struct Inner {
    scheduler: OnceLock<Arc<Scheduler>>,
    /// Component and path of wakes asked for while components were prepared.
    early: Mutex<BTreeSet<(String, String)>>,
}

impl SchedulerHandle {
    /// Leads to `scheduler` from now on, and hands it what was asked for before.
    pub fn connect(&self, scheduler: Arc<Scheduler>) {
        let mut early = self.0.early.lock().unwrap_or_else(PoisonError::into_inner);
        let scheduler = self.0.scheduler.get_or_init(|| scheduler);
        for (component, path) in std::mem::take(&mut *early) {
            ask(scheduler, &component, &path);
        }
    }

    /// A wake is best effort: what must happen is scheduled as well.
    fn wake(&self, component: &str, path: &str) {
        if let Some(scheduler) = self.0.scheduler.get() {
            return ask(scheduler, component, path);
        }
        let mut early = self.0.early.lock().unwrap_or_else(PoisonError::into_inner);
        match self.0.scheduler.get() {
            Some(scheduler) => ask(scheduler, component, path),
            None if early.len() < EARLY_WAKES_MAX => drop(early.insert((component.to_owned(), path.to_owned()))),
            None => tracing::warn!(component, path, "a wake before the start was not kept"),
        }
    }
}

fn ask(scheduler: &Scheduler, component: &str, path: &str) {
    if let Err(error) = scheduler.wake(component, path) {
        tracing::warn!(component, path, %error, "a wake was not taken");
    }
}

/// Grants `wake` to components that import it.
///
/// # Errors
/// When it is already defined.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wake::add_to_linker::<State, Wake>(linker, |state| state)
}

struct Wake;

impl HasData for Wake {
    type Data<'a> = &'a mut State;
}

impl wake::Host for &mut State {}

impl wake::HostWithStore<State> for Wake {
    async fn wake(accessor: &Accessor<State, Self>, service: String, path: String) -> wasmtime::Result<()> {
        accessor.with(|mut store| {
            let state = store.get();
            if service != *state.component {
                wasmtime::bail!("component {:?} asked to wake {service:?}, but may wake only itself", state.component);
            }
            state.scheduler.wake(&service, &path);
            Ok(())
        })
    }
}
