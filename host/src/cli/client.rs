//! A client of the operator's API, by its socket or its address.

use std::{fmt, fs::File, io::Write as _, path::PathBuf};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::table;

/// Longest line of an answer, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Where a host is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Socket(PathBuf),
    Address(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address(address) => f.write_str(address),
        }
    }
}

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Problem {
    /// Nobody answers.
    Unreachable(String),
    /// The host, or something here, says no.
    Refused(String),
    /// Whoever read our output reads no more.
    OutputClosed,
}

impl Problem {
    pub(super) fn refused(reason: impl fmt::Display) -> Self {
        Self::Refused(reason.to_string())
    }
}

/// A host that is asked.
pub(super) struct Operator {
    place: Place,
    token: Option<String>,
}

impl Operator {
    pub(super) fn new(place: Place, token: Option<String>) -> Self {
        Self { place, token }
    }

    /// Where it is asked.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends a request, and gives an answer that is a success.
    async fn send(&self, method: Method, target: &str, body: Bytes) -> Result<http::Response<Incoming>, Problem> {
        let mut request = Request::builder().method(method).uri(target).header(header::HOST, "operator");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).map_err(Problem::refused)?;
        let response = match &self.place {
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.unreachable(&error))?;
                exchange(stream, request).await
            }
            Place::Address(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.unreachable(&error))?;
                exchange(stream, request).await
            }
        };
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    fn unreachable(&self, error: &dyn fmt::Display) -> Problem {
        let hint = match self.place {
            Place::Socket(_) => "is it running, and is --data or --socket as for `cairn up`?",
            Place::Address(_) => "is it running there?",
        };
        Problem::Unreachable(format!("no host answers at {}: {error}; {hint}", self.place))
    }

    /// The JSON value that the host answers.
    pub(super) async fn json(&self, method: Method, target: &str, body: impl Into<Bytes>) -> Result<Value, Problem> {
        let response = self.send(method, target, body.into()).await?;
        let bytes = response.into_body().collect().await.map_err(|error| self.unreachable(&error))?.to_bytes();
        serde_json::from_slice(&bytes)
            .map_err(|error| Problem::Refused(format!("the answer is not understood: {error}")))
    }

    /// Writes the answer to a file as it comes. One that breaks off is a problem.
    pub(super) async fn save(&self, method: Method, target: &str, file: &mut File) -> Result<(), Problem> {
        let mut response = self.send(method, target, Bytes::new()).await?.into_body();
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(|error| Problem::Refused(format!("the answer broke off: {error}")))?;
            file.write_all(frame.data_ref().map_or(&[][..], |data| data)).map_err(Problem::refused)?;
        }
        Ok(())
    }

    /// Gives each line of the answer as it comes.
    pub(super) async fn lines(
        &self,
        method: Method,
        target: &str,
        body: impl Into<Bytes>,
        mut line: impl FnMut(&str) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut response = self.send(method, target, body.into()).await?.into_body();
        let mut pending = Vec::new();
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(|error| self.unreachable(&error))?;
            pending.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let whole: Vec<u8> = pending.drain(..=end).collect();
                line(String::from_utf8_lossy(&whole).trim_end())?;
            }
            if pending.len() > LINE_BYTES_MAX {
                return Err(Problem::Refused("a line of the answer has no end".to_owned()));
            }
        }
        Ok(())
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong with it is seen by whoever reads the answer.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await
}

/// What the host says against a request.
async fn refusal(response: http::Response<Incoming>) -> Problem {
    let status = response.status();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let message = serde_json::from_slice::<Value>(&body).ok().and_then(|body| Some(table::text(body.get("message")?)));
    let message = message.unwrap_or_else(|| format!("the host answered {status}"));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Problem::Refused(format!(
            "{message}\nSet CAIRN_OPERATOR_TOKEN or --operator-token-file, or use the socket."
        )),
        _ => Problem::Refused(message),
    }
}
