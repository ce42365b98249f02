//! One behaviour each: a manifest, and what it becomes or which problems it has.

use proptest::prelude::*;

use super::*;

/// Has every key there is.
const WHOLE: &str = r#"
spin_manifest_version = 2

[application]
name = "shop"
version = "1.2.0"
description = "A shop"
authors = ["A <a@example.com>"]

[application.trigger.http]
base = "/"

[application.tool.cairn]
memory_stores = ["sessions"]

[variables]
api_url = { default = "https://api.example.com" }
api_key = { required = true, secret = true, description = "From the provider" }

[[trigger.http]]
id = "front"
route = "/shop/:item/..."
component = "web"
executor = { type = "http" }

[[trigger.http]]
route = { private = true }
component = "stock-keeper"

[component.web]
source = "target/web-composed.wasm"
description = "What customers see"
key_value_stores = ["sessions", "default"]
sqlite_databases = ["web", "stock"]
allowed_outbound_hosts = ["{{ api_url }}", "https://*.example.com:8443"]
environment = { LANG = "en" }
files = ["assets/**/*.css", { source = "public", destination = "/static" }]
exclude_files = ["assets/drafts/**/*"]

[component.web.variables]
url = "{{ api_url }}/v1"
key = "{{ api_key }}"
stock_limit = "7"

[component.web.build]
command = ["cargo build", "wac plug"]
workdir = "web"
watch = ["src/**/*.rs"]

[component.web.tool.cairn]
source = "target/web.wasm"
sqlite_databases = ["web"]
variables = ["url", "key"]
limits = { memory = "128MiB", concurrency = 8, queue = 0, request_time = "10s", cpu_time = "500ms", instance_requests = 100, body = "1MiB", statement_time = "2min", query_rows = 500, query_bytes = "2MiB", outbound_requests = 3, outbound_connections = 2, key_bytes = "64B", value_bytes = "8KiB" }
schedule = [{ cron = "*/15  * * * *", path = "/_jobs/expire", utc_offset = "+05:30" }]

[component.web.tool.other]
anything = true

[component.stock-keeper]
source = "stock.wasm"
build.command = "make"
"#;

const HEAD: &str = "spin_manifest_version = 2\napplication.name = \"app\"\n";

