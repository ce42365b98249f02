//! Interfaces between a component and its host that this host does not have.
//!
//! The tools of some languages make a component import all interfaces of Spin, used or
//! not. One of a service that the manifest lets the component reach is refused by name,
//! before it starts. One that nothing is granted for would refuse every call under Spin
//! as well: it is linked to functions that fail the call and name it.

use wasmtime::{
    Engine,
    component::{
        Component, Linker, LinkerInstance, ResourceType,
        types::{ComponentFunc, ComponentItem},
    },
};

use crate::{component::Interfaces, manifest, platform, state::State};

/// A service that Spin has a client for and this host has none.
struct Service {
    name: &'static str,
    /// What the names of its interfaces begin with.
    interfaces: &'static [&'static str],
    /// What entries of `allowed_outbound_hosts` for it begin with.
    schemes: &'static [&'static str],
}

const SERVICES: [Service; 4] = [
    Service { name: "language models", interfaces: &["fermyon:spin/llm@"], schemes: &[] },
    Service { name: "MQTT", interfaces: &["fermyon:spin/mqtt@", "spin:mqtt/"], schemes: &["mqtt://", "mqtts://"] },
    Service { name: "MySQL", interfaces: &["fermyon:spin/mysql@", "spin:mysql/"], schemes: &["mysql://"] },
    Service { name: "Redis", interfaces: &["fermyon:spin/redis@", "spin:redis/"], schemes: &["redis://", "rediss://"] },
];

/// The imported interfaces of a host that this one does not have, and that the component
/// cannot use anyway.
///
/// # Errors
/// A sentence about every other one.
pub fn absent(component: &manifest::Component, imports: &Interfaces) -> Result<Vec<String>, Vec<String>> {
    let (mut absent, mut problems) = (Vec::new(), Vec::new());
    for (interface, content) in imports {
        // An interface of types only has nothing to link.
        if !platform::is_of_host(interface) || platform::offers(interface) || content.functions.is_empty() {
            continue;
        }
        let service = SERVICES.iter().find(|service| service.is_reached_by(interface));
        match service.map(|service| (service, service.granted_by(component))) {
            Some((_, None)) => absent.push(interface.clone()),
            Some((Service { name, .. }, Some(entry))) => problems.push(format!(
                "it imports {interface:?} and may connect to {entry:?}, but this host has no client for {name}; \
                 reach it over HTTP or TCP, or remove the entry from `allowed_outbound_hosts`"
            )),
            None => problems.push(format!("it imports {interface:?}, which this host does not have")),
        }
    }
    if problems.is_empty() { Ok(absent) } else { Err(problems) }
}

impl Service {
    fn is_reached_by(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|prefix| interface.starts_with(prefix))
    }

    fn granted_by<'c>(&self, component: &'c manifest::Component) -> Option<&'c String> {
        let for_it = |entry: &&String| self.schemes.iter().any(|scheme| entry.starts_with(scheme));
        component.allowed_outbound_hosts.iter().find(for_it)
    }
}

/// Defines interfaces whose functions fail the call.
///
/// # Errors
/// When a name is not valid in a linker.
pub fn define(
    linker: &mut Linker<State>,
    engine: &Engine,
    component: &Component,
    interfaces: &[String],
) -> wasmtime::Result<()> {
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        if !interfaces.iter().any(|absent| absent == name) {
            continue;
        }
        let mut linker = linker.instance(name)?;
        for (item, export) in instance.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(ty) => define_function(&mut linker, name, item, &ty)?,
                ComponentItem::Resource(_) => {
                    linker.resource(item, ResourceType::host::<Never>(), |_store, _handle| Ok(()))?;
                }
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_)
                | ComponentItem::Type(_) => {}
            }
        }
    }
    Ok(())
}

/// What the resources of such an interface are: none is ever made.
enum Never {}

fn define_function(
    linker: &mut LinkerInstance<'_, State>,
    interface: &str,
    function: &str,
    ty: &ComponentFunc,
) -> wasmtime::Result<()> {
    let message = format!("{interface}#{function} was called, which this host does not have");
    let fail = move || wasmtime::Error::msg(message.clone());
    if ty.async_() {
        linker.func_new_concurrent(function, move |_accessor, _ty, _params, _results| {
            let failed = fail();
            Box::pin(async move { Err(failed) })
        })
    } else {
        linker.func_new(function, move |_store, _ty, _params, _results| Err(fail()))
    }
}
