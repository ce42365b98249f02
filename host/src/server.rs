//! A listener for HTTP/1.1 and HTTP/2 in clear text, and how it stops.
//!
//! It owns sockets, connections and their limits. What a request is answered with
//! is its handler's affair.

use std::{convert::Infallible, fmt::Debug, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};
use wasmtime_wasi_http::WasiBody;

/// Connections open at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;
/// Time a client may take to send the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// Head of one request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How often an HTTP/2 client that says nothing is asked whether it is there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Time it has to answer.
const KEEP_ALIVE_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests of clients of one kind.
pub trait Handler<C = SocketAddr>: Send + Sync + 'static {
    /// Answers one request of `client`. There is always an answer.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: C,
    ) -> impl Future<Output = Response<WasiBody>> + Send;
}

/// Where connections come from.
pub trait Listener: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What is known of who connects.
    type Client: Clone + Debug + Send + Sync + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Client)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Client = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, client) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, client))
    }
}

/// A running listener, and where it listens.
pub struct Server<A = SocketAddr> {
    address: A,
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<bool>,
}

impl Server {
    /// Listens at `address`, such as `127.0.0.1:3000`.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn start(address: &str, handler: Arc<impl Handler>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self::run(listener.local_addr()?, listener, handler))
    }
}

impl<A> Server<A> {
    /// Accepts what comes to `listener`, which listens at `address`.
    pub fn run<L: Listener>(address: A, listener: L, handler: Arc<impl Handler<L::Client>>) -> Self {
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(accept_all(listener, handler, stopped));
        Self { address, stop, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &A {
        &self.address
    }

    /// Accepts nothing more and waits up to `time_max` for requests to end. Gives
    /// whether all did.
    pub async fn stop(self, time_max: Duration) -> bool {
        self.stop.send_replace(Some(time_max));
        self.task.await.unwrap_or(false)
    }
}

async fn accept_all<L: Listener>(
    listener: L,
    handler: Arc<impl Handler<L::Client>>,
    mut stopped: watch::Receiver<Option<Duration>>,
) -> bool {
    let builder = Arc::new(connection_builder());
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            // An error means that the handle was dropped, which stops as well.
            _ = stopped.changed() => break,
        };
        let Some((stream, client, place)) = accepted else {
            continue;
        };
        let handler = Arc::clone(&handler);
        let from = client.clone();
        let service = service_fn(move |request| {
            let (handler, client) = (Arc::clone(&handler), client.clone());
            async move { Ok::<_, Infallible>(handler.answer(request, client).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off, or does not speak HTTP, is no event of ours.
            let outcome = connection.await;
            tracing::trace!(client = ?from, ?outcome, "a connection ended");
            drop(place);
        });
    }
    drop(listener);
    let time_max = stopped.borrow().unwrap_or_default();
    tokio::time::timeout(time_max, graceful.shutdown()).await.is_ok()
}

async fn accept<L: Listener>(
    listener: &L,
    places: &Arc<Semaphore>,
) -> Option<(L::Stream, L::Client, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, client)) => Some((stream, client, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIME_MAX);
    builder
}