fn good(rest: &str) -> Application {
    parse(&format!("{HEAD}{rest}"), Path::new("/app")).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Problems of a manifest with two lines before `rest`.
fn check(rest: &str, expected: &str) {
    let problems = parse(&format!("{HEAD}{rest}"), Path::new("/app")).unwrap_err();
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn a_whole_manifest_becomes_an_application() {
    let application = parse(WHOLE, Path::new("/app")).unwrap();
    let text = |list: &[&str]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };

    assert_eq!((application.name.as_str(), application.version.as_str()), ("shop", "1.2.0"));
    assert_eq!(application.dir, Path::new("/app"));
    assert_eq!(application.memory_stores, ["sessions"]);
    let key = &application.variables["api_key"];
    assert!(key.required && key.secret && key.default.is_none());
    assert_eq!(application.variables["api_url"].default.as_deref(), Some("https://api.example.com"));

    let routes: Vec<_> = application.triggers.iter().map(|t| (&t.route, &t.target)).collect();
    let shop = Route::Public("/shop/:item/...".to_owned());
    let component = |id: &str| Target::Component(id.to_owned());
    assert_eq!(routes, [(&shop, &component("web")), (&Route::Private, &component("stock-keeper"))]);

    let web = application.component("web").unwrap();
    assert_eq!(web.source, Source::File("target/web.wasm".into()));
    assert_eq!(web.description, "What customers see");
    assert_eq!(web.sqlite_databases, ["web"]);
    assert_eq!(web.key_value_stores, ["sessions", "default"]);
    assert_eq!(web.allowed_outbound_hosts, ["{{ api_url }}", "https://*.example.com:8443"]);
    assert_eq!(web.environment["LANG"], "en");
    let variables: Vec<_> = web.variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("key", "{{ api_key }}"), ("url", "{{ api_url }}/v1")]);
    assert_eq!(web.exclude_files, ["assets/drafts/**/*"]);
    let files: Vec<_> = web
        .files
        .iter()
        .map(|files| (files.source.to_str().unwrap(), files.destination.as_str(), files.pattern))
        .collect();
    assert_eq!(files, [("assets/**/*.css", "/", true), ("public", "/static", false)]);
    let build = Build {
        command: text(&["cargo build", "wac plug"]),
        workdir: Some(PathBuf::from("web")),
        watch: text(&["src/**/*.rs"]),
    };
    assert_eq!(web.build, Some(build));
    let limits = Limits {
        memory_bytes_max: 128 << 20,
        concurrency_max: 8,
        queue_max: 0,
        request_time_max: Duration::from_secs(10),
        cpu_time_max: Duration::from_millis(500),
        instance_requests_max: 100,
        body_bytes_max: 1 << 20,
        statement_time_max: Duration::from_secs(120),
        query_rows_max: 500,
        query_bytes_max: 2 << 20,
        outbound_requests_max: 3,
        outbound_connections_max: 2,
        key_bytes_max: 64,
        value_bytes_max: 8 << 10,
    };
    assert_eq!(web.limits, limits);
    let job = Job { cron: "*/15  * * * *".to_owned(), path: "/_jobs/expire".to_owned(), utc_offset_minutes: 330 };
    assert_eq!(web.schedule, [job]);

    let stock = &application.components[1];
    assert_eq!(stock.id, "stock-keeper");
    assert_eq!(stock.build.as_ref().unwrap().command, ["make"]);
    assert_eq!(stock.limits, Limits::default());
}

#[test]
fn components_keep_the_order_of_the_file() {
    let application = good("component.b.source = \"b\"\ncomponent.c.source = \"c\"\ncomponent.a.source = \"a\"");
    let ids: Vec<_> = application.components.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["b", "c", "a"]);
}

#[test]
fn lists_of_our_own_replace_those_that_spin_reads_even_by_nothing() {
    let application = good(
        r#"
        [component.a]
        source = { url = "https://example.com/a.wasm", digest = "sha256:00" }
        key_value_stores = ["default"]
        allowed_outbound_hosts = ["*://*:*"]
        variables = { x = "1" }
        [component.a.tool.cairn]
        source = "a.wasm"
        key_value_stores = []
        allowed_outbound_hosts = []
        variables = []
        "#,
    );
    let a = &application.components[0];
    assert_eq!(a.source, Source::File("a.wasm".into()));
    assert!(a.key_value_stores.is_empty() && a.allowed_outbound_hosts.is_empty() && a.variables.is_empty());
}

#[test]
fn a_source_at_a_url_has_a_digest_and_is_reached_safely() {
    let digest = format!("sha256:{}", "0A".repeat(32));
    let source = |url: &str| {
        let application = good(&format!("component.a.source = {{ url = \"{url}\", digest = \"{digest}\" }}"));
        application.components[0].source.clone()
    };
    for url in
        ["https://example.com/a.wasm?x=1", "http://127.0.0.1:8000/a.wasm", "http://localhost/a", "http://[::1]/a"]
    {
        let expected = Remote { url: url.parse().unwrap(), sha256: "0a".repeat(32) };
        assert_eq!(source(url), Source::Remote(expected));
    }
    check(
        r#"component.a.source = { url = "http://example.com/a.wasm", digest = "sha256:00" }
component.b.source = { url = "https://key@example.com/a.wasm", digest = "md5:00", size = 1 }
component.c.source = { url = "file:///a.wasm" }
component.d.source = { registry = "ttl.sh", package = "a:b", version = "1.0.0" }
component.e.source = 7"#,
        "spin.toml:3:30: the URL \"http://example.com/a.wasm\" is not encrypted; only a server on this machine may be reached by `http`, so use `https`\n\
         spin.toml:3:68: digest \"sha256:00\" must be `sha256:` and the file's SHA-256 in 64 hexadecimal digits\n\
         spin.toml:4:30: the URL \"https://key@example.com/a.wasm\" has a user name; leave credentials out of it\n\
         spin.toml:4:73: digest \"md5:00\" must be `sha256:` and the file's SHA-256 in 64 hexadecimal digits\n\
         spin.toml:4:83: the source of component `b` has no key `size`; remove it\n\
         spin.toml:5:22: the source of component `c` has no `digest`; add `digest = \"sha256:…\"`\n\
         spin.toml:5:30: the URL \"file:///a.wasm\" cannot be understood\n\
         spin.toml:6:22: the source of component `d` is in a registry, which is not supported; give its `url` and `digest`\n\
         spin.toml:7:22: `source` of component `e` must be a string, not an integer",
    );
}

