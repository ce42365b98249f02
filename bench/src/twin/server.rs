//! HTTP/1.1 in front of the services: one thread accepts, the others serve what they
//! are handed in turn, so that connections are spread evenly.

use std::{convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc, thread};

use anyhow::{Context, Result};
use bytes::Bytes;
use cairn_shared::http::{Request, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::LocalSet,
};

use super::services::{Node, World};

/// The largest body that any route takes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Connections that a thread has been handed and not yet taken.
const HANDED_MAX: usize = 1024;

type Handed = (std::net::TcpStream, SocketAddr);

/// Accepts until the process ends.
///
/// # Errors
/// The address is taken, or a thread does not start.
pub async fn serve(listen: &str, threads: usize, world: &Arc<World>) -> Result<()> {
    let mut doors = Vec::new();
    for number in 0..threads.max(1) {
        let (door, connections) = mpsc::channel(HANDED_MAX);
        let world = world.clone();
        thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
            if let Err(error) = serve_handed(&world, connections) {
                eprintln!("a serving thread ended: {error:#}");
            }
        })?;
        doors.push(door);
    }
    let listener = TcpListener::bind(listen).await?;
    for door in doors.iter().cycle() {
        let (stream, client) = listener.accept().await?;
        stream.set_nodelay(true)?;
        door.send((stream.into_std()?, client)).await.context("a serving thread ended")?;
    }
    Ok(())
}

fn serve_handed(world: &Arc<World>, mut connections: mpsc::Receiver<Handed>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let node = Rc::new(Node::new(world)?);
    LocalSet::new().block_on(&runtime, async {
        while let Some((stream, client)) = connections.recv().await {
            let node = node.clone();
            let stream = TcpStream::from_std(stream)?;
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| answer(&node, request, client));
                // A client that breaks off is no event of ours.
                drop(http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await);
            });
        }
        Ok(())
    })
}

async fn answer(
    node: &Node,
    request: hyper::Request<Incoming>,
    client: SocketAddr,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let mut refusal = http::Response::new(Full::default());
        *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refusal);
    };
    let outside = parts.headers.iter().filter(|(name, _)| !name.as_str().starts_with("spin-"));
    let mut headers: Vec<(String, String)> = outside
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.push(("spin-client-addr".to_owned(), client.to_string()));
    let request = Request {
        method: parts.method.as_str().to_owned(),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers,
        body: body.to_bytes().to_vec(),
    };
    Ok(into_http(node.answer(request).await))
}

fn into_http(answer: Response) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
