//! One `[component.<id>]` and its `tool.cairn`.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{
    AllowedHost, Build, Component, Files, Job, Limits, Variable, files,
    problem::Report,
    section::{At, Section, advice},
    source,
    spin::{check_template, is_label, is_lower_snake},
    units,
};
use crate::scheduler::Cron;

/// Jobs of one component.
const JOBS_MAX: usize = 64;

/// Reads the component; `None` where it names no code.
pub(super) fn read(
    id: &str,
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    variables: &BTreeMap<String, Variable>,
) -> Option<Component> {
    refuse_unsupported(section, report);
    let mut component = Component {
        id: id.to_owned(),
        description: section.string(report, "description").map(|text| text.value).unwrap_or_default(),
        sqlite_databases: plain(labels(section, report, "sqlite_databases")),
        key_value_stores: plain(labels(section, report, "key_value_stores")),
        variables: read_variables(section, report, variables),
        allowed_outbound_hosts: outbound_hosts(section, report, variables),
        environment: section
            .string_map(report, "environment")
            .into_iter()
            .map(|(name, (_, text))| (name, text.value))
            .collect(),
        files: read_files(section, report),
        exclude_files: read_excluded(section, report),
        build: read_build(section, report),
        ..Component::default()
    };
    let tool = section.section(report, "tool");
    let cairn = tool.and_then(|mut tool| tool.section(report, "cairn"));
    let own_source = cairn.and_then(|cairn| {
        let mut cairn = cairn.renamed(format!("`[component.{id}.tool.cairn]`"));
        let source = apply_tool(&mut cairn, report, variables, &mut component);
        cairn.finish(report);
        source
    });
    let source = source::read(section, report, own_source)?;
    component.source_at = report.position(&source.span);
    component.source = source.value;
    Some(component)
}

fn refuse_unsupported(section: &mut Section<'_, '_>, report: &mut Report<'_>) {
    let compose = "compose the component with what it needs when it is built";
    section.refuse_unless_empty(report, "dependencies", compose);
    section.refuse_unless_empty(report, "ai_models", "this host runs no models; remove it");
    // Without dependencies there is nobody to inherit.
    section.boolean(report, "dependencies_inherit_configuration");
    // A profile counts only for who asks for it by name, which nobody can here.
    section.section(report, "profile");
    section.ignore("targets");
}

/// A list of labels of stores or databases, each named once.
pub(super) fn labels(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    key: &'static str,
) -> Option<Vec<At<String>>> {
    let labels = section.strings(report, key)?;
    for (index, At { value, span }) in labels.iter().enumerate() {
        if !is_label(value) {
            report.add(span, format!("`{value}` cannot be a label; use kebab-case or snake_case"));
        }
        if labels.iter().take(index).any(|earlier| earlier.value == *value) {
            report.add(span, format!("`{value}` is in the list already; remove it"));
        }
    }
    Some(labels)
}

fn plain(list: Option<Vec<At<String>>>) -> Vec<String> {
    let list = list.unwrap_or_default();
    list.into_iter().map(|item| item.value).collect()
}

fn hosts(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    variables: &BTreeMap<String, Variable>,
) -> Option<Vec<At<String>>> {
    let hosts = section.strings(report, "allowed_outbound_hosts")?;
    for host in &hosts {
        let template = check_template(report, host, variables);
        // What a template becomes is known only when its variables are.
        let literal = template.is_some_and(|template| template.variables().next().is_none());
        if literal && let Err(error) = AllowedHost::parse(&host.value) {
            report.add(&host.span, format!("\"{}\" {error}", host.value));
        }
    }
    Some(hosts)
}

/// Both lists of hosts that Spin reads.
fn outbound_hosts(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    variables: &BTreeMap<String, Variable>,
) -> Vec<String> {
    let mut all = plain(hosts(section, report, variables));
    for host in section.strings(report, "allowed_http_hosts").unwrap_or_default() {
        for allowed in as_outbound(&host.value) {
            if let Err(error) = AllowedHost::parse(&allowed) {
                report.add(&host.span, format!("\"{}\" {error}", host.value));
                break;
            }
            all.push(allowed);
        }
    }
    all
}

/// What an entry of the older `allowed_http_hosts` stands for: a host, a host with a
/// port, or a URL of either.
fn as_outbound(host: &str) -> Vec<String> {
    let host = host.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
    match host {
        "insecure:allow-all" => ["http://*:*", "https://*:*", "http://self"].map(str::to_owned).to_vec(),
        "self" => vec!["http://self".to_owned()],
        host => vec![format!("http://{host}"), format!("https://{host}")],
    }
}

fn read_variables(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    declared: &BTreeMap<String, Variable>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, (at, text)) in section.string_map(report, "variables") {
        if !is_lower_snake(&name) {
            report.add(&at, format!("`{name}` cannot name a variable; use lower_snake_case"));
        }
        check_template(report, &text, declared);
        variables.insert(name, text.value);
    }
    variables
}

