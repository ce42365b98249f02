//! The compiler's side: a process that limits itself, reads a component, and writes
//! machine code.

use std::{
    io::{self, Read as _, Write as _},
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::{Limits, REFUSED};
use crate::{engine, precompiled::COMPONENT_BYTES_MAX};

/// The limits as arguments, in the order of [`parse`].
pub(super) fn arguments(limits: &Limits) -> [String; 3] {
    let Limits { wall_time_max: _, cpu_time_max, memory_bytes_max, output_bytes_max } = limits;
    [seconds(*cpu_time_max).to_string(), memory_bytes_max.to_string(), output_bytes_max.to_string()]
}

/// Whole seconds, at least one: a limit on processor time has no finer grain.
fn seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

fn parse(arguments: impl Iterator<Item = String>) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = arguments.map(|argument| argument.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Compiles the component on standard input, and writes its code and the checksum of
/// it to standard output.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let outcome = match parse(arguments) {
        Some([cpu_seconds_max, memory_bytes_max, output_bytes_max]) => {
            limit_this_process(cpu_seconds_max, memory_bytes_max, output_bytes_max).and_then(|()| compile())
        }
        None => Err(io::Error::other("this command is for the host itself; see `cairn --help`")),
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(refusal)) => {
            eprintln!("{refusal:#}");
            ExitCode::from(REFUSED)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The outer error is the machine's, the inner one the component's.
fn compile() -> io::Result<wasmtime::Result<()>> {
    let mut bytes = Vec::new();
    // The host refuses what is larger before it asks.
    io::stdin().take(COMPONENT_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    let engine = engine::compiling().map_err(io::Error::other)?;
    let code = match engine.precompile_component(&bytes) {
        Ok(code) => code,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut output = io::stdout().lock();
    output.write_all(&code)?;
    output.write_all(&Sha256::digest(&code))?;
    output.flush()?;
    Ok(Ok(()))
}

#[cfg(unix)]
pub(super) fn ended_by_cpu_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(libc::SIGXCPU)
}

#[cfg(not(unix))]
pub(super) fn ended_by_cpu_time(_status: ExitStatus) -> bool {
    false
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "limits are set by system calls that the standard library does not have")]
fn limit_this_process(cpu_seconds_max: u64, memory_bytes_max: u64, output_bytes_max: u64) -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    type Resource = libc::__rlimit_resource_t;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    type Resource = libc::c_int;
    let limit = |resource: Resource, value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: it reads the structure it is given and changes nothing of ours.
        match unsafe { libc::setrlimit(resource, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // Private memory that can be written: reserved address space costs nothing.
    limit(libc::RLIMIT_DATA, memory_bytes_max)?;
    limit(libc::RLIMIT_FSIZE, output_bytes_max)?;
    limit(libc::RLIMIT_CORE, 0)?;
    let cpu = libc::rlimit { rlim_cur: cpu_seconds_max, rlim_max: cpu_seconds_max.saturating_add(1) };
    // SAFETY: as above; `nice` and `prctl` take numbers only.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_CPU, &cpu) != 0 {
            return Err(io::Error::last_os_error());
        }
        // Requests come first. Where the priority cannot be lowered nothing is lost.
        libc::nice(5);
        // Ends with the host, however that ends.
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    Ok(())
}

#[cfg(not(unix))]
fn limit_this_process(_cpu_seconds_max: u64, _memory_bytes_max: u64, _output_bytes_max: u64) -> io::Result<()> {
    Ok(())
}
