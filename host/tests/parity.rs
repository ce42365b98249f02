//! Components as they are made for Spin, of this year and of earlier ones.

mod harness;

use harness::{postgres::server, *};
use host::{capability::variables::Sources, host::Running, service::Failure};

/// The older guest alone.
async fn older(dir: &TestDir, settings: &str) -> Running {
    start(dir, &manifest(&[("older", &guest("older"), "/...", settings)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_wasi_2_is_served_with_spins_headers_and_bodies_of_any_size() {
    let dir = TestDir::new();
    let running = start(&dir, &manifest(&[("older", &guest("older"), "/:what/...", "")])).await;
    let address = running.http_addr();
    assert_eq!(get(address, "/hello/...").await.body, "hello");
    let headers = get(address, "/headers/x?a=1").await.body;
    for expected in [
        "spin-path-info: /x\n",
        "spin-matched-route: /:what/...\n",
        "spin-component-route: /:what\n",
        "spin-path-match-what: headers\n",
        "spin-base-path: /\n",
        "/headers/x?a=1\n",
    ] {
        assert!(headers.contains(expected), "{expected} in {headers}");
    }
    assert_eq!(post(address, "/body", vec![b'x'; 300_000]).await.body, "300000");
    assert_eq!(get(address, "/large/3000000").await.body.len(), 3_000_000);
    assert_eq!(get(address, "/trap").await.status, 500);
    assert_eq!(get(address, "/again").await.body, "again", "a trap costs one request");
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffered_caller_reaches_a_component_of_wasi_2() {
    let dir = TestDir::new();
    let text = manifest(&[
        ("older", &guest("older"), "", ""),
        ("caller", &guest("caller"), "/...", ""),
        ("callee", &guest("callee"), "", ""),
    ]);
    let running = start(&dir, &text).await;
    assert_eq!(get(running.http_addr(), "/older/hello").await.body, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_stores_are_the_same_through_every_interface() {
    let dir = TestDir::new();
    let settings = "key_value_stores = [\"default\", \"fast\"]\n";
    let text = manifest(&[("older", &guest("older"), "/...", settings)])
        .replace("[application]\n", "[application]\ntool.cairn.memory_stores = [\"fast\"]\n");
    let running = start(&dir, &text).await;
    let address = running.http_addr();
    for store in ["default", "fast"] {
        let answer = get(address, &format!("/key-value/{store}")).await.body;
        assert_eq!(answer, r#"Some([49]) None true ["a"]"#, "{store}");
    }
    assert_eq!(get(address, "/key-value/other").await.body, "Error::AccessDenied");
    let expected = r#"[("x", Some([1])), ("y", None)] [3, -2] Some([9]) true Some([8]) ["a", "n", "x"]"#;
    assert_eq!(get(address, "/atomics").await.body, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_answers_through_the_older_interface() {
    let dir = TestDir::new();
    let running = older(&dir, "sqlite_databases = [\"default\"]\n").await;
    let answer = get(running.http_addr(), "/sqlite/default").await.body;
    assert_eq!(
        answer,
        r#"["id", "name", "size", "owner"] [[Value::Integer(1), Value::Text("stone"), Value::Real(1.5), Value::Null]]"#
    );
    assert_eq!(get(running.http_addr(), "/sqlite/other").await.body, "Error::AccessDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_answers_through_the_older_interfaces_with_the_types_they_know() {
    let Some(server) = server() else { return };
    let url = server.url("postgres");
    let place = url.split_once('@').and_then(|(_, place)| place.split_once('/')).unwrap().0;
    let dir = TestDir::new();
    let running = older(&dir, &format!("allowed_outbound_hosts = [\"postgres://{place}\"]\n")).await;
    let answer = get(running.http_addr(), &format!("/postgres2/{url}")).await.body;
    let expected = concat!(
        r#"[("n", DbDataType::Int64), ("t", DbDataType::Str), ("nothing", DbDataType::Str), ("d", DbDataType::Other)] "#,
        r#"[[DbValue::Int64(5), DbValue::Str("x"), DbValue::DbNull, DbValue::Unsupported]] "#,
        r#"Error::BadParameter("parameter $1: Postgres has no unsigned numbers; pass a signed one") 3"#
    );
    assert_eq!(answer, expected);
    let answer = get(running.http_addr(), &format!("/postgres3/{url}")).await.body;
    let expected = concat!(
        "[DbDataType::Int64, DbDataType::Str, DbDataType::Str, DbDataType::Date] ",
        r#"[[DbValue::Int64(5), DbValue::Str("x"), DbValue::DbNull, DbValue::Date((2026, 1, 2))]] "#,
        r#"Error::QueryFailed(""#
    );
    assert!(answer.starts_with(expected) && answer.contains("nothing"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_seen_through_the_older_interfaces() {
    let dir = TestDir::new();
    let text = manifest(&[(
        "older",
        &guest("older"),
        "/...",
        "[component.older.variables]\ngreeting = \"hello {{ name }}\"\n",
    )]) + "\n[variables]\nname = { required = true }\n";
    let running = host(&dir, &text).variables(Sources::none().with_values([("name", "world")])).start().await.unwrap();
    let address = running.http_addr();
    assert_eq!(get(address, "/variable/greeting").await.body, "hello world");
    assert!(get(address, "/variable/other").await.body.starts_with("Error::Undefined("));
    let expected = r#"Ok(Some("hello world")) Ok([("greeting", "hello world")])"#;
    assert_eq!(get(address, "/config/greeting").await.body, expected);
    assert!(get(address, "/config/No-Name").await.body.starts_with("Ok(None) "));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_granted_as_folders_single_files_and_patterns_without_what_is_excluded() {
    let dir = TestDir::new();
    std::fs::create_dir_all(dir.path().join("assets/drafts")).unwrap();
    for (name, text) in [("assets/a.txt", "A"), ("assets/drafts/b.txt", "B"), ("c.txt", "C"), ("d.css", "D")] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let files = r#"files = [{ source = "assets", destination = "/" }, { source = "c.txt", destination = "/deep/er/c2.txt" }, "*.css"]
exclude_files = ["assets/drafts/*"]
"#;
    let running = older(&dir, files).await;
    for (path, expected) in [("a.txt", "A"), ("deep/er/c2.txt", "C"), ("d.css", "D")] {
        assert_eq!(get(running.http_addr(), &format!("/file/{path}")).await.body, expected, "{path}");
    }
    for hidden in ["drafts/b.txt", "c.txt", "../spin.toml"] {
        let answer = get(running.http_addr(), &format!("/file/{hidden}")).await;
        assert!(answer.body.len() > 1, "{hidden} is seen: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outbound_requests_of_wasi_2_go_where_the_manifest_says_and_to_the_application_itself() {
    let dir = TestDir::new();
    let other = TestDir::new();
    let beside = start(&other, &manifest(&[("callee", &guest("callee"), "/...", "")])).await;
    let there = beside.http_addr();
    let settings =
        format!("allowed_outbound_hosts = [\"http://{there}\", \"http://*.spin.internal\", \"http://self\"]\n");
    let text = manifest(&[("older", &guest("older"), "/...", &settings), ("callee", &guest("callee"), "", "")]);
    let running = start(&dir, &text).await;
    let address = running.http_addr();
    assert_eq!(get(address, &format!("/get/{there}/hello")).await.body, "200 hello");
    assert_eq!(get(address, "/get/callee.spin.internal/hello").await.body, "200 hello");
    assert_eq!(get(address, "/own/here").await.body, "200 here");
    assert_eq!(get(address, "/relative/here").await.body, "200 here");
    assert_eq!(get(address, &format!("/get/{address}/x")).await.body, "ErrorCode::HttpRequestDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_grant_an_application_cannot_ask_itself() {
    let dir = TestDir::new();
    let running = older(&dir, "allowed_outbound_hosts = [\"http://127.0.0.1:1\"]\n").await;
    assert_eq!(get(running.http_addr(), "/own/here").await.body, "ErrorCode::HttpRequestDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_own_answers_and_the_health_address_need_no_component() {
    let dir = TestDir::new();
    let text = manifest(&[("older", &guest("older"), "/...", "")])
        + "\n[[trigger.http]]\nroute = \"/gone/...\"\nstatic_response = { status_code = 410, headers = { x-why = \"moved\" }, body = \"gone\" }\n";
    let running = start(&dir, &text).await;
    let answer = get(running.http_addr(), "/gone/far").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (410, "gone"));
    assert_eq!(answer.headers["x-why"], "moved");
    assert_eq!(get(running.http_addr(), "/.well-known/spin/health").await.body, "OK");
}

/// A component that imports a function without parameters and exports `go`, which calls it.
fn calling(interface: &str, result: &str) -> String {
    let (core, lifted) = if result.is_empty() { ("", "") } else { ("(result i64)", "(result u64)") };
    format!(
        r#"(component
            (import "{interface}" (instance $imported (export "f" (func {lifted}))))
            (core func $f (canon lower (func $imported "f")))
            (core module $m
                (import "host" "f" (func $f {core}))
                (func (export "go") {core} (call $f)))
            (core instance $i (instantiate $m (with "host" (instance (export "f" (func $f))))))
            (func $go {lifted} (canon lift (core func $i "go")))
            (instance $exported (export "go" (func $go)))
            (export "test:guests/thing@1.0.0" (instance $exported)))"#
    )
}

/// Starts one component, given as text.
async fn start_text(dir: &TestDir, wat: &str, settings: &str) -> Result<Running, String> {
    std::fs::write(dir.path().join("thing.wasm"), wat::parse_str(wat).unwrap()).unwrap();
    let text = manifest(&[("thing", "thing.wasm".as_ref(), "", settings)]);
    host(dir, &text).start().await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_the_host_does_not_have_is_refused_by_name() {
    let dir = TestDir::new();
    for (interface, settings, expected) in [
        ("wasi:nn/graph@0.2.0", "", "it imports \"wasi:nn/graph@0.2.0\", which this host does not have"),
        ("wasi:http/types@0.2.0-rc-2023-10-18", "", "it imports \"wasi:http/types@0.2.0-rc-2023-10-18\", which"),
        (
            "spin:redis/redis@3.0.0",
            "allowed_outbound_hosts = [\"redis://cache:6379\"]\n",
            "may connect to \"redis://cache:6379\"",
        ),
    ] {
        let refused = start_text(&dir, &calling(interface, ""), settings).await.err().unwrap();
        assert!(refused.contains("component \"thing\"") && refused.contains(expected), "{refused}");
    }
    std::fs::write(dir.path().join("core.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    let refused = start_error(&dir, &manifest(&[("core", "core.wasm".as_ref(), "", "")])).await.to_string();
    assert!(
        refused.contains("it is a core module and not a component: build it for the target wasm32-wasip2"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_without_any_grant_fails_only_the_call_that_uses_it() {
    let dir = TestDir::new();
    for interface in
        ["fermyon:spin/llm@2.0.0", "fermyon:spin/redis@2.0.0", "spin:mysql/mysql@3.0.0", "spin:mqtt/mqtt@3.0.0"]
    {
        let running = start_text(&dir, &calling(interface, ""), "").await.unwrap();
        let called = running.call("thing", "test:guests/thing@1.0.0", "go", vec![], 0).await;
        let Err(Failure::Trapped(error)) = called else { panic!("{interface}: {called:?}") };
        let expected = format!("{interface}#f was called, which this host does not have");
        assert!(format!("{error:?}").contains(&expected), "{error:?}");
        assert!(running.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_for_the_last_candidate_of_wasi_3_runs_on_the_release() {
    let dir = TestDir::new();
    let text = calling("wasi:clocks/monotonic-clock@0.3.0-rc-2026-03-15", "u64")
        .replace("\"f\" (func (result u64))", "\"now\" (func (result u64))")
        .replace("$imported \"f\"", "$imported \"now\"");
    let running = start_text(&dir, &text, "").await.unwrap();
    let called = running.call("thing", "test:guests/thing@1.0.0", "go", vec![], 1).await.unwrap();
    assert!(matches!(called.as_slice(), [wasmtime::component::Val::U64(now)] if *now > 0), "{called:?}");
}
