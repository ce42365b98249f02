//! The payment provider's double: Razorpay's REST API and webhooks as a real server with a real
//! state machine, a control API under `/_ctl`, and a small checkout page for people.
//!
//! It knows orders, payments and refunds, and nothing of what they pay for.

mod account;
mod api;
mod control;
mod entity;
mod faults;
mod ledger;
mod page;
mod webhook;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

pub use account::Paid;
pub use entity::{Notes, Order, OrderStatus, Payment, PaymentStatus, Refund, RefundStatus};
pub use faults::{FailWith, Faults, WebhookFaults};
pub use ledger::{Attempt, Event, Ledger, NewOrder, NewRefund, Outcome, RefundCourse, Refusal};

use account::{Account, DeliveryState, Prepared};

use super::http::{Answer, Call, Server};
use super::now_ms;

/// The largest request body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The account's credentials and where its webhooks go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The public half of the API key.
    pub key_id: String,
    /// The secret half, which also signs checkouts.
    pub key_secret: String,
    /// Signs webhooks.
    pub webhook_secret: String,
    /// Where webhooks are posted, over plain HTTP.
    pub webhook_url: String,
    /// Waits between the attempts of a webhook that is not answered with 2xx. The real provider
    /// goes on for 24 hours; nobody waits that long here.
    pub webhook_retry_after: Vec<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key_id: "rzp_test_double".to_owned(),
            key_secret: "rzp_double_secret".to_owned(),
            webhook_secret: "rzp_double_webhook_secret".to_owned(),
            webhook_url: "http://127.0.0.1:3000/api/payments/webhook".to_owned(),
            webhook_retry_after: [200, 500, 1000, 2000, 5000, 10_000].map(Duration::from_millis).to_vec(),
        }
    }
}

/// A running double. Dropping it closes its port and stops its webhooks.
#[derive(Debug)]
pub struct Razorpay {
    server: Server,
    dispatching: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Drop for Razorpay {
    fn drop(&mut self) {
        self.dispatching.abort();
    }
}

impl Razorpay {
    /// Starts with the default [`Settings`]. `listen` is `host:port`, port 0 for any.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(listen: &str) -> std::io::Result<Self> {
        Self::start_with(listen, Settings::default()).await
    }

    /// Starts with given settings.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start_with(listen: &str, settings: Settings) -> std::io::Result<Self> {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { account: Mutex::new(Account::new(settings)), outbox, settled: Notify::new() });
        let serving = Arc::clone(&shared);
        let server = super::http::serve(listen, BODY_BYTES_MAX, move |call| {
            let shared = Arc::clone(&serving);
            async move { route(&shared, call).await }
        })
        .await?;
        let dispatching = tokio::spawn(webhook::dispatch(Arc::clone(&shared), inbox));
        Ok(Self { server, dispatching, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// `http://host:port`, without `/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.shared.account().settings.clone()
    }

    /// Sends webhooks elsewhere from now on, retries included.
    pub fn set_webhook_url(&self, url: impl Into<String>) {
        self.shared.account().settings.webhook_url = url.into();
    }

    /// A customer tries to pay an order.
    ///
    /// # Errors
    /// Unknown or paid order, or a senseless amount.
    pub fn pay(&self, order_id: &str, attempt: Attempt) -> Result<Paid, Refusal> {
        self.shared.pay(order_id, attempt)
    }

    /// The bank authorises a payment that was begun, or a failed one after all; returns the
    /// payment.
    ///
    /// # Errors
    /// Unknown payment, or one in another state.
    pub fn authorize_late(&self, payment_id: &str) -> Result<Value, Refusal> {
        self.shared.authorize_late(payment_id)
    }

    /// The customer gives up a payment that was begun; returns the payment.
    ///
    /// # Errors
    /// Unknown payment, or one in another state.
    pub fn fail_late(&self, payment_id: &str) -> Result<Value, Refusal> {
        self.shared.fail_late(payment_id)
    }

    /// The provider captures an authorised payment; returns the payment.
    ///
    /// # Errors
    /// Unknown payment, or one that is not authorised.
    pub fn capture_late(&self, payment_id: &str) -> Result<Value, Refusal> {
        self.shared.capture_late(payment_id)
    }

    /// A pending refund arrives or fails; returns the refund.
    ///
    /// # Errors
    /// Unknown refund, or one that is settled already.
    pub fn refund_settle(&self, refund_id: &str, status: RefundStatus) -> Result<Value, Refusal> {
        self.shared.refund_settle(refund_id, status)
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.account().faults = faults;
    }

    /// Sends the webhooks that a fault holds back; returns their number.
    pub fn flush_webhooks(&self) -> usize {
        self.shared.flush()
    }

    /// Forgets all objects, deliveries and faults.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Everything it knows, as `GET /_ctl/state` shows it.
    pub fn state(&self) -> Value {
        self.shared.account().state()
    }

    /// Waits until no webhook is under way or waits for a retry (held ones do not count).
    /// `false` if that takes longer than `timeout`.
    pub async fn webhooks_settled(&self, timeout: Duration) -> bool {
        let settled = async {
            loop {
                let concluded = self.shared.settled.notified();
                let pending = |account: &Account| {
                    account.deliveries.iter().any(|delivery| delivery.state == DeliveryState::Pending)
                };
                if !pending(&self.shared.account()) {
                    return;
                }
                concluded.await;
            }
        };
        tokio::time::timeout(timeout, settled).await.is_ok()
    }
}

/// What the server, the dispatcher and the handle share.
#[derive(Debug)]
struct Shared {
    account: Mutex<Account>,
    outbox: mpsc::UnboundedSender<Vec<Prepared>>,
    settled: Notify,
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, webhooks: Vec<Prepared>) {
        // Fails only when the double is being dropped, and then nobody waits for webhooks.
        if !webhooks.is_empty() && self.outbox.send(webhooks).is_err() {
            eprintln!("webhooks are dropped: the double is going away");
        }
    }

