//! A component as its file says it is: compiled, and its imports and exports read.
//!
//! Nothing here runs a component, and nothing knows where its imports come from.

use std::collections::BTreeMap;

use wasmtime::{
    Engine,
    component::{
        Component,
        types::{ComponentFunc, ComponentInstance, ComponentItem},
    },
};

use crate::{
    platform::Track,
    precompiled::{CompiledCache, content_hash},
    signature,
};

/// A compiled component and what it asks for and offers.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// SHA-256 of the component's bytes, in hex.
    pub hash: String,
    pub component: Component,
    /// Interfaces it imports, by full name such as `cairn:http/upstream@1.0.0`.
    pub imports: Interfaces,
    /// Interfaces it exports, by full name.
    pub exports: Interfaces,
}

/// Interfaces by full name.
pub type Interfaces = BTreeMap<String, Interface>;

/// The functions of an interface, by name.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    pub functions: BTreeMap<String, Function>,
}

/// What links need to know of a function's type.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its type written out; equal texts are equal types.
    pub signature: String,
    /// Takes and gives only values that can be copied between components.
    pub plain: bool,
    /// Its error type has a case `unavailable(string)`.
    pub can_be_unavailable: bool,
}

impl Compiled {
    /// Compiles a component, or loads what an earlier start compiled.
    ///
    /// # Errors
    /// When the bytes are no valid component.
    pub fn new(engine: &Engine, cache: &CompiledCache, bytes: &[u8]) -> wasmtime::Result<Self> {
        let hash = content_hash(bytes);
        let component = cache.compile(engine, bytes, &hash)?;
        let ty = component.component_type();
        let imports = interfaces(engine, ty.imports(engine).map(|(name, item)| (name, item.ty)));
        let exports = interfaces(engine, ty.exports(engine).map(|(name, item)| (name, item.ty)));
        Ok(Self { hash, component, imports, exports })
    }

    /// Whether both are the same bytes.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash
    }

    /// Whether some version of an interface is exported.
    #[must_use]
    pub fn exports_of(&self, track: Track) -> bool {
        self.exports.keys().any(|name| track.is(name))
    }

    /// Whether an interface of that name is exported.
    #[must_use]
    pub fn exports(&self, interface: &str) -> bool {
        self.exports.contains_key(interface)
    }
}

fn interfaces<'a>(engine: &Engine, items: impl Iterator<Item = (&'a str, ComponentItem)>) -> Interfaces {
    items
        .filter_map(|(name, item)| match item {
            ComponentItem::ComponentInstance(instance) => Some((name.to_owned(), interface(engine, &instance))),
            ComponentItem::ComponentFunc(_)
            | ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::Type(_)
            | ComponentItem::Resource(_) => None,
        })
        .collect()
}

fn interface(engine: &Engine, instance: &ComponentInstance) -> Interface {
    let functions = instance
        .exports(engine)
        .filter_map(|(name, item)| match item.ty {
            ComponentItem::ComponentFunc(ty) => Some((name.to_owned(), function(&ty))),
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::ComponentInstance(_)
            | ComponentItem::Type(_)
            | ComponentItem::Resource(_) => None,
        })
        .collect();
    Interface { functions }
}

fn function(ty: &ComponentFunc) -> Function {
    Function {
        signature: signature::signature(ty),
        plain: signature::is_plain(ty),
        can_be_unavailable: signature::can_be_unavailable(ty),
    }
}
