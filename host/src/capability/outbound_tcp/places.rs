//! How many raw connections a component has open.
//!
//! A connection has a place from the attempt on, until its socket is dropped and no
//! direction of it streams any more. The implementation of the sockets counts nothing, so
//! the functions that open and close them are put in place of its own, and call these.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Access, Accessor, FutureConsumer, FutureReader, Linker, Resource, ResourceType, Source, StreamReader},
};
use wasmtime_wasi::{
    WasiView,
    p2::{
        self,
        bindings::sockets::{
            network::{self as network2, Network},
            tcp as tcp2,
        },
    },
    p3::bindings::sockets::types::{self, ErrorCode, HostTcpSocketWithStore, IpSocketAddress},
    sockets::{TcpSocket, WasiSockets, WasiSocketsView as _},
};

use crate::telemetry::metrics::{ComponentMetrics, LimitReached};

/// The sockets of WASI 0.2.
const TCP2: &str = "wasi:sockets/tcp@0.2.12";
/// The sockets of WASI 0.3, whose connections stream.
const TYPES3: &str = "wasi:sockets/types@0.3.0";
const RESOURCE: &str = "tcp-socket";
const LIMIT: &str = "limits.outbound_connections are open";

/// The place of one connection.
type Place = Arc<OwnedSemaphorePermit>;

/// Room for the connections of all instances of a component.
#[derive(Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    metrics: Arc<ComponentMetrics>,
}

impl Places {
    /// Room for so many connections at once.
    #[must_use]
    pub fn new(connections_max: usize, metrics: Arc<ComponentMetrics>) -> Self {
        Self { free: Arc::new(Semaphore::new(connections_max)), metrics }
    }
}

/// The connections of one instance.
pub struct Connections {
    places: Places,
    /// By the number of the socket in the instance's table.
    open: HashMap<u32, Place>,
}

impl Connections {
    /// An instance without connections.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self { places, open: HashMap::new() }
    }

    /// Whether a socket has a place, or there was one left for it.
    fn take(&mut self, socket: u32) -> bool {
        if self.open.contains_key(&socket) {
            return true;
        }
        let Ok(place) = Arc::clone(&self.places.free).try_acquire_owned() else {
            self.places.metrics.limit_reached(LimitReached::OutboundConnections);
            tracing::warn!("an outbound connection was refused: {LIMIT}");
            return false;
        };
        self.open.insert(socket, Arc::new(place));
        true
    }
}

/// What has connections.
pub trait ConnectionsView: WasiView {
    fn connections(&mut self) -> &mut Connections;
}

/// Puts the functions in place of those that the linker has.
///
/// # Errors
///
/// The linker has none of that type.
pub fn add_to_linker<T: ConnectionsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut tcp = linker.instance(TCP2)?;
    tcp.func_wrap("[method]tcp-socket.start-connect", start_connect::<T>)?;
    tcp.resource(RESOURCE, ResourceType::host::<p2::TcpSocket>(), |mut store, socket| {
        store.data_mut().connections().open.remove(&socket);
        tcp2::HostTcpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(socket))
    })?;
    let mut streaming = linker.instance(TYPES3)?;
    streaming.func_wrap_concurrent("[method]tcp-socket.connect", |accessor, parameters| {
        Box::pin(connect::<T>(accessor, parameters))
    })?;
    streaming.func_wrap("[method]tcp-socket.send", send::<T>)?;
    streaming.func_wrap("[method]tcp-socket.receive", receive::<T>)?;
    streaming.resource(RESOURCE, ResourceType::host::<TcpSocket>(), |mut store, socket| {
        store.data_mut().connections().open.remove(&socket);
        types::HostTcpSocket::drop(&mut store.data_mut().sockets(), Resource::new_own(socket))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn start_connect<T: ConnectionsView>(
    mut store: StoreContextMut<'_, T>,
    (socket, network, address): (Resource<p2::TcpSocket>, Resource<Network>, network2::IpSocketAddress),
) -> wasmtime::Result<(Result<(), network2::ErrorCode>,)> {
    if !store.data_mut().connections().take(socket.rep()) {
        return Ok((Err(network2::ErrorCode::NewSocketLimit),));
    }
    let mut sockets = store.data_mut().sockets();
    match tcp2::HostTcpSocket::start_connect(&mut sockets, socket, network, address) {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => Ok((Err(network2::Host::convert_error_code(&mut sockets, error)?),)),
    }
}

async fn connect<T: ConnectionsView>(
    accessor: &Accessor<T>,
    (socket, address): (Resource<TcpSocket>, IpSocketAddress),
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    if !accessor.with(|mut access| access.data_mut().connections().take(socket.rep())) {
        return Ok((Err(ErrorCode::Other(Some(LIMIT.to_owned()))),));
    }
    let sockets = accessor.with_getter::<WasiSockets>(T::sockets);
    match <WasiSockets as HostTcpSocketWithStore<T>>::connect(&sockets, socket, address).await {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => accessor.with(|mut access| {
            let code = types::Host::convert_error_code(&mut access.data_mut().sockets(), error)?;
            Ok((Err(code),))
        }),
    }
}

/// How a direction of a connection ends.
type End = FutureReader<Result<(), ErrorCode>>;

fn send<T: ConnectionsView>(
    mut store: StoreContextMut<'_, T>,
    (socket, data): (Resource<TcpSocket>, StreamReader<u8>),
) -> wasmtime::Result<(End,)> {
    let place = store.data_mut().connections().open.get(&socket.rep()).cloned();
    let sockets = Access::<T, WasiSockets>::new(store.as_context_mut(), T::sockets);
    let end = <WasiSockets as HostTcpSocketWithStore<T>>::send(sockets, socket, data)?;
    Ok((kept_until(store, end, place)?,))
}

fn receive<T: ConnectionsView>(
    mut store: StoreContextMut<'_, T>,
    (socket,): (Resource<TcpSocket>,),
) -> wasmtime::Result<((StreamReader<u8>, End),)> {
    let place = store.data_mut().connections().open.get(&socket.rep()).cloned();
    let sockets = Access::<T, WasiSockets>::new(store.as_context_mut(), T::sockets);
    let (data, end) = <WasiSockets as HostTcpSocketWithStore<T>>::receive(sockets, socket)?;
    Ok(((data, kept_until(store, end, place)?),))
}

/// The same end, until which the connection keeps its place: a socket may be dropped
/// before what it streams.
fn kept_until<T: 'static>(mut store: StoreContextMut<'_, T>, end: End, place: Option<Place>) -> wasmtime::Result<End> {
    let (told, ending) = oneshot::channel();
    end.pipe(store.as_context_mut(), Ending { told: Some(told), _place: place })?;
    FutureReader::new(store, ending)
}

/// Passes on how a direction ended.
struct Ending {
    told: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    _place: Option<Place>,
}

impl<D> FutureConsumer<D> for Ending {
    type Item = Result<(), ErrorCode>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut ended = None;
        source.read(store, &mut ended)?;
        if let (Some(ended), Some(told)) = (ended, self.told.take()) {
            // Whoever asked may not care.
            let _ = told.send(ended);
        }
        Poll::Ready(Ok(()))
    }
}
