//! Bindings of the host's own interfaces: `cairn:http`, `cairn:jobs`, `cairn:lifecycle`.

use std::fmt;

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
/// The streaming handler's interface, in whichever release of WASI 0.3.
pub const WASI_HANDLER: Track = Track("wasi:http/handler@0.3.");
/// The handler of WASI 0.2, in whichever release of it.
pub const WASI_INCOMING_HANDLER: Track = Track("wasi:http/incoming-handler@0.2.");

/// An interface in every release that is compatible with the others: the name up to
/// the number of the patch.
#[derive(Debug, Clone, Copy)]
pub struct Track(&'static str);

impl Track {
    /// Whether an interface is a release of this one. Release candidates are not, since
    /// they promise nothing; those the host takes for a release have other names.
    #[must_use]
    pub fn is(self, interface: &str) -> bool {
        interface.strip_prefix(self.0).is_some_and(is_patch)
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first release stands for all of them.
        write!(f, "{}0", self.0)
    }
}

/// The last number of a version, perhaps with a note about the build.
fn is_patch(text: &str) -> bool {
    let number = text.split_once('+').map_or(text, |(number, _build)| number);
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the host links: what the names of the interfaces begin with, and of each the
/// version up to the number of the patch, or a whole draft.
const OFFERED: [(&str, &[&str]); 20] = [
    ("cairn:http/upstream", &["1.0."]),
    ("cairn:jobs/wake", &["1.0."]),
    ("fermyon:spin/key-value", &["2.0."]),
    ("fermyon:spin/postgres", &["2.0."]),
    ("fermyon:spin/rdbms-types", &["2.0."]),
    ("fermyon:spin/sqlite", &["2.0."]),
    ("fermyon:spin/variables", &["2.0."]),
    ("spin:key-value/", &["3.0."]),
    ("spin:postgres/", &["3.0.", "4.0.", "4.1.", "4.2."]),
    ("spin:sqlite/", &["3.0.", "3.1."]),
    ("spin:variables/", &["3.0."]),
    ("wasi:cli/", &["0.2.", "0.3."]),
    ("wasi:clocks/", &["0.2.", "0.3."]),
    ("wasi:config/store", &["0.2.0-draft-2024-09-27"]),
    ("wasi:filesystem/", &["0.2.", "0.3."]),
    ("wasi:http/", &["0.2.", "0.3."]),
    ("wasi:io/", &["0.2."]),
    ("wasi:keyvalue/", &["0.2.0-draft2"]),
    ("wasi:random/", &["0.2.", "0.3."]),
    ("wasi:sockets/", &["0.2.", "0.3."]),
];

/// Whether the host links an interface to functions of its own.
#[must_use]
pub fn offers(interface: &str) -> bool {
    let Some((name, version)) = interface.split_once('@') else {
        return false;
    };
    OFFERED.iter().filter(|(prefix, _)| name.starts_with(prefix)).any(|(_, releases)| {
        releases.iter().any(|release| version == *release || version.strip_prefix(release).is_some_and(is_patch))
    })
}

/// Packages whose interfaces the host itself provides or calls. Components are
/// never linked to each other over one of them.
const HOST_PACKAGES: [&str; 6] = ["wasi:", "spin:", "fermyon:spin/", "cairn:http/", "cairn:jobs/", "cairn:lifecycle/"];

/// Whether an interface is between a component and the host.
#[must_use]
pub fn is_of_host(interface: &str) -> bool {
    HOST_PACKAGES.iter().any(|package| interface.starts_with(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_from_candidates_and_from_what_nobody_offers() {
        for (interface, offered) in [
            ("wasi:http/types@0.2.0", true),
            ("wasi:http/types@0.2.12", true),
            ("wasi:http/types@0.3.0+rc-2026-03-15", true),
            ("wasi:http/types@0.2.0-rc-2023-11-10", false),
            ("wasi:http/types@0.4.0", false),
            ("wasi:keyvalue/store@0.2.0-draft2", true),
            ("wasi:keyvalue/store@0.2.0-draft", false),
            ("wasi:nn/graph@0.2.0", false),
            ("spin:sqlite/sqlite@3.0.0", true),
            ("spin:sqlite/sqlite@3.2.0", false),
            ("spin:postgres/postgres@4.0.0", true),
            ("spin:postgres/postgres@4.2.0", true),
            ("fermyon:spin/llm@2.0.0", false),
            ("fermyon:spin/key-value", false),
        ] {
            assert_eq!(offers(interface), offered, "{interface}");
        }
        assert!(WASI_INCOMING_HANDLER.is("wasi:http/incoming-handler@0.2.6"));
        assert!(!WASI_INCOMING_HANDLER.is("wasi:http/incoming-handler@0.2.0-rc-2023-10-18"));
    }
}
