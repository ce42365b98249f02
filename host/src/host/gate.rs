//! The gate: whether versions fit where they are to run, and if not, why not.
//!
//! wasmtime does not compare the types of links between components, so they are
//! compared here, function by function, for the whole set of components as it would
//! be. What does not fit is said in terms of what an operator can change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    component::Compiled,
    links::{LinkProblem, Plan, compatible},
    manifest::Component,
    platform,
    version::Version,
};

/// Characters of a hash by which people tell versions apart.
const SHORT_HASH: usize = 8;

/// A version by its short name, such as `1a2b3c4d`.
#[must_use]
pub fn short(hash: &str) -> &str {
    hash.get(..SHORT_HASH).unwrap_or(hash)
}

/// What is to change, and into what.
pub(super) struct Proposal<'a> {
    /// The components that get another version.
    pub replaced: BTreeSet<&'a str>,
    /// All components as they run now.
    pub before: &'a BTreeMap<Arc<str>, Compiled>,
    /// How they are linked now.
    pub plan: &'a Plan,
    /// All components as they would run.
    pub after: &'a BTreeMap<Arc<str>, Compiled>,
}

/// What a component may not import unless its manifest grants it something.
struct Grant {
    /// How the names of the interfaces begin.
    interfaces: &'static [&'static str],
    /// Whether a component has it.
    granted: fn(&Component) -> bool,
    /// What to write in `spin.toml`.
    advice: &'static str,
}

const GRANTS: [Grant; 5] = [
    Grant {
        interfaces: &["spin:sqlite/", "fermyon:spin/sqlite@"],
        granted: |component| !component.sqlite_databases.is_empty(),
        advice: "sqlite_databases = [\"<label>\"]",
    },
    Grant {
        interfaces: &["spin:key-value/", "fermyon:spin/key-value@", "wasi:keyvalue/"],
        granted: |component| !component.key_value_stores.is_empty(),
        advice: "key_value_stores = [\"<label>\"]",
    },
    Grant {
        interfaces: &["spin:variables/", "fermyon:spin/variables@", "wasi:config/"],
        granted: |component| !component.variables.is_empty(),
        advice: "variables = { <name> = \"{{ <variable> }}\" }",
    },
    Grant {
        interfaces: &["wasi:http/client@", "wasi:http/outgoing-handler@", "wasi:sockets/tcp", "fermyon:spin/http@"],
        granted: |component| !component.allowed_outbound_hosts.is_empty(),
        advice: "allowed_outbound_hosts = [\"https://<host>:<port>\"]",
    },
    Grant {
        // Its own databases are on Postgres where the application is.
        interfaces: &["spin:postgres/", "fermyon:spin/postgres@"],
        granted: |component| !component.allowed_outbound_hosts.is_empty() || !component.sqlite_databases.is_empty(),
        advice: "allowed_outbound_hosts = [\"postgres://<host>:<port>\"]",
    },
];

impl Proposal<'_> {
    /// What speaks against the replaced components themselves, apart from links.
    pub fn misfits(&self, settings: &Component) -> Vec<String> {
        let (Some(after), Some(before)) = (self.after.get(settings.id.as_str()), self.before.get(settings.id.as_str()))
        else {
            return Vec::new();
        };
        let mut problems = ungranted(settings, before, after);
        if Version::serves_http_with(before) && !Version::serves_http_with(after) {
            problems.push(format!(
                "{} serves HTTP now, and this version does not: it exports none of {}, {} and {}",
                settings.id,
                platform::HANDLER,
                platform::WASI_HANDLER,
                platform::WASI_INCOMING_HANDLER
            ));
        }
        problems
    }

    /// A link that cannot be made, as it looks from what is replaced.
    pub fn describe(&self, problem: &LinkProblem) -> String {
        match problem {
            LinkProblem::NobodyExports { component, interface } if !self.is_replaced(component) => {
                self.describe_lost(component, interface, problem)
            }
            LinkProblem::NoFunction { component, interface, function, provider } if !self.is_replaced(component) => {
                let signature = self.imported(component, interface, function).unwrap_or_default();
                format!(
                    "{provider} does not export {interface}#{function}, which {} uses:\n    {signature}",
                    self.name(component)
                )
            }
            LinkProblem::OtherType { component, provider, interface, function, imported, exported }
                if !self.is_replaced(component) =>
            {
                format!(
                    "{provider} exports {interface}#{function}, which {} uses, with another type:\n    {imported}\n  has become\n    {exported}",
                    self.name(component)
                )
            }
            other => other.to_string(),
        }
    }

    fn describe_lost(&self, component: &str, interface: &str, problem: &LinkProblem) -> String {
        let Some(provider) = self.plan.links(component).and_then(|links| links.get(interface)) else {
            return problem.to_string();
        };
        let package = interface.split('@').next();
        let exports = self.after.get(&provider.component).into_iter().flat_map(|compiled| compiled.exports.keys());
        let others: Vec<&str> = exports
            .map(String::as_str)
            .filter(|export| export.split('@').next() == package && !compatible(interface, export))
            .collect();
        let other = if others.is_empty() {
            String::new()
        } else {
            format!("; {} is not compatible with it", others.join(", "))
        };
        format!("{} does not export {interface}, which {} uses{other}", provider.component, self.name(component))
    }

    fn is_replaced(&self, component: &str) -> bool {
        self.replaced.contains(component)
    }

    /// A component with its version, such as `web@1a2b3c4d`.
    fn name(&self, component: &str) -> String {
        let hash = self.after.get(component).map(|compiled| short(&compiled.hash)).unwrap_or_default();
        format!("{component}@{hash}")
    }

    fn imported(&self, component: &str, interface: &str, function: &str) -> Option<&str> {
        let function = self.after.get(component)?.imports.get(interface)?.functions.get(function)?;
        Some(&function.signature)
    }
}

/// Imports that the version before did not have and that nothing is granted for.
fn ungranted(settings: &Component, before: &Compiled, after: &Compiled) -> Vec<String> {
    let mut problems = Vec::new();
    for grant in GRANTS.iter().filter(|grant| !(grant.granted)(settings)) {
        let of_grant = |compiled: &Compiled| {
            let names = compiled.imports.keys();
            let found = names.filter(|name| grant.interfaces.iter().any(|start| name.starts_with(start)));
            found.cloned().collect::<Vec<_>>()
        };
        let wanted = of_grant(after);
        if of_grant(before).is_empty() && !wanted.is_empty() {
            problems.push(format!(
                "{id} imports {}, which it is not granted: add `{}` to `[component.{id}]` in spin.toml and restart, or build it without",
                wanted.join(", "),
                grant.advice,
                id = settings.id,
            ));
        }
    }
    problems
}