#[test]
fn a_dozen_mistakes_are_reported_at_once() {
    let text = r#"spin_manifest_version = 1

[application]
name = "app"
verson = "1.0.0"

[variables]
token = { secret = true }

[[trigger.http]]
route = "users"
component = "web"

[[trigger.redis]]
channel = "c"

[component.web]
source = { url = "https://example.com/web.wasm" }
sqlite_databases = "web"
allowed_outbound_hosts = ["example.com"]
variables = { key = "{{ tokn }}" }
ai_models = ["m"]

[component.web.tool.cairn]
limits = { memory = "64" }
schedule = [{ cron = "61 * * * *", path = "/x" }]
"#;
    let problems = parse(text, Path::new("/app")).unwrap_err();
    assert_eq!(problems.count(), 12);
    let expected = r#"
spin.toml:1:25: only version 2 is supported; begin with `spin_manifest_version = 2`
spin.toml:5:1: `[application]` has no key `verson`; did you mean `version`?
spin.toml:8:1: variable `token` has no value to start from; add `default = "…"` or `required = true`
spin.toml:11:9: route "users" must begin with `/`
spin.toml:14:11: `redis` triggers are not supported: this host serves HTTP; use `[[trigger.http]]`
spin.toml:18:10: the source of component `web` has no `digest`; add `digest = "sha256:…"`
spin.toml:19:20: `sqlite_databases` of component `web` must be a list of strings, not a string
spin.toml:20:27: "example.com" has no scheme; write `scheme://host:port`, such as `https://api.example.com`
spin.toml:21:21: there is no variable `tokn`; did you mean `token`?
spin.toml:22:1: `ai_models` of component `web` is not supported: this host runs no models; remove it
spin.toml:25:21: `memory` of `limits` of component `web` cannot be "64"; give 1048576 to 4294967296 bytes with a unit, such as "64MiB"
spin.toml:26:22: cron "61 * * * *" has "61" as its minute, which takes 0 to 59: numbers, `a-b`, `*`, `*/n`, `a-b/n` and lists of them
"#;
    assert_eq!(problems.to_string(), expected.trim());
}

#[test]
fn mistakes_of_the_toml_itself_come_with_the_others() {
    check(
        "[component.a]\nsource = a.wasm\nsorce = 1\n\n[component.a]\nsource = \"b\"\n",
        "spin.toml:4:10: not valid TOML: string values must be quoted, expected literal string\n\
         spin.toml:5:1: component `a` has no key `sorce`; did you mean `source`?\n\
         spin.toml:7:12: this key or table is already defined above; remove or rename one of them\n\
         spin.toml:8:1: this key or table is already defined above; remove or rename one of them",
    );
}

#[test]
fn what_only_follows_from_broken_toml_is_not_reported_on_top_of_it() {
    check(
        "[[trigger.http]]\nroute = \"/\"\ncomponent =\n[component.a]\nsource = \"a\"\n",
        "spin.toml:5:12: not valid TOML: string values must be quoted, expected literal string",
    );
}

