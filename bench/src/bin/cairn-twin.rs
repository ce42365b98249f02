//! The application's services compiled natively, for comparison: see `cairn_bench::twin`.

use std::process::ExitCode;

use cairn_bench::twin::{self, Settings};

const USAGE: &str = "cairn-twin --listen ADDR --data DIR [--threads N]";

fn settings(mut args: impl Iterator<Item = String>) -> Result<Settings, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Settings { listen: "127.0.0.1:3000".into(), data: ".cairn".into(), threads };
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--listen" => settings.listen = value,
            "--data" => settings.data = value.into(),
            "--threads" => settings.threads = value.parse().map_err(|error| format!("--threads: {error}"))?,
            _ => return Err(format!("{name} is not known here")),
        }
    }
    Ok(settings)
}

fn main() -> ExitCode {
    let outcome = settings(std::env::args().skip(1)).map_err(|problem| anyhow::anyhow!("{problem}\n\n{USAGE}"));
    match outcome.and_then(|settings| twin::run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
