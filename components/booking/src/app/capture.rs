//! What payment tells: orders made, money captured, attempts failed, money given back.

use cairn_shared::{
    DbError, Id, Paise, Result, Timestamp, Tx,
    events::{self, Event},
    log,
};
use serde::Deserialize;

use super::{App, BookingError, OfflineError, SeatsError, mails::MailIntent, noting::Deed};
use crate::{
    domain::{Booking, CaptureOutcome, Kind, Payment, PaymentError, Refund, RefundStatus, Status, apply_capture},
    store::{self, Lease, Taken},
};

/// Why a booking is cancelled whose seats went to others before its payment arrived.
const SEATS_GONE: &str = "The seats were no longer available when the payment arrived";
/// Why a payment of a wrong amount goes back.
const WRONG_AMOUNT: &str = "The payment does not match what the booking costs";
/// Why a payment for a booking that is over goes back.
const TOO_LATE: &str = "The booking had been cancelled when the payment arrived";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Captured {
    booking_id: Id,
    payment_id: String,
    order_id: String,
    kind: Kind,
    amount_paise: i64,
    method: String,
    captured_at: i64,
    /// What a voucher paid together with it.
    voucher: Option<Beside>,
    /// The share that it paid.
    share_id: Option<Id>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Beside {
    payment_id: String,
    amount_paise: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    booking_id: Id,
    code: String,
    description: String,
    failed_at: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderCreated {
    booking_id: Id,
    kind: Option<Kind>,
    session_expires_at: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refunded {
    booking_id: Id,
    payment_id: String,
    refund_id: String,
    /// The booking's own request that it is a part of.
    key: Option<String>,
    amount_paise: i64,
    status: RefundStatus,
    at: i64,
}

impl App {
    /// Takes events of payment. An event counts as taken once everything that follows
    /// from it is on disk; until then it is delivered again.
    ///
    /// # Errors
    /// Whatever a later delivery may mend, and an event of another shape.
    pub async fn take_events(&self, received: &[Event]) -> Result<(), BookingError> {
        for event in received {
            match event.kind.as_str() {
                "payment.captured" => self.take_captured(event).await?,
                "payment.failed" => self.take_failed(event).await?,
                "payment.order_created" => self.take_order_created(event).await?,
                "payment.refunded" => self.take_refunded(event).await?,
                other => log::warn("an event of an unknown kind was left alone", &[("kind", &other)]),
            }
        }
        self.wake().await;
        Ok(())
    }

    /// Applies a captured payment, once by its id.
    ///
    /// Steps: take the lease; confirm the seats; commit payment, new state, mails, and
    /// the event as taken, in one transaction; leave the checkout to the job, which is
    /// woken at once. A crash before the commit changes nothing that a repetition does
    /// not bear (confirmed seats stay confirmed, and the job gives them back should the
    /// payment never be told of again); after it, the job settles as it would anyhow.
    /// Two deliveries at once: the lease lets one in, the other waits a moment for it, since
    /// a client waits for the effect, and is repeated otherwise. If the
    /// seats are gone, the same transaction cancels the booking and notes the refund,
    /// which [`App::settle`] asks for until payment has taken it.
    async fn take_captured(&self, event: &Event) -> Result<(), BookingError> {
        let captured: Captured = event.data()?;
        let payment = Payment {
            id: captured.payment_id,
            order_id: captured.order_id,
            kind: captured.kind,
            amount: Paise(captured.amount_paise),
            method: method_text(captured.method),
            captured_at: Timestamp::from_millis(captured.captured_at),
            share: captured.share_id,
        };
        let beside = captured.voucher.map(|beside| Payment {
            id: beside.payment_id,
            order_id: String::new(),
            amount: Paise(beside.amount_paise),
            method: "voucher".into(),
            ..payment.clone()
        });
        let id = captured.booking_id;
        let lease = self.new_lease();
        let taken = match self.lease_soon(id, &lease, None).await {
            Ok(taken) => taken,
            Err(BookingError::NotFound) if self.take_gift(event, id, &payment).await? => return Ok(()),
            Err(BookingError::NotFound) => return self.take_orphan(event, id, &payment).await,
            Err(error) => return Err(error),
        };
        let outcome = self.capture(Some(event), taken, &payment, beside.as_ref(), &lease).await;
        if outcome.is_err() {
            store::lease_lapse(&self.db, id, &lease, self.now()).await?;
        }
        outcome
    }

    /// Counts an event as taken, once, and leaves the checkout to the job: payment waits
    /// for the answer, and calling it from here could have both wait for ever. The lease
    /// runs out with the commit, which is enough for the answer.
    async fn take_once(&self, tx: &Tx, event: &Event, id: Id, lease: &Lease) -> Result<bool, DbError> {
        let now = self.now();
        store::lease_lapse(tx, id, lease, now).await?;
        events::first_time(tx, event, now).await
    }

    /// Books what staff received: payment first, which knows the money by the key of the
    /// intent, then as any other capture. Answers the booking as it is then.
    ///
    /// A crash before payment has it leaves the intent; after it, payment's event or the
    /// repeated call brings the same payment, which is taken once by its id.
    ///
    /// # Errors
    /// A service that does not answer. What payment refuses is given up and logged.
    pub(super) async fn receive_offline(&self, mut booking: Booking, lease: &Lease) -> Result<Booking, BookingError> {
        let Some(due) = booking.offline_due.clone() else { return Ok(booking) };
        let (id, user_id) = (booking.id, booking.user.id);
        match self.peers.record_offline(id, user_id, &due).await {
            Ok(payment) => {
                let payment = Payment { method: method_text(payment.method), ..payment };
                self.capture(None, Taken { booking, left_open: true }, &payment, None, lease).await?;
            }
            Err(OfflineError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
            Err(OfflineError::Refused(cause)) => {
                log::error(
                    "money that staff received was not booked: staff have to look",
                    &[("booking", &id), ("cause", &cause)],
                );
                booking.offline_due = None;
                self.save_alone(&booking, lease).await?;
            }
        }
        let mut booking = store::booking_fetch(&self.db, id).await?.ok_or(BookingError::NotFound)?;
        if booking.offline_due.is_some() {
            // Payment's own event was faster: the money is in, the intent is done.
            booking.offline_due = None;
            booking = self.save_alone(&booking, lease).await?;
        }
        Ok(booking)
    }

    /// Saves a booking in a transaction of its own, and gives it as it is stored.
    async fn save_alone(&self, booking: &Booking, lease: &Lease) -> Result<Booking, BookingError> {
        self.db
            .transaction(async |tx| {
                let mut stored = booking.clone();
                self.save(tx, &mut stored, Some(lease)).await?;
                Ok(stored)
            })
            .await
    }

    /// Applies a payment, and what a voucher paid together with it, in one transaction.
    pub(super) async fn capture(
        &self,
        event: Option<&Event>,
        Taken { mut booking, left_open }: Taken,
        payment: &Payment,
        beside: Option<&Payment>,
        lease: &Lease,
    ) -> Result<(), BookingError> {
        if store::payment_fetch(&self.db, &payment.id).await?.is_some() {
            return match event {
                Some(event) => {
                    let taken = self.db.transaction(async |tx| self.take_once(tx, event, booking.id, lease).await);
                    Ok(taken.await.map(drop)?)
                }
                None => Ok(()),
            };
        }
        let now = self.now();
        let both = || beside.into_iter().chain([payment]);
        match apply_capture(&booking, payment, beside) {
            CaptureOutcome::Accept(next) => match self.seat(&booking, left_open).await {
                Ok(()) => {
                    beside.iter().for_each(|voucher| booking.record_beside(voucher));
                    booking.accept(payment, next);
                }
                Err(SeatsError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
                Err(_) => both().for_each(|paid| booking.give_back(paid, SEATS_GONE, now)),
            },
            CaptureOutcome::GiveBack => {
                let over = matches!(booking.status, Status::Cancelled | Status::Deleted);
                let reason = if over { TOO_LATE } else { WRONG_AMOUNT };
                both().for_each(|paid| booking.give_back(paid, reason, now));
            }
            CaptureOutcome::Surplus => {
                log::error(
                    "a booking was paid more than once: staff have to look",
                    &[("booking", &booking.id), ("payment", &payment.id)],
                );
                both().for_each(|paid| booking.record(paid));
            }
        }
        self.db
            .transaction(async |tx| {
                if let Some(event) = event
                    && !self.take_once(tx, event, booking.id, lease).await?
                {
                    return Ok(());
                }
                for paid in both() {
                    store::payment_insert(tx, booking.id, paid).await?;
                }
                if booking.status.is_paid() {
                    store::failed_booking_hide(tx, booking.id, now).await?;
                    self.queue(
                        tx,
                        &booking,
                        &MailIntent::PaymentReceived { payment_id: payment.id.clone() },
                        &payment.id,
                    )
                    .await?;
                    self.queue_shares(tx, &booking, payment).await?;
                }
                let mut booking = booking.clone();
                self.save_as(tx, &mut booking, Some(lease), Deed::of("payment")).await?;
                match booking.status {
                    Status::Confirmed => self.queue_confirmations(tx, &booking).await,
                    Status::Cancelled => {
                        self.queue(tx, &booking, &MailIntent::Cancelled, &booking.version.to_string()).await
                    }
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Makes the seats the booking's for good; takes them again if its hold has run out, or
    /// if somebody died who may have held another number while the booking was not paid.
    pub(super) async fn seat(&self, booking: &Booking, left_open: bool) -> Result<(), SeatsError> {
        if !left_open || booking.status.is_paid() {
            match self.peers.confirm(booking.id).await {
                Err(SeatsError::NoHold) => {}
                outcome => return outcome,
            }
        }
        let request = super::HoldRequest {
            booking_id: booking.id,
            batch_id: booking.batch_id,
            seats: booking.seats(),
            expires_at: self.now().plus(super::LEASE),
            use_reserved: booking.may_use_reserved(),
        };
        self.peers.hold(&request).await?;
        self.peers.confirm(booking.id).await
    }

    /// Money for a booking that does not exist goes back. The refund comes first: if
    /// the event were noted first and the process died, nobody would ask for it again.
    async fn take_orphan(&self, event: &Event, id: Id, payment: &Payment) -> Result<(), BookingError> {
        log::error(
            "a payment for a booking that does not exist is given back",
            &[("booking", &id), ("payment", &payment.id)],
        );
        self.peers.refund_all(id, "There is no such booking").await?;
        self.note_taken(event).await
    }

    async fn note_taken(&self, event: &Event) -> Result<(), BookingError> {
        self.db.transaction(async |tx| events::first_time(tx, event, self.now()).await.map(drop)).await?;
        Ok(())
    }

    /// A failed attempt: the booking still waits for its payment.
    async fn take_failed(&self, event: &Event) -> Result<(), BookingError> {
        let failed: Failed = event.data()?;
        let at = Timestamp::from_millis(failed.failed_at);
        let error = PaymentError { code: failed.code, description: failed.description, timestamp: at };
        self.amend(event, failed.booking_id, async |_, booking| {
            if booking.status != Status::PendingPayment {
                return Ok(false);
            }
            booking.payment_error = Some(error.clone());
            if let Some(session) = &mut booking.session {
                session.last_attempt = session.last_attempt.max(Some(at));
            }
            Ok(true)
        })
        .await
    }

    /// An order gives the customer more time. The hold is extended first: should the
    /// process die in between, seats are held a little longer than the session lasts.
    async fn take_order_created(&self, event: &Event) -> Result<(), BookingError> {
        let order: OrderCreated = event.data()?;
        if order.kind == Some(Kind::Balance) {
            return self
                .amend(event, order.booking_id, async |_, booking| {
                    booking.balance_order_at = booking.balance_order_at.max(Some(event.time));
                    Ok(true)
                })
                .await;
        }
        let Some(until) = order.session_expires_at.map(Timestamp::from_millis) else {
            return self.note_taken(event).await;
        };
        let found = store::booking_fetch(&self.db, order.booking_id).await?;
        let later = |booking: &Booking| {
            booking.status == Status::PendingPayment
                && booking.session.as_ref().is_some_and(|session| session.expires_at < until)
        };
        if !found.as_ref().is_some_and(later) {
            return self.note_taken(event).await;
        }
        match self.peers.extend(order.booking_id, until).await {
            Err(SeatsError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
            // Without a hold the capture takes the seats again, or the money goes back.
            Ok(()) | Err(SeatsError::NoHold | SeatsError::SoldOut | SeatsError::Closed | SeatsError::BatchNotFound) => {
            }
        }
        self.amend(event, order.booking_id, async |_, booking| {
            let change = later(booking);
            if let Some(session) = booking.session.as_mut().filter(|_| change) {
                session.expires_at = until;
            }
            Ok(change)
        })
        .await
    }

    /// Notes how a refund stands, and what that means for the booking.
    async fn take_refunded(&self, event: &Event) -> Result<(), BookingError> {
        let refunded: Refunded = event.data()?;
        let at = Timestamp::from_millis(refunded.at);
        let refund = Refund {
            id: refunded.refund_id,
            payment_id: refunded.payment_id,
            key: refunded.key,
            amount: Paise(refunded.amount_paise),
            status: refunded.status,
            at,
        };
        self.amend(event, refunded.booking_id, async |tx, booking| {
            store::refund_upsert(tx, booking.id, &refund).await?;
            booking.hear_refunds(&store::refund_list(tx, booking.id).await?);
            Ok(true)
        })
        .await
    }

    /// Changes a booking for an event, once, in one transaction. The change answers
    /// whether there is something to store.
    async fn amend(
        &self,
        event: &Event,
        id: Id,
        change: impl AsyncFn(&Tx, &mut Booking) -> Result<bool, BookingError>,
    ) -> Result<(), BookingError> {
        self.db
            .transaction(async |tx| {
                if !events::first_time(tx, event, self.now()).await? {
                    return Ok(());
                }
                let Some(mut booking) = store::booking_fetch(tx, id).await? else {
                    if store::gift_fetch(tx, id).await?.is_some() {
                        return Ok(());
                    }
                    log::warn(
                        "an event tells of a booking that does not exist",
                        &[("booking", &id), ("kind", &event.kind)],
                    );
                    return Ok(());
                };
                let deed = Deed::of(event_word(&event.kind));
                if change(tx, &mut booking).await? { self.save_as(tx, &mut booking, None, deed).await } else { Ok(()) }
            })
            .await
    }
}

/// What an event of payment does to a booking, in a word for the audit.
fn event_word(kind: &str) -> &'static str {
    match kind {
        "payment.failed" => "payment_failed",
        "payment.order_created" => "payment_begun",
        "payment.refunded" => "refund",
        _ => "payment",
    }
}

/// How money came, in the words that people read.
fn method_text(method: String) -> String {
    if method == "offline" { "Manual/Offline".into() } else { method }
}
