//! One version of a component and its instances.
//!
//! An instance works on one call at a time and is used again until it has had
//! enough of them. A version that is no longer current lets its instances go as
//! they come back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use wasmtime::{
    Store,
    component::{ComponentExportIndex, Func, Instance, InstancePre},
};
use wasmtime_wasi_http::{
    handler::Proxy, p2::bindings::ProxyIndices as IncomingHandlerIndices,
    p3::bindings::ServiceIndices as WasiHandlerIndices,
};

use crate::{
    breaker::Breaker,
    call::Call,
    component::Compiled,
    lately::Lately,
    links::Providers,
    meter::Meter,
    platform::{self, handler, lifecycle},
    service::Failure,
    state::State,
    tally::Tally,
    telemetry::metrics::{ComponentMetrics, Dropped},
};

/// Ticks before a call is first interrupted, so that short ones never are.
const FIRST_INTERRUPT_TICKS: u64 = 2;

/// Where the handler for streaming bodies is found, by the WASI it is of.
enum StreamingHandler {
    Wasi3(WasiHandlerIndices),
    Wasi2(IncomingHandlerIndices),
}

impl StreamingHandler {
    /// The later of the handlers that the component has.
    fn of(compiled: &Compiled, pre: &InstancePre<State>) -> wasmtime::Result<Option<Self>> {
        Ok(if compiled.exports_of(platform::WASI_HANDLER) {
            Some(Self::Wasi3(WasiHandlerIndices::new(pre)?))
        } else if compiled.exports_of(platform::WASI_INCOMING_HANDLER) {
            Some(Self::Wasi2(IncomingHandlerIndices::new(pre)?))
        } else {
            None
        })
    }

    fn load(&self, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Proxy> {
        match self {
            Self::Wasi3(indices) => indices.load(store, instance).map(Proxy::P3),
            Self::Wasi2(indices) => indices.load(store, instance).map(Proxy::P2),
        }
    }
}

/// A component version, ready to be instantiated.
pub struct Version {
    pub compiled: Compiled,
    pub pre: InstancePre<State>,
    /// Who answers its imports.
    pub links: Providers,
    pub started: Instant,
    /// Opens when calls to it keep failing.
    pub breaker: Breaker,
    /// How it has done.
    pub tally: Tally,
    /// How it has done lately.
    pub lately: Lately,
    functions: HashMap<String, ComponentExportIndex>,
    handler: Option<handler::GuestIndices>,
    streaming_handler: Option<StreamingHandler>,
    lifecycle: Option<lifecycle::GuestIndices>,
    instance_requests_max: u64,
    idle: Mutex<Vec<Slot>>,
    retired: AtomicBool,
}

impl Version {
    /// Makes a version of a component whose imports are linked.
    ///
    /// # Errors
    /// When an interface that the host calls has other functions than it should.
    pub fn new(
        compiled: Compiled,
        pre: InstancePre<State>,
        links: Providers,
        instance_requests_max: u64,
    ) -> wasmtime::Result<Self> {
        let handler = compiled.exports(platform::HANDLER).then(|| handler::GuestIndices::new(&pre)).transpose()?;
        let lifecycle =
            compiled.exports(platform::LIFECYCLE).then(|| lifecycle::GuestIndices::new(&pre)).transpose()?;
        let streaming_handler = StreamingHandler::of(&compiled, &pre)?;
        Ok(Self {
            functions: function_indices(&compiled),
            compiled,
            pre,
            links,
            started: Instant::now(),
            breaker: Breaker::default(),
            tally: Tally::default(),
            lately: Lately::default(),
            handler,
            streaming_handler,
            lifecycle,
            instance_requests_max,
            idle: Mutex::default(),
            retired: AtomicBool::new(false),
        })
    }

    /// Whether it has a buffered HTTP handler.
    #[must_use]
    pub fn has_handler(&self) -> bool {
        self.handler.is_some()
    }

    /// Whether it serves HTTP at all.
    #[must_use]
    pub fn serves_http(&self) -> bool {
        self.handler.is_some() || self.streaming_handler.is_some()
    }

    /// Whether a version of that component would serve HTTP.
    #[must_use]
    pub fn serves_http_with(compiled: &Compiled) -> bool {
        compiled.exports(platform::HANDLER)
            || compiled.exports_of(platform::WASI_HANDLER)
            || compiled.exports_of(platform::WASI_INCOMING_HANDLER)
    }

    /// Whether it wants to prepare itself before it gets traffic.
    #[must_use]
    pub fn has_lifecycle(&self) -> bool {
        self.lifecycle.is_some()
    }

    /// Calls answered, and how many of them with an error.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let sample = self.tally.sample();
        (sample.requests(), sample.errors)
    }

