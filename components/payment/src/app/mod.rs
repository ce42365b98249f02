//! Use cases of the payment service: load, decide, commit.
//!
//! Two rules hold everywhere. A transaction awaits nothing but the database. And
//! whatever the provider is asked to do is written down before it is asked, under a
//! key that finds it again, so that an answer that never comes loses nothing.

mod book;
mod captures;
mod checkout;
mod noting;
mod offline;
mod orders;
mod promos;
mod reconcile;
mod refunding;
mod refunds;
mod report;
mod shares;
mod verify;
mod vouchers;
mod webhook;

use cairn_shared::{
    Component, Db, Env, Id, Result, Timestamp, Tx, audit,
    config::Config,
    events::{self, Event},
    http::Router,
    migrations::Migration,
};
use serde::Serialize;

pub use captures::{Captured, Source};
pub use offline::{Receipt, ReceiptError};
pub use orders::MadeOrder;
pub use promos::NewPromo;
pub use reconcile::Reconciled;
pub use report::{ReportRequest, WINDOW_MAX};
pub use verify::{Payer, Verified, VerifyRequest};
pub use vouchers::{Goodwill, Offer};

use crate::{
    domain::{Kind, Payment, Provider, RefundKind, RefundStatus},
    provider::{Account, Providers, Razorpay, Stripe, Transport, UnknownOrders},
};

/// The base addresses of the providers where none are configured.
const RAZORPAY_URL: &str = "https://api.razorpay.com/v1";
const STRIPE_URL: &str = "https://api.stripe.com/v1";

/// Where refunds that are due are executed.
pub const REFUNDS_PATH: &str = "/_jobs/refunds";

/// Where orders and refunds that nobody told of are asked about.
pub const RECONCILE_PATH: &str = "/_jobs/reconcile";

/// Where the daily report is made.
pub const REPORT_PATH: &str = "/_jobs/report";

/// Where what is left of vouchers that are over is booked.
pub const VOUCHERS_PATH: &str = "/_jobs/vouchers";

pub struct App {
    pub db: Db,
    pub env: Env,
    /// None of them where payments are not configured.
    pub providers: Providers,
    /// Whether an empty database gets the demo's promo codes.
    pub demo: bool,
}

impl App {
    /// # Errors
    /// One message that names everything that is wrong with the configuration.
    pub fn new(mut config: Config, db: Db, env: Env, transport: Box<dyn Transport>) -> Result<Self, String> {
        let accounts = accounts(&mut config);
        let demo = config.parsed("demo", false);
        config.finish()?;
        Ok(Self { db, env, providers: Providers::new(accounts, transport), demo })
    }
}

/// The accounts that are configured; first the one that makes new orders.
fn accounts(config: &mut Config) -> Vec<Account> {
    let mut accounts: Vec<_> = [razorpay(config), stripe(config)].into_iter().flatten().collect();
    let chosen = match config.optional("payment_provider").as_deref() {
        None | Some("razorpay") => Provider::Razorpay,
        Some("stripe") => Provider::Stripe,
        Some(_) => {
            config.problem("variable `payment_provider` has to be razorpay or stripe");
            Provider::Razorpay
        }
    };
    accounts.sort_by_key(|account| account.adapter.provider() != chosen);
    if accounts.first().is_some_and(|account| account.adapter.provider() != chosen) {
        let name = chosen.as_str();
        config.problem(format!(
            "payments are to be made with {name}, whose keys are not set: set them, or set `payment_provider`"
        ));
    }
    accounts
}

/// All of an account's variables or none.
fn keys<const N: usize>(config: &mut Config, names: [&str; N]) -> Option<[String; N]> {
    if names.iter().all(|name| config.optional(name).is_none()) {
        return None;
    }
    Some(names.map(|name| config.required(name)))
}

fn unknown_orders(config: &mut Config, name: &str) -> UnknownOrders {
    match config.optional(name).as_deref() {
        None | Some("refund") => UnknownOrders::Refund,
        Some("hold") => UnknownOrders::Hold,
        Some(_) => {
            config.problem(format!("variable `{name}` has to be refund or hold"));
            UnknownOrders::Hold
        }
    }
}

fn razorpay(config: &mut Config) -> Option<Account> {
    let unknown_orders = unknown_orders(config, "razorpay_unknown_orders");
    let url = config.parsed("razorpay_api_url", RAZORPAY_URL.to_owned());
    let [id, secret, webhook] = keys(config, ["razorpay_key_id", "razorpay_key_secret", "razorpay_webhook_secret"])?;
    let secrets = std::iter::once(webhook).chain(config.optional("razorpay_webhook_secret_previous")).collect();
    Some(Account { adapter: Box::new(Razorpay::new(&url, id, secret, secrets)), unknown_orders })
}

