//! Bindings of the host's own interfaces: `cairn:http`, `cairn:jobs`, `cairn:lifecycle`.

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package cairn:platform@1.0.0;
            world platform {
                import cairn:http/upstream@1.0.0;
                import cairn:jobs/wake@1.0.0;
                export cairn:http/handler@1.0.0;
                export cairn:lifecycle/lifecycle@1.0.0;
            }
        ",
        path: ["../wit/http", "../wit/jobs", "../wit/lifecycle"],
        world: "cairn:platform/platform",
        imports: { default: async | store | trappable },
        exports: { default: async | store },
    });
}

pub use generated::{
    cairn::{
        http::{
            types::{Request, Response},
            upstream,
        },
        jobs::wake,
    },
    exports::cairn::{http::handler, lifecycle::lifecycle},
};

/// Full name of the buffered handler's interface.
pub const HANDLER: &str = "cairn:http/handler@1.0.0";
/// Full name of the lifecycle interface.
pub const LIFECYCLE: &str = "cairn:lifecycle/lifecycle@1.0.0";
/// Full name of the streaming handler's interface.
pub const WASI_HANDLER: &str = "wasi:http/handler@0.3.0";

/// Packages whose interfaces the host itself provides or calls. Components are
/// never linked to each other over one of them.
const HOST_PACKAGES: [&str; 5] = ["wasi:", "spin:", "cairn:http/", "cairn:jobs/", "cairn:lifecycle/"];

/// Whether an interface is between a component and the host.
#[must_use]
pub fn is_of_host(interface: &str) -> bool {
    HOST_PACKAGES.iter().any(|package| interface.starts_with(package))
}