#[test]
fn a_manifest_without_its_beginning_says_how_to_begin() {
    let problems = parse("", Path::new(".")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "spin.toml:1:1: only version 2 is supported; begin with `spin_manifest_version = 2`\n\
         spin.toml:1:1: there is no `[application]`; add one with a `name`"
    );
}

#[test]
fn an_application_needs_a_name() {
    let problems = parse("spin_manifest_version = 2\n[application]\n", Path::new(".")).unwrap_err();
    assert_eq!(problems.to_string(), "spin.toml:2:1: `[application]` has no `name`; add `name = \"my-app\"`");
}

#[test]
fn a_trigger_names_a_component_that_exists() {
    check(
        "[[trigger.http]]\nroute = \"/a\"\ncomponent = \"wep\"\n[[trigger.http]]\nroute = \"/b\"\ncomponent = \"other\"\n[component.web]\nsource = \"w\"",
        "spin.toml:5:13: there is no component `wep`; did you mean `web`?\n\
         spin.toml:8:13: there is no component `other`; add `[component.other]`",
    );
}

#[test]
fn a_trigger_to_a_component_that_is_itself_wrong_is_no_further_mistake() {
    check(
        "[[trigger.http]]\nroute = \"/a\"\ncomponent = \"web\"\n[component.web]\n",
        "spin.toml:6:12: component `web` has no `source`; add `source = \"path/to/file.wasm\"`",
    );
}

#[test]
fn a_trigger_needs_a_component_and_a_route() {
    check(
        "[[trigger.http]]\n",
        "spin.toml:3:1: this trigger has no `component`; add `component = \"<id>\"`\n\
         spin.toml:3:1: this trigger has no `route`; write a path such as \"/...\", or `{ private = true }`",
    );
}

#[test]
fn what_spin_allows_in_a_trigger_and_this_host_does_not_is_refused_by_name() {
    check(
        r#"[[trigger.http]]
route = { private = false }
executor = { type = "wagi", argv = "x" }
components = { x = ["y"] }
component = "web"
static_response = { status_code = 99, headers = { "a b" = "c" } }
[component.web]
source = "w.wasm"
"#,
        "spin.toml:3:1: this trigger has both a `component` and a `static_response`; remove one of them\n\
         spin.toml:4:9: a route cannot be this; write a path such as \"/...\", or `{ private = true }`\n\
         spin.toml:5:21: executor `wagi` is not supported: use a WASI HTTP component\n\
         spin.toml:6:1: `components` of this trigger is not supported: compose the component when it is built\n\
         spin.toml:8:35: `status_code` of `static_response` of this trigger is not within 200 to 599\n\
         spin.toml:8:51: `a b` cannot be the name of a header",
    );
}

#[test]
fn a_component_may_be_written_out_in_its_trigger() {
    let application = good(
        r#"[[trigger.http]]
id = "front"
route = "/a"
component = { source = "a.wasm", key_value_stores = ["default"] }
[[trigger.http]]
route = "/b"
component = { source = "b.wasm" }
"#,
    );
    let ids: Vec<_> = application.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, ["front-component", "http-trigger1-component"]);
    assert_eq!(application.triggers[0].target, Target::Component("front-component".to_owned()));
    assert_eq!(application.components[0].key_value_stores, ["default"]);
}

#[test]
fn the_manifest_may_spell_out_an_answer() {
    let application = good(
        "[[trigger.http]]\nroute = \"/gone\"\nstatic_response = { status_code = 410, headers = { x-why = \"moved\" }, body = \"gone\" }",
    );
    let Target::Response(response) = &application.triggers[0].target else { panic!("no response") };
    assert_eq!((response.status.as_u16(), response.body.as_str()), (410, "gone"));
    assert_eq!(response.headers["x-why"], "moved");
}

