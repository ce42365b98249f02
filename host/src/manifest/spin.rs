//! The manifest as a whole: application, variables, triggers, and what must agree between them.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    Application, Component, Problems, Variable, component,
    problem::Report,
    section::{At, Section, advice},
    template::Template,
    trigger,
};

/// Components of one application.
const COMPONENTS_MAX: usize = 256;

pub(super) fn read(text: &str, file: &str, dir: &Path) -> Result<Application, Problems> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut report = Report::new(text);
    let mut application = read_document(document.get_ref(), &mut report);
    report.add_syntax(&syntax);
    if !report.is_empty() {
        return Err(report.into_problems(file));
    }
    dir.clone_into(&mut application.dir);
    file.clone_into(&mut application.file);
    Ok(application)
}

fn read_document(document: &DeTable<'_>, report: &mut Report<'_>) -> Application {
    let mut root = Section::new("the manifest", 0..0, document);
    read_version(&mut root, report);
    let mut application = Application::default();
    let memory_stores = read_application(&mut root, report, &mut application);
    application.variables = read_variables(&mut root, report);
    let mut components = read_components(&mut root, report, &application.variables);
    application.triggers = trigger::read(&mut root, report, &mut components, &application.variables);
    application.components = components.into_iter().filter_map(|(_, found)| found).collect();
    check_memory_stores(report, &application.components, &memory_stores);
    application.memory_stores = memory_stores.into_iter().map(|store| store.value).collect();
    root.finish(report);
    application
}

fn read_version(root: &mut Section<'_, '_>, report: &mut Report<'_>) {
    let version = root.value("spin_manifest_version");
    let is_two =
        version.and_then(|version| version.get_ref().as_integer()).is_some_and(|integer| integer.as_str() == "2");
    if !is_two {
        let span = version.map_or(0..0, toml::Spanned::span);
        report.add(&span, "only version 2 is supported; begin with `spin_manifest_version = 2`");
    }
}

/// Returns the labels under `memory_stores`.
fn read_application(
    root: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    application: &mut Application,
) -> Vec<At<String>> {
    if !root.has("application") {
        report.add(&(0..0), "there is no `[application]`; add one with a `name`");
    }
    let Some(section) = root.section(report, "application") else {
        return Vec::new();
    };
    let mut section = section.renamed("`[application]`");
    if let Some(name) = section.required_string(report, "name", "\"my-app\"") {
        if name.value.is_empty() {
            report.add(&name.span, "the name of the application is empty; give it one");
        }
        application.name = name.value;
    }
    application.version = section.string(report, "version").map(|version| version.value).unwrap_or_default();
    section.string(report, "description");
    section.strings(report, "authors");
    section.ignore("targets");
    section.ignore("trigger");
    let stores = read_application_tool(&mut section, report);
    section.finish(report);
    stores
}

fn read_application_tool(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Vec<At<String>> {
    let tool = section.section(report, "tool");
    let cairn = tool.and_then(|mut tool| tool.section(report, "cairn"));
    let Some(cairn) = cairn else {
        return Vec::new();
    };
    let mut cairn = cairn.renamed("`[application.tool.cairn]`");
    let stores = component::labels(&mut cairn, report, "memory_stores");
    cairn.finish(report);
    stores.unwrap_or_default()
}

fn check_memory_stores(report: &mut Report<'_>, components: &[Component], memory_stores: &[At<String>]) {
    let used: Vec<&str> =
        components.iter().flat_map(|component| &component.key_value_stores).map(String::as_str).collect();
    for At { value, span } in memory_stores {
        if !used.contains(&value.as_str()) {
            let advice = advice(value, &used);
            report.add(span, format!("no component uses a key-value store `{value}`; {advice}"));
        }
    }
}

fn read_variables(root: &mut Section<'_, '_>, report: &mut Report<'_>) -> BTreeMap<String, Variable> {
    let Some(section) = root.section(report, "variables") else {
        return BTreeMap::new();
    };
    let mut variables = BTreeMap::new();
    for (name, span, value) in section.entries() {
        if !is_lower_snake(name) {
            report.add(&span, format!("`{name}` cannot name a variable; use lower_snake_case"));
        }
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!(
                "variable `{name}` must be a table, such as `{{ default = \"…\" }}` or `{{ required = true }}`"
            );
            report.add(&value.span(), message);
            continue;
        };
        let mut variable = Section::new(format!("variable `{name}`"), span, table);
        variables.insert(name.to_owned(), read_variable(&mut variable, report));
        variable.finish(report);
    }
    variables
}

