//! Links: what one component imports, answered by another component's export.
//!
//! Which component answers which import is decided once, at start, and checked
//! function by function: wasmtime does not compare the types of dynamic links.
//! Which version answers is decided at every call. This module carries plain values
//! only, and allows no circle of components.

pub mod absent;
pub mod answer;
mod call;
pub mod guarded;
pub mod upstream;
pub mod wake;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use wasmtime::component::Linker;

use crate::{
    component::{Compiled, Function, Interfaces},
    platform,
    registry::RegistryHandle,
    state::State,
    telemetry::Metrics,
    version::function_key,
};
use answer::Answers;
use call::Link;

/// The links of a whole application, by importing component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(BTreeMap<Arc<str>, Providers>);

/// Who answers what a component imports, by interface.
pub type Providers = BTreeMap<String, Provider>;

/// Who answers an imported interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub component: Arc<str>,
    /// The exported interface: of the same name, or of a compatible version.
    pub interface: String,
}

/// A link that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkProblem {
    #[error("component {component:?} imports {interface:?}, which no component exports and the host does not provide")]
    NobodyExports { component: Arc<str>, interface: String },
    #[error("component {component:?} imports {interface:?}, which several components export: {}", Names(.providers))]
    SeveralExport { component: Arc<str>, interface: String, providers: Vec<Arc<str>> },
    #[error(
        "component {component:?} imports {interface:?} with the function {function:?}, which component {provider:?} does not export"
    )]
    NoFunction { component: Arc<str>, interface: String, function: String, provider: Arc<str> },
    #[error(
        "{interface}#{function}: component {component:?} imports it as\n    {imported}\n  but component {provider:?} exports it as\n    {exported}"
    )]
    OtherType {
        component: Arc<str>,
        provider: Arc<str>,
        interface: String,
        function: String,
        imported: String,
        exported: String,
    },
    #[error(
        "{interface}#{function}: component {component:?} imports it with resources, streams or futures, which cannot pass between components: {imported}"
    )]
    NotPlain { component: Arc<str>, interface: String, function: String, imported: String },
    #[error("components call each other in a circle: {}", Names(.0))]
    Circle(Vec<Arc<str>>),
}

struct Names<'a>(&'a [Arc<str>]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl Plan {
    /// Finds who answers each import of each component.
    ///
    /// # Errors
    /// Every link that cannot be made.
    pub fn new(components: &BTreeMap<Arc<str>, &Compiled>, answers: &Answers) -> Result<Self, Vec<LinkProblem>> {
        let mut plan = Self::default();
        let mut problems = Vec::new();
        for (id, compiled) in components {
            let links = links_of(id, &compiled.imports, components, answers, &mut problems);
            plan.0.insert(Arc::clone(id), links);
        }
        problems.extend(plan.circle());
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// Components that `component` calls.
    pub fn providers(&self, component: &str) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(component).into_iter().flat_map(BTreeMap::values).map(|provider| &provider.component)
    }

    /// Who answers the imports of `component`.
    #[must_use]
    pub fn links(&self, component: &str) -> Option<&Providers> {
        self.0.get(component)
    }

    /// The components, each after those that it calls.
    #[must_use]
    pub fn providers_first(&self) -> Vec<Arc<str>> {
        let mut ordered = Vec::new();
        self.0.keys().for_each(|component| self.visit(component, &mut ordered));
        ordered
    }

    /// A plan has no circles, so that this ends.
    fn visit(&self, component: &Arc<str>, ordered: &mut Vec<Arc<str>>) {
        if !ordered.contains(component) {
            self.providers(component).for_each(|provider| self.visit(provider, ordered));
            ordered.push(Arc::clone(component));
        }
    }

    /// Defines the links of `component` in its linker, its test answers first.
    ///
    /// # Errors
    /// When a name is not valid in a linker.
    pub fn define(
        &self,
        linker: &mut Linker<State>,
        component: &str,
        imports: &Interfaces,
        registry: &RegistryHandle,
        answers: &Answers,
        metrics: &Metrics,
    ) -> wasmtime::Result<()> {
        // An answer of a test wins over what the host itself provides.
        linker.allow_shadowing(true);
        for (name, interface) in imports {
            let provider = self.links(component).and_then(|links| links.get(name));
            if provider.is_none() && !answers.has(name) {
                continue;
            }
            let mut instance = linker.instance(name)?;
            for (function, ty) in &interface.functions {
                if let Some(answer) = answers.get(name, function) {
                    answer::define(&mut instance, function, answer)?;
                } else if let Some(provider) = provider {
                    let counted = metrics.call(component, &provider.component, &function_key(name, function));
                    Link::new(provider, function, ty, registry.clone(), counted).define(&mut instance, function)?;
                } else if !platform::is_of_host(name) {
                    answer::define_unanswered(&mut instance, name, function)?;
                }
            }
        }
        Ok(())
    }

    /// A circle of components, if there is one.
    fn circle(&self) -> Option<LinkProblem> {
        let mut done = BTreeSet::new();
        self.0.keys().find_map(|start| self.circle_from(start, &mut Vec::new(), &mut done)).map(LinkProblem::Circle)
    }

