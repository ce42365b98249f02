//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:payment/service",
    wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/payment"],
}
