//! `cargo xtask soak`: services are replaced for a long time while people book, or as many
//! simulations are run as wanted.

use anyhow::Result;

use crate::{
    build::{self, HOST, Profile, SOAK},
    cargo, flag, succeed,
};

/// All arguments but `--release` go to `cairn-soak`, which says what it does not know.
pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let profile = if flag(&mut args, "--release") { Profile::Release } else { Profile::Dev };
    if flag(&mut args, "simulation") {
        return simulation(&args, profile);
    }
    build::components()?;
    build::programs(&[HOST, SOAK], profile)?;
    let mut soak = std::process::Command::new(SOAK.path(profile));
    succeed(soak.args(args).env("CAIRN_BIN", HOST.path(profile)))
}

/// The arguments go to `cairn-simulation`.
fn simulation(args: &[String], profile: Profile) -> Result<()> {
    let mut run = cargo();
    run.args(["run", "--quiet", "--package", "cairn-simulation"]);
    if profile == Profile::Release {
        run.arg("--release");
    }
    succeed(run.arg("--").args(args))
}
