//! Money that arrived for a booking, and what is to be paid next.

use cairn_shared::{Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Booking, CancelledBy, OpenShare, PaymentMode, RefundRequest, RefundStatus, RefundType, Status, Tender};

/// Which part of the price a payment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Full,
    Initial,
    Balance,
    /// Received by staff.
    Offline,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Initial => "initial",
            Self::Balance => "balance",
            Self::Offline => "offline",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Initial, Self::Balance, Self::Offline].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A captured payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub id: String,
    pub order_id: String,
    pub kind: Kind,
    pub amount: Paise,
    pub method: String,
    pub captured_at: Timestamp,
    /// The share that it paid; none: the owner paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Id>,
}

/// A refund at the provider, as last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    pub id: String,
    pub payment_id: String,
    /// The request of the booking's that it is a part of; none for one that the booking
    /// did not ask for.
    pub key: Option<String>,
    pub amount: Paise,
    pub status: RefundStatus,
    pub at: Timestamp,
}

/// What a booking is to pay next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payable {
    pub booking_id: Id,
    pub user_id: Id,
    pub trek_id: Id,
    pub trek_name: String,
    pub kind: Kind,
    pub amount: Paise,
    /// What a voucher pays of the amount.
    pub tender: Option<Tender>,
    pub expires_at: Option<Timestamp>,
    pub promo_code: Option<String>,
    pub order_value: Paise,
    /// Parts of the amount that others can pay.
    pub shares: Vec<OpenShare>,
}

impl Payable {
    /// What is left to be paid at a provider.
    pub fn online(&self) -> Paise {
        self.amount - self.tender.as_ref().map_or(Paise::ZERO, |tender| tender.amount)
    }
}

/// What a booking owes next; none when nothing more is to be paid.
pub fn payable(booking: &Booking) -> Option<Payable> {
    let (kind, amount) = match (booking.status, booking.mode, &booking.partial) {
        (Status::PendingPayment | Status::Creating, PaymentMode::Full, _) => (Kind::Full, booking.price.total),
        (Status::PendingPayment | Status::Creating, PaymentMode::Partial, Some(partial)) => {
            (Kind::Initial, partial.initial)
        }
        // Providers take no payment below one rupee.
        (Status::PaymentConfirmedPartial, _, Some(partial)) if partial.remaining >= Paise::rupees(1) => {
            (Kind::Balance, partial.remaining)
        }
        _ => return None,
    };
    let unpaid = kind != Kind::Balance;
    let shares = if unpaid { Vec::new() } else { booking.shares_of(amount) };
    Some(Payable {
        booking_id: booking.id,
        user_id: booking.user.id,
        trek_id: booking.trek_id,
        trek_name: booking.trek_name.clone(),
        kind,
        amount,
        // A voucher beside shares would pay what others pay.
        tender: booking.tender.as_ref().filter(|_| shares.is_empty()).and_then(|tender| tender.fitted(amount)),
        shares,
        expires_at: booking.session.as_ref().map(|session| session.expires_at).filter(|_| unpaid),
        promo_code: booking.promo.as_ref().map(|promo| promo.code.clone()).filter(|_| unpaid),
        order_value: booking.price.base,
    })
}

/// What a capture does to a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureOutcome {
    /// It pays for the booking, which then is in this state. Its seats come first.
    Accept(Status),
    /// It is not what the booking was to pay, and nothing else was paid: it goes back.
    GiveBack,
    /// The booking was paid already: the money is recorded and staff are told.
    Surplus,
}

