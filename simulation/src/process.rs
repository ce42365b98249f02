//! The services as one process has them, and what is left when it dies: their databases.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
};

use anyhow::{Context, Result, anyhow};
use cairn_bench::twin::links;
use cairn_shared::{
    Component, Db, Env, async_trait,
    component::{self, Service},
    config::Config,
    http::{Request, Response},
    upstream::{Upstream, UpstreamError},
};
use futures::future::{FutureExt, LocalBoxFuture};

use crate::{
    provider::{self, Company, Provider},
    stage::Stage,
};

/// What survives.
#[derive(Clone)]
pub struct Databases {
    pub user: Db,
    pub trek: Db,
    pub batch: Db,
    pub booking: Db,
    pub payment: Db,
    pub notification: Db,
}

impl Databases {
    /// # Errors
    /// SQLite does not start.
    pub async fn open() -> Result<Self> {
        Ok(Self {
            user: Db::open_memory().await?,
            trek: Db::open_memory().await?,
            batch: Db::open_memory().await?,
            booking: Db::open_memory().await?,
            payment: Db::open_memory().await?,
            notification: Db::open_memory().await?,
        })
    }
}

/// Requests between the services that do not arrive, in ten thousand, and answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineFaults {
    pub lost: u32,
    pub lost_answer: u32,
}

/// Services whose background work is done here. Mail is queued, and goes nowhere.
const WOKEN: [&str; 2] = ["booking", "payment"];

type Door = Box<dyn Fn(Request) -> LocalBoxFuture<'static, Response>>;

/// The services as they reach each other by HTTP, and the work that they have asked for.
pub struct Doors {
    stage: Rc<Stage>,
    doors: OnceCell<BTreeMap<&'static str, Door>>,
    wakes: RefCell<BTreeSet<(String, String)>>,
    pub faults: LineFaults,
}

impl Doors {
    pub fn answer(&self, service: &str, request: Request) -> Option<LocalBoxFuture<'static, Response>> {
        self.doors.get().and_then(|doors| doors.get(service)).map(|door| door(request))
    }

    /// Background work that was asked for and has not begun, by service and path.
    pub fn take_wake(&self) -> Option<(String, String)> {
        let mut wakes = self.wakes.borrow_mut();
        let at = self.stage.below(wakes.len());
        let chosen = wakes.iter().nth(at).cloned();
        chosen.filter(|chosen| wakes.remove(chosen))
    }
}

/// What one service sees of [`Doors`], which own it: a process that is over is gone.
struct Neighbours(Weak<Doors>);

#[async_trait(?Send)]
impl Upstream for Neighbours {
    async fn send(&self, service: &str, request: Request) -> Result<Response, UpstreamError> {
        // Statistics are taken as they come, by a service that is not here.
        if service == "admin" {
            return Ok(Response::empty(204));
        }
        let Some(doors) = self.0.upgrade() else { return Err(UpstreamError::Timeout) };
        let Doors { stage, faults, .. } = &*doors;
        stage.step().await;
        if stage.hits(faults.lost) {
            stage.fail("a request between services is lost");
            return Err(UpstreamError::Timeout);
        }
        let answer = doors.answer(service, request).ok_or_else(|| UpstreamError::UnknownService(service.to_owned()))?;
        let answer = answer.await;
        stage.step().await;
        if stage.hits(faults.lost_answer) {
            stage.fail("an answer between services is lost");
            return Err(UpstreamError::Timeout);
        }
        Ok(answer)
    }

    /// Work of services that have no part in this is left alone.
    async fn wake(&self, service: &str, path: &str) {
        let Some(doors) = self.0.upgrade().filter(|_| WOKEN.contains(&service)) else { return };
        doors.wakes.borrow_mut().insert((service.to_owned(), path.to_owned()));
    }
}

/// All services, made anew after each crash.
pub struct Process {
    pub doors: Rc<Doors>,
    pub trek: Rc<cairn_trek::app::App>,
    pub batch: Rc<cairn_batch::app::App>,
    pub payment: Rc<cairn_payment::app::App>,
    user: Rc<cairn_user::app::App>,
    booking: Rc<cairn_booking::app::App>,
    notification: Rc<cairn_notification::app::App>,
}

