//! The one place where the Wasm engine is configured.
//!
//! It owns the compiler settings, the pool of memories and stacks, and the clock
//! that interrupts running guests. It knows neither components nor limits of a
//! single one: those are set per instance, in [`crate::state`].

use std::{sync::OnceLock, time::Duration};

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often running guests are interrupted: the grain of processor budgets and
/// the longest a guest holds a thread without giving way.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Component instances alive at once, over all components of the process.
const INSTANCES_MAX: u32 = 2_000;
/// A component made by the usual tools holds up to four core modules.
const CORE_INSTANCES_MAX: u32 = 4 * INSTANCES_MAX;
/// Linear memory that one instance can address; what it may use is a limit of its component.
const MEMORY_BYTES_MAX: usize = 4 << 30;
/// Freed slots whose pages stay mapped, ready to be used again.
const WARM_SLOTS_MAX: u32 = 16;
/// Bytes of a freed memory or stack that are cleared by hand and stay resident.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Table elements of one core module; large function tables of big guests fit.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// The engine of this process, made on first use.
///
/// One engine serves every host of the process: its memory pool reserves address
/// space that a second engine would reserve again.
///
/// # Errors
/// When the processor or the operating system lacks what the configuration needs.
pub fn shared() -> wasmtime::Result<&'static Engine> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|message| wasmtime::Error::msg(message.as_str()))
}

/// An engine that compiles for [`shared`] and runs nothing: it reserves no memory for
/// instances, so that a process which only compiles can be kept small.
///
/// # Errors
/// As [`shared`].
pub fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(settings().allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

fn build() -> wasmtime::Result<Engine> {
    let engine = Engine::new(settings().allocation_strategy(InstanceAllocationStrategy::Pooling(pool())))?;
    start_ticker(&engine)?;
    Ok(engine)
}

/// What decides how a component is compiled.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .parallel_compilation(true)
        .memory_init_cow(true);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(CORE_INSTANCES_MAX)
        .total_memories(INSTANCES_MAX)
        .total_tables(CORE_INSTANCES_MAX)
        .total_stacks(CORE_INSTANCES_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES);
    pool
}

/// Starts the thread that moves the epoch on. It ends with the engine.
fn start_ticker(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("epoch".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH_TICK);
        }
    })?;
    Ok(())
}
