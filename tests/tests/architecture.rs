//! The house rules, held against what is built and written.
//!
//! What a reader is promised in `ARCHITECTURE.md` and `docs/` is checked here rather than
//! believed: who calls whom, who may open what, what each folder is made of, and which
//! words have no business where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use host::{
    compiler::Compiler,
    component::{Compiled, Interfaces},
    engine, manifest,
    precompiled::CompiledCache,
};

const COMPONENTS: [&str; 9] =
    ["admin", "batch", "booking", "content", "gateway", "notification", "payment", "trek", "user"];
const FILE_LINES_MAX: usize = 900;

/// Packages that are between a component and its host.
const HOST_PACKAGES: [&str; 3] = ["cairn:http/", "cairn:jobs/", "cairn:lifecycle/"];

type Graph = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The built component of a service.
fn built(service: &str) -> Compiled {
    let path = root().join(format!("target/wasm32-wasip2/component/cairn_{service}.wasm"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run `cargo xtask build`", path.display()));
    let cache = CompiledCache::open(&std::env::temp_dir().join("cairn-test-compiled"), Compiler::in_process()).unwrap();
    Compiled::new(engine::shared().unwrap(), &cache, &bytes).unwrap()
}

/// The services whose functions these are. An interface of types alone calls nobody.
fn services(interfaces: &Interfaces) -> BTreeSet<String> {
    let called = interfaces.iter().filter(|(_, interface)| !interface.functions.is_empty()).map(|(name, _)| name);
    let between = called.filter(|name| !HOST_PACKAGES.iter().any(|package| name.starts_with(package)));
    between.filter_map(|name| Some(name.strip_prefix("cairn:")?.split_once('/')?.0.to_owned())).collect()
}

/// Files below a folder of the workspace, by path from the workspace.
fn files(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != ".git") {
                folders.push(path);
            } else if path.is_file() && wanted(&path) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
            }
        }
    }
    found.sort();
    found
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The lines that break a rule, as an editor finds them.
#[track_caller]
fn refuse(files: &[(String, String)], what: &str, breaks: impl Fn(&str) -> bool) {
    assert!(!files.is_empty());
    let lines =
        files.iter().flat_map(|(name, text)| text.lines().enumerate().map(move |(at, line)| (name, at + 1, line)));
    let broken: Vec<_> =
        lines.filter(|(_, _, line)| breaks(line)).map(|(name, at, line)| format!("{name}:{at}: {line}")).collect();
    assert!(broken.is_empty(), "{what}:\n{}", broken.join("\n"));
}

/// The words of a line in lower case; identifiers are taken apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && lower_before) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words
}

/// Whether a line has one of these words, in the singular or the plural.
fn has_word(line: &str, forbidden: &[&str]) -> bool {
    let is_one = |word: &String| {
        forbidden.iter().any(|noun| word.strip_prefix(noun).is_some_and(|ending| matches!(ending, "" | "s" | "es")))
    };
    words(line).iter().any(is_one)
}

#[test]
fn words_are_found_in_text_and_in_names_and_not_inside_others() {
    for (line, found) in [
        ("a trek, and", true),
        ("fn TrekChanged", true),
        ("batch_id", true),
        ("two Batches", true),
        ("batched writes", false),
        ("Treking", false),
        ("", false),
    ] {
        assert_eq!(has_word(line, &["trek", "batch"]), found, "{line}");
    }
}

/// The table of `ARCHITECTURE.md`.
fn written_graph() -> Graph {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, rest) = text.split_once("<!-- call graph: checked by a test -->").unwrap();
    let (table, _) = rest.split_once("<!-- end of call graph -->").unwrap();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [caller, called] = cells[..] else { panic!("{line}") };
        let called = called.split(',').map(str::trim).filter(|name| !name.is_empty());
        (caller.to_owned(), called.map(str::to_owned).collect())
    };
    rows.map(row).collect()
}

