//! The binary `cairn`.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::cli::run(std::env::args().skip(1))
}
