//! One merchant's account: the ledger, the faults that are on, the idempotency keys, and what
//! was told by webhook. Everything behind one lock, so that a call acts wholly or not at all.
//! It decides which webhooks go out and when; sending them is [`super::webhook`]'s.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Settings;
use super::faults::Faults;
use super::ledger::{Attempt, Event, Ledger, NewRefund, RefundCourse, Refusal};
use crate::doubles::random_id;
use crate::doubles::signature::hmac_hex;

/// Deliveries that are remembered; the oldest are forgotten.
pub(super) const DELIVERIES_MAX: usize = 10_000;
/// Characters of an idempotency key.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 10..=255;

/// Where a webhook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeliveryState {
    /// Under way or waiting for a retry.
    Pending,
    /// Kept back by a fault.
    Held,
    /// Never sent, by a fault.
    Lost,
    /// Answered with 2xx.
    Delivered,
    /// Given up after the last retry.
    Failed,
}

/// The record of a webhook.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Delivery {
    pub event_id: String,
    pub event: &'static str,
    pub state: DeliveryState,
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub body: Value,
}

/// A webhook ready to be sent. The signature is of the moment it happened: a retry keeps the
/// secret of then.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub event_id: String,
    pub body: Bytes,
    pub signature: String,
    pub copies: u32,
    pub not_before: Instant,
}

#[derive(Debug)]
struct KeyedRefund {
    payment_id: String,
    body: Value,
    answer: Value,
}

/// What the customer's browser hands to the merchant after paying.
#[derive(Debug, Clone, Serialize)]
pub struct Paid {
    /// The order that was paid, or tried to.
    pub order_id: String,
    /// The attempt.
    pub payment_id: String,
    /// Hex HMAC-SHA256 of `order_id|payment_id` under the key secret.
    pub signature: String,
}

#[derive(Debug)]
pub(super) struct Account {
    pub settings: Settings,
    pub ledger: Ledger,
    pub faults: Faults,
    pub deliveries: VecDeque<Delivery>,
    held: Vec<Prepared>,
    overtaken: Option<Prepared>,
    refunds_by_key: HashMap<String, KeyedRefund>,
    keys_in_flight: HashSet<String>,
    account_id: String,
}

