//! What is wrong with a file, or with compiling it, ends there.

mod harness;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use harness::*;
use host::{
    compiler::{CompileError, Compiler, Limits},
    engine,
};

/// A core module of `functions` functions with bodies of `body` additions each, in a
/// component.
fn bomb(functions: usize, body: usize) -> Vec<u8> {
    let additions = [0x41, 1, 0x41, 2, 0x6a, 0x1a].repeat(body);
    // No locals; the end of the body.
    let code = [&[0][..], &additions, &[0x0b]].concat();
    let types = section(1, &[1, 0x60, 0, 0]);
    let declared = section(3, &[leb(functions), vec![0; functions]].concat());
    let bodies = section(10, &[leb(functions), [leb(code.len()), code].concat().repeat(functions)].concat());
    let module = [b"\0asm\x01\0\0\0".to_vec(), types, declared, bodies].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len()), content.to_vec()].concat()
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Bytes without any pattern.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect()
}

/// A guest in a custom section of so many bytes more.
fn padded(bytes: usize) -> Vec<u8> {
    let padding = [&[1, b'p'][..], &vec![0; bytes]].concat();
    [std::fs::read(guest("callee")).unwrap(), section(0, &padding)].concat()
}

const TOO_LONG: &str = "compiling it took more than 2s of processor time and was stopped";

#[tokio::test(flavor = "multi_thread")]
async fn no_file_harms_anything_and_each_is_refused_with_why() {
    let dir = TestDir::new();
    let tight = Limits { cpu_time_max: Duration::from_secs(2), ..Limits::default() };
    let text = manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &guest("callee"), "", "")]);
    let running = host_with(&dir, &text, Compiler::process(env!("CARGO_BIN_EXE_cairn"), tight)).start().await.unwrap();

    let (address, done) = (running.http_addr(), Arc::new(AtomicBool::new(false)));
    let neighbour = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let (mut answered, mut slowest) = (0, Duration::ZERO);
            while !done.load(Relaxed) {
                let began = Instant::now();
                assert_eq!(get(address, "/double/21").await.body, "42");
                slowest = slowest.max(began.elapsed());
                answered += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (answered, slowest)
        }
    });

    let whole = std::fs::read(guest("callee")).unwrap();
    let core = wat::parse_str("(module)").unwrap();
    for (what, bytes, words) in [
        ("nothing", Vec::new(), "it is not WebAssembly"),
        ("noise", noise(100_000), "it is not WebAssembly"),
        (
            "noise behind a preamble",
            [b"\0asm\x0d\0\x01\0".to_vec(), noise(100_000)].concat(),
            "it is no valid component: ",
        ),
        ("a file that was cut", whole[..whole.len() / 2].to_vec(), "it is no valid component: "),
        ("a core module", core, "it is a core module and not a component"),
        ("60 MB of noise", [b"\0asm\x0d\0\x01\0".to_vec(), noise(60_000_000)].concat(), "it is no valid component: "),
        ("more than is accepted", vec![0; (64 << 20) + 1], "at most 67108864 are accepted"),
        ("a hundred thousand functions", bomb(100_000, 90), TOO_LONG),
        ("a million functions", bomb(900_000, 1), TOO_LONG),
    ] {
        let problems = refusals(swap(&running, "callee", bytes).await).join("\n");
        println!("{what}: {problems}");
        assert!(problems.contains(words), "{what}: {problems}");
    }
    swap(&running, "callee", padded(40_000_000)).await.expect("a file that is merely large is fine");

    done.store(true, Relaxed);
    let (answered, slowest) = neighbour.await.unwrap();
    println!("meanwhile {answered} requests were answered, the slowest after {slowest:?}");
    assert!(answered > 100, "{answered}");
    running.stop().await;
}

fn script(dir: &TestDir, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.path().join("compiler");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn compiled_by(program: &Path, limits: Limits) -> Result<Vec<u8>, CompileError> {
    Compiler::process(program, limits).compile(&engine::compiling().unwrap(), b"\0asm\x0d\0\x01\0")
}

#[test]
fn a_compiler_has_no_more_memory_than_it_may() {
    let limits = Limits { memory_bytes_max: 48 << 20, ..Limits::default() };
    let compiler = Compiler::process(env!("CARGO_BIN_EXE_cairn"), limits);
    let outcome = compiler.compile(&engine::compiling().unwrap(), &bomb(4, 60_000));
    assert_eq!(outcome.unwrap_err().to_string(), "compiling it takes more than 48 MiB of memory");
}

#[test]
fn a_compiler_that_hangs_is_stopped() {
    let dir = TestDir::new();
    let began = Instant::now();
    let limits = Limits { wall_time_max: Duration::from_millis(300), ..Limits::default() };
    let outcome = compiled_by(&script(&dir, "exec sleep 60"), limits);
    assert!(matches!(outcome, Err(CompileError::WallTime(_))), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_a_compiler_gives_is_not_taken_unless_it_is_whole() {
    let dir = TestDir::new();
    let outcome = compiled_by(&script(&dir, "echo half"), Limits::default());
    assert!(matches!(outcome, Err(CompileError::Damaged)), "{outcome:?}");
    let outcome = compiled_by(&script(&dir, "echo no room >&2; exit 1"), Limits::default());
    let words = outcome.unwrap_err().to_string();
    assert!(words.starts_with("the compiler failed on it (") && words.ends_with("no room"), "{words}");
}

#[test]
fn a_compiler_sees_nothing_of_the_hosts_environment() {
    let dir = TestDir::new();
    let outcome = compiled_by(&script(&dir, "echo \"[$HOME$CARGO_MANIFEST_DIR]\" >&2; exit 3"), Limits::default());
    assert_eq!(outcome.unwrap_err().to_string(), "it is no valid component: []");
}

#[test]
fn the_compiler_is_not_for_people() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_cairn")).arg("compile-component").output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(words.trim(), "this command is for the host itself; see `cairn --help`");
}