const SETTINGS: [(&str, &str); 3] = [
    ("frontend_url", "http://localhost:3000"),
    ("site_name", "Cairn Treks"),
    ("jwt_secret", "a-secret-of-the-simulation-with-enough-characters"),
];

fn made<C: Component>(made: Result<C, String>) -> Result<Rc<C>> {
    made.map(Rc::new).map_err(|problem| anyhow!(problem)).context(C::NAME)
}

impl Process {
    /// `company` takes new payments; what the other one has is followed up.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(
        databases: &Databases,
        stage: &Rc<Stage>,
        provider: &Rc<Provider>,
        company: Company,
        faults: LineFaults,
    ) -> Result<Self> {
        use cairn_batch::app::App as Batch;
        use cairn_booking::app::App as Booking;
        use cairn_notification::app::App as Notification;
        use cairn_payment::app::App as Payment;
        use cairn_trek::app::App as Trek;
        use cairn_user::app::App as User;

        let doors = Rc::new(Doors { stage: stage.clone(), doors: OnceCell::new(), wakes: RefCell::default(), faults });
        let env = |name| {
            let clock = stage.clone();
            Env::new(name, Rc::new(move || clock.now()), Rc::new(Neighbours(Rc::downgrade(&doors))))
        };
        let config = |names: &[&str]| {
            let chosen = ("payment_provider", company.as_str());
            let all = SETTINGS.into_iter().chain(provider::SETTINGS).chain([chosen]);
            Config::of(&all.filter(|(name, _)| names.contains(name)).collect::<Vec<_>>())
        };
        let Databases { user, trek, batch, booking, payment, notification } = databases.clone();
        let notification =
            made(Notification::load(config(Notification::VARIABLES), notification, env("notification")))?;
        let batch = made(Batch::load(config(Batch::VARIABLES), batch, env("batch")))?;
        let peers = Box::new(links::User { notification: notification.clone() });
        let user = made(User::new(config(User::VARIABLES), user, env("user"), peers))?;
        let peers = Box::new(links::Trek { batch: batch.clone() });
        let trek = made(Trek::new(config(Trek::VARIABLES), trek, env("trek"), peers))?;
        let line = Box::new(provider::Line(provider.clone()));
        let payment = made(Payment::new(config(Payment::VARIABLES), payment, env("payment"), line))?;
        let peers = Box::new(links::Booking {
            user: user.clone(),
            trek: trek.clone(),
            batch: batch.clone(),
            payment: payment.clone(),
            notification: notification.clone(),
        });
        let booking = made(Booking::new(config(Booking::VARIABLES), booking, env("booking"), peers))?;
        let mut open = BTreeMap::new();
        open.insert("batch", door(&batch));
        open.insert("booking", door(&booking));
        open.insert("payment", door(&payment));
        open.insert("notification", door(&notification));
        doors.doors.get_or_init(|| open);
        Ok(Self { doors, trek, batch, payment, user, booking, notification })
    }

    /// Brings the databases up, once in their life.
    ///
    /// # Errors
    /// A migration fails.
    pub async fn prepare(&self) -> Result<()> {
        component::prepare(&*self.user).await.map_err(anyhow::Error::msg)?;
        component::prepare(&*self.trek).await.map_err(anyhow::Error::msg)?;
        component::prepare(&*self.batch).await.map_err(anyhow::Error::msg)?;
        component::prepare(&*self.payment).await.map_err(anyhow::Error::msg)?;
        component::prepare(&*self.notification).await.map_err(anyhow::Error::msg)?;
        component::prepare(&*self.booking).await.map_err(anyhow::Error::msg)
    }
}

fn door<C: Component>(service: &Rc<C>) -> Door {
    let (service, routes) = (service.clone(), Rc::new(component::router::<C>()));
    Box::new(move |request| {
        let (service, routes) = (service.clone(), routes.clone());
        async move { service.answer(&routes, request).await }.boxed_local()
    })
}
