//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:trek/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/batch", "../../wit/trek"],
}
