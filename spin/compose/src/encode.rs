//! From a plan to the bytes of one component.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use wac_graph::{
    CompositionGraph, EncodeOptions,
    types::{ItemKind, Package, Types},
};

use crate::plan::{Interfaces, Plan};

/// A component to compose.
pub struct Part {
    bytes: Vec<u8>,
    pub interfaces: Interfaces,
}

/// Reads a component and what it needs and offers.
///
/// # Errors
/// The bytes are no component.
pub fn read(name: &str, bytes: Vec<u8>) -> Result<Part> {
    let mut types = Types::new();
    let package = package(name, &bytes, &mut types)?;
    let world = &types[package.ty()];
    let called = world.imports.iter().filter(|(_, kind)| is_called(&types, **kind));
    let interfaces = Interfaces {
        imports: called.map(|(name, _)| name.clone()).collect(),
        exports: world.exports.keys().cloned().collect(),
    };
    Ok(Part { bytes, interfaces })
}

fn package(name: &str, bytes: &[u8], types: &mut Types) -> Result<Package> {
    Package::from_bytes(name, None, bytes, types)
        .with_context(|| format!("`{name}` is not a component that can be composed"))
}

/// Whether an import is more than names for types.
fn is_called(types: &Types, kind: ItemKind) -> bool {
    match kind {
        ItemKind::Instance(interface) => {
            types[interface].exports.values().any(|kind| !matches!(kind, ItemKind::Type(_)))
        }
        other => !matches!(other, ItemKind::Type(_)),
    }
}

impl Plan {
    /// The composition as one component that exports these interfaces of its root
    /// and imports what the platform provides.
    ///
    /// # Errors
    /// A component of the plan is missing, does not export one of `exports`, or does
    /// not fit its callers.
    pub fn encode(&self, parts: &BTreeMap<String, Part>, exports: &[&str]) -> Result<Vec<u8>> {
        let mut graph = CompositionGraph::new();
        let mut nodes = BTreeMap::new();
        for name in &self.instances {
            let part = parts.get(name).with_context(|| format!("there is no component `{name}`"))?;
            let package = package(name, &part.bytes, graph.types_mut())?;
            let package = graph.register_package(package)?;
            nodes.insert(name.as_str(), graph.instantiate(package));
        }
        let node = |name: &str| nodes.get(name).copied().with_context(|| format!("there is no component `{name}`"));
        for wire in &self.wires {
            let export = graph.alias_instance_export(node(&wire.provider)?, &wire.interface)?;
            graph.set_instantiation_argument(node(&wire.consumer)?, &wire.interface, export).with_context(|| {
                format!("`{}` does not fit what `{}` expects of {}", wire.provider, wire.consumer, wire.interface)
            })?;
        }
        let root = self.instances.last().context("a plan without a component")?;
        for name in exports {
            let export = graph
                .alias_instance_export(node(root)?, name)
                .with_context(|| format!("`{root}` does not export {name}"))?;
            graph.export(export, *name)?;
        }
        Ok(graph.encode(EncodeOptions::default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    /// A component that offers a number under this interface.
    fn offers(interface: &str) -> String {
        format!(
            r#"(component
                (core module $m (func (export "f") (result i32) i32.const 7))
                (core instance $i (instantiate $m))
                (func $f (result u32) (canon lift (core func $i "f")))
                (instance $out (export "number" (func $f)))
                (export "{interface}" (instance $out)))"#
        )
    }

    /// A component that offers, under one interface, the number it gets from others.
    fn passes_on(imports: &[&str], interface: &str, result: &str) -> String {
        let imports: String = imports
            .iter()
            .enumerate()
            .map(|(n, import)| {
                format!(r#"(import "{import}" (instance $in{n} (export "number" (func (result {result})))))"#)
            })
            .collect();
        format!(
            r#"(component
                {imports}
                (import "wasi:clocks/thing@0.3.0" (instance (export "now" (func (result u64)))))
                (import "a:shop/types@1.0.0" (instance (type (record (field "id" u32))) (export "order" (type (eq 0)))))
                (alias export $in0 "number" (func $f))
                (instance $out (export "number" (func $f)))
                (export "{interface}" (instance $out))
                (export "a:shop/other@1.0.0" (instance $out)))"#
        )
    }

    fn parts(sources: &[(&str, String)]) -> BTreeMap<String, Part> {
        let part = |(name, source): &(&str, String)| {
            ((*name).to_owned(), read(name, wat::parse_str(source).unwrap()).unwrap())
        };
        sources.iter().map(part).collect()
    }

    fn compose(parts: &BTreeMap<String, Part>, root: &str) -> Result<Vec<u8>> {
        let interfaces = parts.iter().map(|(name, part)| (name.clone(), part.interfaces.clone())).collect();
        plan(&interfaces, root)?.encode(parts, &["wasi:http/handler@0.3.0"])
    }

    fn shop(result: &str) -> BTreeMap<String, Part> {
        parts(&[
            ("stock", offers("a:stock/count@1.0.0")),
            ("price", passes_on(&["a:stock/count@1.0.0"], "a:price/quote@1.0.0", "u32")),
            ("order", passes_on(&["a:price/quote@1.0.0", "a:stock/count@1.0.0"], "wasi:http/handler@0.3.0", result)),
        ])
    }

    #[test]
    fn what_only_names_types_counts_as_no_import() {
        let shop = shop("u32");
        let imports: Vec<_> = shop["order"].interfaces.imports.iter().map(String::as_str).collect();
        assert_eq!(imports, ["a:price/quote@1.0.0", "a:stock/count@1.0.0", "wasi:clocks/thing@0.3.0"]);
    }

    #[test]
    fn a_composition_needs_only_the_platform_and_exports_only_what_was_asked_for() {
        let composed = read("composed", compose(&shop("u32"), "order").unwrap()).unwrap();
        assert_eq!(composed.interfaces.imports.into_iter().collect::<Vec<_>>(), ["wasi:clocks/thing@0.3.0"]);
        assert_eq!(composed.interfaces.exports.into_iter().collect::<Vec<_>>(), ["wasi:http/handler@0.3.0"]);
    }

    #[test]
    fn an_export_of_another_type_than_expected_is_refused() {
        let error = format!("{:#}", compose(&shop("string"), "order").unwrap_err());
        assert!(error.contains("`price` does not fit what `order` expects of a:price/quote@1.0.0"), "{error}");
    }

    #[test]
    fn a_component_that_does_not_export_what_was_asked_for_is_refused() {
        let error = format!("{:#}", compose(&shop("u32"), "price").unwrap_err());
        assert!(error.contains("`price` does not export wasi:http/handler@0.3.0"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_component_are_refused() {
        assert!(read("thing", b"not wasm".to_vec()).is_err());
    }
}
