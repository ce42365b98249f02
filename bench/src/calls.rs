//! What a call from one component to another costs on the host.
//!
//! The host's own test guests: one calls the other as often as the path says. The
//! difference between a request with many calls and one with none is the calls'.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use cairn_tests::client::Client;
use serde::Serialize;

use crate::load::{self, Call, Plan};

/// Calls of one request.
const CALLS: u32 = 500;

/// Slices of each kind, interleaved.
const ROUNDS: usize = 3;

const START_MAX: Duration = Duration::from_secs(60);

const MANIFEST: &str = r#"spin_manifest_version = 2
[application]
name = "calls"
version = "1.0.0"

[[trigger.http]]
route = "/..."
component = "caller"
[component.caller]
source = "host_guest_caller.wasm"

[[trigger.http]]
route = { private = true }
component = "callee"
[component.callee]
source = "host_guest_callee.wasm"
"#;

/// Mean cost of one call, in µs, while nothing else runs.
#[derive(Debug, Clone, Serialize)]
pub struct Calls {
    /// Through a typed WIT interface.
    pub wit_call_us: f64,
    /// A whole HTTP request as a record through `cairn:http/upstream`.
    pub upstream_call_us: f64,
}

struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            eprintln!("the host of the guests could not be stopped: {error}");
        }
    }
}

/// Measures on a host of its own. `guests` is the folder of the built guests.
///
/// # Errors
/// The host does not come up, or an answer is wrong.
pub async fn measure(host: &Path, guests: &Path, time: Duration) -> Result<Calls> {
    let folder = tempfile::tempdir()?;
    for name in ["host_guest_caller.wasm", "host_guest_callee.wasm"] {
        std::fs::copy(guests.join(name), folder.path().join(name)).with_context(|| format!("{name} is not built"))?;
    }
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, MANIFEST)?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(host);
    command.arg("up").arg("--from").arg(&manifest).arg("--data").arg(folder.path().join("data"));
    command.args(["--listen", &address.to_string(), "--operator", "127.0.0.1:0"]);
    let process = command.env("CAIRN_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let mut process = Host(process);
    let client = Client::new(format!("http://{address}")).with_timeout(Duration::from_secs(2));
    let began = Instant::now();
    while !client.get("/many/1").await.is_ok_and(|reply| reply.status == 200) {
        if process.0.try_wait()?.is_some() || began.elapsed() > START_MAX {
            bail!("the host of the guests did not come up");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let [mut none, mut many, mut upstream] = [0.0; 3];
    for _ in 0..ROUNDS {
        none += mean_us(address, "/many/0", time)?;
        many += mean_us(address, &format!("/many/{CALLS}"), time)?;
        upstream += mean_us(address, "/callee/hello", time)?;
    }
    let rounds = ROUNDS as f64;
    Ok(Calls { wit_call_us: (many - none) / rounds / f64::from(CALLS), upstream_call_us: (upstream - none) / rounds })
}

fn mean_us(address: SocketAddr, path: &str, time: Duration) -> Result<f64> {
    let path: Arc<str> = path.into();
    let plan = Plan { address, connections: 1, time, expected: 200, keep_answers: false };
    let slice = load::run(plan, || Some(Call::get(&path)))?;
    ensure!(slice.failures.is_empty() && !slice.latencies_us.is_empty(), "{path}: {:?}", slice.failures);
    let sum: f64 = slice.latencies_us.iter().map(|us| f64::from(*us)).sum();
    Ok(sum / slice.latencies_us.len() as f64)
}
