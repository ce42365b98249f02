//! What does not fit is refused, and told why; what ran goes on.
//!
//! The components are small ones in the text format: `web` calls `store`.

mod harness;

use harness::*;
use host::host::{Running, swap::Canary, swap::SwapError};
use std::time::Duration;
use wasmtime::component::Val;

/// `a:b/store@1.0.0`, whose function gives a multiple of its parameter.
fn store(times: u32) -> String {
    exporting("a:b/store@1.0.0", &format!("{}\n{}", double(times), nothing("spare")))
}

fn double(times: u32) -> String {
    format!(
        r#"(func (export "times") (param i32) (result i32) (i32.mul (local.get 0) (i32.const {times})))
           ;;type times async (param "number" u32) (result u32)"#
    )
}

fn nothing(name: &str) -> String {
    format!("(func (export \"{name}\"))\n;;type {name} async")
}

/// A component that exports an interface of these core functions. A comment after each
/// says which component type it has.
fn exporting(interface: &str, functions: &str) -> String {
    let mut lifted = String::new();
    let mut exports = String::new();
    for line in functions.lines().filter_map(|line| line.trim().strip_prefix(";;type ")) {
        let (name, ty) = line.split_once(' ').unwrap();
        lifted += &format!("(func ${name} {ty} (canon lift (core func $core \"{name}\")))\n");
        exports += &format!("(export \"{name}\" (func ${name}))\n");
    }
    format!(
        "(component
            (core module $module {functions}\n)
            (core instance $core (instantiate $module))
            {lifted}
            (instance $interface {exports})
            (export \"{interface}\" (instance $interface)))"
    )
}

/// Calls what it imports, and exports `a:b/web@1.0.0`.
fn web(import: &str) -> String {
    format!(
        r#"(component
            (import "{import}" (instance $store
                (export "times" (func async (param "number" u32) (result u32)))
                (export "spare" (func async))))
            (core func $times (canon lower (func $store "times")))
            (core module $module
                (import "store" "times" (func $times (param i32) (result i32)))
                (func (export "ask") (param i32) (result i32) (call $times (local.get 0))))
            (core instance $imports (export "times" (func $times)))
            (core instance $core (instantiate $module (with "store" (instance $imports))))
            (func $ask async (param "number" u32) (result u32) (canon lift (core func $core "ask")))
            (instance $interface (export "ask" (func $ask)))
            (export "a:b/web@1.0.0" (instance $interface)))"#
    )
}

