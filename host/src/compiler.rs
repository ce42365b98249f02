//! Compiling components, in a process of its own.
//!
//! A component may be hostile, broken or merely enormous, and a compiler is a large
//! program. So it runs apart, with limits on time, processor time, memory and
//! output, at low priority and without the host's environment; whatever happens to
//! it is a refusal of that component and nothing else. This module knows processes
//! and bytes, and nothing of where compiled code is kept.

mod child;

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

pub use child::run as run_child;

/// The argument that makes the program `cairn` a compiler: not for people.
pub const COMMAND: &str = "compile-component";

/// Exit code of a compiler that refuses the component.
const REFUSED: u8 = 3;
/// How often a running compiler is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// What is repeated of the words of a compiler, in bytes.
const WORDS_BYTES_MAX: u64 = 2 << 10;
/// Bytes of the checksum behind the compiled code.
const CHECKSUM_BYTES: usize = 32;

/// What one compilation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From start to end.
    pub wall_time_max: Duration,
    /// Processor time of all its threads, to the second.
    pub cpu_time_max: Duration,
    /// Memory that it allocates, in bytes.
    pub memory_bytes_max: u64,
    /// Compiled code, in bytes.
    pub output_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_time_max: Duration::from_secs(300),
            cpu_time_max: Duration::from_secs(60),
            memory_bytes_max: 1 << 30,
            output_bytes_max: 512 << 20,
        }
    }
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("it is no valid component: {0}")]
    Invalid(String),
    #[error("compiling it took longer than {0:?} and was stopped")]
    WallTime(Duration),
    #[error("compiling it took more than {0:?} of processor time and was stopped")]
    CpuTime(Duration),
    #[error("compiling it takes more than {} MiB of memory", .0 >> 20)]
    Memory(u64),
    #[error("the compiler failed on it ({status}): {words}")]
    Failed { status: ExitStatus, words: String },
    #[error("the compiler {} could not be run: {error}", .program.display())]
    NotRun { program: PathBuf, error: io::Error },
    #[error("the compiler gave damaged code; its disk may be full")]
    Damaged,
}

/// What turns components into machine code. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Compiler(Kind);

#[derive(Debug, Clone)]
enum Kind {
    InProcess,
    Process(Arc<Process>),
}

impl Compiler {
    /// Compiles in this process, without limits. For programs that embed the host and
    /// run only components of their own.
    #[must_use]
    pub fn in_process() -> Self {
        Self(Kind::InProcess)
    }

    /// Compiles in processes of `program`, which is `cairn` or understands [`COMMAND`]
    /// as it does. As many run at once as the machine has processors.
    #[must_use]
    pub fn process(program: impl Into<PathBuf>, limits: Limits) -> Self {
        let places = std::thread::available_parallelism().map_or(1, usize::from);
        let process = Process { program: program.into(), limits, places: Places::new(places) };
        Self(Kind::Process(Arc::new(process)))
    }

    /// Compiles in processes of the program that runs now, for `cairn` itself.
    ///
    /// # Errors
    /// When the system does not say which program that is.
    pub fn this_program(limits: Limits) -> io::Result<Self> {
        // Leads to the same program even after its file was replaced by a newer one.
        const ITSELF: &str = "/proc/self/exe";
        let program = if cfg!(target_os = "linux") { ITSELF.into() } else { std::env::current_exe()? };
        Ok(Self::process(program, limits))
    }

    /// The machine code of a component, as `engine` can load it. Takes a while; not for
    /// a thread that serves requests.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(&self, engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        match &self.0 {
            Kind::InProcess => {
                let code = engine.precompile_component(bytes);
                give_back_memory();
                code.map_err(|error| CompileError::Invalid(printable(&format!("{error:#}"))))
            }
            Kind::Process(process) => process.compile(bytes),
        }
    }
}

#[derive(Debug)]
struct Process {
    program: PathBuf,
    limits: Limits,
    places: Places,
}

