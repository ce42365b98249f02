//! `cargo xtask bench`: our host against the same services compiled natively.

use anyhow::Result;

use crate::{
    build::{self, HOST, Profile},
    cargo,
    postgres::{Disk, Server},
    root, succeed, target,
};

/// The host's own test guests, between which calls are measured.
const GUESTS: [&str; 2] = ["host-guest-caller", "host-guest-callee"];

/// All arguments go to `cairn-bench`, which says what it does not know.
pub fn run(args: &[String]) -> Result<()> {
    if args.first().is_some_and(|first| first == "bookings") {
        return bookings(args);
    }
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

/// Bookings a second, also on a Postgres of our own that syncs every commit.
fn bookings(args: &[String]) -> Result<()> {
    build::components()?;
    build::programs(&[HOST], Profile::Release)?;
    println!("building the load generator…");
    succeed(cargo().args(["build", "--release", "--package", "cairn-bench", "--bin", "cairn-bench"]))?;
    let mut bench = std::process::Command::new(target().join("release/cairn-bench"));
    bench.args(args).arg("--out").arg(root().join("target/bench"));
    let server = Server::start_with(Disk::Synced)?;
    if let Some(server) = &server {
        bench.arg("--postgres").arg(server.url());
    }
    succeed(bench.env("CAIRN_BIN", HOST.path(Profile::Release)))
}
