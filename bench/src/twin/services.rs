//! The services of one thread, wired to each other.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    rc::Rc,
    sync::Mutex,
};

use anyhow::{Context, Result};
use cairn_shared::{
    Component, Db, Env, Timestamp,
    component::{self, Service},
    config::Config,
    http::{Request, Response},
};
use futures::future::{FutureExt, LocalBoxFuture};

use super::{background::Wakes, links, neighbours::Neighbours, outbound::Http};

/// Services with a database of their own.
const DATABASES: [&str; 8] = ["user", "trek", "batch", "booking", "payment", "notification", "content", "admin"];

/// What all threads share.
pub struct World {
    databases: BTreeMap<&'static str, Db>,
    /// The gateway's counters.
    pub counters: Mutex<HashMap<String, Vec<u8>>>,
    pub wakes: Wakes,
}

impl World {
    /// Opens the databases.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub async fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut databases = BTreeMap::new();
        for name in DATABASES {
            let db = Db::open_file(&folder.join(format!("{name}.db"))).await;
            databases.insert(name, db.with_context(|| format!("the database of {name}"))?);
        }
        Ok(Self { databases, counters: Mutex::default(), wakes: Wakes::default() })
    }

    fn database(&self, name: &str) -> Result<Db> {
        self.databases.get(name).cloned().with_context(|| format!("{name} has no database"))
    }
}

/// Answers requests to a service.
pub trait Answer {
    fn answer(&self, request: Request) -> LocalBoxFuture<'_, Response>;
}

struct Running<S: Service> {
    service: Rc<S>,
    routes: S::Routes,
}

impl<S: Service> Answer for Running<S> {
    fn answer(&self, request: Request) -> LocalBoxFuture<'_, Response> {
        Rc::clone(&self.service).answer(&self.routes, request).boxed_local()
    }
}

/// The application's variables where the environment does not set them, as in the manifest.
const DEFAULTS: [(&str, &str); 5] = [
    ("frontend_url", "http://localhost:3000"),
    ("site_name", "Cairn Treks"),
    ("email_host", "127.0.0.1"),
    ("email_port", "1025"),
    ("razorpay_api_host", "https://api.razorpay.com"),
];

fn variable(name: &str) -> Option<String> {
    match name {
        // The data folder is filled already.
        "demo" => None,
        "razorpay_api_url" => variable("razorpay_api_host").map(|host| format!("{host}/v1")),
        name => {
            let default = DEFAULTS.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            std::env::var(name.to_uppercase()).ok().or(default)
        }
    }
}

fn config(names: &[&str]) -> Config {
    let values: Vec<(&str, String)> = names.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Config::of(&values)
}

/// The services of one thread, the gateway in front.
pub struct Node {
    neighbours: Neighbours,
    gateway: Box<dyn Answer>,
}

impl Node {
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(world: &std::sync::Arc<World>) -> Result<Self> {
        let neighbours = Neighbours::new(world.clone());
        let env = |name| Env::new(name, Rc::new(Timestamp::now), Rc::new(neighbours.clone()));
        let mut maker = Maker { services: BTreeMap::new() };

        let notification = cairn_notification::app::App::load(
            maker.config::<cairn_notification::app::App>(),
            world.database("notification")?,
            env("notification"),
        );
        let notification = maker.add(notification)?;
        let batch = maker.add(cairn_batch::app::App::load(
            maker.config::<cairn_batch::app::App>(),
            world.database("batch")?,
            env("batch"),
        ))?;
        let peers = Box::new(links::User { notification: notification.clone() });
        let user = maker.add(cairn_user::app::App::new(
            maker.config::<cairn_user::app::App>(),
            world.database("user")?,
            env("user"),
            peers,
        ))?;
        let peers = Box::new(links::Trek { batch: batch.clone() });
        let trek = maker.add(cairn_trek::app::App::new(
            maker.config::<cairn_trek::app::App>(),
            world.database("trek")?,
            env("trek"),
            peers,
        ))?;
        let payment_config = maker.config::<cairn_payment::app::App>();
        let payment = maker.add(cairn_payment::app::App::new(
            payment_config,
            world.database("payment")?,
            env("payment"),
            Box::new(Http::default()),
        ))?;
        let peers = Box::new(links::Booking { user: user.clone(), trek, batch, payment, notification });
        maker.add(cairn_booking::app::App::new(
            maker.config::<cairn_booking::app::App>(),
            world.database("booking")?,
            env("booking"),
            peers,
        ))?;
        maker.add(cairn_content::app::App::load(
            maker.config::<cairn_content::app::App>(),
            world.database("content")?,
            env("content"),
        ))?;
        maker.add(cairn_admin::app::App::load(
            maker.config::<cairn_admin::app::App>(),
            world.database("admin")?,
            env("admin"),
        ))?;

        let peers = Box::new(links::Gateway { user, world: world.clone() });
        let gateway = cairn_gateway::app::App::new(config(cairn_gateway::app::App::SETTINGS), env("gateway"), peers);
        let service = Rc::new(gateway.map_err(anyhow::Error::msg)?);
        neighbours.settle(maker.services);
        Ok(Self { neighbours, gateway: Box::new(Running { service, routes: () }) })
    }

    /// A request from outside.
    pub async fn answer(&self, request: Request) -> Response {
        self.gateway.answer(request).await
    }

    /// A request from inside to one service.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }
}

struct Maker {
    services: BTreeMap<&'static str, Box<dyn Answer>>,
}

impl Maker {
    fn config<C: Component>(&self) -> Config {
        config(C::VARIABLES)
    }

    fn add<C: Component>(&mut self, made: Result<C, String>) -> Result<Rc<C>> {
        let service = Rc::new(made.map_err(anyhow::Error::msg).with_context(|| C::NAME)?);
        let running = Running { service: service.clone(), routes: component::router::<C>() };
        self.services.insert(C::NAME, Box::new(running));
        Ok(service)
    }
}
