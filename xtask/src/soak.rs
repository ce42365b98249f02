//! `cargo xtask soak`: services are replaced for a long time while people book.

use anyhow::Result;

use crate::{
    build::{self, HOST, Profile, SOAK},
    flag, succeed,
};

/// All arguments but `--release` go to `cairn-soak`, which says what it does not know.
pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let profile = if flag(&mut args, "--release") { Profile::Release } else { Profile::Dev };
    build::components()?;
    build::programs(&[HOST, SOAK], profile)?;
    let mut soak = std::process::Command::new(SOAK.path(profile));
    succeed(soak.args(args).env("CAIRN_BIN", HOST.path(profile)))
}
