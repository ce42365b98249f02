//! What a component is, and how its parts become WebAssembly exports.

use std::rc::Rc;

use crate::{
    Db, Error, Id, Result, Timestamp, Zone, audit,
    config::Config,
    events,
    http::{Request, Response, Router},
    migrations::{self, Migration},
    upstream::{Unreachable, Upstream},
};

/// What a component has of the world besides its database and its peers.
#[derive(Clone)]
pub struct Env {
    /// The component's id.
    pub service: &'static str,
    /// The zone of the business's days.
    pub zone: Zone,
    clock: Rc<dyn Fn() -> Timestamp>,
    pub upstream: Rc<dyn Upstream>,
}

impl Env {
    pub fn new(service: &'static str, clock: Rc<dyn Fn() -> Timestamp>, upstream: Rc<dyn Upstream>) -> Self {
        Self { service, zone: Zone::INDIA, clock, upstream }
    }

    /// The system's clock, and nobody to reach.
    pub fn for_test(service: &'static str) -> Self {
        Self::new(service, Rc::new(Timestamp::now), Rc::new(Unreachable))
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// A new record id.
    pub fn id(&self) -> Id {
        Id::generate(self.now())
    }

    /// Has the outbox relayed in the background, now that there is something in it.
    pub async fn wake_relay(&self) {
        self.upstream.wake(self.service, events::RELAY_PATH).await;
    }
}

/// A service of the application. One value serves all requests of an instance.
#[expect(async_fn_in_trait, reason = "components run on one thread, so no future need be Send")]
pub trait Component: Sized + 'static {
    /// Its id in the manifest, and the label of its database.
    const NAME: &'static str;

    /// Its migrations in order; see [`crate::migrations!`].
    const MIGRATIONS: &'static [Migration];

    /// The variables it reads.
    const VARIABLES: &'static [&'static str];

    /// Its own private routes that are scheduled. A host without a schedule has them
    /// done when an instance starts.
    const JOBS: &'static [&'static str] = &[events::RELAY_PATH];

    /// Where its audit is read, if it notes changes: see [`crate::audit`].
    const AUDIT: Option<audit::Access> = None;

    /// Makes it from its configuration.
    ///
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    fn load(config: Config, db: Db, env: Env) -> Result<Self, String>;

    fn db(&self) -> &Db;

    fn env(&self) -> &Env;

    /// Its routes, under the paths that clients use.
    fn routes() -> Router<Self>;

    /// What must stand before the first request besides the schema: first records,
    /// demo data. Idempotent.
    async fn start(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What a shell carries into WebAssembly. Every [`Component`] is one; a service
/// without a database of its own says itself how it comes up and answers.
#[expect(async_fn_in_trait, reason = "components run on one thread, so no future need be Send")]
pub trait Service: Sized + 'static {
    /// Its id in the manifest.
    const ID: &'static str;

    /// The variables it reads.
    const SETTINGS: &'static [&'static str];

    /// Its scheduled private routes.
    const JOBS: &'static [&'static str] = &[];

    /// Made once per instance and handed to every call of [`Service::answer`].
    type Routes: 'static;

    /// Makes it from its configuration.
    ///
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    fn make(config: Config, env: Env) -> Result<Self, String>;

    fn table() -> Self::Routes;

    /// What must stand before the first request. Idempotent.
    ///
    /// # Errors
    /// One message that says what is wrong.
    async fn ready(&self) -> Result<(), String>;

    async fn answer(self: Rc<Self>, routes: &Self::Routes, request: Request) -> Response;
}

impl<C: Component> Service for C {
    const ID: &'static str = C::NAME;
    const SETTINGS: &'static [&'static str] = C::VARIABLES;
    const JOBS: &'static [&'static str] = C::JOBS;
    type Routes = Router<C>;

    #[cfg(target_family = "wasm")]
    fn make(config: Config, env: Env) -> Result<Self, String> {
        let db = Db::open(C::NAME, config.optional(crate::db::SHARED_POSTGRES));
        C::load(config, db, env)
    }

    /// Natively a database is opened by whoever runs the component.
    #[cfg(not(target_family = "wasm"))]
    fn make(_: Config, _: Env) -> Result<Self, String> {
        Err("a component is made natively by `Component::load`".into())
    }

    fn table() -> Router<C> {
        router()
    }

    async fn ready(&self) -> Result<(), String> {
        prepare(self).await
    }

    async fn answer(self: Rc<Self>, routes: &Router<C>, request: Request) -> Response {
        let env = self.env().clone();
        routes.handle(self, &env, request).await
    }
}

