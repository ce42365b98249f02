//! Which instances a composition has and how they are wired, by names alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

/// Imports that whatever runs the composition provides.
const PLATFORM: [&str; 2] = ["wasi:", "spin:"];

/// What a component needs and offers, by the full names of its interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// Those that have functions; what only names types needs nobody.
    pub imports: BTreeSet<String>,
    pub exports: BTreeSet<String>,
}

/// An import of one instance, and the instance whose export satisfies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wire {
    pub consumer: String,
    pub interface: String,
    pub provider: String,
}

/// A composition: each component occurs once in it, however many call it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every component after those it calls; the last is the one asked for.
    pub instances: Vec<String>,
    pub wires: Vec<Wire>,
}

/// Plans the composition of `root` with what it calls, directly or through others.
///
/// # Errors
/// An import that is not the platform's and that nobody exports, or several do; a
/// cycle of calls; a root that is not among the components.
pub fn plan(components: &BTreeMap<String, Interfaces>, root: &str) -> Result<Plan> {
    let mut plan = Plan::default();
    visit(components, root, &mut Vec::new(), &mut plan)?;
    Ok(plan)
}

fn visit(components: &BTreeMap<String, Interfaces>, name: &str, path: &mut Vec<String>, plan: &mut Plan) -> Result<()> {
    if plan.instances.iter().any(|instance| instance == name) {
        return Ok(());
    }
    if path.iter().any(|caller| caller == name) {
        bail!("components call each other in a circle: {} → {name}", path.join(" → "));
    }
    let own = components.get(name).with_context(|| format!("there is no component `{name}`"))?;
    path.push(name.to_owned());
    for interface in &own.imports {
        let Some(provider) = provider(components, name, interface)? else { continue };
        visit(components, &provider, path, plan)?;
        plan.wires.push(Wire { consumer: name.to_owned(), interface: interface.clone(), provider });
    }
    path.pop();
    plan.instances.push(name.to_owned());
    Ok(())
}

/// The component that exports an interface; none if it is the platform's.
fn provider(components: &BTreeMap<String, Interfaces>, consumer: &str, interface: &str) -> Result<Option<String>> {
    if PLATFORM.iter().any(|namespace| interface.starts_with(namespace)) {
        return Ok(None);
    }
    let mut exporters = components.iter().filter(|(_, other)| other.exports.contains(interface)).map(|(name, _)| name);
    match (exporters.next(), exporters.next()) {
        (Some(only), None) => Ok(Some(only.clone())),
        (None, _) => bail!("`{consumer}` imports {interface}, which no component exports"),
        (Some(one), Some(other)) => bail!("`{consumer}` imports {interface}, which `{one}` and `{other}` both export"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(imports: &[&str], exports: &[&str]) -> Interfaces {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Interfaces { imports: set(imports), exports: set(exports) }
    }

    fn components<const N: usize>(components: [(&str, Interfaces); N]) -> BTreeMap<String, Interfaces> {
        components.into_iter().map(|(name, interfaces)| (name.to_owned(), interfaces)).collect()
    }

    #[test]
    fn a_component_that_two_others_call_occurs_once() {
        let all = components([
            ("order", component(&["a:price/quote", "a:stock/hold"], &["wasi:http/handler"])),
            ("price", component(&["a:stock/hold"], &["a:price/quote", "wasi:http/handler"])),
            ("stock", component(&[], &["a:stock/hold", "wasi:http/handler"])),
            ("mail", component(&[], &["a:mail/send"])),
        ]);
        let plan = plan(&all, "order").unwrap();
        assert_eq!(plan.instances, ["stock", "price", "order"]);
        let wires: Vec<_> = plan
            .wires
            .iter()
            .map(|wire| (wire.consumer.as_str(), wire.interface.as_str(), wire.provider.as_str()))
            .collect();
        let wanted = [
            ("price", "a:stock/hold", "stock"),
            ("order", "a:price/quote", "price"),
            ("order", "a:stock/hold", "stock"),
        ];
        assert_eq!(wires, wanted);
    }

    #[test]
    fn what_the_platform_provides_stays_open() {
        let all =
            components([("one", component(&["wasi:clocks/system-clock@0.3.0", "spin:sqlite/sqlite@3.1.0"], &[]))]);
        assert_eq!(plan(&all, "one").unwrap(), Plan { instances: vec!["one".into()], wires: Vec::new() });
    }

    #[test]
    fn an_import_that_nobody_exports_is_named() {
        let all = components([
            ("order", component(&["a:stock/hold@2.0.0"], &[])),
            ("stock", component(&[], &["a:stock/hold@1.0.0"])),
        ]);
        let error = plan(&all, "order").unwrap_err().to_string();
        assert!(error.contains("`order`") && error.contains("a:stock/hold@2.0.0"), "{error}");
    }

    #[test]
    fn an_import_that_two_export_is_refused() {
        let all = components([
            ("order", component(&["a:stock/hold"], &[])),
            ("stock", component(&[], &["a:stock/hold"])),
            ("store", component(&[], &["a:stock/hold"])),
        ]);
        let error = plan(&all, "order").unwrap_err().to_string();
        assert!(error.contains("`stock` and `store`"), "{error}");
    }

    #[test]
    fn an_interface_that_all_export_and_nobody_calls_is_no_conflict() {
        let all = components([
            ("order", component(&[], &["a:http/handler"])),
            ("stock", component(&[], &["a:http/handler"])),
        ]);
        assert_eq!(plan(&all, "order").unwrap().instances, ["order"]);
    }

    #[test]
    fn a_circle_of_calls_is_shown() {
        let all = components([
            ("a", component(&["x:b/b"], &["x:a/a"])),
            ("b", component(&["x:c/c"], &["x:b/b"])),
            ("c", component(&["x:a/a"], &["x:c/c"])),
        ]);
        let error = plan(&all, "a").unwrap_err().to_string();
        assert!(error.contains("a → b → c → a"), "{error}");
    }
}