#[test]
fn what_asks_for_nothing_is_no_reason_to_refuse_and_old_lists_of_hosts_are_read() {
    let application = good(
        r#"[component.a]
source = "a.wasm"
ai_models = []
dependencies = {}
allowed_http_hosts = ["example.com", "http://127.0.0.1:8080", "self"]
targets = ["spin-up:3.2"]
profile.debug.source = "debug.wasm"
[component.a.tool.other]
anything = true
"#,
    );
    let expected =
        ["http://example.com", "https://example.com", "http://127.0.0.1:8080", "https://127.0.0.1:8080", "http://self"];
    assert_eq!(application.components[0].allowed_outbound_hosts, expected);
    assert_eq!(application.components[0].source, Source::File("a.wasm".into()));
}

#[test]
fn routes_that_cannot_be_told_apart_are_refused() {
    check(
        r#"component.a.source = "a"
trigger.http = [
  { route = "/x", component = "a" },
  { route = "/x", component = "a" },
  { route = "/u/:id", component = "a" },
  { route = "/u/:name", component = "a" },
  { route = "/u/me", component = "a" },
  { route = { private = true }, component = "a" },
  { route = { private = true }, component = "a" },
]
"#,
        "spin.toml:6:13: route \"/x\" is taken already; change or remove one\n\
         spin.toml:8:13: route \"/u/:name\" takes the same paths as \"/u/:id\"; change or remove one\n\
         spin.toml:11:13: component `a` has a private route already; remove this one",
    );
}

#[test]
fn a_variable_has_either_a_default_or_must_be_set() {
    check(
        "[variables]\na = { required = true, default = \"x\" }\nb = {}\nc = \"x\"\nD = { required = true }\n",
        "spin.toml:4:1: variable `a` is required and has a default; remove one of them\n\
         spin.toml:5:1: variable `b` has no value to start from; add `default = \"…\"` or `required = true`\n\
         spin.toml:6:5: variable `c` must be a table, such as `{ default = \"…\" }` or `{ required = true }`\n\
         spin.toml:7:1: `D` cannot name a variable; use lower_snake_case",
    );
}

#[test]
fn templates_name_declared_variables_wherever_they_stand() {
    check(
        r#"[variables]
url = { default = "x" }
[component.a]
source = "a"
allowed_outbound_hosts = ["{{ ulr }}", "https://{{ url }}:1", "https://{{ url"]
variables = { x = "{{ missing }}", y = "{{ }}" }
[component.a.tool.cairn]
variables = ["x", "z"]
"#,
        "spin.toml:7:27: there is no variable `ulr`; did you mean `url`?\n\
         spin.toml:7:63: `{{` has no `}}`; close it, as in `{{ name }}`\n\
         spin.toml:8:19: there is no variable `missing`; add `missing` under `[variables]`\n\
         spin.toml:8:40: `{{ }}` names no variable; write its name, as in `{{ name }}`\n\
         spin.toml:10:19: component `a` has no variable `z`; remove it",
    );
}

#[test]
fn ids_and_labels_have_the_form_that_spin_asks_for() {
    check(
        "[component.my_web]\nsource = \"a\"\nkey_value_stores = [\"a b\", \"ok\", \"ok\"]\n",
        "spin.toml:3:12: `my_web` cannot be the id of a component; use kebab-case\n\
         spin.toml:5:21: `a b` cannot be a label; use kebab-case or snake_case\n\
         spin.toml:5:34: `ok` is in the list already; remove it",
    );
}

#[test]
fn dependencies_are_for_the_build() {
    check(
        "[component.a]\nsource = \"a\"\n[component.a.dependencies]\n\"x:y/z\" = \"1\"\n",
        "spin.toml:5:14: `dependencies` of component `a` is not supported: compose the component with what it needs when it is built",
    );
}

