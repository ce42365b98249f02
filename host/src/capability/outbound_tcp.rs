//! Outbound TCP through `wasi:sockets`: only to hosts on the component's list.
//!
//! A guest resolves names itself and then asks for an address, so each address is
//! held against the list again, and names on the list are resolved for that.

pub mod places;

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use wasmtime_wasi::{WasiCtxBuilder, sockets::SocketAddrUse};

use super::allowed_hosts::AllowedHosts;

/// Time to resolve one name of the list.
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(2);

/// Allows an instance the connections of its list, and nothing else of the network.
pub fn configure(wasi: &mut WasiCtxBuilder, allowed: &Arc<AllowedHosts>) {
    let open = allowed.has_tcp();
    wasi.allow_tcp(open).allow_udp(false).allow_ip_name_lookup(open);
    let allowed = Arc::clone(allowed);
    wasi.socket_addr_check(move |address, usage| {
        let allowed = Arc::clone(&allowed);
        Box::pin(check(allowed, address, usage)) as Pin<Box<dyn Future<Output = bool> + Send + Sync>>
    });
}

async fn check(allowed: Arc<AllowedHosts>, address: SocketAddr, usage: SocketAddrUse) -> bool {
    match usage {
        // Before it connects, a socket is bound to whatever address fits.
        SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
        SocketAddrUse::TcpConnect => {
            let permitted = allowed.permits_address(address.ip(), address.port()) || is_named(&allowed, address).await;
            if !permitted {
                tracing::warn!(%address, "outbound connection refused: not in allowed_outbound_hosts");
            }
            permitted
        }
        SocketAddrUse::TcpListen
        | SocketAddrUse::TcpAccept
        | SocketAddrUse::UdpBind
        | SocketAddrUse::UdpSend
        | SocketAddrUse::UdpReceive => false,
    }
}

/// Whether a name on the list resolves to the address.
async fn is_named(allowed: &AllowedHosts, address: SocketAddr) -> bool {
    for name in allowed.tcp_names(address.port()) {
        if resolves_to(name.to_owned(), address).await {
            return true;
        }
    }
    false
}

async fn resolves_to(name: String, address: SocketAddr) -> bool {
    // In a task of its own: its future must be shareable between threads here, and
    // the resolver's is not.
    let lookup = tokio::spawn(async move {
        match tokio::time::timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host((name.as_str(), address.port()))).await {
            Ok(Ok(mut addresses)) => addresses.any(|resolved| resolved.ip() == address.ip()),
            Ok(Err(_)) | Err(_) => false,
        }
    });
    lookup.await.unwrap_or(false)
}