    fn circle_from(
        &self,
        component: &Arc<str>,
        path: &mut Vec<Arc<str>>,
        done: &mut BTreeSet<Arc<str>>,
    ) -> Option<Vec<Arc<str>>> {
        if let Some(start) = path.iter().position(|on_path| on_path == component) {
            return Some(path.split_off(start));
        }
        if !done.insert(Arc::clone(component)) {
            return None;
        }
        path.push(Arc::clone(component));
        let circle = self.providers(component).find_map(|provider| self.circle_from(provider, path, done));
        path.pop();
        circle
    }
}

fn links_of(
    component: &Arc<str>,
    imports: &Interfaces,
    components: &BTreeMap<Arc<str>, &Compiled>,
    answers: &Answers,
    problems: &mut Vec<LinkProblem>,
) -> BTreeMap<String, Provider> {
    let mut links = BTreeMap::new();
    for (name, interface) in imports {
        // An interface of types only has nothing to link.
        if platform::is_of_host(name) || interface.functions.is_empty() {
            continue;
        }
        match providers(name, components).as_slice() {
            [] if answers.has(name) => {}
            [] => {
                problems.push(LinkProblem::NobodyExports { component: Arc::clone(component), interface: name.clone() })
            }
            [provider] => {
                check_functions(component, name, &interface.functions, provider, components, answers, problems);
                links.insert(name.clone(), provider.clone());
            }
            several => problems.push(LinkProblem::SeveralExport {
                component: Arc::clone(component),
                interface: name.clone(),
                providers: several.iter().map(|provider| Arc::clone(&provider.component)).collect(),
            }),
        }
    }
    links
}

/// Components that export an interface, or a compatible version of it.
fn providers(interface: &str, components: &BTreeMap<Arc<str>, &Compiled>) -> Vec<Provider> {
    components
        .iter()
        .filter_map(|(id, compiled)| {
            let exact = compiled.exports.keys().find(|export| *export == interface);
            let export = exact.or_else(|| compiled.exports.keys().find(|export| compatible(interface, export)))?;
            Some(Provider { component: Arc::clone(id), interface: export.clone() })
        })
        .collect()
}

/// Whether `exported` is the same interface in a version that promises to be compatible.
pub fn compatible(imported: &str, exported: &str) -> bool {
    let (Some((imported, imported_version)), Some((exported, exported_version))) =
        (imported.split_once('@'), exported.split_once('@'))
    else {
        return false;
    };
    imported == exported && track(imported_version).is_some_and(|version| track(exported_version) == Some(version))
}

/// The part of a version that changes when compatibility breaks.
fn track(version: &str) -> Option<(u64, u64)> {
    if version.contains('-') {
        return None;
    }
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    match (numbers.next()??, numbers.next()??) {
        (0, 0) => None,
        (0, minor) => Some((0, minor)),
        (major, _) => Some((major, 0)),
    }
}

fn check_functions(
    component: &Arc<str>,
    interface: &str,
    functions: &BTreeMap<String, Function>,
    provider: &Provider,
    components: &BTreeMap<Arc<str>, &Compiled>,
    answers: &Answers,
    problems: &mut Vec<LinkProblem>,
) {
    let exported = components.get(&provider.component).and_then(|compiled| compiled.exports.get(&provider.interface));
    for (name, function) in functions {
        if answers.get(interface, name).is_some() {
            continue;
        }
        let exported = exported.and_then(|interface| interface.functions.get(name));
        problems.extend(check_function(component, interface, name, function, provider, exported));
    }
}

fn check_function(
    component: &Arc<str>,
    interface: &str,
    name: &str,
    imported: &Function,
    provider: &Provider,
    exported: Option<&Function>,
) -> Option<LinkProblem> {
    let (component, interface, function) = (Arc::clone(component), interface.to_owned(), name.to_owned());
    let Some(exported) = exported else {
        let provider = Arc::clone(&provider.component);
        return Some(LinkProblem::NoFunction { component, interface, function, provider });
    };
    if imported.signature != exported.signature {
        return Some(LinkProblem::OtherType {
            component,
            provider: Arc::clone(&provider.component),
            interface,
            function,
            imported: imported.signature.clone(),
            exported: exported.signature.clone(),
        });
    }
    (!imported.plain).then(|| LinkProblem::NotPlain {
        component,
        interface,
        function,
        imported: imported.signature.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compatible_within_a_track() {
        for (imported, exported, expected) in [
            ("a:b/c@1.0.0", "a:b/c@1.2.0", true),
            ("a:b/c@1.0.0", "a:b/c@2.0.0", false),
            ("a:b/c@0.1.0", "a:b/c@0.1.9", true),
            ("a:b/c@0.1.0", "a:b/c@0.2.0", false),
            ("a:b/c@1.0.0", "a:b/d@1.0.0", false),
            ("a:b/c", "a:b/c@1.0.0", false),
        ] {
            assert_eq!(compatible(imported, exported), expected, "{imported} {exported}");
        }
    }
}