fn bytes(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// `web` calls `store`; `other` stands beside them.
async fn running(dir: &TestDir) -> Running {
    let mut components = Vec::new();
    for (name, text) in [("web", web("a:b/store@1.0.0")), ("store", store(2)), ("other", "(component)".to_owned())] {
        let path = dir.path().join(format!("{name}.wasm"));
        std::fs::write(&path, bytes(&text)).unwrap();
        components.push((name, path));
    }
    let components: Vec<_> = components.iter().map(|(name, path)| (*name, path.as_path(), "", "")).collect();
    start(dir, &manifest(&components)).await
}

async fn ask(running: &Running, number: u32) -> u32 {
    let answer = running.call("web", "a:b/web@1.0.0", "ask", vec![Val::U32(number)], 1).await.unwrap();
    let [Val::U32(answer)] = answer[..] else { panic!("{answer:?}") };
    answer
}

/// What is said of a version in place of `component`, which goes on as it was.
async fn refused(component: &str, version: Vec<u8>) -> String {
    let dir = TestDir::new();
    let running = running(&dir).await;
    let before = current(&running, component);
    let problems = refusals(swap(&running, component, version).await);
    assert_eq!(current(&running, component), before);
    assert_eq!(ask(&running, 21).await, 42, "what ran goes on");
    let web = format!("web@{}", &current(&running, "web")[..8]);
    problems.join("\n").replace(&web, "web@<version>")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused() {
    let damaged = &bytes(&store(3))[..100];
    for (version, problem) in [
        (b"<html>".to_vec(), "store: it is not WebAssembly"),
        (bytes("(module)"), "store: it is a core module and not a component: build it for the target wasm32-wasip2"),
        (damaged.to_vec(), "store: it is no valid component: "),
        (vec![0; (64 << 20) + 1], "store: it has 67108865 bytes; at most 67108864 are accepted"),
    ] {
        let told = refused("store", version).await;
        assert!(told.starts_with(problem), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_not_granted_is_refused_with_the_grant_that_would_allow_it() {
    for (import, grant) in [
        ("spin:sqlite/sqlite@3.1.0", "sqlite_databases = [\"<label>\"]"),
        ("spin:key-value/key-value@3.0.0", "key_value_stores = [\"<label>\"]"),
        ("spin:variables/variables@3.0.0", "variables = { <name> = \"{{ <variable> }}\" }"),
        ("spin:postgres/postgres@4.2.0", "allowed_outbound_hosts = [\"postgres://<host>:<port>\"]"),
        ("wasi:http/client@0.3.0", "allowed_outbound_hosts = [\"https://<host>:<port>\"]"),
    ] {
        let version = bytes(&format!("(component (import \"{import}\" (instance)))"));
        assert_eq!(
            refused("other", version).await,
            format!(
                "other imports {import}, which it is not granted: add `{grant}` to `[component.other]` in spin.toml and restart, or build it without"
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_provides_is_refused() {
    let version = bytes("(component (import \"x:y/z@1.0.0\" (instance (export \"f\" (func)))))");
    assert_eq!(
        refused("other", version).await,
        "component \"other\" imports \"x:y/z@1.0.0\", which no component exports and the host does not provide"
    );
    let version = bytes("(component (import \"wasi:nn/graph@0.2.0\" (instance (export \"f\" (func)))))");
    let told = refused("other", version).await;
    assert!(told.contains("wasi:nn/graph@0.2.0"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_others_use_must_stay() {
    assert_eq!(
        refused("store", bytes("(component)")).await,
        "store does not export a:b/store@1.0.0, which web@<version> uses"
    );
    assert_eq!(
        refused("store", bytes(&store(2).replace("a:b/store@1.0.0", "a:b/store@2.0.0"))).await,
        "store does not export a:b/store@1.0.0, which web@<version> uses; a:b/store@2.0.0 is not compatible with it"
    );
    assert_eq!(
        refused("store", bytes(&exporting("a:b/store@1.0.0", &nothing("spare")))).await,
        "store does not export a:b/store@1.0.0#times, which web@<version> uses:\n    async func(number: u32) -> u32"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_others_use_keeps_its_type() {
    let wider =
        double(2).replace("(param i32)", "(param i64)").replace("(local.get 0)", "(i32.wrap_i64 (local.get 0))");
    let wider = wider.replace("\"number\" u32", "\"number\" u64");
    assert_eq!(
        refused("store", bytes(&exporting("a:b/store@1.0.0", &format!("{wider}\n{}", nothing("spare"))))).await,
        "store exports a:b/store@1.0.0#times, which web@<version> uses, with another type:\n    \
         async func(number: u32) -> u32\n  has become\n    async func(number: u64) -> u32"
    );
    let renamed = store(2).replace("\"number\"", "\"count\"");
    let told = refused("store", bytes(&renamed)).await;
    assert!(told.ends_with("has become\n    async func(count: u32) -> u32"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compatible_later_version_of_an_interface_takes_its_place() {
    let dir = TestDir::new();
    let running = running(&dir).await;
    let caller = running.registry().get("web").unwrap().current().unwrap();
    let more = format!("{}\n{}\n{}", double(3), nothing("spare"), nothing("more"));
    swap(&running, "store", bytes(&exporting("a:b/store@1.2.0", &more))).await.unwrap();
    assert_eq!(ask(&running, 21).await, 63, "who calls it is linked anew");
    let linked = running.registry().get("web").unwrap().current().unwrap();
    assert_eq!(caller.compiled.hash, linked.compiled.hash);
    running.swapper().roll_back("store").await.unwrap();
    assert_eq!(ask(&running, 21).await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_only_together_is_replaced_together() {
    let dir = TestDir::new();
    let running = running(&dir).await;
    let (web, store) = (web("a:b/store@2.0.0"), store(5).replace("a:b/store@1.0.0", "a:b/store@2.0.0"));
    refusals(swap(&running, "web", bytes(&web)).await);
    refusals(swap(&running, "store", bytes(&store)).await);
    swap_all(&running, [("web", bytes(&web)), ("store", bytes(&store))], None).await.unwrap();
    assert_eq!(ask(&running, 21).await, 105);
    assert_eq!(running.swapper().roll_back("store").await.unwrap().len(), 2);
    assert_eq!(ask(&running, 21).await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_may_move_from_one_component_to_another() {
    let dir = TestDir::new();
    let running = running(&dir).await;
    swap_all(&running, [("store", bytes("(component)")), ("other", bytes(&store(7)))], None).await.unwrap();
    assert_eq!(ask(&running, 21).await, 147);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_of_two_components_is_refused() {
    assert_eq!(
        refused("other", bytes(&store(2))).await,
        "component \"web\" imports \"a:b/store@1.0.0\", which several components export: other, store"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_components_is_refused() {
    let circle = store(2).replace(
        "(component\n",
        "(component (import \"a:b/web@1.0.0\" (instance (export \"ask\" (func async (param \"number\" u32) (result u32)))))\n",
    );
    assert_eq!(refused("store", bytes(&circle)).await, "components call each other in a circle: store, web");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_cannot_pass_between_components() {
    let dir = TestDir::new();
    let running = running(&dir).await;
    let importing = bytes(
        "(component (type $bytes (stream u8))
            (import \"a:b/pipe@1.0.0\" (instance (export \"f\" (func async (param \"from\" (stream u8)))))))",
    );
    let exporting = bytes(
        "(component
            (core module $module (func (export \"f\") (param i32)))
            (core instance $core (instantiate $module))
            (type $bytes (stream u8))
            (func $f async (param \"from\" $bytes) (canon lift (core func $core \"f\")))
            (instance $interface (export \"f\" (func $f)))
            (export \"a:b/pipe@1.0.0\" (instance $interface)))",
    );
    let problems = refusals(swap_all(&running, [("other", importing), ("store", exporting)], None).await);
    let streams = "a:b/pipe@1.0.0#f: component \"other\" imports it with resources, streams or futures, which cannot pass between components: async func(from: stream<u8>)";
    assert!(problems.iter().any(|problem| problem == streams), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_traps_when_it_starts_is_refused() {
    let version = bytes(
        "(component (core module $module (func $f unreachable) (start $f)) (core instance (instantiate $module)))",
    );
    let told = refused("other", version).await;
    assert!(told.starts_with("other: it does not start: ") && told.contains("unreachable"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_prepare_itself_is_refused() {
    let version = bytes(
        r#"(component
            (core module $module
                (memory (export "memory") 1)
                (data (i32.const 0) "\01\00\00\00\10\00\00\00\16\00\00\00")
                (data (i32.const 16) "migration 0002 failed!")
                (func (export "prepare") (result i32) (i32.const 0)))
            (core instance $core (instantiate $module))
            (alias core export $core "memory" (core memory $memory))
            (func $prepare async (result (result (error string)))
                (canon lift (core func $core "prepare") (memory $memory)))
            (instance $lifecycle (export "prepare" (func $prepare)))
            (export "cairn:lifecycle/lifecycle@1.0.0" (instance $lifecycle)))"#,
    );
    assert_eq!(refused("other", version).await, "other: it could not be prepared: migration 0002 failed!");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_serves_http_must_go_on_doing_so() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    assert_eq!(
        refusals(swap(&running, "callee", bytes("(component)")).await),
        [
            "callee serves HTTP now, and this version does not: it exports none of cairn:http/handler@1.0.0, wasi:http/handler@0.3.0 and wasi:http/incoming-handler@0.2.0"
        ]
    );
    let streaming = std::fs::read(guest("streaming")).unwrap();
    swap(&running, "callee", streaming).await.unwrap();
    assert_eq!(get(running.http_addr(), "/through-streams").await.body, "/through-streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_makes_no_sense_is_refused() {
    let dir = TestDir::new();
    let running = running(&dir).await;
    let again = || ("store", bytes(&store(3)));
    assert_eq!(refusals(swap_all(&running, [again(), again()], None).await), ["store is named twice"]);
    assert_eq!(refusals(swap_all(&running, [], None).await), ["name 1 to 64 components to replace"]);
    for share_percent in [0, 100] {
        let canary = Canary { share_percent, hold: Duration::from_secs(1) };
        assert_eq!(refusals(swap_all(&running, [again()], Some(canary)).await), ["the share of a canary is 1 to 99 %"]);
    }
    let nobody = swap(&running, "nobody", bytes(&store(3))).await;
    assert_eq!(nobody, Err(SwapError::NoComponent("nobody".to_owned())));
}
