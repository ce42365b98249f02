//! Money that arrived for a booking, and what is to be paid next.

use cairn_shared::{Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Booking, CancelledBy, PaymentMode, RefundStatus, Status};

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
}

/// A refund at the provider, as last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    pub id: String,
    pub payment_id: String,
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
    pub expires_at: Option<Timestamp>,
    pub promo_code: Option<String>,
    pub order_value: Paise,
}

/// What a booking owes next; none when nothing more is to be paid.
pub fn payable(booking: &Booking) -> Option<Payable> {
    let (kind, amount) = match (booking.status, booking.mode, &booking.partial) {
        (Status::PendingPayment | Status::Creating, PaymentMode::Full, _) => (Kind::Full, booking.price.total),
        (Status::PendingPayment | Status::Creating, PaymentMode::Partial, Some(partial)) => {
            (Kind::Initial, partial.initial)
        }
        (Status::PaymentConfirmedPartial, _, Some(partial)) if partial.remaining > Paise::ZERO => {
            (Kind::Balance, partial.remaining)
        }
        _ => return None,
    };
    let unpaid = kind != Kind::Balance;
    Some(Payable {
        booking_id: booking.id,
        user_id: booking.user.id,
        trek_id: booking.trek_id,
        trek_name: booking.trek_name.clone(),
        kind,
        amount,
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

/// What a capture does to a booking as it stands.
pub fn apply_capture(booking: &Booking, payment: &Payment) -> CaptureOutcome {
    let awaited = match (booking.mode, &booking.partial) {
        (PaymentMode::Full, _) => (Kind::Full, booking.price.total),
        (PaymentMode::Partial, Some(partial)) => (Kind::Initial, partial.initial),
        (PaymentMode::Partial, None) => return CaptureOutcome::Surplus,
    };
    let pays_off = booking.paid + payment.amount >= booking.price.total;
    let next = if pays_off { booking.status_when_paid() } else { Status::PaymentConfirmedPartial };
    match booking.status {
        Status::PaymentConfirmedPartial => CaptureOutcome::Accept(next),
        Status::PendingPayment | Status::Expired | Status::Creating => {
            match (payment.kind, payment.amount) == awaited {
                true => CaptureOutcome::Accept(next),
                false => CaptureOutcome::GiveBack,
            }
        }
        // Nothing went back yet, so the booking may live again if its seats are free.
        Status::Cancelled if booking.refund_status == RefundStatus::NotApplicable => {
            let balance = payment.kind == Kind::Balance && booking.paid > Paise::ZERO;
            if balance || (payment.kind, payment.amount) == awaited {
                CaptureOutcome::Accept(next)
            } else {
                CaptureOutcome::GiveBack
            }
        }
        Status::Cancelled => CaptureOutcome::GiveBack,
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
        self.first_payment.get_or_insert_with(|| payment.clone());
    }

    /// A capture that is accepted: the booking lives and is in this state.
    pub fn accept(&mut self, payment: &Payment, next: Status) {
        if self.status == Status::Cancelled {
            self.restore();
        }
        self.record(payment);
        self.status = next;
        let (paid, total) = (self.paid, self.price.total);
        if let Some(partial) = &mut self.partial {
            partial.initial_paid_at.get_or_insert(payment.captured_at);
            partial.remaining = (total - paid).max(Paise::ZERO);
            if partial.remaining == Paise::ZERO {
                partial.final_paid_at = Some(payment.captured_at);
            }
        }
    }

    /// A capture for seats that are gone, or of the wrong amount, goes back. A booking
    /// that could not be kept is cancelled, so that its owner sees what happened.
    pub fn give_back(&mut self, payment: &Payment, reason: &str, now: Timestamp) {
        self.record(payment);
        self.refund_due = Some(reason.to_owned());
        self.refund_status = RefundStatus::Processing;
        self.refund_amount = self.paid;
        if self.status != Status::Cancelled {
            self.cancel(CancelledBy::System, reason, now);
        }
    }
}

/// The refund state of a booking given all its refunds, and how much they come to.
pub fn refund_summary(refunds: &[Refund]) -> (RefundStatus, Paise) {
    let any = |status| refunds.iter().any(|refund| refund.status == status);
    let status = match () {
        () if any(RefundStatus::Failed) => RefundStatus::Failed,
        () if any(RefundStatus::Processing) || any(RefundStatus::Pending) => RefundStatus::Processing,
        () if any(RefundStatus::Success) => RefundStatus::Success,
        () => RefundStatus::NotApplicable,
    };
    let amount =
        refunds.iter().filter(|refund| refund.status != RefundStatus::Failed).map(|refund| refund.amount).sum();
    (status, amount)
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
        Payment { id: "p".into(), order_id: "o".into(), kind, amount, method: "upi".into(), captured_at: NOW }
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
                    Status::Creating | Status::PendingPayment | Status::Expired | Status::Cancelled => {
                        (Accept(paid), GiveBack)
                    }
                    Status::PaymentConfirmedPartial => (Accept(paid), Accept(Status::PaymentConfirmedPartial)),
                    Status::Pending | Status::PaymentCompleted | Status::Confirmed | Status::TrekCompleted => {
                        (Surplus, Surplus)
                    }
                };
                assert_eq!(apply_capture(&booking, &payment(kind, owed)), right, "{status:?} {mode:?}");
                assert_eq!(apply_capture(&booking, &payment(kind, Paise(1))), wrong, "{status:?} {mode:?}");
                let refunding = Booking { refund_status: RefundStatus::Processing, ..booking };
                if status == Status::Cancelled {
                    assert_eq!(
                        apply_capture(&refunding, &payment(kind, owed)),
                        GiveBack,
                        "money is going back already"
                    );
                }
            }
        }
    }

    #[test]
    fn a_refund_is_done_when_all_of_it_is() {
        let refund = |status| Refund { id: "r".into(), payment_id: "p".into(), amount: Paise(5), status, at: NOW };
        let summary = |statuses: &[RefundStatus]| {
            refund_summary(&statuses.iter().map(|status| refund(*status)).collect::<Vec<_>>())
        };
        assert_eq!(summary(&[]), (RefundStatus::NotApplicable, Paise::ZERO));
        assert_eq!(summary(&[RefundStatus::Success, RefundStatus::Processing]), (RefundStatus::Processing, Paise(10)));
        assert_eq!(summary(&[RefundStatus::Success, RefundStatus::Success]), (RefundStatus::Success, Paise(10)));
        assert_eq!(summary(&[RefundStatus::Success, RefundStatus::Failed]), (RefundStatus::Failed, Paise(5)));
    }

    proptest! {
        #[test]
        fn two_instalments_pay_exactly_the_total(rupees in 10_i64..100_000) {
            let mut booking = booking(Status::PendingPayment, PaymentMode::Partial, Paise(rupees * 100 + 37));
            let first = payable(&booking).unwrap();
            let outcome = apply_capture(&booking, &payment(first.kind, first.amount));
            prop_assert_eq!(outcome, CaptureOutcome::Accept(Status::PaymentConfirmedPartial));
            booking.accept(&payment(first.kind, first.amount), Status::PaymentConfirmedPartial);
            let balance = payable(&booking).unwrap();
            prop_assert_eq!(first.amount + balance.amount, booking.price.total);
            let outcome = apply_capture(&booking, &payment(balance.kind, balance.amount));
            prop_assert_eq!(outcome, CaptureOutcome::Accept(Status::PaymentCompleted));
            booking.accept(&payment(balance.kind, balance.amount), Status::PaymentCompleted);
            prop_assert_eq!(booking.paid, booking.price.total);
            prop_assert_eq!(payable(&booking), None);
            prop_assert_eq!(booking.partial.unwrap().remaining, Paise::ZERO);
        }
    }
}
