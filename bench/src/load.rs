//! A closed loop of requests over kept connections, on one thread of its own.
//!
//! Each connection sends its next request when the last one is answered. Every
//! latency is kept as it was measured, so percentiles are exact.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::LocalSet};

/// A connection that fails so often in a row ends the slice.
const FAILURES_IN_A_ROW_MAX: u32 = 20;

/// A request to be made.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub path: Arc<str>,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// JSON; empty for none.
    pub body: Bytes,
    /// Comes back with the answer.
    pub tag: usize,
}

impl Call {
    pub fn get(path: &Arc<str>) -> Self {
        Self { method: Method::GET, path: path.clone(), token: None, body: Bytes::new(), tag: 0 }
    }
}

/// How a slice is driven.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    pub time: Duration,
    /// The status of a good answer.
    pub expected: u16,
    /// Whether bodies are wanted.
    pub keep_answers: bool,
}

/// What a slice found.
#[derive(Debug, Default)]
pub struct Slice {
    pub elapsed: Duration,
    /// Of good answers, in µs.
    pub latencies_us: Vec<u32>,
    /// What went wrong, how often.
    pub failures: BTreeMap<String, u64>,
    /// Bodies of good answers with their calls' tags.
    pub answers: Vec<(usize, Bytes)>,
}

/// Makes calls until none is left or the time is over.
///
/// # Errors
/// The thread does not run; what fails on the way is counted in the [`Slice`].
pub fn run(plan: Plan, calls: impl FnMut() -> Option<Call> + Send) -> Result<Slice> {
    thread::scope(|scope| {
        let driver = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(LocalSet::new().block_on(&runtime, drive(plan, calls)))
        });
        driver.join().map_err(|_| anyhow!("the load generator panicked"))?
    })
}

async fn drive(plan: Plan, calls: impl FnMut() -> Option<Call>) -> Slice {
    let calls = RefCell::new(calls);
    let slice = Rc::new(RefCell::new(Slice::default()));
    let began = Instant::now();
    let connections = (0..plan.connections).map(|_| connection(plan, began, &calls, &slice));
    futures::future::join_all(connections).await;
    let mut slice = slice.take();
    slice.elapsed = began.elapsed();
    slice
}

async fn connection(plan: Plan, began: Instant, calls: &RefCell<impl FnMut() -> Option<Call>>, slice: &RefCell<Slice>) {
    let mut open = None;
    let mut failures_in_a_row = 0;
    while began.elapsed() < plan.time && failures_in_a_row < FAILURES_IN_A_ROW_MAX {
        let Some(call) = (calls.borrow_mut())() else { return };
        let tag = call.tag;
        let sent = Instant::now();
        let outcome = exchange(&mut open, plan.address, call).await;
        let latency_us = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        let mut slice = slice.borrow_mut();
        match outcome {
            Ok((status, body)) if status == plan.expected => {
                failures_in_a_row = 0;
                slice.latencies_us.push(latency_us);
                if plan.keep_answers {
                    slice.answers.push((tag, body));
                }
            }
            Ok((status, body)) => {
                failures_in_a_row += 1;
                let start: String = String::from_utf8_lossy(&body).chars().take(120).collect();
                *slice.failures.entry(format!("{status} {start}")).or_default() += 1;
            }
            Err(error) => {
                failures_in_a_row += 1;
                open = None;
                *slice.failures.entry(format!("{error:#}")).or_default() += 1;
            }
        }
    }
}

type Connection = SendRequest<Full<Bytes>>;

async fn exchange(open: &mut Option<Connection>, address: SocketAddr, call: Call) -> Result<(u16, Bytes)> {
    let mut connection = match open.take().filter(|connection| !connection.is_closed()) {
        Some(connection) => connection,
        None => connect(address).await?,
    };
    connection.ready().await?;
    let response = connection.send_request(request(address, call)?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    *open = Some(connection);
    Ok((status, body))
}

fn request(address: SocketAddr, call: Call) -> Result<Request<Full<Bytes>>> {
    let mut builder = Request::builder().method(call.method).uri(&*call.path).header(header::HOST, address.to_string());
    if let Some(token) = call.token {
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if !call.body.is_empty() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(builder.body(Full::new(call.body))?)
}

async fn connect(address: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its end shows at the next request.
    tokio::task::spawn_local(async { drop(connection.await) });
    Ok(sender)
}
