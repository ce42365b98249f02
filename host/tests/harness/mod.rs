//! What the tests of the host share: guests, applications and a client.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod postgres;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use host::{
    compiler::{Compiler, Limits},
    host::{
        Builder, Host, Running, StartError,
        swap::{Canary, Replacement, SwapError, Swapped},
    },
    manifest,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};

/// A folder that is removed after the test.
pub struct TestDir(PathBuf);

impl TestDir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cairn-host-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// A folder that another process made.
    pub fn at(dir: PathBuf) -> Self {
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The file of a guest under `tests/guests`. All are built on first use.
pub fn guest(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build_guests).join(format!("host_guest_{name}.wasm"))
}

fn build_guests() -> PathBuf {
    // target/<profile>/deps/<this test>
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let status = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "component"])
        .args([
            "-p",
            "host-guest-callee",
            "-p",
            "host-guest-caller",
            "-p",
            "host-guest-streaming",
            "-p",
            "host-guest-older",
        ])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(status.success(), "the guests were not built");
    target.join("wasm32-wasip2/component")
}

/// The callee as another version: of the same behaviour, but for the word that it calls itself,
/// or one that `trap`s, answers with an `error`, or is `slow`.
pub fn callee(variant: &str) -> Vec<u8> {
    const WORD: &[u8] = b"variant:good    ";
    let mut bytes = std::fs::read(guest("callee")).unwrap();
    let at = bytes.windows(WORD.len()).position(|window| window == WORD).expect("the guest has the word");
    bytes[at..at + WORD.len()].copy_from_slice(format!("variant:{variant:<8}").as_bytes());
    bytes
}

/// The same guest as another version: a custom section makes other bytes of it.
pub fn marked(name: &str, mark: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(name)).unwrap();
    bytes.extend([0, 3, 1, b'v', mark]);
    bytes
}

/// Replaces one component at once.
pub async fn swap(running: &Running, component: &str, bytes: Vec<u8>) -> Result<Vec<Swapped>, SwapError> {
    swap_all(running, [(component, bytes)], None).await
}

/// Replaces components in one step.
pub async fn swap_all<const N: usize>(
    running: &Running,
    replacements: [(&str, Vec<u8>); N],
    canary: Option<Canary>,
) -> Result<Vec<Swapped>, SwapError> {
    let replacement = |(component, bytes): (&str, _)| Replacement { component: component.to_owned(), bytes };
    running.swapper().swap(replacements.map(replacement).into(), canary, &|_| {}).await
}

/// What the gate said.
pub fn refusals<T: std::fmt::Debug>(outcome: Result<T, SwapError>) -> Vec<String> {
    match outcome {
        Err(SwapError::Refused(problems)) => problems,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// The hash of what a component runs.
pub fn current(running: &Running, component: &str) -> String {
    running.registry().get(component).unwrap().current().unwrap().compiled.hash.clone()
}

/// A manifest of these components, each with its route and further settings.
pub fn manifest(components: &[(&str, &Path, &str, &str)]) -> String {
    let mut text = "spin_manifest_version = 2\n[application]\nname = \"test\"\nversion = \"1.0.0\"\n".to_owned();
    for (id, source, route, settings) in components {
        let route = if route.is_empty() { "{ private = true }".to_owned() } else { format!("{route:?}") };
        text += &format!(
            "\n[[trigger.http]]\nroute = {route}\ncomponent = \"{id}\"\n\n[component.{id}]\nsource = {source:?}\n{settings}\n"
        );
    }
    text
}

/// What compiles for a host of its own: the binary, in processes of its own.
pub fn compiler() -> Compiler {
    Compiler::process(env!("CARGO_BIN_EXE_cairn"), Limits::default())
}

/// A host for a manifest, with its data in a folder of its own.
pub fn host(dir: &TestDir, manifest: &str) -> Builder {
    host_with(dir, manifest, compiler())
}

/// The same, compiling in another way.
pub fn host_with(dir: &TestDir, manifest: &str, compiler: Compiler) -> Builder {
    let application = manifest::parse(manifest, dir.path()).unwrap_or_else(|problems| panic!("{problems}\n{manifest}"));
    // Compiled guests are shared by all tests, which are many times faster for it.
    let compiled = guest("callee").with_file_name("compiled");
    Host::builder(application, compiler).data_dir(dir.path()).compiled_dir(compiled)
}

pub async fn start(dir: &TestDir, manifest: &str) -> Running {
    host(dir, manifest).start().await.unwrap_or_else(|error| panic!("{error}"))
}

pub async fn start_error(dir: &TestDir, manifest: &str) -> StartError {
    match host(dir, manifest).start().await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

/// An answer whose body has been read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

pub async fn get(address: SocketAddr, target: &str) -> Answer {
    send(address, Request::get(target), Bytes::new()).await
}

pub async fn post(address: SocketAddr, target: &str, body: impl Into<Bytes>) -> Answer {
    send(address, Request::builder().method(Method::POST).uri(target), body.into()).await
}

/// Sends a request to the operator's socket.
pub async fn send_by(socket: &Path, request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = request.header("host", "operator").body(Full::new(body.into())).unwrap();
    read(sender.send_request(request).await.unwrap()).await
}

pub async fn send(address: SocketAddr, request: http::request::Builder, body: Bytes) -> Answer {
    let mut request = request.body(Full::new(body)).unwrap();
    *request.uri_mut() = format!("http://{address}{}", request.uri()).parse().unwrap();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    read(client.request(request).await.unwrap()).await
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
}
