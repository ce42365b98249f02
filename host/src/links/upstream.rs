//! `cairn:http/upstream`: a request from one component to another's handler, in process.

use wasmtime::component::{Accessor, HasData, Linker};

use super::guarded;
use crate::{
    message,
    platform::{Request, Response, upstream},
    service::Failure,
    state::State,
};

/// Grants `upstream` to components that import it.
///
/// # Errors
/// When it is already defined.
pub fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    upstream::add_to_linker::<State, Upstream>(linker, |state| state)
}

struct Upstream;

impl HasData for Upstream {
    type Data<'a> = &'a mut State;
}

impl upstream::Host for &mut State {}

impl upstream::HostWithStore<State> for Upstream {
    async fn send(
        accessor: &Accessor<State, Self>,
        service: String,
        mut request: Request,
    ) -> wasmtime::Result<Result<Response, upstream::Error>> {
        let (call, registry) = accessor.with(|mut store| {
            let state = store.get();
            (state.current.get(), state.registry.clone())
        });
        let Some(target) = registry.service(&service) else {
            return Ok(Err(upstream::Error::UnknownService(service)));
        };
        let Some(mut nested) = call.nested() else {
            return Ok(Err(upstream::Error::Failed("requests are nested too deep".to_owned())));
        };
        message::set_call_headers(&mut request, &nested);
        let counted = target.metrics.request();
        let outcome = match target.version(&mut nested) {
            Ok(version) => {
                let deadline = nested.deadline;
                guarded::call(&version.breaker, deadline, async move { target.handle(nested, request).await }).await
            }
            Err(failure) => Err(failure),
        };
        counted.finish(outcome.as_ref().map_or(500, |response| response.status));
        Ok(outcome.map_err(|failure| {
            tracing::warn!(service, correlation = %call.correlation_id, kind = failure.kind(), "an upstream request failed");
            convert_error(service, &failure)
        }))
    }
}

/// What the caller is told. It may end in front of a client, so it names no cause.
fn convert_error(service: String, failure: &Failure) -> upstream::Error {
    match failure {
        Failure::NotServed => upstream::Error::UnknownService(service),
        Failure::Overloaded { retry_after_seconds } | Failure::CircuitOpen { retry_after_seconds } => {
            upstream::Error::Unavailable(*retry_after_seconds)
        }
        Failure::Deadline => upstream::Error::Timeout,
        Failure::TooLarge => upstream::Error::Failed("the body is too large".to_owned()),
        Failure::Trapped(_) => upstream::Error::Failed("the component failed".to_owned()),
    }
}
