//! Paying, at the provider and here, and money that goes back.

use cairn_booking::domain::Status;
use cairn_shared::{Id, Sql, params, time::DAY};
use cairn_tests::doubles::razorpay::{Attempt, Outcome};
use serde_json::{Value, json};

use super::{Ask, People, asked};
use crate::{
    provider::{self, Paid},
    world,
};

/// How late a payment may still be authorised or captured, in ms.
const LATE_MAX: i64 = 3 * DAY;

impl People<'_> {
    /// The owner of a booking in a state asks for an order, mostly one for whom others wait.
    pub async fn order(&self, waits: Status, route: &str) -> Option<Ask> {
        let shared = self.booking(|booking| booking.status == waits && booking.split.is_some()).await;
        let booking = match shared.filter(|_| self.stage.hits(7_000)) {
            Some(shared) => shared,
            None => self.booking(|booking| booking.status == waits).await?,
        };
        let body = json!({ "bookingId": booking.id, "amount": 1 });
        Some(asked(&self.owner(&booking), "payment", "POST", &format!("/api/payments/{route}"), &body))
    }

    pub fn pay(&self) -> Option<Ask> {
        let orders = self.provider.orders();
        // Customers pay what they were just given, mostly.
        let recent = if self.stage.hits(7_000) { orders.len().saturating_sub(3) } else { 0 };
        let order = self.one(&orders[recent..])?;
        let outcome = match self.stage.below(12) {
            0..=7 => Outcome::Captured,
            8 => Outcome::Authorized,
            9 | 10 => Outcome::Failed,
            _ => Outcome::Created,
        };
        let mut attempt = Attempt { again: self.stage.hits(2_000), ..Attempt::new(outcome) };
        if self.stage.hits(300) {
            attempt.amount = Some(self.stage.between(100, 2_000_000));
        }
        if let Some(payment) = self.provider.pay(order, attempt) {
            self.stage.note(format!("provider: {payment} of {order} is {outcome:?}"));
        }
        None
    }

    pub async fn verify(&self) -> Option<Ask> {
        let payments = self.provider.payments();
        let payment = self.one(&payments)?;
        let select = "SELECT user_id FROM orders WHERE provider_id = $1";
        let rows = self.databases.payment.query(select, params![&payment.order_id]).await.expect("orders are there");
        let user: Id = rows.first()?.get("user_id").expect("an order is somebody's");
        let who = (0..world::PEOPLE).map(world::person).find(|person| person.id == user)?;
        let body = provider::receipt(&payment.order_id, &payment.id);
        Some(asked(&who, "payment", "POST", "/api/payments/verify", &body))
    }

    pub fn payment_moves(&self) -> Option<Ask> {
        let payments = self.provider.payments();
        let since = self.stage.now().plus(-LATE_MAX).millis() / 1_000;
        let waiting: Vec<&Paid> = payments.iter().filter(|paid| paid.may_move && paid.begun_at >= since).collect();
        let payment = self.one(&waiting)?;
        let outcome = *self.one(&[Outcome::Authorized, Outcome::Captured, Outcome::Failed])?;
        if self.provider.move_on(&payment.id, outcome) {
            self.stage.note(format!("provider: {} is {outcome:?} by itself", payment.id));
        }
        None
    }

    pub fn refund_moves(&self) -> Option<Ask> {
        let pending = self.provider.pending_refunds();
        let refund = self.one(&pending)?;
        let arrives = !self.stage.hits(3_000);
        self.stage.note(format!("provider: {refund} {}", if arrives { "arrives" } else { "fails" }));
        self.provider.settle_refund(refund, arrives);
        None
    }

    pub async fn refund_by_hand(&self) -> Option<Ask> {
        let payments = self.provider.payments();
        let captured: Vec<_> = payments.iter().filter(|payment| payment.captured).collect();
        let payment = self.one(&captured)?;
        // Nobody does that who knows of another way that the money goes back.
        let select = "SELECT id FROM refunds WHERE payment_id = $1 AND (status = 'failed' OR paid_out IS NOT NULL)";
        let known = self.databases.payment.query(select, params![&payment.id]).await.expect("refunds are there");
        if !known.is_empty() {
            return None;
        }
        let left = payment.amount - payment.refunded;
        let amount = self.stage.between(100, left.max(100));
        if self.provider.refund_by_hand(&payment.id, amount) {
            self.stage.note(format!("provider: {amount} paise of {} are given back by hand", payment.id));
        }
        None
    }

    pub async fn retry_refund(&self) -> Option<Ask> {
        let row = self.row("SELECT id FROM refunds WHERE status = 'failed' ORDER BY id").await?;
        let path = format!("/api/payments/refunds/{}/retry", row.get::<String>("id").expect("an id"));
        Some(asked(&world::admin(), "payment", "POST", &path, &json!({})))
    }

    pub async fn pay_out(&self) -> Option<Ask> {
        let select =
            "SELECT id, payment_id, amount FROM refunds WHERE status = 'failed' OR provider = 'offline' ORDER BY id";
        let row = self.row(select).await?;
        // Staff look first whether the provider has given it back.
        let (of, amount): (String, i64) = (row.get("payment_id").ok()?, row.get("amount").ok()?);
        let online = self.provider.payments().into_iter().find(|payment| payment.id == of);
        if online.is_some_and(|payment| self.provider.refunded(&of) + amount > payment.amount) {
            return None;
        }
        let path = format!("/api/payments/refunds/{}/pay-out", row.get::<String>("id").expect("an id"));
        let body: Value = json!({ "method": "cash", "reference": "envelope 8" });
        Some(asked(&world::admin(), "payment", "POST", &path, &body))
    }
}