fn read_variable(section: &mut Section<'_, '_>, report: &mut Report<'_>) -> Variable {
    section.string(report, "description");
    let required = section.boolean(report, "required").unwrap_or(false);
    let given = section.has("default");
    let default = section.string(report, "default").map(|default| default.value);
    let name = section.name().to_owned();
    match (required, given) {
        (true, true) => {
            report.add(&section.span(), format!("{name} is required and has a default; remove one of them"))
        }
        (false, false) => report.add(
            &section.span(),
            format!("{name} has no value to start from; add `default = \"…\"` or `required = true`"),
        ),
        _ => {}
    }
    Variable { default, required, secret: section.boolean(report, "secret").unwrap_or(false) }
}

/// A component with its id; `None` where it cannot be read.
pub(super) type Entry = (String, Option<Component>);

/// Every component in the order of the file.
fn read_components(
    root: &mut Section<'_, '_>,
    report: &mut Report<'_>,
    variables: &BTreeMap<String, Variable>,
) -> Vec<Entry> {
    let Some(section) = root.section(report, "component") else {
        return Vec::new();
    };
    let entries = section.entries();
    if let Some((_, span, _)) = entries.get(COMPONENTS_MAX) {
        report.add(span, format!("an application has at most {COMPONENTS_MAX} components"));
    }
    let mut components = Vec::new();
    for (id, span, value) in entries {
        if !is_kebab(id) {
            report.add(&span, format!("`{id}` cannot be the id of a component; use kebab-case"));
        }
        let component = match value.get_ref() {
            DeValue::Table(table) => {
                let mut section = Section::new(format!("component `{id}`"), span, table);
                let component = component::read(id, &mut section, report, variables);
                section.finish(report);
                component
            }
            _ => section.wrong_type(report, id, value, "a table"),
        };
        components.push((id.to_owned(), component));
    }
    components
}

/// Reports what is wrong with a template, and the names in it that are no variables.
pub(super) fn check_template(
    report: &mut Report<'_>,
    text: &At<String>,
    variables: &BTreeMap<String, Variable>,
) -> Option<Template> {
    let template = match Template::parse(&text.value) {
        Ok(template) => template,
        Err(error) => {
            report.add(&text.span, error.to_string());
            return None;
        }
    };
    let known: Vec<&str> = variables.keys().map(String::as_str).collect();
    let unknown = template.variables().filter(|name| !known.contains(name));
    for name in unknown {
        let advice = match super::section::nearest(name, &known) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("add `{name}` under `[variables]`"),
        };
        report.add(&text.span, format!("there is no variable `{name}`; {advice}"));
    }
    Some(template)
}

/// Words of letters and digits, joined by hyphens.
pub(super) fn is_kebab(id: &str) -> bool {
    id.split('-').all(is_word)
}

pub(super) fn is_lower_snake(id: &str) -> bool {
    id.split('_').all(is_word) && !id.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Words of letters and digits, joined by hyphens or by underscores.
pub(super) fn is_label(id: &str) -> bool {
    is_kebab(id) || id.split('_').all(is_word)
}

fn is_word(word: &str) -> bool {
    let one_case =
        !word.bytes().any(|byte| byte.is_ascii_uppercase()) || !word.bytes().any(|byte| byte.is_ascii_lowercase());
    one_case
        && word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
