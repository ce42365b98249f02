//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:user/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/notification", "../../wit/user"],
}