fn read_files(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Vec<Files> {
    let Some(value) = section.value("files") else {
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array() else {
        section.wrong_type::<()>(report, "files", value, "a list");
        return Vec::new();
    };
    let mut list = Vec::new();
    for item in array {
        let at = report.position(&item.span());
        match item.get_ref() {
            DeValue::String(pattern) => {
                if let Err(message) = files::check_pattern(pattern) {
                    report.add(&item.span(), format!("\"{pattern}\" {message}"));
                }
                list.push(Files {
                    source: PathBuf::from(pattern.as_ref()),
                    destination: "/".to_owned(),
                    pattern: true,
                    at,
                });
            }
            DeValue::Table(table) => {
                let name = format!("an entry in `files` of {}", section.name());
                let mut entry = Section::new(name, item.span(), table);
                list.extend(read_placement(&mut entry, report));
                entry.finish(report);
            }
            _ => {
                section.wrong_type::<()>(report, "files", item, "a list of strings and tables");
            }
        }
    }
    list
}

fn read_placement(entry: &mut Section<'_, '_>, report: &mut Report<'_>) -> Option<Files> {
    let source = entry.required_string(report, "source", "\"folder\"");
    let destination = entry.required_string(report, "destination", "\"/\"");
    let (source, destination) = (source?, destination?);
    let absolute = destination.value.starts_with('/');
    if !absolute || destination.value.split('/').any(|part| part == "..") {
        let message = format!(
            "destination \"{}\" must be an absolute path in the component without `..`, such as \"/\"",
            destination.value
        );
        report.add(&destination.span, message);
    }
    Some(Files {
        source: PathBuf::from(source.value),
        destination: destination.value,
        pattern: false,
        at: report.position(&entry.span()),
    })
}

fn read_excluded(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Vec<String> {
    let patterns = section.strings(report, "exclude_files").unwrap_or_default();
    for At { value, span } in &patterns {
        if let Err(message) = files::check_pattern(value) {
            report.add(span, format!("\"{value}\" {message}"));
        }
    }
    patterns.into_iter().map(|pattern| pattern.value).collect()
}

fn read_build(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Option<Build> {
    let name = section.name().to_owned();
    let mut build = section.section(report, "build")?;
    if !build.has("command") {
        report.add(&build.span(), format!("`build` of {name} has no `command`; add one"));
    }
    let list = build.value("command").is_some_and(|command| command.get_ref().is_array());
    let command = if list {
        plain(build.strings(report, "command"))
    } else {
        let command = build.string(report, "command");
        command.into_iter().map(|command| command.value).collect()
    };
    let workdir = build.string(report, "workdir");
    let watch = plain(build.strings(report, "watch"));
    build.finish(report);
    Some(Build { command, workdir: workdir.map(|workdir| PathBuf::from(workdir.value)), watch })
}

/// Applies `tool.cairn`, whose lists replace the ones Spin reads. Returns its `source`.
fn apply_tool(
    cairn: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    declared: &BTreeMap<String, Variable>,
    component: &mut Component,
) -> Option<At<String>> {
    if let Some(databases) = labels(cairn, report, "sqlite_databases") {
        component.sqlite_databases = plain(Some(databases));
    }
    if let Some(stores) = labels(cairn, report, "key_value_stores") {
        component.key_value_stores = plain(Some(stores));
    }
    if let Some(hosts) = hosts(cairn, report, declared) {
        component.allowed_outbound_hosts = plain(Some(hosts));
    }
    if let Some(names) = cairn.strings(report, "variables") {
        restrict_variables(report, &names, component);
    }
    let limits = cairn.section(report, "limits");
    if let Some(limits) = limits {
        let mut limits = limits.renamed(format!("`limits` of component `{}`", component.id));
        component.limits = read_limits(&mut limits, report);
        limits.finish(report);
    }
    component.schedule = read_schedule(cairn, report, &component.id);
    cairn.string(report, "source")
}

fn restrict_variables(report: &mut Report<'_>, names: &[At<String>], component: &mut Component) {
    let known: Vec<&str> = component.variables.keys().map(String::as_str).collect();
    for At { value, span } in names {
        if !known.contains(&value.as_str()) {
            let (id, advice) = (&component.id, advice(value, &known));
            report.add(span, format!("component `{id}` has no variable `{value}`; {advice}"));
        }
    }
    component.variables.retain(|name, _| names.iter().any(|allowed| allowed.value == *name));
}

fn read_limits(limits: &mut Section<'_, '_>, report: &mut Report<'_>) -> Limits {
    const MIB: u64 = 1 << 20;
    /// With the label of its store, a key has to fit into a page of an index on Postgres.
    const KEY_BYTES_MAX: u64 = 2 << 10;
    let default = Limits::default();
    Limits {
        memory_bytes_max: size(limits, report, "memory", MIB..=4096 * MIB).unwrap_or(default.memory_bytes_max),
        concurrency_max: count(limits, report, "concurrency", 1..=10_000).unwrap_or(default.concurrency_max),
        queue_max: count(limits, report, "queue", 0..=100_000).unwrap_or(default.queue_max),
        request_time_max: time(limits, report, "request_time").unwrap_or(default.request_time_max),
        cpu_time_max: time(limits, report, "cpu_time").unwrap_or(default.cpu_time_max),
        instance_requests_max: limits
            .integer(report, "instance_requests", 1..=1_000_000_000)
            .unwrap_or(default.instance_requests_max),
        body_bytes_max: size(limits, report, "body", 1..=1024 * MIB).unwrap_or(default.body_bytes_max),
        statement_time_max: time(limits, report, "statement_time").unwrap_or(default.statement_time_max),
        query_rows_max: count(limits, report, "query_rows", 1..=100_000).unwrap_or(default.query_rows_max),
        query_bytes_max: size(limits, report, "query_bytes", 1..=64 * MIB).unwrap_or(default.query_bytes_max),
        outbound_requests_max: count(limits, report, "outbound_requests", 1..=10_000)
            .unwrap_or(default.outbound_requests_max),
        outbound_connections_max: count(limits, report, "outbound_connections", 1..=10_000)
            .unwrap_or(default.outbound_connections_max),
        key_bytes_max: size(limits, report, "key_bytes", 1..=KEY_BYTES_MAX).unwrap_or(default.key_bytes_max),
        value_bytes_max: size(limits, report, "value_bytes", 1..=16 * MIB).unwrap_or(default.value_bytes_max),
    }
}

fn count(
    limits: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
) -> Option<usize> {
    let count = limits.integer(report, key, range)?;
    usize::try_from(count).ok()
}

fn size(
    limits: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
) -> Option<usize> {
    let text = quantity(limits, report, key, "64MiB")?;
    let bytes = units::bytes(&text.value).filter(|bytes| range.contains(bytes));
    if bytes.is_none() {
        let (start, end) = (range.start(), range.end());
        let message = format!(
            "`{key}` of {} cannot be \"{}\"; give {start} to {end} bytes with a unit, such as \"64MiB\"",
            limits.name(),
            text.value
        );
        report.add(&text.span, message);
    }
    bytes.and_then(|bytes| usize::try_from(bytes).ok())
}

fn time(limits: &mut Section<'_, '_>, report: &mut Report<'_>, key: &'static str) -> Option<Duration> {
    const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
    let text = quantity(limits, report, key, "30s")?;
    let time = units::duration(&text.value).filter(|time| !time.is_zero() && *time <= TIME_MAX);
    if time.is_none() {
        let message = format!(
            "`{key}` of {} cannot be \"{}\"; give 1ms to 24h with a unit (ms, s, min, h), such as \"30s\"",
            limits.name(),
            text.value
        );
        report.add(&text.span, message);
    }
    time
}

/// A quantity is a string: a bare number would leave its unit to be guessed.
fn quantity(
    limits: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    key: &'static str,
    example: &str,
) -> Option<At<String>> {
    let value = limits.value(key)?;
    let text = super::section::string(value);
    let wanted = format!("a string with a unit, such as \"{example}\"");
    text.or_else(|| limits.wrong_type(report, key, value, &wanted))
}

fn read_schedule(cairn: &mut Section<'_, '_>, report: &mut Report<'_>, id: &str) -> Vec<Job> {
    let Some(value) = cairn.value("schedule") else {
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array() else {
        cairn.wrong_type::<()>(report, "schedule", value, "a list of tables");
        return Vec::new();
    };
    let mut jobs: Vec<Job> = Vec::new();
    for item in array {
        let DeValue::Table(table) = item.get_ref() else {
            cairn.wrong_type::<()>(report, "schedule", item, "a list of tables");
            continue;
        };
        let name = format!("a job of component `{id}`");
        let mut section = Section::new(name, item.span(), table);
        let job = read_job(&mut section, report);
        section.finish(report);
        let Some(job) = job else { continue };
        if jobs.contains(&job) {
            report.add(&item.span(), "this job is in the schedule already; remove it");
        }
        jobs.push(job);
    }
    if jobs.len() > JOBS_MAX {
        report.add(&value.span(), format!("a component has at most {JOBS_MAX} jobs"));
    }
    jobs
}

fn read_job(job: &mut Section<'_, '_>, report: &mut Report<'_>) -> Option<Job> {
    let cron = job.required_string(report, "cron", "\"*/15 * * * *\"");
    let path = job.required_string(report, "path", "\"/…\"");
    let offset = job.string(report, "utc_offset");
    if let Some(At { value, span }) = &cron
        && let Err(error) = value.parse::<Cron>()
    {
        report.add(span, format!("cron \"{value}\" {error}"));
    }
    if let Some(At { value, span }) = &path
        && (!value.starts_with('/') || value.contains(char::is_whitespace))
    {
        report.add(span, format!("path \"{value}\" must begin with `/` and hold no spaces"));
    }
    let minutes = offset.as_ref().map(|text| units::utc_offset_minutes(&text.value));
    if let (Some(text), Some(None)) = (&offset, minutes) {
        let message = format!("utc_offset cannot be \"{}\"; write \"+05:30\" or \"Z\"", text.value);
        report.add(&text.span, message);
    }
    Some(Job { cron: cron?.value, path: path?.value, utc_offset_minutes: minutes.flatten().unwrap_or(0) })
}
