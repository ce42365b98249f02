//! How much memory an instance may have, and how much the instances of a component
//! have together.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreLimits};

use crate::telemetry::metrics::ComponentMetrics;

/// Limits one instance, and counts its linear memories while it lives.
pub struct MemoryLimiter {
    limits: StoreLimits,
    metrics: Arc<ComponentMetrics>,
    /// What the memories of this instance have.
    bytes: usize,
    /// What was granted last, and may yet turn out not to be there.
    granted: usize,
}

impl MemoryLimiter {
    /// Keeps to `limits`, and counts for `metrics`.
    #[must_use]
    pub fn new(limits: StoreLimits, metrics: Arc<ComponentMetrics>) -> Self {
        Self { limits, metrics, bytes: 0, granted: 0 }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.limits.memory_growing(current, desired, maximum)?;
        if allowed {
            self.granted = desired.saturating_sub(current);
            self.bytes += self.granted;
            self.metrics.memory_grown(self.granted);
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        let granted = std::mem::take(&mut self.granted);
        self.bytes -= granted;
        self.metrics.memory_freed(granted);
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        self.metrics.memory_freed(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::StoreLimitsBuilder;

    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn memory_counts_from_when_it_is_there_until_the_instance_is_gone() {
        let metrics = Metrics::new().component("web");
        let limiter = || {
            let limits = StoreLimitsBuilder::new().memory_size(1_000).trap_on_grow_failure(true).build();
            MemoryLimiter::new(limits, Arc::clone(&metrics))
        };
        let (mut first, mut second) = (limiter(), limiter());
        assert!(first.memory_growing(0, 100, None).unwrap());
        assert!(first.memory_growing(100, 300, None).unwrap());
        assert!(second.memory_growing(0, 500, None).unwrap());
        assert_eq!(metrics.memory_bytes(), 800);
        assert!(first.memory_growing(300, 2_000, None).is_err(), "more than it may have");
        assert_eq!(metrics.memory_bytes(), 800);
        assert!(second.memory_growing(500, 900, None).unwrap());
        // It may have it, but the system has none.
        drop(second.memory_grow_failed(wasmtime::Error::msg("none left")));
        assert_eq!(metrics.memory_bytes(), 800);
        drop(first);
        assert_eq!(metrics.memory_bytes(), 500);
        drop(second);
        assert_eq!(metrics.memory_bytes(), 0);
    }
}