fn stripe(config: &mut Config) -> Option<Account> {
    let unknown_orders = unknown_orders(config, "stripe_unknown_orders");
    let url = config.parsed("stripe_api_url", STRIPE_URL.to_owned());
    let [key, secret, webhook] =
        keys(config, ["stripe_publishable_key", "stripe_secret_key", "stripe_webhook_secret"])?;
    let secrets = std::iter::once(webhook).chain(config.optional("stripe_webhook_secret_previous")).collect();
    Some(Account { adapter: Box::new(Stripe::new(&url, key, secret, secrets)), unknown_orders })
}

#[cfg(target_family = "wasm")]
fn transport() -> Box<dyn Transport> {
    Box::new(crate::provider::Http)
}

/// Outside the sandbox nobody is reached; tests bring a transport of their own.
#[cfg(not(target_family = "wasm"))]
fn transport() -> Box<dyn Transport> {
    struct Nobody;
    #[cairn_shared::async_trait(?Send)]
    impl Transport for Nobody {
        async fn send(&self, _: cairn_shared::http::Request) -> Result<cairn_shared::http::Response, String> {
            Err("there is no provider here".into())
        }
    }
    Box::new(Nobody)
}

impl Component for App {
    const NAME: &'static str = "payment";
    const MIGRATIONS: &'static [Migration] =
        cairn_shared::migrations!["0001_payments", "0002_ledger_and_refunds", "0003_vouchers", "0004_shares"];
    const JOBS: &'static [&'static str] =
        &[events::RELAY_PATH, REFUNDS_PATH, RECONCILE_PATH, REPORT_PATH, VOUCHERS_PATH, audit::SEAL_PATH];
    const AUDIT: Option<audit::Access> =
        Some(audit::Access { list: "/api/payments/audit", check: "/api/payments/audit/check", permission: None });
    const VARIABLES: &'static [&'static str] = &[
        "payment_provider",
        "razorpay_key_id",
        "razorpay_key_secret",
        "razorpay_webhook_secret",
        "razorpay_webhook_secret_previous",
        "razorpay_unknown_orders",
        "razorpay_api_url",
        "stripe_publishable_key",
        "stripe_secret_key",
        "stripe_webhook_secret",
        "stripe_webhook_secret_previous",
        "stripe_unknown_orders",
        "stripe_api_url",
        "demo",
    ];

    fn load(config: Config, db: Db, env: Env) -> Result<Self, String> {
        Self::new(config, db, env, transport())
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
        if self.providers.current().is_none() {
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
        /// Staff received it; who asked for that knows the payment from the answer.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        offline: bool,
        /// What a voucher paid together with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        voucher: Option<Beside<'a>>,
        /// The share that it paid; none: its booking's owner paid.
        #[serde(skip_serializing_if = "Option::is_none")]
        share_id: Option<Id>,
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
        /// A failed refund that is tried again is processing again, at a later instant.
        at: i64,
        /// The request that it is a part of, its participant and kind.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        participant_id: Option<Id>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<RefundKind>,
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

/// A payment by voucher that belongs to a payment online: both, or neither, pay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Beside<'a> {
    payment_id: &'a str,
    amount_paise: i64,
}

impl<'a> News<'a> {
    fn captured(booking_id: Id, kind: Kind, payment: &'a Payment, voucher: Option<&'a Payment>) -> Self {
        Self::Captured {
            booking_id,
            payment_id: &payment.id,
            order_id: &payment.order_id,
            kind,
            amount_paise: payment.counted().0,
            method: &payment.method,
            captured_at: payment.captured_at.millis(),
            offline: matches!(payment.provider, Provider::Offline | Provider::Voucher),
            voucher: voucher.map(|voucher| Beside { payment_id: &voucher.id, amount_paise: voucher.amount.0 }),
            share_id: payment.share_id,
        }
    }
}

impl App {
    /// Tells the others, in the transaction of the change. `waits`: a person waits for
    /// booking to know of it, so that the same request delivers it: see `relay_to_booking`.
    async fn tell(&self, tx: &Tx, news: News<'_>, waits: bool) -> Result<()> {
        let (kind, booking_id, others): (_, _, &[&str]) = match &news {
            News::Captured { booking_id, .. } => ("payment.captured", *booking_id, &["admin"]),
            News::Failed { booking_id, .. } => ("payment.failed", *booking_id, &[]),
            News::Refunded { booking_id, .. } => ("payment.refunded", *booking_id, &["admin"]),
            News::OrderCreated { booking_id, .. } => ("payment.order_created", *booking_id, &[]),
        };
        let event = Event::new(&self.env, kind, booking_id, &news)?;
        match waits {
            true => events::emit_inline(tx, &event, &["booking"]).await?,
            false => events::emit(tx, &event, &["booking"]).await?,
        }
        events::emit(tx, &event, others).await
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
