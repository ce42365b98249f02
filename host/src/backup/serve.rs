//! A backup as the answer to a request, written while it is sent.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use wasmtime_wasi_http::WasiBody;

use super::{BackupError, Moment, Source};
use crate::front::error;

/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for a slow reader.
const CHUNKS_MAX: usize = 8;

/// Part of an answer, or why there are no more.
type Chunk = Result<Frame<Bytes>, wasmtime_wasi_http::Error>;

/// Takes backups of one host, one at a time.
pub struct Backups {
    source: Source,
    running: Arc<Mutex<()>>,
}

impl Backups {
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, running: Arc::default() }
    }

    /// Answers with an archive, or says why there is none. An answer that breaks off has
    /// no end by which it could be taken for whole.
    pub async fn answer(&self) -> Response<WasiBody> {
        let Ok(running) = self.running.clone().try_lock_owned() else {
            return error(StatusCode::CONFLICT, "Another backup is being taken. Wait until it has ended.", None);
        };
        let moment = match self.source.freeze().await {
            Ok(moment) => moment,
            Err(problem) => {
                tracing::error!(error = %problem, "a backup could not be taken");
                return error(StatusCode::SERVICE_UNAVAILABLE, &format!("There is no backup: {problem}."), None);
            }
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        tokio::task::spawn_blocking(move || write(moment, sender, running));
        let chunks = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Chunk>| async move {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        response
    }
}

fn write(moment: Moment, sender: mpsc::Sender<Chunk>, running: OwnedMutexGuard<()>) {
    let out = BufWriter::with_capacity(CHUNK_BYTES, Sending(sender.clone()));
    let written = moment.write(out).and_then(|mut out| out.flush().map_err(BackupError::io("cannot send it")));
    if let Err(problem) = written {
        tracing::error!(error = %problem, "a backup did not finish");
        // Whoever reads may have gone; that is a reason not to finish.
        let _ = sender.blocking_send(Err(wasmtime_wasi_http::Error::HttpResponseIncomplete));
    }
    drop(running);
}

/// Sends what is written to it.
struct Sending(mpsc::Sender<Chunk>);

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Ok(Frame::data(Bytes::copy_from_slice(bytes)));
        self.0.blocking_send(chunk).map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
