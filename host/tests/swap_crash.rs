//! The host is killed at every moment of a swap of two components, and starts again with
//! the old version of both or with the new version of both.

mod harness;

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use harness::*;
use host::host::{Running, swap::Replacement};

/// The folder of the host that a child process of this test runs.
const CHILD_DATA: &str = "CAIRN_SWAP_CRASH_DATA";

/// Steps of the swap that a child tells before it does them.
const STEPS: usize = 10;

fn both_manifest() -> String {
    manifest(&[("caller", &guest("caller"), "/...", ""), ("callee", &guest("callee"), "", "")])
}

/// Not a test of its own: what the child process does, until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_swaps_until_it_is_killed() {
    let Some(data) = std::env::var_os(CHILD_DATA) else { return };
    let dir = TestDir::at(PathBuf::from(data));
    let running = start(&dir, &both_manifest()).await;
    let first = mark_in_force(&dir, &running).map_or(0, |mark| mark + 1);
    println!("\nstarted");
    for mark in first.. {
        let replacements = ["caller", "callee"]
            .map(|name| Replacement { component: name.to_owned(), bytes: marked(name, mark) })
            .to_vec();
        running.swapper().swap(replacements, None, &|step| println!("{step:?}")).await.unwrap();
        println!("swapped");
    }
}

fn child(dir: &TestDir) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child_that_swaps_until_it_is_killed", "--exact", "--nocapture"])
        .env(CHILD_DATA, dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child `delay` after it has told `lines` lines.
fn kill_after(mut child: Child, lines: usize, delay: Duration) {
    let told = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = told.skip_while(|line| line.as_ref().unwrap() != "started");
    assert_eq!(started.take(1 + lines).count(), 1 + lines, "the child ended by itself");
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The mark of a version of either guest; nothing for the one of the manifest.
fn mark(bytes: &[u8]) -> Option<u8> {
    let section = bytes.get(bytes.len() - 5..)?;
    section.starts_with(&[0, 3, 1, b'v']).then(|| section[4])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_in_a_swap_starts_with_all_old_or_all_new_versions() {
    let dir = TestDir::new();
    guest("callee");
    // Writing the record begins after the last step, and takes a few milliseconds.
    let last = (0..8).map(|tenths| (STEPS, Duration::from_micros(500 * tenths)));
    let moments = (0..STEPS).map(|lines| (lines, Duration::ZERO)).chain(last);
    let mut swapped = 0;
    for (lines, delay) in moments {
        let before = in_force(&dir).await;
        kill_after(child(&dir), lines, delay);
        let after = in_force(&dir).await;
        swapped += u32::from(after != before);
        if lines < STEPS {
            assert_eq!(after, before, "nothing is in force before the last step");
        }
    }
    println!("{swapped} of 8 swaps were complete when the host was killed");
}

/// The mark of both components, which is the same, as a start finds it.
async fn in_force(dir: &TestDir) -> Option<u8> {
    let running = start(dir, &both_manifest()).await;
    assert_eq!(get(running.http_addr(), "/double/21").await.body, "42");
    let mark = mark_in_force(dir, &running);
    assert!(running.stop().await);
    mark
}

fn mark_in_force(dir: &TestDir, running: &Running) -> Option<u8> {
    let marks = ["caller", "callee"].map(|name| {
        let kept = dir.path().join(format!("versions/{}.wasm", current(running, name)));
        mark(&std::fs::read(kept).unwrap())
    });
    assert_eq!(marks[0], marks[1], "a mix of versions is in force");
    marks[0]
}
