//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:gateway/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/notification", "../../wit/user", "../../wit/gateway"],
}