impl Process {
    fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        let _place = self.places.take();
        self.run(bytes).map_err(|error| CompileError::NotRun { program: self.program.clone(), error })?
    }

    /// The outer error is the machine's, the inner one the component's.
    fn run(&self, bytes: &[u8]) -> io::Result<Result<Vec<u8>, CompileError>> {
        // Files without a name: they cannot fill up as a pipe does, end with us, and
        // nobody else can write to them.
        let (mut input, mut output, mut words) = (tempfile::tempfile()?, tempfile::tempfile()?, tempfile::tempfile()?);
        input.write_all(bytes)?;
        input.rewind()?;
        let child = Command::new(&self.program)
            .arg(COMMAND)
            .args(child::arguments(&self.limits))
            .env_clear()
            .stdin(input)
            .stdout(output.try_clone()?)
            .stderr(words.try_clone()?)
            .spawn()?;
        let Some(status) = end_of(child, self.limits.wall_time_max)? else {
            return Ok(Err(CompileError::WallTime(self.limits.wall_time_max)));
        };
        if !status.success() {
            return Ok(Err(self.refusal(status, &text_of(&mut words)?)));
        }
        let mut code = Vec::new();
        output.rewind()?;
        output.read_to_end(&mut code)?;
        Ok(verified(code).ok_or(CompileError::Damaged))
    }

    fn refusal(&self, status: ExitStatus, words: &str) -> CompileError {
        if child::ended_by_cpu_time(status) {
            return CompileError::CpuTime(self.limits.cpu_time_max);
        }
        // What the standard library and the compiler say when there is no more.
        if words.contains("memory allocation of") || words.contains("out of memory") {
            return CompileError::Memory(self.limits.memory_bytes_max);
        }
        if status.code() == Some(REFUSED.into()) {
            return CompileError::Invalid(words.to_owned());
        }
        CompileError::Failed { status, words: words.to_owned() }
    }
}

/// Waits for the end of a process, and ends it when it takes longer than it may.
fn end_of(mut child: Child, time_max: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() >= time_max {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// What a compiler said, fit for a terminal: names in a component are its author's words.
fn text_of(words: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    words.rewind()?;
    words.take(WORDS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(printable(&String::from_utf8_lossy(&bytes)))
}

/// The text without control characters that could steer a terminal.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.trim().chars().map(plain).collect()
}

/// The code before its checksum, if that holds.
fn verified(mut code: Vec<u8>) -> Option<Vec<u8>> {
    let checksum = code.split_off(code.len().checked_sub(CHECKSUM_BYTES)?);
    (Sha256::digest(&code).as_slice() == checksum).then_some(code)
}

/// Bounds how many compile at once.
#[derive(Debug)]
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Places {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for a place, which is given back when the value is dropped.
    fn take(&self) -> Place<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place(self)
    }
}

struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// Returns to the system what the compiler used: hundreds of megabytes that the
/// allocator would hold on to, and that are never needed again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the only way to ask the allocator of the C library")]
fn give_back_memory() {
    // SAFETY: it takes no pointer and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_was_cut_is_not_taken() {
        let mut code = b"machine code".to_vec();
        let checksum = Sha256::digest(&code);
        code.extend(checksum);
        assert_eq!(verified(code.clone()).as_deref(), Some(&b"machine code"[..]));
        for length in 0..code.len() {
            assert_eq!(verified(code.get(..length).unwrap().to_vec()), None, "{length}");
        }
    }

    #[test]
    fn no_more_compile_at_once_than_there_are_places() {
        let places = Arc::new(Places::new(2));
        let running = Arc::new(Mutex::new((0, 0)));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (places, running) = (Arc::clone(&places), Arc::clone(&running));
                std::thread::spawn(move || {
                    let _place = places.take();
                    {
                        let mut running = running.lock().unwrap();
                        running.0 += 1;
                        running.1 = running.0.max(running.1);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                    running.lock().unwrap().0 -= 1;
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*running.lock().unwrap(), (0, 2));
    }

    #[test]
    fn what_a_component_says_cannot_steer_a_terminal() {
        assert_eq!(printable(" \u{1b}[31mred\nline \n"), "\u{fffd}[31mred\nline");
    }

    #[test]
    fn a_compiler_that_is_not_there_is_named() {
        let compiler = Compiler::process("/nowhere/cairn", Limits::default());
        let engine = crate::engine::compiling().unwrap();
        let error = compiler.compile(&engine, b"").unwrap_err().to_string();
        assert!(error.starts_with("the compiler /nowhere/cairn could not be run: "), "{error}");
    }

    #[test]
    fn code_for_a_process_without_a_pool_is_code_for_one_with_it() {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&crate::engine::compiling().unwrap()), hash(crate::engine::shared().unwrap()));
    }
}
