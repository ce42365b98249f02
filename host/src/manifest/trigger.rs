//! The `[[trigger.http]]` of the manifest: which requests go where.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use toml::de::DeValue;

use super::{
    Route, StaticResponse, Target, Trigger, Variable, component,
    problem::Report,
    section::{At, Section, nearest},
    spin::{Entry, is_kebab},
};
use crate::router::Pattern;

/// Triggers of one application.
const TRIGGERS_MAX: usize = 1_024;

/// Reads all triggers. A component that is written out in one joins `components`.
pub(super) fn read(
    root: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    components: &mut Vec<Entry>,
    variables: &BTreeMap<String, Variable>,
) -> Vec<Trigger> {
    let Some(section) = root.section(report, "trigger") else {
        return Vec::new();
    };
    let mut triggers = Vec::new();
    for (kind, span, value) in section.entries() {
        if kind != "http" {
            let message = format!("`{kind}` triggers are not supported: this host serves HTTP; use `[[trigger.http]]`");
            report.add(&span, message);
            continue;
        }
        let DeValue::Array(array) = value.get_ref() else {
            report.add(&value.span(), "`trigger.http` must be a list; write `[[trigger.http]]`");
            continue;
        };
        for item in array {
            let DeValue::Table(table) = item.get_ref() else {
                report.add(&item.span(), "a trigger must be a table; write `[[trigger.http]]`");
                continue;
            };
            let mut section = Section::new("this trigger", item.span(), table);
            triggers.extend(read_trigger(&mut section, report, components, variables));
            section.finish(report);
        }
    }
    check_routes(report, &triggers);
    if let Some((span, _)) = triggers.get(TRIGGERS_MAX) {
        report.add(span, format!("an application has at most {TRIGGERS_MAX} triggers"));
    }
    triggers.into_iter().map(|(_, trigger)| trigger).collect()
}

/// The trigger, with the place of its route.
fn read_trigger(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    components: &mut Vec<Entry>,
    variables: &BTreeMap<String, Variable>,
) -> Option<(Range<usize>, Trigger)> {
    let id = section.string(report, "id");
    let compose = "compose the component when it is built";
    section.refuse_unless_empty(report, "components", compose);
    section.refuse_unless_empty(report, "dependencies", compose);
    check_executor(section, report);
    let target = match section.section(report, "static_response") {
        Some(mut response) => {
            if section.has("component") {
                let message = "this trigger has both a `component` and a `static_response`; remove one of them";
                report.add(&section.span(), message);
            }
            section.ignore("component");
            let read = read_static_response(&mut response, report);
            response.finish(report);
            read.map(|response| Target::Response(Arc::new(response)))
        }
        None => read_component(section, report, id.as_ref(), components, variables).map(Target::Component),
    };
    let (span, route) = read_route(section, report)?;
    if route == Route::Private && matches!(target, Some(Target::Response(_))) {
        report.add(&span, "nobody reaches a `static_response` by a private route; give it a path");
    }
    Some((span, Trigger { route, target: target? }))
}

fn read_static_response(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Option<StaticResponse> {
    let status = section.integer(report, "status_code", 200..=599).unwrap_or(200);
    let mut headers = HeaderMap::new();
    for (name, (at, value)) in section.string_map(report, "headers") {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value.value)) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            (Err(_), _) => report.add(&at, format!("`{name}` cannot be the name of a header")),
            (_, Err(_)) => report.add(&value.span, format!("this cannot be the value of the header `{name}`")),
        }
    }
    let body = section.string(report, "body").map(|body| body.value).unwrap_or_default();
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    Some(StaticResponse { status, headers, body })
}

fn check_executor(section: &mut Section<'_, '_>, report: &mut Report<'_>) {
    let Some(mut executor) = section.section(report, "executor") else {
        return;
    };
    let kind = executor.string(report, "type");
    if let Some(At { value, span }) = kind
        && !matches!(value.as_str(), "http" | "spin")
    {
        let message = format!("executor `{value}` is not supported: use a WASI HTTP component");
        report.add(&span, message);
    }
}

/// The id of the trigger's component.
fn read_component(
    section: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    trigger_id: Option<&At<String>>,
    components: &mut Vec<Entry>,
    variables: &BTreeMap<String, Variable>,
) -> Option<String> {
    if let Some(DeValue::Table(table)) = section.value("component").map(toml::Spanned::get_ref) {
        let id = inline_id(trigger_id, components);
        let mut inline = Section::new(format!("component `{id}`"), section.span(), table);
        let component = component::read(&id, &mut inline, report, variables);
        inline.finish(report);
        components.push((id.clone(), component));
        return Some(id);
    }
    let id = section.required_string(report, "component", "\"<id>\"")?;
    if !components.iter().any(|(known, _)| *known == id.value) {
        let known: Vec<&str> = components.iter().map(|(id, _)| id.as_str()).collect();
        let advice = match nearest(&id.value, &known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("add `[component.{}]`", id.value),
        };
        report.add(&id.span, format!("there is no component `{}`; {advice}", id.value));
    }
    Some(id.value)
}

/// The id that Spin gives to a component that is written out in a trigger.
fn inline_id(trigger_id: Option<&At<String>>, components: &[Entry]) -> String {
    let free = |id: &String| !components.iter().any(|(taken, _)| taken == id);
    let of_trigger = trigger_id.map(|id| format!("{}-component", id.value));
    of_trigger.filter(|id| is_kebab(id) && free(id)).unwrap_or_else(|| {
        // One of so many is free, since there are fewer components.
        (1..=components.len() + 1).map(|n| format!("http-trigger{n}-component")).find(free).unwrap_or_default()
    })
}

fn read_route(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Option<(Range<usize>, Route)> {
    const FORMS: &str = "write a path such as \"/...\", or `{ private = true }`";
    let Some(value) = section.value("route") else {
        report.add(&section.span(), format!("this trigger has no `route`; {FORMS}"));
        return None;
    };
    let span = value.span();
    match value.get_ref() {
        DeValue::String(route) => match Pattern::parse(route) {
            Ok(_) => Some((span, Route::Public(route.to_string()))),
            Err(error) => {
                report.add(&span, format!("route \"{route}\" {error}"));
                None
            }
        },
        DeValue::Table(table) => {
            let mut route = Section::new("`route`", span.clone(), table);
            let private = route.boolean(report, "private");
            route.finish(report);
            if private == Some(true) {
                return Some((span, Route::Private));
            }
            report.add(&span, format!("a route cannot be this; {FORMS}"));
            None
        }
        _ => section.wrong_type(report, "route", value, "a path or `{ private = true }`"),
    }
}

/// Two routes that take the same paths leave it to chance which one serves them.
fn check_routes(report: &mut Report<'_>, triggers: &[(Range<usize>, Trigger)]) {
    let mut shapes: BTreeMap<String, &str> = BTreeMap::new();
    let mut private = BTreeSet::new();
    for (span, trigger) in triggers {
        let Route::Public(route) = &trigger.route else {
            if let Target::Component(component) = &trigger.target
                && !private.insert(component)
            {
                let message = format!("component `{component}` has a private route already; remove this one");
                report.add(span, message);
            }
            continue;
        };
        let Ok(pattern) = Pattern::parse(route) else {
            continue;
        };
        match shapes.insert(pattern.shape(), route) {
            Some(earlier) if earlier == route => {
                report.add(span, format!("route \"{route}\" is taken already; change or remove one"));
            }
            Some(earlier) => {
                let message = format!("route \"{route}\" takes the same paths as \"{earlier}\"; change or remove one");
                report.add(span, message);
            }
            None => {}
        }
    }
}
