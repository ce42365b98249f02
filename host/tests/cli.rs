//! The binary itself.

mod harness;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use harness::*;
use serde_json::Value;

/// Longer than anything here takes, even on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn cairn(dir: &TestDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command.current_dir(dir.path()).args(arguments).stderr(Stdio::piped()).stdout(Stdio::piped());
    command.env_remove("CAIRN_OPERATOR_TOKEN").env_remove("CAIRN_TRUSTED_KEYS").env_remove("CAIRN_LOG");
    command
}

/// An application that runs, in its folder: files `caller.wasm` and `callee.wasm`.
struct Up {
    dir: TestDir,
    process: Child,
    address: std::net::SocketAddr,
    operator: std::net::SocketAddr,
    log: mpsc::Receiver<String>,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

/// A folder with an application.
fn application() -> TestDir {
    let dir = TestDir::new();
    for name in ["caller", "callee"] {
        std::fs::copy(guest(name), dir.path().join(name).with_extension("wasm")).unwrap();
    }
    let (caller, callee) = (Path::new("caller.wasm"), Path::new("callee.wasm"));
    let text = manifest(&[("caller", caller, "/...", ""), ("callee", callee, "", "")]);
    std::fs::write(dir.path().join("spin.toml"), text).unwrap();
    dir
}

fn compiled() -> PathBuf {
    guest("callee").with_file_name("compiled")
}

fn up(dir: TestDir, more: &[&str], environment: &[(&str, &str)]) -> Up {
    let compiled = compiled();
    let mut arguments = vec!["up", "--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--log", "json"];
    arguments.extend(["--compiled", compiled.to_str().unwrap()]);
    arguments.extend(more);
    let mut process = cairn(&dir, &arguments).envs(environment.iter().copied()).spawn().unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let (sender, log) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let unknown = "127.0.0.1:0".parse().unwrap();
    let mut up = Up { dir, process, address: unknown, operator: unknown, log };
    let ready = up.logged(|line| line["message"] == "ready");
    let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
    (up.address, up.operator) = (address("address"), address("operator_address"));
    up
}

impl Up {
    /// The first line of the log, from now on, that is as wanted.
    fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + WAIT_MAX;
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            match serde_json::from_str(&line) {
                Ok(value) if wanted(&value) => return value,
                _ => seen.push(line),
            }
        }
        panic!("no such line:\n{}", seen.join("\n"));
    }

    fn run(&self, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        cairn(&self.dir, &words).output().unwrap()
    }

    /// What a command prints that succeeds.
    fn said(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.said(line)).unwrap()
    }

    /// Exit code and words of a command that fails.
    fn refused(&self, line: &str) -> (i32, String) {
        let output = self.run(line);
        assert!(!output.status.success(), "{line}: {}", text(&output.stdout));
        (output.status.code().unwrap(), text(&output.stderr))
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(file), bytes).unwrap();
    }

    fn version(&self, component: &str) -> String {
        let status = self.json("status --json");
        let mut components = status["components"].as_array().unwrap().iter();
        components.find(|one| one["id"] == component).unwrap()["version"].as_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
    let mut up = up(application(), &[], &[]);
    assert_eq!(get(up.address, "/double/21").await.body, "42");
    let id = up.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(up.process.wait().unwrap().success());
    up.logged(|line| line["message"] == "stopped");
    let mut rest = String::new();
    up.process.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the log goes to standard error");
    assert!(!up.dir.path().join(".cairn/operator.sock").exists());
}

#[test]
fn where_no_host_runs_a_command_says_so() {
    let dir = TestDir::new();
    let output = cairn(&dir, &["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let words = text(&output.stderr);
    assert!(words.starts_with("no host answers at .cairn/operator.sock: "), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_swapped_and_rolled_back() {
    let up = up(application(), &[], &[]);
    get(up.address, "/double/21").await;
    let status = up.said("status");
    let rows: Vec<Vec<&str>> = status.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["COMPONENT", "VERSION", "AGE", "REQUESTS", "ERRORS", "P50", "P99", "MEMORY", "RUNNING"]);
    assert_eq!((rows[1][0], rows[2][0]), ("callee", "caller"));

    let before = up.version("callee");
    up.write("new.wasm", &marked("callee", 1));
    let said = up.said("swap callee new.wasm");
    let after = up.version("callee");
    let change = format!("callee: {} → {}", &before[..12], &after[..12]);
    assert!(said.contains("compiling callee…\n") && said.ends_with(&format!("{change}\n")), "{said}");
    assert_eq!(get(up.address, "/double/21").await.body, "42");

    let versions = up.said("versions callee");
    let rows: Vec<Vec<&str>> = versions.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[1][0], rows[1][1]), (&after[..12], "current"), "{versions}");
    assert_eq!((rows[2][0], rows[2][1]), (&before[..12], "previous"), "{versions}");

    assert_eq!(up.said("rollback callee"), format!("callee: {} → {}\n", &after[..12], &before[..12]));
    assert_eq!(up.version("callee"), before);

    up.said("swap callee new.wasm");
    assert!(up.said("swap callee new.wasm").ends_with("nothing is replaced: this version runs already\n"));
    up.said("rollback callee");

    // Both in one step, and how it goes as JSON.
    up.write("caller2.wasm", &marked("caller", 2));
    let events = up.said("swap caller=caller2.wasm callee=new.wasm --json");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["swapped"].as_array().unwrap().len(), 2, "{events:?}");
}

