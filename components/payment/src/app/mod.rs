//! Use cases of the payment service: load, decide, commit.
//!
//! Two rules hold everywhere. A transaction awaits nothing but the database. And
//! whatever the provider is asked to do is written down before it is asked, under a
//! key that finds it again, so that an answer that never comes loses nothing.

mod captures;
mod checkout;
mod orders;
mod promos;
mod reconcile;
mod refunds;
mod webhook;

use cairn_shared::{
    Component, Db, Env, Id, Result, Timestamp, Tx,
    config::Config,
    events::{self, Event},
    http::Router,
    migrations::Migration,
};
use serde::Serialize;

pub use captures::{Captured, Verified, VerifyRequest};
pub use orders::MadeOrder;
pub use promos::NewPromo;
pub use reconcile::Reconciled;
pub use webhook::Delivery;

use crate::{
    domain::{Kind, RefundStatus},
    provider::Provider,
};

/// The base address of the provider where none is configured.
#[cfg(target_family = "wasm")]
const API_URL: &str = "https://api.razorpay.com/v1";

/// Where refunds that are due are executed.
pub const REFUNDS_PATH: &str = "/_jobs/refunds";

/// Where orders and refunds that nobody told of are asked about.
pub const RECONCILE_PATH: &str = "/_jobs/reconcile";

/// What to do with money on an order that we never made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownOrders {
    /// Give it back.
    Refund,
    /// Keep it for staff to look at: for the time in which another system takes
    /// payments under the same account.
    Hold,
}

/// The account at the provider.
#[derive(Clone)]
pub struct Account {
    pub key_id: String,
    pub key_secret: String,
    /// The current secret first, then the one that old deliveries still carry.
    pub webhook_secrets: Vec<String>,
    pub unknown_orders: UnknownOrders,
}

pub struct App {
    pub db: Db,
    pub env: Env,
    /// None where payments are not configured.
    pub account: Option<Account>,
    pub provider: Box<dyn Provider>,
    /// Whether an empty database gets the demo's promo codes.
    pub demo: bool,
}

impl App {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn new(mut config: Config, db: Db, env: Env, provider: Box<dyn Provider>) -> Result<Self, String> {
        let account = account(&mut config);
        let demo = config.parsed("demo", false);
        config.finish()?;
        Ok(Self { db, env, account, provider, demo })
    }
}

/// All of the account's variables or none.
fn account(config: &mut Config) -> Option<Account> {
    const NAMES: [&str; 3] = ["razorpay_key_id", "razorpay_key_secret", "razorpay_webhook_secret"];
    let unknown_orders = match config.optional("razorpay_unknown_orders").as_deref() {
        None | Some("refund") => UnknownOrders::Refund,
        Some("hold") => UnknownOrders::Hold,
        Some(_) => {
            config.problem("variable `razorpay_unknown_orders` has to be refund or hold");
            UnknownOrders::Hold
        }
    };
    if NAMES.iter().all(|name| config.optional(name).is_none()) {
        return None;
    }
    let [key_id, key_secret, webhook_secret] = NAMES.map(|name| config.required(name));
    let previous = config.optional("razorpay_webhook_secret_previous");
    let webhook_secrets = std::iter::once(webhook_secret).chain(previous).collect();
    Some(Account { key_id, key_secret, webhook_secrets, unknown_orders })
}

#[cfg(target_family = "wasm")]
fn provider(config: &mut Config) -> Box<dyn Provider> {
    use crate::provider::{Http, Razorpay};
    let url = config.parsed("razorpay_api_url", API_URL.to_owned());
    let [key_id, key_secret] =
        ["razorpay_key_id", "razorpay_key_secret"].map(|name| config.optional(name).unwrap_or_default());
    Box::new(Razorpay::new(Http, &url, &key_id, &key_secret))
}

/// Outside the sandbox nobody is reached; tests bring a provider of their own.
#[cfg(not(target_family = "wasm"))]
fn provider(_: &mut Config) -> Box<dyn Provider> {
    struct Nobody;
    #[cairn_shared::async_trait(?Send)]
    impl crate::provider::Transport for Nobody {
        async fn send(&self, _: cairn_shared::http::Request) -> Result<cairn_shared::http::Response, String> {
            Err("there is no provider here".into())
        }
    }
    Box::new(crate::provider::Razorpay::new(Nobody, "", "", ""))
}

