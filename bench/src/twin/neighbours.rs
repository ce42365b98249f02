//! The other services, in process.

use std::{cell::OnceCell, collections::BTreeMap, rc::Rc, sync::Arc};

use cairn_shared::{
    async_trait,
    http::{Request, Response},
    upstream::{Upstream, UpstreamError},
};

use super::services::{Answer, World};

/// The services of one thread by name; known once all are made.
#[derive(Clone)]
pub struct Neighbours {
    services: Rc<OnceCell<BTreeMap<&'static str, Box<dyn Answer>>>>,
    world: Arc<World>,
}

impl Neighbours {
    pub fn new(world: Arc<World>) -> Self {
        Self { services: Rc::default(), world }
    }

    /// Makes the services known. Only the first call counts.
    pub fn settle(&self, services: BTreeMap<&'static str, Box<dyn Answer>>) {
        self.services.get_or_init(|| services);
    }
}

#[async_trait(?Send)]
impl Upstream for Neighbours {
    async fn send(&self, service: &str, request: Request) -> Result<Response, UpstreamError> {
        let found = self.services.get().and_then(|services| services.get(service));
        let service = found.ok_or_else(|| UpstreamError::UnknownService(service.to_owned()))?;
        Ok(service.answer(request).await)
    }

    async fn wake(&self, service: &str, path: &str) {
        self.world.wakes.ask(service, path);
    }
}