/// The component's own routes and those that every component has: its health, the relay
/// of its outbox, and its audit.
pub fn router<C: Component>() -> Router<C> {
    audit::routes(C::routes()).once_for_a_key(C::db).get("/health", health::<C>).post(events::RELAY_PATH, relay::<C>)
}

/// Brings a component up: schema, then [`Component::start`].
///
/// # Errors
/// One message that says what is wrong.
pub async fn prepare<C: Component>(component: &C) -> Result<(), String> {
    migrations::apply(component.db(), C::MIGRATIONS).await.map_err(|error| error.to_string())?;
    component.start().await
}

async fn health<C: Component>(component: Rc<C>) -> Result<Response> {
    use crate::Sql;
    let database = component.db().query_one("SELECT 1 AS one", crate::params![]).await;
    let (status, state, database) = match &database {
        Ok(_) => (200, "healthy", "connected"),
        Err(_) => (503, "unhealthy", "disconnected"),
    };
    Ok(Response::json(
        status,
        &serde_json::json!({
            "success": status == 200,
            "service": format!("{}-service", C::NAME),
            "status": state,
            "timestamp": component.env().now(),
            "database": database,
        }),
    ))
}

async fn relay<C: Component>(component: Rc<C>) -> Result<Response> {
    let failed = events::relay(component.db(), component.env()).await?;
    if failed == 0 { Ok(Response::empty(204)) } else { Err(Error::unavailable(format!("{failed} deliveries failed"))) }
}

/// An instance of a component in its sandbox: made at the first call, then kept.
#[cfg(target_family = "wasm")]
pub mod guest {
    use std::{cell::RefCell, rc::Rc};

    use super::{Env, Service, Timestamp};
    use crate::{
        config::Config,
        http::{Request, Response},
        upstream::{HostUpstream, Upstream},
    };

    struct Parts<S: Service> {
        service: Rc<S>,
        routes: Rc<S::Routes>,
    }

    /// Where an instance keeps its component.
    pub struct Slot<S: Service>(RefCell<Option<Parts<S>>>);

    impl<S: Service> Default for Slot<S> {
        fn default() -> Self {
            Self(RefCell::new(None))
        }
    }

    impl<S: Service> Slot<S> {
        /// The component. Where no host prepares components ahead, the first call does it.
        ///
        /// # Errors
        /// What is wrong with its configuration or its database.
        pub async fn component(&self) -> Result<Rc<S>, String> {
            self.parts(S::JOBS).await.map(|(service, _)| service)
        }

        /// What a host calls before traffic.
        ///
        /// # Errors
        /// What is wrong with its configuration or its database.
        pub async fn prepare(&self) -> Result<(), String> {
            let service = Rc::new(load::<S>().await?);
            service.ready().await?;
            self.keep(service);
            Ok(())
        }

        /// The component and its routes. An instance that prepares itself stands on a
        /// host without a schedule as well, so it has these jobs done then.
        async fn parts(&self, jobs: &[&str]) -> Result<(Rc<S>, Rc<S::Routes>), String> {
            if let Some(parts) = &*self.0.borrow() {
                return Ok((parts.service.clone(), parts.routes.clone()));
            }
            let service = Rc::new(load::<S>().await?);
            if std::env::var_os("CAIRN_PREPARED").is_none() {
                service.ready().await?;
                for job in jobs {
                    HostUpstream.wake(S::ID, job).await;
                }
            }
            Ok(self.keep(service))
        }

        fn keep(&self, service: Rc<S>) -> (Rc<S>, Rc<S::Routes>) {
            let routes = Rc::new(S::table());
            *self.0.borrow_mut() = Some(Parts { service: service.clone(), routes: routes.clone() });
            (service, routes)
        }

        pub async fn handle(&self, request: Request) -> Response {
            // A job that has jobs done at its start would never end where every request
            // gets an instance of its own.
            let jobs = if S::JOBS.contains(&request.path()) { &[] } else { S::JOBS };
            match self.parts(jobs).await {
                Ok((service, routes)) => service.answer(&routes, request).await,
                Err(cause) => crate::Error::unavailable(cause).into_response(S::ID, Timestamp::now()),
            }
        }