#[test]
fn a_refusal_is_told_in_the_gates_own_words() {
    let up = up(application(), &[], &[]);
    let before = up.version("callee");
    up.write("unfit.wasm", &std::fs::read(guest("streaming")).unwrap());
    let (code, words) = up.refused("swap callee unfit.wasm");
    assert_eq!(code, 1);
    assert!(words.contains("test:guests/echo@1.0.0") && words.contains("caller"), "{words}");
    up.write("broken.wasm", b"no wasm");
    let (code, words) = up.refused("swap callee broken.wasm");
    assert!(code == 1 && words.contains("it is not WebAssembly"), "{words}");
    let events = up.run("swap callee broken.wasm --json");
    let last: Value = serde_json::from_str(text(&events.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((events.status.code(), &last["event"]), (Some(1), &Value::from("refused")));
    assert_eq!(up.refused("swap nobody broken.wasm"), (1, "there is no component \"nobody\"\n".to_owned()));
    assert_eq!(up.refused("versions nobody").0, 1);
    assert_eq!(up.refused("versions ../x").0, 1);
    assert_eq!(up.refused("logs nobody").0, 1);
    assert_eq!(up.refused("log-level nobody debug").0, 1);
    assert_eq!(up.refused("swap callee missing.wasm").0, 1);
    assert_eq!(up.refused("swap callee").0, 2);
    assert_eq!(up.version("callee"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_takes_commands_with_the_token_alone() {
    let up = up(application(), &[], &[("CAIRN_OPERATOR_TOKEN", "a-token-for-the-operator")]);
    let place = format!("--operator {}", up.operator);
    assert!(up.said(&format!("status {place}")).contains("callee"));
    let (code, words) = up.refused(&format!("rollback callee {place}"));
    assert!(code == 1 && words.contains("This needs the operator's token"), "{words}");
    up.write("token", b"a-token-for-the-operator\n");
    let (code, words) = up.refused(&format!("rollback callee {place} --operator-token-file token"));
    assert!(code == 1 && !words.contains("token"), "it is refused for another reason: {words}");
    let log: Vec<String> = up.log.try_iter().collect();
    assert!(log.iter().all(|line| !line.contains("a-token-for-the-operator")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_shown_followed_and_set_for_each_component() {
    let up = up(application(), &[], &[]);
    get(up.address, "/say/log").await;
    let shown = up.said("logs callee");
    assert!(shown.contains("INFO  callee: hello from the guest"), "{shown}");
    assert_eq!(up.said("logs caller"), "");
    assert_eq!(up.said("logs --lines 1 --json").lines().count(), 1);

    let mut following = cairn(&up.dir, &["logs", "-f", "callee", "--lines", "0", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // It may not have begun to follow when the first line comes.
    let (sender, seen) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(lines.next())));
    let line = loop {
        get(up.address, "/say/log").await;
        if let Ok(line) = seen.recv_timeout(Duration::from_millis(50)) {
            break line.unwrap().unwrap();
        }
    };
    following.kill().unwrap();
    following.wait().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["message"], &line["component"]), (&"hello from the guest".into(), &"callee".into()));

    let levels = up.said("log-level");
    assert!(
        levels.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["callee", "info", "the", "host's"]),
        "{levels}"
    );
    up.said("log-level callee error");
    let before = up.said("logs callee --lines 2000").lines().count();
    get(up.address, "/say/log").await;
    assert_eq!(up.said("logs callee --lines 2000").lines().count(), before, "an info line is not logged any more");
    // What the host says of a request is at level debug.
    up.said("log-level caller debug");
    get(up.address, "/say/hello").await;
    assert!(up.said("logs caller").contains("DEBUG caller: request answered"));
    up.said("log-level callee default");
    get(up.address, "/say/log").await;
    assert!(up.said("logs callee --lines 2000").lines().count() > before);
    assert_eq!(up.json("log-level callee --json")[0]["own"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rebuilt_is_swapped_and_what_does_not_fit_is_told() {
    let up = up(application(), &["--watch"], &[]);
    let before = up.version("callee");
    up.write("callee.wasm", &marked("callee", 1));
    up.logged(|line| line["message"] == "rebuilt and replaced");
    let after = up.version("callee");
    assert_ne!(before, after);
    up.write("callee.wasm", &std::fs::read(guest("streaming")).unwrap());
    let told = up.logged(|line| line["level"] == "WARN" && line["components"] == "callee");
    assert!(told["refusal"].as_str().unwrap().contains("test:guests/echo@1.0.0"), "{told}");
    assert_eq!(up.version("callee"), after);
    assert_eq!(get(up.address, "/double/21").await.body, "42");
}

#[test]
fn several_hosts_are_swapped_in_turn_and_go_back_together() {
    let token = [("CAIRN_OPERATOR_TOKEN", "a-token-for-the-operator")];
    let (first, second) = (up(application(), &[], &token), up(application(), &[], &token));
    first.write("token", b"a-token-for-the-operator\n");
    first.write("new.wasm", &marked("callee", 1));
    let both = format!("--operator {} --operator {} --operator-token-file token", first.operator, second.operator);
    let before = first.version("callee");

    let said = first.said(&format!("swap callee new.wasm {both}"));
    let after = first.version("callee");
    assert_eq!(second.version("callee"), after);
    let change = format!("callee: {} → {}\n", &before[..12], &after[..12]);
    assert_eq!(said.matches(&change).count(), 2, "{said}");
    assert!(said.starts_with(&format!("{}:\n", first.operator)), "{said}");
    let events = first.said(&format!("rollback callee {both} --json"));
    let hosts: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        hosts.iter().map(|event| event["host"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        [first.operator.to_string(), second.operator.to_string()]
    );
    assert_eq!((first.version("callee"), second.version("callee")), (before.clone(), before.clone()));

    // What the first one refuses, the others are not asked.
    second.write("odd.wasm", &marked("callee", 2));
    second.said("swap callee odd.wasm");
    let odd = second.version("callee");
    first.write("unfit.wasm", &std::fs::read(guest("streaming")).unwrap());
    let (code, words) = first.refused(&format!("swap callee unfit.wasm {both}"));
    assert!(code == 1 && words.contains(&first.operator.to_string()), "{words}");
    assert!(!words.contains(&second.operator.to_string()), "it was not asked: {words}");

    // One that has a canary under way refuses, and the first one goes back.
    second.write("canary.wasm", &marked("callee", 3));
    let mut canary = cairn(&second.dir, &["swap", "callee", "canary.wasm", "--canary", "10%", "--for", "10min"]);
    let mut canary = canary.spawn().unwrap();
    second.logged(|line| line["message"] == "canary begun");
    let (code, words) = first.refused(&format!("swap callee new.wasm {both}"));
    assert_eq!(code, 1, "{words}");
    assert!(words.contains(&format!("{}: a canary of callee is under way", second.operator)), "{words}");
    assert!(words.contains(&format!("{}: as it was before", first.operator)), "{words}");
    assert_eq!((first.version("callee"), second.version("callee")), (before.clone(), odd));
    canary.kill().unwrap();
    canary.wait().unwrap();

    // One that is away is noticed before anything is replaced.
    drop(second);
    let (_, words) = first.refused(&format!("swap callee new.wasm {both}"));
    assert!(words.contains("no host answers at"), "{words}");
    assert_eq!(first.version("callee"), before);
}

#[test]
fn keys_are_made_and_only_what_they_signed_runs() {
    let dir = application();
    let run = |line: &str| cairn(&dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
    assert!(run("keygen --key team.key").status.success());
    assert!(!run("keygen --key team.key").status.success(), "a key is not overwritten");
    let refused = run("up --listen 127.0.0.1:0 --operator 127.0.0.1:0 --trusted-keys team.key.pub");
    assert_eq!(refused.status.code(), Some(1));
    let words = text(&refused.stderr);
    assert!(words.contains("component \"callee\": it is not signed, and only signed components run here"), "{words}");

    for name in ["caller", "callee"] {
        assert!(run(&format!("sign {name}.wasm --key team.key")).status.success());
    }
    let up = up(dir, &["--trusted-keys", "team.key.pub"], &[]);
    up.write("new.wasm", &marked("callee", 1));
    let (code, words) = up.refused("swap callee new.wasm");
    assert!(code == 1 && words.contains("it is not signed"), "{words}");
    up.said("sign new.wasm --key team.key --output signed.wasm");
    assert!(up.said("swap callee signed.wasm").contains(" → "));
}
