//! Requests of `wasi:http/outgoing-handler@0.2` that name no host: under Spin they are
//! for the application itself, so they get the name that it has here.

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{
    RequestOptions, WasiHttpView,
    p2::{
        bindings::http::{
            outgoing_handler,
            types::{self, ErrorCode, Scheme},
        },
        types::{HostFutureIncomingResponse, HostOutgoingRequest},
    },
};

use super::OWN_HOST;

const INTERFACE: &str = "wasi:http/outgoing-handler@0.2.12";

/// What a guest passes, and what it gets.
type Parameters = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);
type Sent = (Result<Resource<HostFutureIncomingResponse>, ErrorCode>,);

/// Puts the function in place of the one that the linker has.
///
/// # Errors
///
/// The linker has none of that type.
pub fn add_to_linker<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(INTERFACE)?.func_wrap("handle", send::<T>)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn send<T: WasiHttpView>(mut store: StoreContextMut<'_, T>, (request, options): Parameters) -> wasmtime::Result<Sent> {
    let mut view = store.data_mut().http();
    if let Ok(request) = view.table.get_mut(&request)
        && request.authority.is_none()
    {
        request.authority = Some(OWN_HOST.to_owned());
        request.scheme = Some(Scheme::Http);
    }
    let sent = outgoing_handler::Host::handle(&mut view, request, options);
    let sent = match sent {
        Ok(response) => Ok(response),
        Err(error) => Err(types::Host::convert_error_code(&mut view, error)?),
    };
    Ok((sent,))
}
