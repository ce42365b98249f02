//! The long swap storm: `cargo xtask soak`.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use cairn_bench::storm::{self, Options};

fn main() -> ExitCode {
    match soak() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak() -> Result<()> {
    let mut options = Options { swaps: 200, connections: 8, quiet: Duration::from_secs(30), people: 40_000 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--swaps" => options.swaps = value.parse()?,
            "--connections" => options.connections = value.parse::<usize>()?.max(1),
            "--quiet" => options.quiet = Duration::from_secs(value.parse()?),
            _ => bail!("{name} is not known here: --swaps N, --connections N, --quiet SECONDS"),
        }
    }
    println!("{} swaps while people book…", options.swaps);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(storm::run(options))?;
    println!("{outcome}");
    outcome.check()
}