    /// Instances that wait for work.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.lock_idle().len()
    }

    /// The instance that came back last: its memory is the warmest.
    pub(crate) fn take_idle(&self) -> Option<Slot> {
        self.lock_idle().pop()
    }

    pub(crate) fn put_idle(&self, mut slot: Slot) {
        slot.requests += 1;
        if self.retired.load(Relaxed) {
            return slot.drop_for(Dropped::Swap);
        }
        if slot.requests >= self.instance_requests_max {
            return slot.drop_for(Dropped::Worn);
        }
        slot.idle_since = Instant::now();
        slot.store.data().current.rest();
        self.lock_idle().push(slot);
        // A retirement between the check and the push must not leave it behind.
        if self.retired.load(Relaxed) {
            self.trim(Duration::ZERO, 0, Dropped::Swap);
        }
    }

    /// Keeps instances again, as the version comes into force once more.
    pub(crate) fn revive(&self) {
        self.retired.store(false, Relaxed);
        self.breaker.reset();
    }

    /// Lets all instances go, now or as they come back.
    pub(crate) fn retire(&self, reason: Dropped) {
        self.retired.store(true, Relaxed);
        self.trim(Duration::ZERO, 0, reason);
    }

    /// Drops instances that have waited for `idle_time_max`, but keeps the `keep` warmest.
    pub(crate) fn trim(&self, idle_time_max: Duration, keep: usize, reason: Dropped) {
        let stale: Vec<Slot> = {
            let mut idle = self.lock_idle();
            // The longest idle ones stand first.
            let old = idle.iter().take_while(|slot| slot.idle_since.elapsed() >= idle_time_max).count();
            let count = old.min(idle.len().saturating_sub(keep));
            idle.drain(..count).collect()
        };
        // Dropped outside of the lock: freeing memory takes a while.
        for slot in stale {
            slot.drop_for(reason);
        }
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Slot>> {
        // Pushing and popping leave the list sound even if a panic comes between.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where each exported function is found, by `interface#function`.
fn function_indices(compiled: &Compiled) -> HashMap<String, ComponentExportIndex> {
    let mut indices = HashMap::new();
    for (name, interface) in &compiled.exports {
        let Some(instance) = compiled.component.get_export_index(None, name.as_str()) else {
            continue;
        };
        for function in interface.functions.keys() {
            if let Some(index) = compiled.component.get_export_index(Some(&instance), function.as_str()) {
                indices.insert(function_key(name, function), index);
            }
        }
    }
    indices
}

/// The name under which a function of an interface is called.
#[must_use]
pub fn function_key(interface: &str, function: &str) -> String {
    format!("{interface}#{function}")
}

/// An instance with its memory, and what the host has found of its exports so far.
pub struct Slot {
    pub(crate) store: Store<State>,
    pub(crate) meter: Arc<Meter>,
    instance: Instance,
    handler: Option<handler::Guest>,
    streaming_handler: Option<Arc<Proxy>>,
    requests: u64,
    idle_since: Instant,
    presence: Presence,
}

/// Counts an instance from when it is made until it is dropped.
struct Presence {
    metrics: Arc<ComponentMetrics>,
    /// Why it is dropped, unless it is told otherwise before.
    dropped: Dropped,
}

impl Presence {
    fn new(metrics: Arc<ComponentMetrics>) -> Self {
        metrics.instance_created();
        Self { metrics, dropped: Dropped::Cancelled }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.metrics.instance_dropped(self.dropped);
    }
}

impl Slot {
    pub(crate) fn new(
        store: Store<State>,
        instance: Instance,
        meter: Arc<Meter>,
        metrics: Arc<ComponentMetrics>,
    ) -> Self {
        Self {
            store,
            meter,
            instance,
            handler: None,
            streaming_handler: None,
            requests: 0,
            idle_since: Instant::now(),
            presence: Presence::new(metrics),
        }
    }

    /// Drops the instance for that reason.
    pub(crate) fn drop_for(mut self, reason: Dropped) {
        self.presence.dropped = reason;
    }

    /// Turns the instance to a new call, which may compute for `cpu_time_max`.
    pub(crate) fn begin(&mut self, call: Call, cpu_time_max: Duration) {
        self.meter.restart(cpu_time_max);
        self.store.data().current.set(call);
        self.store.set_epoch_deadline(FIRST_INTERRUPT_TICKS);
    }

    pub(crate) fn component(&self) -> Arc<str> {
        Arc::clone(&self.store.data().component)
    }

    pub(crate) fn function(&mut self, version: &Version, key: &str) -> Option<Func> {
        let index = version.functions.get(key)?;
        self.instance.get_func(&mut self.store, index)
    }

    pub(crate) fn handler(&mut self, version: &Version) -> Result<handler::Guest, Failure> {
        if let Some(handler) = &self.handler {
            return Ok(handler.clone());
        }
        let indices = version.handler.as_ref().ok_or(Failure::NotServed)?;
        let handler = indices.load(&mut self.store, &self.instance).map_err(Failure::Trapped)?;
        Ok(self.handler.insert(handler).clone())
    }

    pub(crate) fn streaming_handler(&mut self, version: &Version) -> Result<Arc<Proxy>, Failure> {
        if let Some(proxy) = &self.streaming_handler {
            return Ok(Arc::clone(proxy));
        }
        let indices = version.streaming_handler.as_ref().ok_or(Failure::NotServed)?;
        let proxy = indices.load(&mut self.store, &self.instance).map_err(Failure::Trapped)?;
        Ok(Arc::clone(self.streaming_handler.insert(Arc::new(proxy))))
    }

    /// Whether the handlers are what the host takes them for.
    pub(crate) fn check_handlers(&mut self, version: &Version) -> Result<(), Failure> {
        if version.handler.is_some() {
            self.handler(version)?;
        }
        if version.streaming_handler.is_some() {
            self.streaming_handler(version)?;
        }
        Ok(())
    }

    pub(crate) fn lifecycle(&mut self, version: &Version) -> Result<lifecycle::Guest, Failure> {
        let indices = version.lifecycle.as_ref().ok_or(Failure::NotServed)?;
        indices.load(&mut self.store, &self.instance).map_err(Failure::Trapped)
    }
}
