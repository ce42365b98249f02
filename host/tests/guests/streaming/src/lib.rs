//! A guest that serves HTTP through `wasi:http/handler`, as any Spin component does.
#![cfg(target_family = "wasm")]

use spin_sdk::http::{IntoResponse, Request};

#[spin_sdk::http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let path = request.uri().path().to_owned();
    let headers: String = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or_default()))
        .collect();
    match path.as_str() {
        "/stream/headers" => headers,
        "/stream/body" => {
            let body = http_body_util::BodyExt::collect(request.into_body()).await;
            body.map(|body| body.to_bytes().len()).unwrap_or_default().to_string()
        }
        "/stream/trap" => panic!("told to"),
        "/stream/loop" => loop {
            std::hint::spin_loop();
        },
        other => other.to_owned(),
    }
}