#[test]
fn files_are_left_out_where_the_manifest_is_in_the_current_folder_too() {
    // Tests run in the folder of their package.
    let text = r#"component.a = { source = "a", files = ["src/manifest/*.rs", { source = "src/manifest", destination = "/m" }], exclude_files = ["src/manifest/t*.rs"] }"#;
    let application = parse(&format!("{HEAD}{text}"), Path::new(".")).unwrap();
    let mounted = application.mounted_files(&application.components[0]).unwrap();
    let seen: Vec<_> = mounted.iter().map(|file| file.destination.as_str()).collect();
    assert!(seen.contains(&"/src/manifest/files.rs") && seen.contains(&"/m/files.rs"), "{seen:?}");
    assert!(!seen.iter().any(|path| path.ends_with("tests.rs")), "{seen:?}");
}

#[test]
fn limits_have_units_bounds_and_no_other_keys() {
    check(
        r#"[component.a]
source = "a"
[component.a.tool.cairn.limits]
memory = 64
concurrency = 0
queue = "many"
request_time = "0s"
memroy = "64MiB"
"#,
        "spin.toml:6:10: `memory` of `limits` of component `a` must be a string with a unit, such as \"64MiB\", not an integer\n\
         spin.toml:7:15: `concurrency` of `limits` of component `a` is not within 1 to 10000\n\
         spin.toml:8:9: `queue` of `limits` of component `a` must be a whole number, not a string\n\
         spin.toml:9:16: `request_time` of `limits` of component `a` cannot be \"0s\"; give 1ms to 24h with a unit (ms, s, min, h), such as \"30s\"\n\
         spin.toml:10:1: `limits` of component `a` has no key `memroy`; did you mean `memory`?",
    );
}

#[test]
fn a_job_has_a_time_and_a_path_and_comes_once() {
    check(
        r#"[component.a]
source = "a"
[component.a.tool.cairn]
schedule = [
  { path = "/x" },
  { cron = "0 0 31 2 *", path = "x", utc_offset = "5:30" },
  { cron = "* * * * *", path = "/x" },
  { cron = "* * * * *", path = "/x", every = "1h" },
]
"#,
        "spin.toml:7:3: a job of component `a` has no `cron`; add `cron = \"*/15 * * * *\"`\n\
         spin.toml:8:12: cron \"0 0 31 2 *\" never comes; no month of it has such a day\n\
         spin.toml:8:33: path \"x\" must begin with `/` and hold no spaces\n\
         spin.toml:8:51: utc_offset cannot be \"5:30\"; write \"+05:30\" or \"Z\"\n\
         spin.toml:10:3: this job is in the schedule already; remove it\n\
         spin.toml:10:38: a job of component `a` has no key `every`; remove it",
    );
}

#[test]
fn files_stay_below_the_manifest_and_inside_the_component() {
    check(
        r#"[component.a]
source = "a"
files = ["../x", "/etc/passwd", "a/[b", ".", { source = "x", destination = "y" }, { source = "x" }, 7]
"#,
        "spin.toml:5:10: \"../x\" leaves the folder of the manifest; use `{ source, destination }`\n\
         spin.toml:5:18: \"/etc/passwd\" must be a path relative to the manifest\n\
         spin.toml:5:33: \"a/[b\" is no valid pattern: invalid range pattern\n\
         spin.toml:5:41: \".\" names a folder; write `**/*`, or use `{ source, destination }`\n\
         spin.toml:5:76: destination \"y\" must be an absolute path in the component without `..`, such as \"/\"\n\
         spin.toml:5:83: an entry in `files` of component `a` has no `destination`; add `destination = \"/\"`\n\
         spin.toml:5:101: `files` of component `a` must be a list of strings and tables, not an integer",
    );
}

#[test]
fn a_store_in_memory_is_one_that_a_component_uses() {
    check(
        "application.tool.cairn.memory_stores = [\"limit\"]\ncomponent.a = { source = \"a\", key_value_stores = [\"limits\"] }",
        "spin.toml:3:41: no component uses a key-value store `limit`; did you mean `limits`?",
    );
}

