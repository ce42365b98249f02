//! Money that staff receive without the payment provider.

use cairn_shared::{Id, Paise, Timestamp, time::DAY};
use serde::{Deserialize, Serialize};

use super::{Booking, Kind, PartialPayment, Payment, PaymentMode, Status, Terms, instalments};

/// Days that a customer has for the balance where the trek says nothing.
const BALANCE_DAYS: i64 = 7;

/// How the money came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflineMethod {
    Cash,
    BankTransfer,
    #[default]
    Other,
}

/// How money came, and what proves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    pub method: OfflineMethod,
    pub reference: String,
}

/// Money that staff say they have, until payment has booked it. The booking moves on
/// with the booked money, not with the say-so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineDue {
    /// Names the money: however often it is told, it is booked once.
    pub key: String,
    pub kind: Kind,
    pub amount: Paise,
    pub method: OfflineMethod,
    pub reference: String,
    /// Who received it.
    pub actor: Id,
    /// What the booking is with it.
    pub next: Status,
}

/// How far staff say a booking is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaidStatus {
    Completed,
    Partial,
    Unpaid,
}

impl PaidStatus {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "payment_completed" => Some(Self::Completed),
            "payment_confirmed_partial" => Some(Self::Partial),
            "unpaid" => Some(Self::Unpaid),
            _ => None,
        }
    }
}

impl OfflineDue {
    /// Whether a payment is this money. Only what was received offline has no order.
    pub fn is(&self, payment: &Payment) -> bool {
        payment.order_id.is_empty() && (payment.kind, payment.amount) == (self.kind, self.amount)
    }
}

impl Booking {
    /// Notes that staff have received what is to be paid next, or all that is left, and
    /// what the booking is once that is booked. Nothing is due where nothing is left.
    pub fn expect_offline(&mut self, next: Status, proof: Proof, actor: Id, key: Id) {
        let left = self.due_total() - self.paid;
        let (kind, amount) = match (&self.partial, next) {
            (Some(partial), Status::PaymentConfirmedPartial) => (Kind::Initial, partial.initial),
            _ if self.paid > Paise::ZERO => (Kind::Balance, left),
            _ => (Kind::Full, left),
        };
        if amount <= Paise::ZERO {
            self.status = next;
            return;
        }
        let Proof { method, reference } = proof;
        let key = format!("booking/{}/{key}", self.id);
        self.offline_due = Some(OfflineDue { key, kind, amount, method, reference, actor, next });
    }

    /// Agrees on two instalments for what is not paid at all yet: the trek's, or halves
    /// with a week for the second. None where there are not two amounts.
    pub fn split(&mut self, terms: Option<&Terms>, now: Timestamp) -> Option<()> {
        let total = self.price.total;
        let offered = terms
            .filter(|terms| terms.partial.enabled)
            .and_then(|terms| instalments(&terms.partial, total, self.count(), self.batch_start, now))
            .filter(|split| split.initial > Paise::ZERO && split.remaining > Paise::ZERO);
        let (initial, due) = match offered {
            Some(split) => (split.initial, split.due),
            None => {
                let week = now.plus(BALANCE_DAYS * DAY);
                let ends = if self.batch_start > now { week.min(self.batch_start) } else { week };
                (Paise(total.0 - total.0 / 2), ends)
            }
        };
        let remaining = total - initial;
        if remaining <= Paise::ZERO {
            return None;
        }
        self.mode = PaymentMode::Partial;
        self.partial = Some(PartialPayment {
            initial,
            remaining,
            due,
            reminder_sent_at: None,
            initial_paid_at: None,
            final_paid_at: None,
        });
        Some(())
    }

    /// The state of a booking by staff that is paid in full: whoever books at the desk
    /// is expected, whether or not the details are in.
    pub fn status_when_paid_offline(&self) -> Status {
        if self.admin_created && self.is_cleared() { Status::Confirmed } else { self.status_when_paid() }
    }
}
