//! `cargo xtask spin`: the same application, composed and served by Spin.
//!
//! All of it is read from spin.toml: the components, their files, the variables, and
//! the labels of the databases and stores, which become files in the data folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::{
    build::{self, DOUBLES, Profile},
    cargo, flag, no_more, option, root, succeed, target, up,
};

/// The component that gives the others what Spin has not.
const ADAPTER: &str = "cairn_spin_adapter.wasm";

/// Who sets this has outside services of its own and needs no doubles.
const PROVIDER: &str = "RAZORPAY_API_HOST";

const MISSING: &str = "\
the composed components are in target/spin, but there is no `spin` on PATH to serve them.
Spin 4.1 or later is needed: https://spinframework.dev/install";

pub fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let passed_on = args.iter().position(|arg| arg == "--").map(|at| args.split_off(at)).unwrap_or_default();
    let compose_only = flag(&mut args, "--compose-only");
    let data = option(&mut args, "--data")?.map_or_else(|| root().join(".cairn-spin"), PathBuf::from);
    let listen = option(&mut args, "--listen")?.unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    no_more(&args)?;

    compose()?;
    if compose_only {
        return Ok(());
    }
    if !installed() {
        bail!("{MISSING}");
    }
    let stop = up::stop_on_signal()?;
    let mut children = Vec::new();
    if std::env::var_os(PROVIDER).is_none() {
        build::programs(&[DOUBLES], Profile::Dev)?;
        children.push(up::start_doubles(&DOUBLES.path(Profile::Dev), &listen)?);
    }
    let outcome = start(&data, &listen, passed_on.get(1..).unwrap_or_default()).and_then(|child| {
        children.push(child);
        up::serve(&mut children, &stop, &listen, &welcome(&listen))
    });
    children.iter_mut().rev().for_each(up::finish);
    outcome
}

/// Whether `spin` can be started.
pub fn installed() -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join("spin").is_file())
}

/// Builds all components and writes, for each, the file that spin.toml names: the
/// component with those it calls inside it.
pub fn compose() -> Result<()> {
    build::components()?;
    build::wasm(&["cairn-spin-adapter".to_owned()])?;
    let files = Manifest::read()?.files()?;
    let folders = files.first().and_then(|file| file.plain.parent().zip(file.composed.parent()));
    let (plain, composed) = folders.context("spin.toml has no components")?;

    println!("composing… (the first time it compiles what composes)");
    succeed(cargo().args(["build", "--package", "cairn-spin-compose", "--features", "encode"]))?;
    let mut compose = Command::new(target().join("debug").join("cairn-spin-compose"));
    compose.arg("--into").arg(root().join(composed));
    for file in &files {
        let wanted = composed.join(&file.component).with_extension("wasm");
        if file.composed != wanted {
            bail!("spin.toml: the source of `{}` has to be {}", file.component, wanted.display());
        }
        compose.arg(format!("{}={}", file.component, root().join(&file.plain).display()));
    }
    compose.arg("--inside").arg(format!("adapter={}", root().join(plain).join(ADAPTER).display()));
    succeed(&mut compose)
}

fn start(data: &Path, listen: &str, more: &[String]) -> Result<Child> {
    let manifest = Manifest::read()?;
    fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
    let data = data.canonicalize().with_context(|| format!("{} cannot be found", data.display()))?;
    let runtime_config = data.join("runtime-config.toml");
    fs::write(&runtime_config, manifest.runtime_config(&data)?)
        .with_context(|| format!("{} cannot be written", runtime_config.display()))?;

    let mut spin = Command::new("spin");
    spin.args(["up", "--from"]).arg(root().join("spin.toml")).args(["--listen", listen]);
    spin.arg("--state-dir").arg(&data).arg("--runtime-config-file").arg(&runtime_config).args(more);
    for name in manifest.variables() {
        let name = name.to_uppercase();
        if let Some(value) = up::setting(&name) {
            spin.env(format!("SPIN_VARIABLE_{name}"), value);
        }
    }
    if let Some(host) = up::setting("CAIRN_DATABASE_URL").as_deref().and_then(database_host) {
        spin.env("SPIN_VARIABLE_CAIRN_DATABASE_HOST", host);
    }
    spin.stdin(Stdio::null()).spawn().context("spin cannot be started")
}