/// What a capture does to a booking as it stands. `beside`: what a voucher paid with it.
pub fn apply_capture(booking: &Booking, payment: &Payment, beside: Option<&Payment>) -> CaptureOutcome {
    let amount = payment.amount + beside.map_or(Paise::ZERO, |beside| beside.amount);
    // What staff received, and said what it makes of the booking.
    let told = booking.offline_due.as_ref().filter(|due| due.is(payment));
    if let (Some(due), Status::Pending | Status::PaymentConfirmedPartial) = (told, booking.status) {
        return CaptureOutcome::Accept(due.next);
    }
    let awaited = match (booking.mode, &booking.partial) {
        (PaymentMode::Full, _) => (Kind::Full, booking.price.total),
        (PaymentMode::Partial, Some(partial)) => (Kind::Initial, partial.initial),
        (PaymentMode::Partial, None) => return CaptureOutcome::Surplus,
    };
    let pays_off = booking.paid + amount >= booking.due_total();
    let next = if pays_off { booking.status_when_paid() } else { Status::PaymentConfirmedPartial };
    match booking.status {
        Status::PaymentConfirmedPartial => CaptureOutcome::Accept(next),
        Status::PendingPayment | Status::Expired | Status::Creating => match (payment.kind, amount) == awaited {
            true => CaptureOutcome::Accept(next),
            false => CaptureOutcome::GiveBack,
        },
        // Whoever cancelled or removed it did not wait for this payment.
        Status::Cancelled | Status::Deleted => CaptureOutcome::GiveBack,
        Status::Pending | Status::PaymentCompleted | Status::Confirmed | Status::TrekCompleted => {
            CaptureOutcome::Surplus
        }
    }
}

impl Booking {
    /// Notes money that arrived. The state is another decision.
    pub fn record(&mut self, payment: &Payment) {
        self.paid += payment.amount;
        self.payment_error = None;
        self.record_share(payment);
        self.first_payment.get_or_insert_with(|| payment.clone());
    }

    /// Notes what a voucher paid together with a payment that is noted after it.
    pub fn record_beside(&mut self, voucher: &Payment) {
        self.paid += voucher.amount;
    }

    /// A capture that is accepted: the booking lives and is in this state.
    pub fn accept(&mut self, payment: &Payment, next: Status) {
        self.record(payment);
        self.offline_due.take_if(|due| due.is(payment));
        self.tender = None;
        self.status = next;
        if let Some(partial) = &mut self.partial {
            partial.initial_paid_at.get_or_insert(payment.captured_at);
        }
        self.owe_the_rest();
        if let Some(partial) = self.partial.as_mut().filter(|partial| partial.remaining == Paise::ZERO) {
            partial.final_paid_at = Some(payment.captured_at);
        }
    }

