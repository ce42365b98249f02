//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:content/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/content"],
}
