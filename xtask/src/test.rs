//! `cargo xtask test`: everything that can be checked on this machine.

use anyhow::Result;

use crate::{
    build::{self, HOST, Profile},
    cargo, flag, no_more, succeed,
};

pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let with_spin = flag(&mut args, "--with-spin");
    no_more(&args)?;

    build::components()?;
    // The tests' build makes the host too; built by itself first, most of it would be built twice.
    let host = HOST.path(Profile::Dev);
    println!("building and running all tests… (the first time takes minutes: the host contains a compiler)");
    succeed(cargo().args(["test", "--workspace", "--no-fail-fast"]).env("CAIRN_BIN", &host))?;
    if with_spin {
        spin(&host)?;
    } else {
        println!("skipped: the journey under Spin (ask for it with --with-spin)");
    }
    Ok(())
}

/// The journey once more, served by `spin up`.
fn spin(host: &std::path::Path) -> Result<()> {
    if !crate::spin::installed() {
        println!("skipped: the journey under Spin, since there is no `spin` on PATH");
        return Ok(());
    }
    succeed(cargo().args(["test", "--package", "cairn-spin-compose", "--features", "encode"]))?;
    crate::spin::compose()?;
    let mut journey = cargo();
    journey.args(["test", "--package", "cairn-tests", "--test", "journey"]);
    journey.env("CAIRN_BIN", host).env("CAIRN_XTASK", std::env::current_exe()?);
    succeed(journey.env("CAIRN_TEST_ENGINE", "spin"))
}
