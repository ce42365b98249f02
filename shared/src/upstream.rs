//! Requests to other components, and asking for one's own background work.

use crate::http::{Request, Response};

/// Why a request to another component has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("there is no service {0}")]
    UnknownService(String),
    /// Try again after so many seconds.
    #[error("not available, try again in {0} s")]
    Unavailable(u32),
    /// Whether the request took effect is unknown.
    #[error("no answer in time")]
    Timeout,
    #[error("failed: {0}")]
    Failed(String),
}

/// The other components of the application, as far as HTTP goes.
#[crate::async_trait(?Send)]
pub trait Upstream {
    /// Sends a request to the component of that id.
    async fn send(&self, service: &str, request: Request) -> Result<Response, UpstreamError>;

    /// Asks that a private route of the own component be POSTed soon. Best effort.
    async fn wake(&self, service: &str, path: &str);

    /// Whether whoever runs this component asks for the further pieces of an answer, or
    /// it has to do so itself.
    fn follows_pieces(&self) -> bool {
        false
    }
}

/// For components and tests that reach nobody.
pub struct Unreachable;

#[crate::async_trait(?Send)]
impl Upstream for Unreachable {
    async fn send(&self, service: &str, _: Request) -> Result<Response, UpstreamError> {
        Err(UpstreamError::UnknownService(service.to_owned()))
    }

    async fn wake(&self, _: &str, _: &str) {}
}

#[cfg(target_family = "wasm")]
pub use guest::HostUpstream;

#[cfg(target_family = "wasm")]
mod guest {
    use super::{Request, Response, Upstream, UpstreamError};

    mod bindings {
        spin_sdk::wit_bindgen::generate!({
            inline: "
                package cairn:shared;
                world calls {
                    import cairn:http/upstream@1.0.0;
                    import cairn:jobs/wake@1.0.0;
                }
            ",
            path: ["../wit/http", "../wit/jobs"],
            runtime_path: "spin_sdk::wit_bindgen::rt",
            generate_all,
        });
    }

    use bindings::cairn::{
        http::{types, upstream},
        jobs::wake,
    };

    /// The components beside this one, through the host.
    pub struct HostUpstream;

    #[crate::async_trait(?Send)]
    impl Upstream for HostUpstream {
        async fn send(&self, service: &str, request: Request) -> Result<Response, UpstreamError> {
            let Request { method, target, headers, body } = request;
            let request = types::Request { method, target, headers, body };
            match upstream::send(service.to_owned(), request).await {
                Ok(types::Response { status, headers, body }) => Ok(Response { status, headers, body }),
                Err(upstream::Error::UnknownService(id)) => Err(UpstreamError::UnknownService(id)),
                Err(upstream::Error::Unavailable(seconds)) => Err(UpstreamError::Unavailable(seconds)),
                Err(upstream::Error::Timeout) => Err(UpstreamError::Timeout),
                Err(upstream::Error::Failed(cause)) => Err(UpstreamError::Failed(cause)),
            }
        }

        async fn wake(&self, service: &str, path: &str) {
            wake::wake(service.to_owned(), path.to_owned()).await;
        }

        fn follows_pieces(&self) -> bool {
            // Our own host says so of itself.
            std::env::var_os("CAIRN_PREPARED").is_some()
        }
    }
}