        /// As [`Slot::handle`], from and to the types of `wasi:http`.
        pub async fn handle_wasi(
            &self,
            request: spin_sdk::http::Request,
        ) -> http::Response<http_body_util::Full<bytes::Bytes>> {
            use http_body_util::BodyExt;
            let (parts, body) = request.into_parts();
            let answer = match body.collect().await {
                Ok(body) => {
                    let headers = parts.headers.iter().map(|(name, value)| {
                        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                    });
                    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
                    let request = Request {
                        method: parts.method.to_string(),
                        target: target.to_owned(),
                        headers: headers.collect(),
                        body: body.to_bytes().to_vec(),
                    };
                    self.handle(request).await
                }
                Err(error) => crate::Error::bad_request("The body did not arrive completely.")
                    .cause(format!("{error:?}"))
                    .into_response(S::ID, Timestamp::now()),
            };
            into_http(answer)
        }
    }

    fn into_http(answer: Response) -> http::Response<http_body_util::Full<bytes::Bytes>> {
        let length = answer.body.len();
        let mut response = http::Response::new(http_body_util::Full::new(bytes::Bytes::from(answer.body)));
        *response.status_mut() =
            http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            match (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => drop(response.headers_mut().append(name, value)),
                _ => crate::log::warn("a header that is not valid was left out", &[]),
            }
        }
        // With its length known, a response goes out in one piece.
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        response
    }

    async fn load<S: Service>() -> Result<S, String> {
        let env = Env::new(S::ID, Rc::new(Timestamp::now), Rc::new(HostUpstream));
        let settings = [S::SETTINGS, &[crate::db::SHARED_POSTGRES]].concat();
        S::make(Config::read(&settings).await, env)
    }
}

/// Makes the WebAssembly component: the whole of a component's `shell.rs`.
///
/// ```text
/// cairn_shared::component! {
///     app: crate::app::App,
///     world: "cairn:orders/service",
///     wit: ["../../wit/http", "../../wit/lifecycle", "../../wit/orders"],
/// }
/// ```
///
/// It defines `bindings` (generated from the world), `Exports`, on which `rpc.rs`
/// implements the world's own interfaces, and `app()`, the component they work with.
/// The folders are named so that each comes after those it refers to.
#[macro_export]
macro_rules! component {
    (app: $app:ty, world: $world:literal, wit: [$($wit:literal),* $(,)?] $(,)?) => {
        pub mod bindings {
            $crate::sdk::wit_bindgen::generate!({
                path: [$($wit),*],
                world: $world,
                runtime_path: "cairn_shared::sdk::wit_bindgen::rt",
                generate_all,
                pub_export_macro: true,
                additional_derives: [PartialEq],
            });
        }

        /// Carries the exports of this component.
        pub struct Exports;

        thread_local! {
            static SLOT: &'static $crate::component::guest::Slot<$app> = Box::leak(Box::default());
        }

        fn slot() -> &'static $crate::component::guest::Slot<$app> {
            SLOT.with(|slot| *slot)
        }

        /// The component of this instance.
        pub async fn app() -> Result<std::rc::Rc<$app>, String> {
            slot().component().await
        }

        impl bindings::exports::cairn::http::handler::Guest for Exports {
            async fn handle(request: bindings::cairn::http::types::Request) -> bindings::cairn::http::types::Response {
                let bindings::cairn::http::types::Request { method, target, headers, body } = request;
                let $crate::http::Response { status, headers, body } =
                    slot().handle($crate::http::Request { method, target, headers, body }).await;
                bindings::cairn::http::types::Response { status, headers, body }
            }
        }

        impl bindings::exports::cairn::lifecycle::lifecycle::Guest for Exports {
            async fn prepare() -> Result<(), String> {
                slot().prepare().await
            }
        }

        bindings::export!(Exports with_types_in bindings);

        mod wasi {
            struct Exports;
            $crate::sdk::wasip3::http::service::export!(Exports);

            impl $crate::sdk::wasip3::exports::http::handler::Guest for Exports {
                async fn handle(
                    request: $crate::sdk::wasip3::http::types::Request,
                ) -> Result<$crate::sdk::wasip3::http::types::Response, $crate::sdk::wasip3::http::types::ErrorCode> {
                    use $crate::sdk::http::{FromRequest, IntoResponse};
                    let request = $crate::sdk::http::Request::from_request(request)?;
                    super::slot().handle_wasi(request).await.into_response()
                }
            }
        }
    };
}