impl Component for App {
    const NAME: &'static str = "payment";
    const MIGRATIONS: &'static [Migration] = cairn_shared::migrations!["0001_payments"];
    const JOBS: &'static [&'static str] = &[events::RELAY_PATH, REFUNDS_PATH, RECONCILE_PATH];
    const VARIABLES: &'static [&'static str] = &[
        "razorpay_key_id",
        "razorpay_key_secret",
        "razorpay_webhook_secret",
        "razorpay_webhook_secret_previous",
        "razorpay_unknown_orders",
        "razorpay_api_url",
        "demo",
    ];

    fn load(mut config: Config, db: Db, env: Env) -> Result<Self, String> {
        let provider = provider(&mut config);
        Self::new(config, db, env, provider)
    }

    fn db(&self) -> &Db {
        &self.db
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn routes() -> Router<Self> {
        crate::http::routes()
    }

    async fn start(&self) -> Result<(), String> {
        if self.account.is_none() {
            cairn_shared::log::warn("no payment provider is configured: nobody can pay online", &[]);
        }
        if self.demo { crate::demo::load(self).await } else { Ok(()) }
    }
}

/// Events of this service. Amounts in paise, instants in ms.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum News<'a> {
    Captured {
        booking_id: Id,
        payment_id: &'a str,
        order_id: &'a str,
        kind: Kind,
        amount_paise: i64,
        method: &'a str,
        captured_at: i64,
    },
    Failed {
        booking_id: Id,
        order_id: &'a str,
        code: &'a str,
        description: &'a str,
        failed_at: i64,
    },
    Refunded {
        booking_id: Id,
        payment_id: &'a str,
        refund_id: Id,
        amount_paise: i64,
        status: RefundStatus,
        at: i64,
    },
    OrderCreated {
        booking_id: Id,
        order_id: &'a str,
        kind: Kind,
        amount_paise: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        session_expires_at: Option<i64>,
    },
}

impl App {
    /// Tells the others, in the transaction of the change.
    async fn tell(&self, tx: &Tx, news: News<'_>) -> Result<()> {
        // A person waits for booking to know of all but refunds: see `relay_to_booking`.
        let (kind, booking_id, inline, later): (_, _, &[&str], &[&str]) = match &news {
            News::Captured { booking_id, .. } => ("payment.captured", *booking_id, &["booking"], &["admin"]),
            News::Failed { booking_id, .. } => ("payment.failed", *booking_id, &["booking"], &[]),
            News::Refunded { booking_id, .. } => ("payment.refunded", *booking_id, &[], &["booking", "admin"]),
            News::OrderCreated { booking_id, .. } => ("payment.order_created", *booking_id, &["booking"], &[]),
        };
        let event = Event::new(&self.env, kind, booking_id, &news)?;
        events::emit_inline(tx, &event, inline).await?;
        events::emit(tx, &event, later).await
    }

    /// Has the booking service know at once of what happened to a booking, as far as it
    /// answers; the others soon. What it does not take now, the relay delivers later.
    async fn relay_to_booking(&self, booking_id: Id) {
        match events::deliver_now(&self.db, &self.env, "booking", booking_id).await {
            Ok(true) => {}
            Ok(false) => cairn_shared::log::warn("the booking service did not take the news yet", &[]),
            Err(error) => cairn_shared::log::error("the outbox could not be relayed", &[("cause", &error)]),
        }
        self.env.wake_relay().await;
    }

    async fn wake_refunds(&self) {
        self.env.upstream.wake(self.env.service, REFUNDS_PATH).await;
    }
}

/// Wall time of an instant in the business's zone, as `14:05`.
fn clock_text(env: &Env, at: Timestamp) -> String {
    let minutes = at.since(env.zone.start_of_day(at)) / cairn_shared::time::MINUTE;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// What a person can do while the provider does not answer.
pub fn provider_down_message(env: &Env, held_until: Option<Timestamp>) -> String {
    let hold = held_until.map_or_else(String::new, |at| format!("; your seats are held until {}", clock_text(env, at)));
    format!("The payment provider cannot be reached right now. Please try again in a minute{hold}.")
}