impl Account {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ledger: Ledger::default(),
            faults: Faults::default(),
            deliveries: VecDeque::new(),
            held: Vec::new(),
            overtaken: None,
            refunds_by_key: HashMap::new(),
            keys_in_flight: HashSet::new(),
            account_id: random_id("acc_", 14),
        }
    }

    /// Forgets everything but the settings.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings.clone());
    }

    pub fn state(&self) -> Value {
        json!({
            "orders": self.ledger.orders(),
            "payments": self.ledger.payments(),
            "refunds": self.ledger.refunds(),
            "webhooks": self.deliveries,
            "faults": self.faults,
            "settings": { "key_id": self.settings.key_id, "webhook_url": self.settings.webhook_url },
        })
    }

    /// A customer tries to pay.
    pub fn pay(&mut self, order_id: &str, mut attempt: Attempt, now: i64) -> Result<(Paid, Vec<Prepared>), Refusal> {
        if self.faults.capture_late && attempt.outcome == super::ledger::Outcome::Captured {
            attempt.outcome = super::ledger::Outcome::Authorized;
        }
        let payment_id = random_id("pay_", 14);
        let events = self.ledger.pay(order_id, attempt, payment_id.clone(), now)?;
        let paid = Paid {
            order_id: order_id.to_owned(),
            signature: self.checkout_signature(order_id, &payment_id),
            payment_id,
        };
        Ok((paid, self.announce(events, now)))
    }

    pub fn checkout_signature(&self, order_id: &str, payment_id: &str) -> String {
        hmac_hex(&self.settings.key_secret, format!("{order_id}|{payment_id}").as_bytes())
    }

    /// A refund, once per idempotency key.
    pub fn refund(
        &mut self,
        payment_id: &str,
        key: Option<&str>,
        body: Value,
        ask: NewRefund,
        now: i64,
    ) -> Result<(Value, Vec<Prepared>), Refusal> {
        if let Some(key) = key {
            key_check(key)?;
            if self.keys_in_flight.contains(key) {
                return Err(Refusal::Conflict("The request with this idempotency key is still in progress."));
            }
            if let Some(known) = self.refunds_by_key.get(key) {
                if known.payment_id != payment_id || known.body != body {
                    return Err(Refusal::Conflict("Different request with the same idempotency key."));
                }
                return Ok((known.answer.clone(), Vec::new()));
            }
        }
        let course: RefundCourse = self.faults.refunds;
        let id = random_id("rfnd_", 14);
        let (refund, events) = self.ledger.refund_create(payment_id, ask, course, id, now)?;
        let answer = json!(refund);
        if let Some(key) = key {
            let keyed = KeyedRefund { payment_id: payment_id.to_owned(), body, answer: answer.clone() };
            self.refunds_by_key.insert(key.to_owned(), keyed);
        }
        Ok((answer, self.announce(events, now)))
    }

    pub fn key_flight_start(&mut self, key: &str) {
        self.keys_in_flight.insert(key.to_owned());
    }

    pub fn key_flight_end(&mut self, key: &str) {
        self.keys_in_flight.remove(key);
    }

    /// Turns events into webhooks and applies the faults; returns those to be sent now, in
    /// this order.
    pub fn announce(&mut self, events: Vec<Event>, now: i64) -> Vec<Prepared> {
        let mut outgoing = Vec::new();
        for event in events {
            let mut prepared = self.prepare(event, now);
            if self.faults.webhooks.lose.strike() {
                self.mark(&prepared.event_id, DeliveryState::Lost);
            } else if self.faults.webhooks.hold.strike() {
                self.mark(&prepared.event_id, DeliveryState::Held);
                self.held.push(prepared);
            } else {
                if self.faults.webhooks.duplicate.strike() {
                    prepared.copies = 2;
                }
                self.reorder(prepared, &mut outgoing);
            }
        }
        outgoing
    }

    fn reorder(&mut self, prepared: Prepared, outgoing: &mut Vec<Prepared>) {
        if let Some(overtaken) = self.overtaken.take() {
            self.mark(&overtaken.event_id, DeliveryState::Pending);
            outgoing.extend([prepared, overtaken]);
        } else if self.faults.webhooks.reorder {
            self.mark(&prepared.event_id, DeliveryState::Held);
            self.overtaken = Some(prepared);
        } else {
            outgoing.push(prepared);
        }
    }

    fn prepare(&mut self, event: Event, now: i64) -> Prepared {
        let event_id = random_id("", 14);
        let body = json!({
            "entity": "event",
            "account_id": self.account_id,
            "event": event.name,
            "contains": event.contains,
            "payload": event.payload,
            "created_at": now,
        });
        if self.deliveries.len() == DELIVERIES_MAX {
            self.deliveries.pop_front();
        }
        let bytes = Bytes::from(body.to_string());
        self.deliveries.push_back(Delivery {
            event_id: event_id.clone(),
            event: event.name,
            state: DeliveryState::Pending,
            attempts: 0,
            last_status: None,
            body,
        });
        Prepared {
            event_id,
            signature: hmac_hex(&self.settings.webhook_secret, &bytes),
            body: bytes,
            copies: 1,
            not_before: Instant::now() + Duration::from_millis(self.faults.webhooks.delay_ms),
        }
    }

    /// Lets held webhooks go, the newest first if they are to be reordered.
    pub fn flush(&mut self) -> Vec<Prepared> {
        let mut released: Vec<Prepared> = self.overtaken.take().into_iter().collect();
        released.append(&mut self.held);
        if self.faults.webhooks.reorder {
            released.reverse();
        }
        for prepared in &released {
            self.mark(&prepared.event_id, DeliveryState::Pending);
        }
        released
    }

    fn mark(&mut self, event_id: &str, state: DeliveryState) {
        if let Some(delivery) = self.delivery_mut(event_id) {
            delivery.state = state;
        }
    }

    /// A delivery's record; `None` after a reset or once it is forgotten.
    pub fn delivery_mut(&mut self, event_id: &str) -> Option<&mut Delivery> {
        // From the back: what is under way is among the newest.
        self.deliveries.iter_mut().rev().find(|delivery| delivery.event_id == event_id)
    }
}

fn key_check(key: &str) -> Result<(), Refusal> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if KEY_CHARS.contains(&key.len()) && key.bytes().all(legal) {
        return Ok(());
    }
    Err(Refusal::invalid("The idempotency key must have at least 10 characters of A-Z, a-z, 0-9, - and _"))
}
