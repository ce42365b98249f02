//! The binary itself.

mod harness;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use harness::*;

fn cairn(dir: &TestDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.current_dir(dir.path()).args(arguments).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A process that does not outlive a test that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn check_names_every_problem_with_its_line() {
    let dir = TestDir::new();
    let text = "spin_manifest_version = 2\n[application]\nname = \"x\"\n\n[component.a]\nsource = \"missing.wasm\"\nallowed_outbound_hosts = [\"nonsense\"]\n";
    std::fs::write(dir.path().join("spin.toml"), text).unwrap();
    let output = cairn(&dir, &["check"]).output().unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(problems.contains("spin.toml:7:"), "{problems}");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_serves_until_it_is_told_to_stop() {
    let dir = TestDir::new();
    let text = manifest(&[("callee", &guest("callee"), "/...", "")]);
    std::fs::write(dir.path().join("spin.toml"), text).unwrap();
    let arguments = ["up", "--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--log", "json"];
    let mut running = Running(cairn(&dir, &arguments).spawn().unwrap());
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let address = find(&ready, "address").unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    assert_eq!(get(address, "/hello").await.body, "hello");

    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(running.0.wait().unwrap().success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("stopped"), "{rest}");
}

/// A member of an object, or of an object in it.
fn find(value: &serde_json::Value, name: &str) -> Option<String> {
    let object = value.as_object()?;
    let own = object.get(name).and_then(|own| own.as_str()).map(str::to_owned);
    own.or_else(|| object.values().find_map(|inner| find(inner, name)))
}
