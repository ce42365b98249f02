//! `cargo xtask bench`: our host against the same services compiled natively.

use anyhow::Result;

use crate::{
    build::{self, HOST, Profile},
    cargo, root, succeed, target,
};

/// The host's own test guests, between which calls are measured.
const GUESTS: [&str; 2] = ["host-guest-caller", "host-guest-callee"];

/// All arguments go to `cairn-bench`, which says what it does not know.
pub fn run(args: &[String]) -> Result<()> {
    build::components()?;
    build::wasm(&GUESTS.map(str::to_owned))?;
    build::programs(&[HOST], Profile::Release)?;
    println!("building the twin and the load generator…");
    succeed(cargo().args(["build", "--release", "--package", "cairn-bench"]))?;
    let built = target().join("release");
    let mut bench = std::process::Command::new(built.join("cairn-bench"));
    bench.arg("--twin").arg(built.join("cairn-twin"));
    bench.arg("--guests").arg(root().join("target/wasm32-wasip2/component"));
    bench.arg("--out").arg(root().join("target/bench"));
    succeed(bench.args(args).env("CAIRN_BIN", HOST.path(Profile::Release)))
}