#[test]
fn the_written_call_graph_is_the_built_one_and_has_no_circle() {
    let built: Graph = COMPONENTS.iter().map(|name| ((*name).to_owned(), services(&built(name).imports))).collect();
    assert_eq!(written_graph(), built, "ARCHITECTURE.md, and what the components import");

    let mut left = built;
    while !left.is_empty() {
        let leaf = left.iter().find(|(_, called)| called.iter().all(|name| !left.contains_key(name)));
        let leaf = leaf.map(|(name, _)| name.clone()).unwrap_or_else(|| panic!("a circle in {left:?}"));
        left.remove(&leaf);
    }
}

#[test]
fn every_component_is_reached_both_ways_and_prepared() {
    for name in COMPONENTS {
        let exports = built(name).exports;
        for interface in ["cairn:http/handler@1.0.0", "wasi:http/handler@0.3.0", "cairn:lifecycle/lifecycle@1.0.0"] {
            assert!(exports.contains_key(interface), "{name} does not export {interface}: {:?}", exports.keys());
        }
        let own = services(&exports);
        assert!(own.iter().all(|service| service == name), "{name} exports interfaces of {own:?}");
    }
}

#[test]
fn every_component_is_granted_its_own_database_alone() {
    let application = manifest::load(&root().join("spin.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    let ids: BTreeSet<_> = application.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids, COMPONENTS.into());
    for component in &application.components {
        // The gateway keeps nothing.
        let own: &[&str] = if component.id == "gateway" { &[] } else { &[&component.id] };
        assert_eq!(component.sqlite_databases, own, "{}", component.id);
        let source = format!("target/wasm32-wasip2/component/cairn_{}.wasm", component.id);
        assert_eq!(component.source, manifest::Source::File(source.into()));
    }
}

#[test]
fn every_component_is_made_of_the_same_files() {
    let linked = |name: &str| {
        let built = built(name);
        !services(&built.imports).is_empty() || !services(&built.exports).is_empty()
    };
    for name in COMPONENTS {
        let folder = root().join("components").join(name);
        let module = |module: &str| {
            let file = folder.join(format!("src/{module}.rs"));
            file.is_file() || folder.join("src").join(module).join("mod.rs").is_file()
        };
        for required in ["lib", "app", "domain", "http", "shell"] {
            assert!(module(required), "components/{name} has no {required}");
        }
        let stores = name != "gateway";
        assert_eq!(module("store"), stores, "components/{name}: store");
        assert_eq!(folder.join("migrations/").is_dir(), stores, "components/{name}: migrations");
        assert_eq!(module("rpc"), linked(name), "components/{name}: rpc");
        let tested = folder.join("tests").is_dir() || folder.join("src/tests").is_dir();
        assert!(tested, "components/{name} has no tests");
    }
    let folders = fs::read_dir(root().join("components")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(
        folders.map(|name| name.into_string().unwrap()).collect::<BTreeSet<_>>(),
        COMPONENTS.map(str::to_owned).into()
    );
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    for name in COMPONENTS.into_iter().filter(|name| *name != "gateway") {
        let migrations = files(&format!("components/{name}/migrations"), |_| true);
        for (at, (path, _)) in migrations.iter().enumerate() {
            let file = path.rsplit('/').next().unwrap();
            assert!(file.starts_with(&format!("{:04}_", at + 1)) && file.ends_with(".sql"), "{path}");
        }
        assert!(!migrations.is_empty(), "{name}");
    }
}

#[test]
fn the_host_and_what_carries_it_to_spin_know_nothing_of_trekking() {
    let nouns =
        ["trek", "trekking", "trekker", "batch", "booking", "participant", "refund", "invoice", "promo", "seat"];
    // A batch of statements is the database driver's word, and one of keys WASI's.
    const FOREIGN: [&str; 4] = ["rusqlite::Batch", "execute_batch", "wasi:keyvalue/batch", "keyvalue::batch"];
    let own = |line: &str| FOREIGN.iter().fold(line.to_owned(), |line, foreign| line.replace(foreign, ""));
    let breaks = |line: &str| has_word(&own(line), &nouns);
    refuse(&files("host/src", is_rust), "words of the business in the host", breaks);
    for folder in ["spin/adapter/src", "spin/compose/src"] {
        refuse(&files(folder, is_rust), "words of the business in what is for Spin", breaks);
    }
}

#[test]
fn what_all_components_share_has_no_domain_noun() {
    let nouns = ["trek", "booking", "seat", "invoice"];
    let shared = files("shared/src", is_rust);
    refuse(&shared, "words of the business in the shared crate", |line| has_word(line, &nouns));
    // A delivery of events is a batch in CloudEvents' terms, and nothing else is.
    let others: Vec<_> = shared.into_iter().filter(|(name, _)| name != "shared/src/events.rs").collect();
    refuse(&others, "words of the business in the shared crate", |line| has_word(line, &["batch"]));
}

/// Statements of SQL that are put together by `format!`.
fn formatted_sql(text: &str) -> impl Iterator<Item = &str> {
    let literals =
        text.split("format!(").skip(1).filter_map(|piece| piece.trim_start().strip_prefix('"')?.split('"').next());
    literals.filter(|literal| {
        ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"].iter().any(|verb| literal.starts_with(verb))
    })
}

/// What is put into a statement that is text from elsewhere. The program's own text is
/// in constants, and in a `condition` or `order` that is made of literals; `${n}` is
/// the number of a parameter.
fn foreign_parts(statement: &str) -> Vec<&str> {
    let mut foreign = Vec::new();
    let mut before = "";
    for piece in statement.split('{') {
        if let Some((part, _)) = piece.split_once('}') {
            let constant = !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if !constant && !before.ends_with('$') && !matches!(part, "condition" | "order") {
                foreign.push(part);
            }
        }
        before = piece;
    }
    foreign
}

#[test]
fn a_value_in_a_statement_is_seen() {
    let parts = |text| formatted_sql(text).map(foreign_parts).collect::<Vec<_>>();
    assert_eq!(parts(r#"format!("SELECT {ROW} FROM t WHERE {condition} LIMIT ${n}")"#), [[""; 0]]);
    assert_eq!(parts("format!(\n \"DELETE FROM t WHERE id = '{id}' OR {}\", x)"), [["id", ""]]);
    assert!(parts(r#"format!("no statement {x}")"#).is_empty());
}

#[test]
fn no_statement_is_put_together_from_values() {
    let mut sources = files("components", is_rust);
    sources.extend(files("shared/src", is_rust));
    let sources: Vec<_> = sources.into_iter().filter(|(name, _)| name.contains("/src/")).collect();
    assert!(sources.len() > 100, "{}", sources.len());
    for (name, text) in &sources {
        for statement in formatted_sql(text) {
            let foreign = foreign_parts(statement);
            assert!(foreign.is_empty(), "{name}: {foreign:?} in {statement:?}");
        }
    }
}

#[test]
fn the_audit_is_only_added_to() {
    let mut sources = files("components", |_| true);
    sources.extend(files("shared/src", |_| true));
    // Tests tamper with it, to see that it shows.
    sources.retain(|(name, _)| !name.ends_with("/tests.rs"));
    let verbs = ["UPDATE audit", "DELETE FROM audit", "DROP TABLE audit", "ALTER TABLE audit", "INTO audit"];
    let adds = |line: &str| line.contains("INSERT INTO audit") && !line.contains("OR REPLACE");
    refuse(&sources, "statements that change the audit", |line| {
        verbs.iter().any(|verb| line.contains(verb)) && !adds(line)
    });
}

#[test]
fn sources_are_short_and_finished() {
    let mut sources = Vec::new();
    for folder in ["bench", "components", "host", "shared", "spin", "tests", "xtask"] {
        sources.extend(files(folder, is_rust));
    }
    for (name, text) in &sources {
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{name} has {lines} lines");
    }
    // Taken apart so that this file keeps the rule.
    let unfinished = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
    ];
    refuse(&sources, "unfinished", |line| unfinished.iter().any(|word| line.contains(word)));
}
