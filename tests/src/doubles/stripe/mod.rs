//! Stripe's double: PaymentIntents, charges, refunds and webhooks as a real server. It knows
//! nothing of what is paid for. Tests play the customer, the bank and bad luck by its methods.

mod api;
mod books;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub use api::{Answer as Told, Question, fields};
pub use books::{Books, Event, Form, Outcome, Refusal};

use super::{
    Budget,
    http::{Answer, Call, Server, json as respond},
    now_ms, random_id,
    signature::hmac_hex,
};
use crate::client::Client;

/// The largest request body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a receiver of webhooks may take to answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits before a webhook that was not answered with 2xx is sent again.
const WEBHOOK_RETRIES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// The account's keys and where its webhooks go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the client's checkout uses.
    pub publishable_key: String,
    /// What the server uses.
    pub secret_key: String,
    /// Signs webhooks.
    pub webhook_secret: String,
    /// Where webhooks are posted, over plain HTTP.
    pub webhook_url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            publishable_key: "pk_test_double".to_owned(),
            secret_key: "sk_test_double".to_owned(),
            webhook_secret: "whsec_double".to_owned(),
            webhook_url: "http://127.0.0.1:3000/api/payments/webhook/stripe".to_owned(),
        }
    }
}

/// Misbehaviours, all off by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Webhooks that are never sent.
    pub lose_webhooks: Budget,
    /// Webhooks that are sent twice.
    pub duplicate_webhooks: Budget,
    /// API calls that are answered with 500 and have no effect.
    pub fail: Budget,
    /// API calls that have their effect and get no answer.
    pub drop_connection_after_acting: Budget,
    /// Refunds that wait for [`Stripe::refund_settle`].
    pub refunds_pending: bool,
}

/// A running double. Dropping it closes its port and stops its webhooks.
#[derive(Debug)]
pub struct Stripe {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    account: Mutex<Account>,
    /// Webhooks under way; they end with the double.
    webhooks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Account {
    books: Books,
    settings: Settings,
    faults: Faults,
}

impl Stripe {
    /// Starts with the default [`Settings`]. `listen` is `host:port`, port 0 for any.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(listen: &str) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { account: Mutex::default(), webhooks: Mutex::default() });
        let serving = Arc::clone(&shared);
        let server = super::http::serve(listen, BODY_BYTES_MAX, move |call| {
            let shared = Arc::clone(&serving);
            async move { shared.answer(&call) }
        })
        .await?;
        Ok(Self { server, shared })
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

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.account().faults = faults;
    }

    /// A customer tries to pay an intent; answers the charge's id.
    ///
    /// # Errors
    /// Unknown intent, or one that is paid or canceled.
    pub fn pay(&self, intent: &str, outcome: Outcome) -> Result<String, Refusal> {
        let charge = random_id("ch_", 16);
        let events = self.shared.account().books.pay(intent, outcome, &charge, now_ms() / 1000)?;
        self.shared.tell(events);
        Ok(charge)
    }

    /// A pending refund arrives or fails.
    ///
    /// # Errors
    /// Unknown refund, or one that is settled.
    pub fn refund_settle(&self, id: &str, arrives: bool) -> Result<Value, Refusal> {
        let (refund, events) = self.shared.account().books.refund_settle(id, arrives)?;
        self.shared.tell(events);
        Ok(refund)
    }

    /// Everything it knows: `intents`, `charges` and `refunds`.
    pub fn state(&self) -> Value {
        let account = self.shared.account();
        json!({ "intents": account.books.intents, "charges": account.books.charges, "refunds": account.books.refunds })
    }

    /// Waits until no webhook is under way; `false` if that takes longer than `timeout`.
    pub async fn webhooks_settled(&self, timeout: Duration) -> bool {
        let settled = async {
            while !self.shared.idle() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(timeout, settled).await.is_ok()
    }
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> bool {
        let mut webhooks = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        while webhooks.try_join_next().is_some() {}
        webhooks.is_empty()
    }

    /// Sends a webhook for each event; events of one act may overtake each other.
    fn tell(self: &Arc<Self>, events: Vec<Event>) {
        let mut webhooks = self.webhooks.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, object) in events {
            let copies = {
                let faults = &mut self.account().faults;
                match (faults.lose_webhooks.strike(), faults.duplicate_webhooks.strike()) {
                    (true, _) => 0,
                    (false, twice) => 1 + usize::from(twice),
                }
            };
            let event = json!({
                "id": random_id("evt_", 16), "object": "event", "type": kind, "created": now_ms() / 1000,
                "data": { "object": object },
            });
            for _ in 0..copies {
                webhooks.spawn(deliver(Arc::clone(self), event.to_string()));
            }
        }
    }

    fn answer(self: &Arc<Self>, call: &Call) -> Answer {
        if self.account().faults.fail.strike() {
            let body = json!({ "error": { "type": "api_error", "message": "Something went wrong on Stripe's end." } });
            return Answer::Send(respond(StatusCode::INTERNAL_SERVER_ERROR, &body));
        }
        let (status, body) = self.act(call);
        if self.account().faults.drop_connection_after_acting.strike() {
            return Answer::Hangup;
        }
        Answer::Send(respond(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body))
    }

    fn act(self: &Arc<Self>, call: &Call) -> (u16, Value) {
        let expected = format!("Bearer {}", self.account().settings.secret_key);
        if call.header("authorization") != Some(expected.as_str()) {
            let error = json!({ "type": "invalid_request_error", "message": "Invalid API Key provided" });
            return (401, json!({ "error": error }));
        }
        let Some(path) = call.path.strip_prefix("/v1/") else {
            let message = format!("Unrecognized request URL ({}: {}).", call.method, call.path);
            return (404, json!({ "error": { "type": "invalid_request_error", "message": message } }));
        };
        let question = Question {
            method: call.method.as_str(),
            path,
            query: call.query.iter().cloned().collect(),
            body: &call.body,
            key: call.header("idempotency-key"),
            now: now_ms() / 1000,
        };
        let told = {
            let mut account = self.account();
            let Account { books, faults, .. } = &mut *account;
            let refund_status = if faults.refunds_pending { "pending" } else { "succeeded" };
            books.answer(&question, refund_status, &mut |prefix| random_id(prefix, 16))
        };
        self.tell(told.events);
        (told.status, told.body)
    }
}

async fn deliver(shared: Arc<Shared>, body: String) {
    let client = Client::new("").with_timeout(WEBHOOK_TIMEOUT);
    for wait in std::iter::once(Duration::ZERO).chain(WEBHOOK_RETRIES) {
        tokio::time::sleep(wait).await;
        let Settings { webhook_secret, webhook_url, .. } = shared.account().settings.clone();
        // Each attempt is signed anew, as the real one does.
        let at = now_ms() / 1000;
        let signature = hmac_hex(&webhook_secret, format!("{at}.{body}").as_bytes());
        let sent = client
            .with_header("stripe-signature", &format!("t={at},v1={signature}"))
            .send(Method::POST, &webhook_url, Some("application/json"), body.clone().into())
            .await;
        if sent.is_ok_and(|reply| reply.status.is_success()) {
            return;
        }
    }
}