/// The host and port of a database's address, which Spin has to be told by themselves.
fn database_host(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if host.is_empty() {
        return None;
    }
    Some(if has_port { host.to_owned() } else { format!("{host}:5432") })
}

fn welcome(listen: &str) -> String {
    format!(
        "
Cairn is up, under Spin.

  API        http://{listen}/api/treks      health: http://{listen}/health
  mailbox    http://127.0.0.1:8025             all mail the system sends
  payments   http://127.0.0.1:8026             orders; open one and press Pay

Spin runs no schedule: see spin/README.md. Ctrl-C stops everything.
"
    )
}

/// What this needs of spin.toml.
struct Manifest(Table);

/// The files of a component, from the folder of spin.toml.
struct Files {
    component: String,
    /// As cargo builds it.
    plain: PathBuf,
    /// With those it calls inside it.
    composed: PathBuf,
}

impl Manifest {
    fn read() -> Result<Self> {
        let file = root().join("spin.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        Ok(Self(text.parse().context("spin.toml is not valid TOML")?))
    }

    fn components(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.get("component").and_then(Value::as_table).into_iter().flatten()
    }

    fn files(&self) -> Result<Vec<Files>> {
        let source = |table: Option<&Value>| {
            table.and_then(|table| table.get("source")).and_then(Value::as_str).map(PathBuf::from)
        };
        self.components()
            .map(|(component, table)| {
                let own = table.get("tool").and_then(|tool| tool.get("cairn"));
                let files = source(own).zip(source(Some(table)));
                let (plain, composed) =
                    files.with_context(|| format!("spin.toml: `{component}` lacks a source or a tool.cairn.source"))?;
                Ok(Files { component: component.clone(), plain, composed })
            })
            .collect()
    }

    fn variables(&self) -> impl Iterator<Item = &String> {
        self.0.get("variables").and_then(Value::as_table).into_iter().flat_map(Table::keys)
    }

    /// A file for every database and store that a component uses.
    fn runtime_config(&self, data: &Path) -> Result<String> {
        let kinds = BTreeMap::from([("sqlite_databases", "sqlite_database"), ("key_value_stores", "key_value_store")]);
        let mut text = String::new();
        for (list, section) in kinds {
            for label in self.labels(list)? {
                let path = Value::from(data.join(format!("{section}-{label}.db")).display().to_string());
                writeln!(text, "[{section}.{label}]\ntype = \"spin\"\npath = {path}\n")?;
            }
        }
        Ok(text)
    }

    fn labels(&self, list: &str) -> Result<BTreeSet<&str>> {
        let values = self.components().filter_map(|(_, table)| table.get(list)?.as_array()).flatten();
        values
            .map(|value| value.as_str().with_context(|| format!("spin.toml: {value} in `{list}` is no label")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_configuration_that_is_shipped_has_every_label() {
        let wanted = Manifest::read().unwrap().runtime_config(Path::new(".cairn-spin")).unwrap();
        // Spin takes the paths of stores from the folder of the file, unlike the others.
        let wanted = wanted.replace("\".cairn-spin/key_value", "\"../.cairn-spin/key_value");
        let shipped = fs::read_to_string(root().join("spin/runtime-config.toml")).unwrap();
        assert_eq!(shipped.parse::<Table>().unwrap(), wanted.parse::<Table>().unwrap(), "it should be:\n{wanted}");
    }

    #[test]
    fn the_host_of_a_database_has_a_port() {
        assert_eq!(
            database_host("postgres://a:b@db.example/cairn?sslmode=require").as_deref(),
            Some("db.example:5432")
        );
        assert_eq!(database_host("postgres://db:5433").as_deref(), Some("db:5433"));
        assert_eq!(database_host("postgres://a:b@[::1]:5433/cairn").as_deref(), Some("[::1]:5433"));
        assert_eq!(database_host(""), None);
    }

    #[test]
    fn every_component_has_a_plain_and_a_composed_file() {
        let files = Manifest::read().unwrap().files().unwrap();
        let names: BTreeSet<_> = files.iter().map(|file| file.component.as_str()).collect();
        assert_eq!(names, build::COMPONENTS.into());
    }
}
