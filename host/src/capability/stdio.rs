//! What a guest prints becomes log lines, tagged with its component and the call it
//! works on.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::{
    call::CurrentCall,
    telemetry::{LineBuffer, guest::Stream, guest_line},
};

/// Bytes that a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Standard output or error of one instance.
#[derive(Debug, Clone)]
pub struct LogStream {
    component: Arc<str>,
    current: Arc<CurrentCall>,
    stream: Stream,
}

impl LogStream {
    /// Lines of `component`, each about the call that is current when it ends.
    #[must_use]
    pub fn new(component: Arc<str>, current: Arc<CurrentCall>, stream: Stream) -> Self {
        Self { component, current, stream }
    }

    fn log(&self, line: &[u8]) {
        let call = self.current.get();
        guest_line(&self.component, self.stream, Some(&call.correlation_id), line);
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter::new(self))
    }

    // The usual adapter writes from another task: lines would come late, and be told
    // of the call after the one that wrote them.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineWriter::new(self))
    }
}

/// Collects bytes into lines.
struct LineWriter {
    stream: LogStream,
    lines: LineBuffer,
}

impl LineWriter {
    fn new(stream: &LogStream) -> Self {
        Self { stream: stream.clone(), lines: LineBuffer::default() }
    }

    fn take(&mut self, bytes: &[u8]) {
        let Self { stream, lines } = self;
        lines.write(bytes, |line| stream.log(line));
    }
}

#[async_trait]
impl Pollable for LineWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for LineWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let Self { stream, lines } = self;
        lines.finish(|line| stream.log(line));
    }
}

impl AsyncWrite for LineWriter {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