    fn pay(&self, order_id: &str, attempt: Attempt) -> Result<Paid, Refusal> {
        let (paid, webhooks) = self.account().pay(order_id, attempt, now_ms() / 1000)?;
        self.send(webhooks);
        Ok(paid)
    }

    fn authorize_late(&self, id: &str) -> Result<Value, Refusal> {
        self.step(|account| account.ledger.authorize_late(id))?;
        Ok(json!(self.account().ledger.payment(id)?))
    }

    fn fail_late(&self, id: &str) -> Result<Value, Refusal> {
        self.step(|account| account.ledger.fail_late(id))?;
        Ok(json!(self.account().ledger.payment(id)?))
    }

    fn capture_late(&self, id: &str) -> Result<Value, Refusal> {
        self.step(|account| account.ledger.capture(id, None))?;
        Ok(json!(self.account().ledger.payment(id)?))
    }

    fn refund_settle(&self, id: &str, status: RefundStatus) -> Result<Value, Refusal> {
        self.step(|account| account.ledger.refund_settle(id, status))?;
        Ok(json!(self.account().ledger.refund(id)?))
    }

    /// Takes a step and tells of it.
    fn step(&self, take: impl FnOnce(&mut Account) -> Result<Vec<Event>, Refusal>) -> Result<(), Refusal> {
        let webhooks = {
            let mut account = self.account();
            let events = take(&mut account)?;
            account.announce(events, now_ms() / 1000)
        };
        self.send(webhooks);
        Ok(())
    }

    fn reset(&self) {
        self.account().reset();
        self.settled.notify_waiters();
    }

    fn flush(&self) -> usize {
        let released = self.account().flush();
        let count = released.len();
        self.send(released);
        count
    }
}

async fn route(shared: &Arc<Shared>, call: Call) -> Answer {
    let response = match call.segments().as_slice() {
        ["v1", rest @ ..] => return api::answer(shared, &call, rest).await,
        ["_ctl", rest @ ..] => control::answer(shared, &call, rest),
        [] if call.method == Method::GET => page::orders(shared),
        ["pay", order_id] => page::checkout(shared, &call, order_id),
        _ => super::http::html(
            StatusCode::NOT_FOUND,
            "<!doctype html><title>Not found</title><h1>Not found</h1>".to_owned(),
        ),
    };
    Answer::Send(response)
}