    /// A capture for a booking that is over, for seats that are gone, or of the wrong
    /// amount, goes back by itself: what the booking kept otherwise stays. A booking
    /// that could not be kept is cancelled, so that its owner sees what happened.
    pub fn give_back(&mut self, payment: &Payment, reason: &str, now: Timestamp) {
        self.record(payment);
        if self.status != Status::Cancelled {
            self.cancel(CancelledBy::System, reason, now);
        }
        self.request_refund(RefundRequest {
            key: format!("{}/{}", self.id, payment.id),
            participant: None,
            payment: Some(payment.id.clone()),
            amount: payment.amount,
            kind: RefundType::Full,
            reason: reason.to_owned(),
            requested_by: None,
            requested_at: now,
            voucher: None,
            asked: false,
            status: RefundStatus::Processing,
            settled_at: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use cairn_shared::BasisPoints;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        Batch, BatchStatus, Contact, Displayed, GatewayType, GstType, InitialAmount, NewBooking, PartialTerms, Terms,
        User, draft, priced, sellable,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// Two seats at `price` each, a third of which is the first instalment.
    fn booking(status: Status, mode: PaymentMode, price: Paise) -> Booking {
        let id = Id::derive(&["x"]);
        let terms = Terms {
            id,
            name: "Trek".into(),
            enabled: true,
            custom: false,
            custom_link_expiry: None,
            display_price: Paise::ZERO,
            add_ons: vec![],
            gst: BasisPoints(500),
            gst_type: GstType::Excluded,
            gateway: BasisPoints(200),
            gateway_type: GatewayType::Customer,
            partial: PartialTerms {
                enabled: true,
                initial: InitialAmount::Percentage(BasisPoints(3_333)),
                due_days: 5,
                auto_cancel: true,
            },
            custom_fields: vec![],
        };
        let start = NOW.plus(30 * cairn_shared::time::DAY);
        let batch = Batch {
            id,
            trek_id: id,
            start,
            end: start,
            price,
            max_participants: 9,
            reserved_slots: 0,
            taken: 0,
            status: BatchStatus::Upcoming,
        };
        let contact = Contact { name: "M".into(), email: "m@example.org".into(), phone: "1".into() };
        let new = NewBooking {
            trek_id: id,
            batch_id: id,
            count: 2,
            contact,
            add_ons: vec![],
            promo_code: None,
            voucher_code: None,
            mode,
            displayed: Displayed::default(),
            session_id: None,
        };
        let sale = sellable(&new, Some(terms), Some(batch), 0, NOW).unwrap();
        let price = priced(&new, &sale, None, NOW).unwrap();
        let user = User { id, name: "M".into(), email: "m@example.org".into(), phone: None };
        Booking { status, ..draft(&new, &sale, price, user, None, &mut || id, NOW) }
    }

    fn payment(kind: Kind, amount: Paise) -> Payment {
        Payment {
            id: "p".into(),
            order_id: "o".into(),
            kind,
            amount,
            method: "upi".into(),
            captured_at: NOW,
            share: None,
        }
    }

    #[test]
    fn what_a_capture_does_depends_on_the_state_and_on_nothing_the_client_says() {
        use CaptureOutcome::{Accept, GiveBack, Surplus};
        let price = Paise::rupees(1_000);
        for status in Status::ALL {
            for (mode, kind) in [(PaymentMode::Full, Kind::Full), (PaymentMode::Partial, Kind::Initial)] {
                let booking = booking(status, mode, price);
                let owed = booking.partial.as_ref().map_or(booking.price.total, |partial| partial.initial);
                let paid =
                    if mode == PaymentMode::Full { Status::PaymentCompleted } else { Status::PaymentConfirmedPartial };
                let (right, wrong) = match status {
                    Status::Creating | Status::PendingPayment | Status::Expired => (Accept(paid), GiveBack),
                    Status::Cancelled | Status::Deleted => (GiveBack, GiveBack),
                    Status::PaymentConfirmedPartial => (Accept(paid), Accept(Status::PaymentConfirmedPartial)),
                    Status::Pending | Status::PaymentCompleted | Status::Confirmed | Status::TrekCompleted => {
                        (Surplus, Surplus)
                    }
                };
                assert_eq!(apply_capture(&booking, &payment(kind, owed), None), right, "{status:?} {mode:?}");
                assert_eq!(apply_capture(&booking, &payment(kind, Paise(1)), None), wrong, "{status:?} {mode:?}");
            }
        }
    }

    #[test]
    fn only_the_payment_that_came_too_late_goes_back() {
        let mut booking = booking(Status::PaymentConfirmedPartial, PaymentMode::Partial, Paise::rupees(1_000));
        let (first, late) = (payment(Kind::Initial, Paise(60_000)), payment(Kind::Balance, Paise(70_000)));
        booking.record(&first);
        booking.cancel(CancelledBy::System, "not paid in time", NOW);
        assert_eq!(apply_capture(&booking, &late, None), CaptureOutcome::GiveBack);
        booking.give_back(&late, "too late", NOW);
        let [request] = booking.refund_requests.as_slice() else { panic!("one request") };
        assert_eq!((request.amount, request.asked), (late.amount, false));
        assert_eq!((booking.paid, booking.refunded), (Paise(130_000), Paise(70_000)), "the first instalment stays");
        assert_eq!((booking.refund_status, booking.refund_amount), (RefundStatus::Processing, late.amount));
        assert_eq!(booking.cancellation_reason, "not paid in time");
    }

    proptest! {
        #[test]
        fn two_instalments_pay_exactly_the_total(rupees in 10_i64..100_000) {
            let mut booking = booking(Status::PendingPayment, PaymentMode::Partial, Paise(rupees * 100 + 37));
            let first = payable(&booking).unwrap();
            let outcome = apply_capture(&booking, &payment(first.kind, first.amount), None);
            prop_assert_eq!(outcome, CaptureOutcome::Accept(Status::PaymentConfirmedPartial));
            booking.accept(&payment(first.kind, first.amount), Status::PaymentConfirmedPartial);
            let balance = payable(&booking).unwrap();
            prop_assert_eq!(first.amount + balance.amount, booking.price.total);
            let outcome = apply_capture(&booking, &payment(balance.kind, balance.amount), None);
            prop_assert_eq!(outcome, CaptureOutcome::Accept(Status::PaymentCompleted));
            booking.accept(&payment(balance.kind, balance.amount), Status::PaymentCompleted);
            prop_assert_eq!(booking.paid, booking.price.total);
            prop_assert_eq!(payable(&booking), None);
            prop_assert_eq!(booking.partial.unwrap().remaining, Paise::ZERO);
        }
    }
}
