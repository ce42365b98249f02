//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:batch/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/batch"],
}
