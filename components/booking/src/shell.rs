//! The WebAssembly component.

cairn_shared::component! {
    app: crate::app::App,
    world: "cairn:booking/service",
    wit: [
        "../../wit/http",
        "../../wit/lifecycle",
        "../../wit/notification",
        "../../wit/user",
        "../../wit/batch",
        "../../wit/trek",
        "../../wit/payment",
        "../../wit/booking",
    ],
}
