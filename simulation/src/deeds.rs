//! What people and schedules do, as requests, made from what is there at the moment.

use cairn_booking::domain::{Booking, Status};
use cairn_shared::{
    Id, Row, Sql,
    http::Request,
    identity::{CALLER_HEADER, Caller, Identity},
    params,
    time::DAY,
};
use cairn_tests::doubles::razorpay::{Attempt, Outcome, Payment, PaymentStatus, RefundStatus};
use serde_json::{Value, json};

use crate::{
    process::Databases,
    provider::{self, Provider},
    stage::Stage,
    world,
};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Book,
    Order,
    BalanceOrder,
    /// At the provider.
    Pay,
    Verify,
    /// A payment changes at the provider by itself.
    PaymentMoves,
    /// A refund on its way arrives or fails.
    RefundMoves,
    /// Staff give money back in the provider's dashboard.
    RefundByHand,
    GiveDetails,
    Cancel,
    CancelParticipant,
    Restore,
    RestoreParticipant,
    Shift,
    Ask,
    AnswerAsked,
    Complete,
    Delete,
    SetStatus,
    BookManually,
    ReceiveOffline,
    RestoreFailed,
    RetryRefund,
    PayOut,
    GiveVoucher,
    UseVoucher,
    LeaveVoucher,
    VoidVoucher,
    Repeat,
}

/// How often each is done, before a seed's own taste.
pub const DEEDS: [(Deed, u32); 29] = [
    (Deed::Book, 16),
    (Deed::Order, 14),
    (Deed::BalanceOrder, 5),
    (Deed::Pay, 16),
    (Deed::Verify, 9),
    (Deed::PaymentMoves, 4),
    (Deed::RefundMoves, 5),
    (Deed::RefundByHand, 1),
    (Deed::GiveDetails, 9),
    (Deed::Cancel, 5),
    (Deed::CancelParticipant, 4),
    (Deed::Restore, 4),
    (Deed::RestoreParticipant, 3),
    (Deed::Shift, 4),
    (Deed::Ask, 2),
    (Deed::AnswerAsked, 3),
    (Deed::Complete, 1),
    (Deed::Delete, 1),
    (Deed::SetStatus, 3),
    (Deed::BookManually, 3),
    (Deed::ReceiveOffline, 3),
    (Deed::RestoreFailed, 2),
    (Deed::RetryRefund, 4),
    (Deed::PayOut, 2),
    (Deed::GiveVoucher, 2),
    (Deed::UseVoucher, 4),
    (Deed::LeaveVoucher, 1),
    (Deed::VoidVoucher, 1),
    (Deed::Repeat, 5),
];

/// How late a payment may still be authorised or captured, in ms.
const LATE_MAX: i64 = 3 * DAY;

/// What staff say was paid.
const PAID: [&str; 3] = ["payment_completed", "payment_confirmed_partial", "unpaid"];

/// A request to a service.
#[derive(Debug, Clone)]
pub struct Ask {
    pub who: String,
    pub service: &'static str,
    pub request: Request,
}

/// Jobs that the schedule runs, by service and path.
pub const JOBS: [(&str, &str); 13] = [
    ("booking", "/_jobs/expire"),
    ("booking", "/_jobs/relay"),
    ("booking", "/_jobs/settle"),
    ("booking", "/_jobs/mails"),
    ("booking", "/_jobs/partial-reminder"),
    ("booking", "/_jobs/trek-reminder"),
    ("booking", "/_jobs/auto-cancel"),
    ("booking", "/_jobs/complete"),
    ("payment", "/_jobs/relay"),
    ("payment", "/_jobs/refunds"),
    ("payment", "/_jobs/reconcile"),
    ("payment", "/_jobs/report"),
    ("payment", "/_jobs/vouchers"),
];

/// Finds what nobody told of.
pub const DAILY_REPORT: (&str, &str) = ("payment", "/_jobs/report");

/// Jobs that bring everything in line again.
pub const RECOVERY: [(&str, &str); 8] = [
    DAILY_REPORT,
    ("payment", "/_jobs/reconcile"),
    ("payment", "/_jobs/refunds"),
    ("payment", "/_jobs/relay"),
    ("booking", "/_jobs/expire"),
    ("booking", "/_jobs/settle"),
    ("booking", "/_jobs/mails"),
    ("booking", "/_jobs/relay"),
];