#[test]
fn columns_count_characters() {
    check(
        "component.a = { description = \"é\", sourc = \"a\", source = \"a\" }",
        "spin.toml:3:36: component `a` has no key `sourc`; did you mean `source`?",
    );
}

#[test]
fn files_that_are_missing_are_all_named_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("here.wasm"), "").unwrap();
    let manifest = dir.path().join("app.toml");
    let text = "[component.a]\nsource = \"here.wasm\"\nfiles = [{ source = \"none\", destination = \"/\" }, \"none.txt\", \"none/*\"]\n[component.b]\nsource = \"gone.wasm\"\n[component.c]\nsource = \".\"\n";
    std::fs::write(&manifest, format!("{HEAD}{text}")).unwrap();
    let application = load(&manifest).unwrap();
    let problems = application.check_files().unwrap_err().to_string();
    let (file, dir) = (manifest.display(), dir.path().display());
    assert_eq!(
        problems,
        format!(
            "{file}:5:10: component `a`: {dir}/none: No such file or directory (os error 2)\n\
             {file}:5:50: component `a`: {dir}/none.txt does not exist\n\
             {file}:7:10: component `b`: {dir}/gone.wasm: No such file or directory (os error 2); build the component first\n\
             {file}:9:10: component `c`: {dir}/. is no file; give the path of a `.wasm` file"
        )
    );
}

#[test]
fn a_component_sees_the_files_that_match_and_are_not_excluded() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a.css", "css/b.css", "css/old/c.css", "css/d.txt", "public/x/y.html", "public/z.html", "docs/n/e.md"]
    {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    std::fs::write(dir.path().join("a.wasm"), "").unwrap();
    let text = r#"
        [component.a]
        source = "a.wasm"
        files = ["**/*.css", "docs", { source = "public", destination = "/www/" }, { source = "css/d.txt", destination = "/d" }]
        exclude_files = ["css/old/*", "**/z.html"]
    "#;
    let application = parse(&format!("{HEAD}{text}"), dir.path()).unwrap();
    application.check_files().unwrap();
    let files = application.mounted_files(&application.components[0]).unwrap();
    let seen: Vec<_> = files
        .iter()
        .map(|file| (file.destination.as_str(), file.source.strip_prefix(dir.path()).unwrap().to_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("/a.css", "a.css"),
            ("/css/b.css", "css/b.css"),
            ("/d", "css/d.txt"),
            ("/docs/n/e.md", "docs/n/e.md"),
            ("/www/x/y.html", "public/x/y.html"),
        ]
    );
}

#[test]
fn a_manifest_that_cannot_be_read_is_a_problem_too() {
    let problems = load(Path::new("/nonexistent/spin.toml")).unwrap_err();
    assert_eq!(problems.to_string(), "/nonexistent/spin.toml: cannot be read: No such file or directory (os error 2)");
}

proptest! {
    #[test]
    fn a_damaged_manifest_is_read_or_refused_with_places_in_it(
        start in 0..WHOLE.len(),
        length in 0..60usize,
        put in "[\\[\\]{}=\"'#.,a-c0-9 \n\u{e9}]{0,6}",
    ) {
        let end = (start + length).min(WHOLE.len());
        let (Some(head), Some(tail)) = (WHOLE.get(..start), WHOLE.get(end..)) else {
            return Ok(());
        };
        let text = format!("{head}{put}{tail}");
        let lines_max = u32::try_from(text.lines().count()).unwrap() + 1;
        if let Err(problems) = parse(&text, Path::new("/app")) {
            prop_assert!(problems.count() > 0);
            for problem in problems.iter() {
                prop_assert!((1..=lines_max).contains(&problem.at.line), "{}", problems);
                prop_assert!(problem.at.column >= 1 && !problem.message.is_empty());
            }
        }
    }
}
