//! A guest that serves HTTP through `wasi:http/handler`, as any Spin component does.
#![cfg(target_family = "wasm")]

use spin_sdk::http::{IntoResponse, Request};
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};

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
        "/stream/hoard" => hoard(request.uri().query().unwrap_or_default()).await,
        "/stream/trap" => panic!("told to"),
        "/stream/loop" => loop {
            std::hint::spin_loop();
        },
        other => other.to_owned(),
    }
}

/// Makes connections to a port of this machine until one is refused, and keeps of each
/// only what it receives. Gives how many there were, and why not more.
async fn hoard(port: &str) -> String {
    let address = (127, 0, 0, 1);
    let port = port.parse().unwrap_or_default();
    let mut hoarded = Vec::new();
    loop {
        let socket = TcpSocket::create(IpAddressFamily::Ipv4).expect("a socket is made");
        match socket.connect(IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })).await {
            Ok(()) => hoarded.push(socket.receive()),
            Err(error) => return format!("{} {error:?}", hoarded.len()),
        }
    }
}
