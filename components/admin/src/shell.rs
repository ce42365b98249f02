//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:admin/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/admin"],
}
