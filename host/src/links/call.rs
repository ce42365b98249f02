//! One link at work: a call from an import to an export.

use std::sync::Arc;

use wasmtime::component::{LinkerInstance, Val};

use super::{Provider, answer::store_results, guarded};
use crate::{
    call::Call,
    component::Function,
    registry::RegistryHandle,
    service::Failure,
    state::State,
    telemetry::metrics::{CallMetrics, CallOutcome},
    version::function_key,
};

/// A link from one function that is imported to the one that answers it.
pub(super) struct Link {
    registry: RegistryHandle,
    provider: Arc<str>,
    /// The exported function, as `interface#function`.
    function: Arc<str>,
    can_be_unavailable: bool,
    metrics: Arc<CallMetrics>,
}

impl Link {
    pub(super) fn new(
        provider: &Provider,
        function: &str,
        ty: &Function,
        registry: RegistryHandle,
        metrics: Arc<CallMetrics>,
    ) -> Self {
        Self {
            registry,
            provider: Arc::clone(&provider.component),
            function: function_key(&provider.interface, function).into(),
            can_be_unavailable: ty.can_be_unavailable,
            metrics,
        }
    }

    /// Defines the imported function in the linker.
    pub(super) fn define(self, instance: &mut LinkerInstance<'_, State>, function: &str) -> wasmtime::Result<()> {
        let link = Arc::new(self);
        instance.func_new_concurrent(function, move |accessor, _ty, params, results| {
            let link = Arc::clone(&link);
            let params = params.to_vec();
            Box::pin(async move {
                let call = accessor.with(|mut store| store.data_mut().current.get());
                let counted = link.metrics.start();
                let outcome = link.call(&call, params, results.len()).await;
                counted.finish(call_outcome(&outcome));
                match outcome {
                    Ok(values) => store_results(values, results),
                    Err(failure) => link.tell(&call, failure, results),
                }
            })
        })
    }

    async fn call(&self, call: &Call, params: Vec<Val>, results_count: usize) -> Result<Vec<Val>, Failure> {
        let service = self.registry.service(&self.provider).ok_or(Failure::NotServed)?;
        let mut call =
            call.nested().ok_or_else(|| Failure::Trapped(wasmtime::Error::msg("calls are nested too deep")))?;
        let version = service.version(&mut call)?;
        let (function, deadline) = (Arc::clone(&self.function), call.deadline);
        let work = async move { service.call_export(call, &function, params, results_count).await };
        guarded::call(&version.breaker, deadline, work).await
    }

    /// Tells the caller of a failure in its own terms if its error type has room for
    /// it; otherwise the caller fails too.
    fn tell(&self, call: &Call, failure: Failure, results: &mut [Val]) -> wasmtime::Result<()> {
        tracing::warn!(
            provider = %self.provider,
            function = %self.function,
            correlation = %call.correlation_id,
            kind = failure.kind(),
            "a call between components failed"
        );
        let [result] = results else {
            return Err(self.error(&failure));
        };
        if !self.can_be_unavailable {
            return Err(self.error(&failure));
        }
        let message = format!("{} does not answer ({})", self.provider, failure.kind());
        let error = Val::Variant("unavailable".to_owned(), Some(Box::new(Val::String(message))));
        *result = Val::Result(Err(Some(Box::new(error))));
        Ok(())
    }

    fn error(&self, failure: &Failure) -> wasmtime::Error {
        wasmtime::Error::msg(format!("the call {} to component {:?} failed: {failure}", self.function, self.provider))
    }
}

fn call_outcome(outcome: &Result<Vec<Val>, Failure>) -> CallOutcome {
    match outcome {
        Ok(_) => CallOutcome::Returned,
        Err(Failure::Trapped(_)) => CallOutcome::Trap,
        Err(Failure::Deadline) => CallOutcome::Deadline,
        Err(Failure::Overloaded { .. }) => CallOutcome::Rejected,
        Err(Failure::CircuitOpen { .. }) => CallOutcome::CircuitOpen,
        Err(Failure::NotServed | Failure::TooLarge) => CallOutcome::Failed,
    }
}