/// Who does things: sees what is there, and the provider.
pub struct People<'a> {
    pub stage: &'a Stage,
    pub databases: &'a Databases,
    pub provider: &'a Provider,
    pub trek: Id,
}

fn asked(who: &Caller, service: &'static str, method: &str, path: &str, body: &Value) -> Ask {
    let request = match body {
        Value::Null => Request::new(method, path),
        body => Request::json(method, path, body),
    };
    let identity = Identity::Caller(Box::new(who.clone())).encode();
    Ask { who: who.name.clone(), service, request: request.with_header(CALLER_HEADER, identity) }
}

fn details(count: u32) -> Value {
    let person = |n: u32| {
        json!({ "name": format!("Walker {}", char::from(b'A' + (n % 26) as u8)), "email": format!("w{n}@example.org"),
                "phone": "9800000001", "age": "31", "gender": "Female" })
    };
    json!({
        "participants": (0..count).map(person).collect::<Vec<_>>(),
        "emergencyContact": { "name": "Asha", "phone": "9811111111", "relation": "Parent" },
    })
}

impl People<'_> {
    fn person(&self) -> Caller {
        world::person(self.stage.below(world::PEOPLE))
    }

    fn one<'b, T>(&self, of: &'b [T]) -> Option<&'b T> {
        self.stage.chance.borrow_mut().one(of)
    }

    /// All bookings as they are stored.
    ///
    /// # Panics
    /// The database does not answer.
    pub async fn bookings(&self) -> Vec<Booking> {
        let select = "SELECT document FROM bookings ORDER BY id";
        let rows = self.databases.booking.query(select, params![]).await.expect("the bookings are there");
        rows.iter().map(|row| row.json("document").expect("a booking is stored as one")).collect()
    }

    async fn booking(&self, which: impl Fn(&Booking) -> bool) -> Option<Booking> {
        let found: Vec<_> = self.bookings().await.into_iter().filter(which).collect();
        self.one(&found).cloned()
    }

    /// The owner; staff own what they made for somebody.
    fn owner(&self, booking: &Booking) -> Caller {
        let people = (0..world::PEOPLE).map(world::person);
        people.into_iter().find(|person| person.id == booking.user.id).unwrap_or_else(world::admin)
    }

    async fn row(&self, select: &str) -> Option<Row> {
        let rows = self.databases.payment.query(select, params![]).await.expect("payment's tables are there");
        self.one(&rows).cloned()
    }

    /// Does something, as far as it can be done now. A request is still to be sent.
    ///
    /// # Panics
    /// A database does not answer.
    pub async fn act(&self, deed: Deed) -> Option<Ask> {
        let admin = world::admin();
        let staff = |method: &str, path: String, body: &Value| Some(asked(&admin, "booking", method, &path, body));
        match deed {
            Deed::Book => Some(self.book()),
            Deed::Order | Deed::BalanceOrder => {
                let balance = deed == Deed::BalanceOrder;
                let waits = if balance { Status::PaymentConfirmedPartial } else { Status::PendingPayment };
                let booking = self.booking(|booking| booking.status == waits).await?;
                let path = if balance { "create-remaining-balance-order" } else { "create-order" };
                let body = json!({ "bookingId": booking.id, "amount": 1 });
                Some(asked(&self.owner(&booking), "payment", "POST", &format!("/api/payments/{path}"), &body))
            }
            Deed::Pay => {
                self.pay();
                None
            }
            Deed::Verify => self.verify().await,
            Deed::PaymentMoves => {
                let payments = self.provider.payments();
                let waits = |status| {
                    matches!(status, PaymentStatus::Created | PaymentStatus::Authorized | PaymentStatus::Failed)
                };
                let young = self.stage.now().plus(-LATE_MAX).millis() / 1_000;
                let young = |payment: &&Payment| waits(payment.status) && payment.created_at >= young;
                let waiting: Vec<_> = payments.iter().filter(young).collect();
                let payment = self.one(&waiting)?;
                let outcomes = [Outcome::Authorized, Outcome::Captured, Outcome::Failed];
                let outcome = *self.one(&outcomes)?;
                if self.provider.move_on(&payment.id, outcome) {
                    self.stage.note(format!("provider: {} is {outcome:?} by itself", payment.id));
                }
                None
            }
            Deed::RefundMoves => {
                let pending = self.provider.pending_refunds();
                let refund = self.one(&pending)?;
                let status = if self.stage.hits(3_000) { RefundStatus::Failed } else { RefundStatus::Processed };
                self.stage.note(format!("provider: {refund} is {status:?}"));
                self.provider.settle_refund(refund, status);
                None
            }
            Deed::RefundByHand => {
                let payments = self.provider.payments();
                let captured: Vec<_> = payments.iter().filter(|payment| payment.captured).collect();
                let payment = self.one(&captured)?;
                // Nobody does that who knows of another way that the money goes back.
                let select =
                    "SELECT id FROM refunds WHERE payment_id = $1 AND (status = 'failed' OR paid_out IS NOT NULL)";
                let known =
                    self.databases.payment.query(select, params![&payment.id]).await.expect("refunds are there");
                if !known.is_empty() {
                    return None;
                }
                let left = payment.amount - payment.amount_refunded;
                let amount = self.stage.between(100, left.max(100));
                if self.provider.refund_by_hand(&payment.id, amount) {
                    self.stage.note(format!("provider: {amount} paise of {} are given back by hand", payment.id));
                }
                None
            }
            Deed::GiveDetails => {
                let booking = self.booking(|booking| booking.status.holds_seats()).await?;
                let who = if self.stage.hits(8_000) { self.owner(&booking) } else { admin };
                let path = format!("/api/bookings/{}/participants", booking.id);
                Some(asked(&who, "booking", "PUT", &path, &details(booking.count())))
            }
            Deed::Cancel => {
                let booking = self.booking(|booking| booking.status.holds_seats()).await?;
                staff("PUT", format!("/api/bookings/{}/cancel", booking.id), &self.cancellation(&booking))
            }
            Deed::CancelParticipant => {
                let booking = self.booking(|booking| !booking.participants.is_empty()).await?;
                let participant = self.one(&booking.participants)?.id;
                let who = if self.stage.hits(5_000) { self.owner(&booking) } else { admin };
                let path = format!("/api/bookings/{}/participants/{participant}/cancel", booking.id);
                Some(asked(&who, "booking", "PUT", &path, &json!({ "reason": "ill" })))
            }
            Deed::Restore => {
                let booking = self.booking(|booking| booking.status == Status::Cancelled).await?;
                staff("PUT", format!("/api/bookings/{}/restore", booking.id), &Value::Null)
            }
            Deed::RestoreParticipant => {
                let gone = |booking: &Booking| booking.participants.iter().any(|participant| participant.is_cancelled);
                let booking = self.booking(gone).await?;
                let participant = booking.participants.iter().find(|participant| participant.is_cancelled)?.id;
                let path = format!("/api/bookings/{}/participants/{participant}/restore", booking.id);
                staff("PUT", path, &Value::Null)
            }
            Deed::Shift => {
                let booking = self.booking(|booking| booking.status.holds_seats()).await?;
                let batch = *self.one(&world::batches())?;
                let path = format!("/api/bookings/{}/shift-batch", booking.id);
                staff("PUT", path, &json!({ "newBatchId": batch }))
            }
            Deed::Ask => {
                let booking = self.booking(|booking| booking.status.is_paid()).await?;
                let reschedule = json!({ "requestType": "reschedule", "reason": "work", "preferredBatch": self.one(&world::batches())? });
                let cancellation = json!({ "requestType": "cancellation", "reason": "ill" });
                let body = if self.stage.hits(6_000) { reschedule } else { cancellation };
                let path = format!("/api/bookings/{}/cancellation-request", booking.id);
                Some(asked(&self.owner(&booking), "booking", "POST", &path, &body))
            }
            Deed::AnswerAsked => {
                let booking = self.booking(|booking| booking.cancellation_request.is_pending()).await?;
                let status = if self.stage.hits(7_000) { "approved" } else { "rejected" };
                let path = format!("/api/bookings/{}/cancellation-request", booking.id);
                staff("PUT", path, &json!({ "status": status, "adminResponse": "as you wish" }))
            }
            Deed::Complete => {
                let booking = self.booking(|booking| booking.status == Status::Confirmed).await?;
                staff("PUT", format!("/api/bookings/{}/complete-trek", booking.id), &Value::Null)
            }
            Deed::Delete => {
                let booking = self.booking(|_| true).await?;
                staff("DELETE", format!("/api/bookings/{}", booking.id), &Value::Null)
            }
            Deed::SetStatus => {
                let booking = self.booking(|_| true).await?;
                let statuses = ["pending", "payment_completed", "confirmed", "trek_completed", "cancelled"];
                let body = json!({ "status": self.one(&statuses)? });
                staff("PUT", format!("/api/bookings/{}/status", booking.id), &body)
            }
            Deed::BookManually => Some(self.book_manually()),
            Deed::ReceiveOffline => {
                let waits =
                    |booking: &Booking| matches!(booking.status, Status::Pending | Status::PaymentConfirmedPartial);
                let booking = self.booking(waits).await?;
                let proof = json!({ "paymentMethod": "cash", "paymentReference": "envelope 7" });
                if booking.admin_created && self.stage.hits(5_000) {
                    let paid = self.one(&PAID)?;
                    let body = json!({ "paymentStatus": paid, "paymentMethod": "bank_transfer" });
                    return staff("PUT", format!("/api/bookings/{}/admin-status", booking.id), &body);
                }
                staff("PUT", format!("/api/bookings/{}/mark-partial-complete", booking.id), &proof)
            }
            Deed::RestoreFailed => {
                let select = "SELECT id FROM failed_bookings WHERE hidden_at IS NULL ORDER BY id";
                let rows = self.databases.booking.query(select, params![]).await.expect("the archive is there");
                let id: String = self.one(&rows)?.get("id").expect("an id");
                staff("POST", format!("/api/failed-bookings/{id}/restore"), &json!({}))
            }
            Deed::RetryRefund => {
                let row = self.row("SELECT id FROM refunds WHERE status = 'failed' ORDER BY id").await?;
                let path = format!("/api/payments/refunds/{}/retry", row.get::<String>("id").expect("an id"));
                Some(asked(&admin, "payment", "POST", &path, &json!({})))
            }
            Deed::PayOut => {
                let select = "SELECT id, payment_id, amount FROM refunds WHERE status = 'failed' OR provider = 'offline' ORDER BY id";
                let row = self.row(select).await?;
                // Staff look first whether the provider has given it back.
                let (of, amount): (String, i64) = (row.get("payment_id").ok()?, row.get("amount").ok()?);
                let online = self.provider.payments().into_iter().find(|payment| payment.id == of);
                if online.is_some_and(|payment| self.provider.refunded(&of) + amount > payment.amount) {
                    return None;
                }
                let path = format!("/api/payments/refunds/{}/pay-out", row.get::<String>("id").expect("an id"));
                Some(asked(&admin, "payment", "POST", &path, &json!({ "method": "cash", "reference": "envelope 8" })))
            }
            Deed::GiveVoucher => {
                let key = self.stage.chance.borrow_mut().number();
                let body = json!({
                    "key": format!("gift-{key}"), "amount": self.stage.between(100, 40_000),
                    "ownerId": self.person().id, "reason": "for the rain",
                });
                Some(asked(&admin, "payment", "POST", "/api/payments/vouchers", &body))
            }
            Deed::UseVoucher => {
                let waits = |booking: &Booking| {
                    matches!(booking.status, Status::PendingPayment | Status::PaymentConfirmedPartial)
                };
                let booking = self.booking(waits).await?;
                let code: String =
                    self.row("SELECT code FROM vouchers ORDER BY id").await?.get("code").expect("a code");
                let path = format!("/api/bookings/{}/voucher", booking.id);
                Some(asked(&self.owner(&booking), "booking", "PUT", &path, &json!({ "code": code })))
            }
            Deed::LeaveVoucher => {
                let booking = self.booking(|booking| booking.tender.is_some()).await?;
                let path = format!("/api/bookings/{}/voucher", booking.id);
                Some(asked(&self.owner(&booking), "booking", "DELETE", &path, &Value::Null))
            }
            Deed::VoidVoucher => {
                let row = self.row("SELECT id FROM vouchers WHERE voided_at IS NULL ORDER BY id").await?;
                let path = format!("/api/payments/vouchers/{}/void", row.get::<String>("id").expect("an id"));
                Some(asked(&admin, "payment", "POST", &path, &json!({ "reason": "a mistake" })))
            }
            // Whoever keeps the requests repeats one.
            Deed::Repeat => None,
        }
    }

    fn book(&self) -> Ask {
        let who = self.person();
        let mut body = json!({
            "trekId": self.trek, "batchId": world::batch(self.stage.below(2)),
            "numberOfParticipants": self.stage.between(1, 3),
            "userDetails": { "name": who.name, "email": who.email, "phone": "9800000001" },
            "paymentMode": if self.stage.hits(3_500) { "partial" } else { "full" },
        });
        if self.stage.hits(4_000) {
            body["couponCode"] = json!(world::PROMO);
        }
        let ask = asked(&who, "booking", "POST", "/api/bookings", &body);
        match self.stage.hits(6_000) {
            true => {
                let key = format!("book-{}", self.stage.chance.borrow_mut().number());
                Ask { request: ask.request.with_header("idempotency-key", key), ..ask }
            }
            false => ask,
        }
    }

    fn book_manually(&self) -> Ask {
        let customer = self.person();
        let count = self.stage.between(1, 3);
        let paid = self.one(&PAID).copied().unwrap_or(PAID[0]);
        let mut body = json!({
            "userId": customer.id, "trekId": self.trek, "batchId": world::batch(self.stage.below(2)),
            "numberOfParticipants": count, "totalPrice": 4_000 * count, "paymentStatus": paid,
            "userDetails": { "name": customer.name, "email": customer.email, "phone": "9800000001" },
            "paymentMethod": "cash",
        });
        if self.stage.hits(5_000) {
            let named = details(u32::try_from(count).unwrap_or(1));
            body["participantDetails"] = named["participants"].clone();
            body["emergencyContact"] = named["emergencyContact"].clone();
        }
        asked(&world::admin(), "booking", "POST", "/api/bookings/manual/create-booking", &body)
    }

    fn cancellation(&self, booking: &Booking) -> Value {
        let refund = match self.stage.below(4) {
            0 => json!({ "refundType": "full" }),
            1 => json!({ "refundType": "custom", "customRefundAmount": self.stage.between(0, booking.paid.0 / 100) }),
            2 => json!({ "refund": false }),
            _ => json!({ "refundType": "auto" }),
        };
        let mut body = refund;
        body["cancellationReason"] = json!("the desk decided so");
        let who: Vec<_> = booking.participants.iter().filter(|_| self.stage.hits(5_000)).map(|p| p.id).collect();
        if !who.is_empty() && self.stage.hits(5_000) {
            body["cancellationType"] = json!("individual");
            body["selectedParticipants"] = json!(who);
        }
        body
    }

    fn pay(&self) {
        let orders = self.provider.orders();
        // Customers pay what they were just given, mostly.
        let recent = if self.stage.hits(7_000) { orders.len().saturating_sub(3) } else { 0 };
        let Some(order) = self.one(&orders[recent..]) else { return };
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
        if let Some(receipt) = self.provider.pay(order, attempt) {
            self.stage.note(format!("provider: {} of {order} is {outcome:?}", receipt.payment_id));
        }
    }

    async fn verify(&self) -> Option<Ask> {
        let payments = self.provider.payments();
        let payment = self.one(&payments)?;
        let select = "SELECT user_id FROM orders WHERE provider_id = $1";
        let rows = self.databases.payment.query(select, params![&payment.order_id]).await.expect("orders are there");
        let user: Id = rows.first()?.get("user_id").expect("an order is somebody's");
        let who = (0..world::PEOPLE).map(world::person).find(|person| person.id == user)?;
        let paid = provider::receipt(&payment.order_id, &payment.id);
        let body = json!({
            "razorpay_order_id": paid.order_id, "razorpay_payment_id": paid.payment_id,
            "razorpay_signature": paid.signature,
        });
        Some(asked(&who, "payment", "POST", "/api/payments/verify", &body))
    }
}
