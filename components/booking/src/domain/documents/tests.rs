//! Whatever happens to a booking, its documents say what it is.

use cairn_shared::{BasisPoints, Timestamp, time::DAY};
use proptest::prelude::*;

use super::*;
use crate::domain::{
    Cancellation, GstType, Kind, Payment, RefundChoice, Scope, Who, apply_capture, cancel, refund::tests::booking,
    restore, restore_participant,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// A booking with what its documents say.
struct Book {
    booking: Booking,
    so_far: Documented,
    issued: Vec<DueDocument>,
}

impl Book {
    fn new(booking: Booking) -> Self {
        let mut book = Self { booking, so_far: Documented::default(), issued: Vec::new() };
        book.follow();
        book
    }

    fn follow(&mut self) {
        for _ in 0..3 {
            let Some(due) = document_due(&self.booking, &self.so_far) else { break };
            self.so_far.add(due.kind, due.amount());
            self.issued.push(due);
        }
        assert_eq!(document_due(&self.booking, &self.so_far), None, "the documents come to an end");
    }

    fn becomes(&mut self, booking: Booking) {
        self.booking = booking;
        self.follow();
    }

    fn cancel(&mut self, scope: Scope, choice: RefundChoice, command: u32) {
        let wanted = Cancellation {
            scope,
            choice,
            reason: None,
            who: Who::Admin,
            actor: None,
            start: NOW.plus(30 * DAY),
            command: cairn_shared::Id::derive(&[&command.to_string()]),
        };
        if let Ok(cancelled) = cancel(&self.booking, &wanted, NOW) {
            self.becomes(cancelled);
        }
    }

    fn pay(&mut self, amount: Paise) {
        let payment = Payment {
            id: format!("pay_{}", self.booking.paid.0),
            order_id: "o".into(),
            kind: Kind::Balance,
            amount,
            method: "upi".into(),
            captured_at: NOW,
            share: None,
        };
        let mut booking = self.booking.clone();
        match apply_capture(&booking, &payment, None) {
            crate::domain::CaptureOutcome::Accept(next) => booking.accept(&payment, next),
            crate::domain::CaptureOutcome::GiveBack => booking.give_back(&payment, "late", NOW),
            crate::domain::CaptureOutcome::Surplus => booking.record(&payment),
        }
        self.becomes(booking);
    }

    fn kinds(&self) -> Vec<(DocumentKind, i64)> {
        self.issued.iter().map(|due| (due.kind, due.amount().0)).collect()
    }
}

use DocumentKind::{CreditNote, DebitNote, Invoice, ReceiptVoucher, RefundVoucher};

#[test]
fn an_advance_has_a_receipt_and_the_balance_an_invoice_over_all_of_it() {
    let mut book = Book::new(booking(2, 100_000, 30_000));
    book.pay(Paise(70_000));
    assert_eq!(book.kinds(), [(ReceiptVoucher, 30_000), (Invoice, 100_000)]);
    book.cancel(Scope::Entire, RefundChoice::Full, 1);
    assert_eq!(book.kinds()[2..], [(CreditNote, 100_000)]);
}

#[test]
fn an_advance_that_goes_back_has_a_refund_voucher() {
    let mut book = Book::new(booking(2, 100_000, 30_000));
    book.cancel(Scope::Entire, RefundChoice::Custom(Paise(5_000)), 1);
    assert_eq!(book.kinds(), [(ReceiptVoucher, 30_000), (RefundVoucher, 5_000)]);
    book.pay(Paise(70_000));
    assert_eq!(book.kinds().len(), 2, "a payment that comes too late goes back without a document");
}

#[test]
fn who_keeps_the_money_credits_nothing() {
    let mut book = Book::new(booking(2, 100_000, 100_000));
    book.cancel(Scope::Entire, RefundChoice::Nothing, 1);
    assert_eq!(book.kinds(), [(Invoice, 100_000)]);
    book.becomes(restore(&book.booking, Who::Admin, NOW).unwrap());
    assert_eq!(book.kinds(), [(Invoice, 100_000)], "restored, it is what the invoice says");
}

#[test]
fn what_is_invoiced_and_never_paid_is_credited_and_debited_again() {
    let mut unpaid = booking(2, 100_000, 0);
    unpaid.status = Status::Confirmed;
    unpaid.mode = PaymentMode::Full;
    unpaid.custom = true;
    let mut book = Book::new(unpaid);
    book.cancel(Scope::Entire, RefundChoice::Auto, 1);
    book.becomes(restore(&book.booking, Who::Admin, NOW).unwrap());
    assert_eq!(book.kinds(), [(Invoice, 100_000), (CreditNote, 100_000), (DebitNote, 100_000)]);
}

#[test]
fn a_refund_that_failed_is_still_owed() {
    let mut book = Book::new(booking(1, 100_000, 100_000));
    book.cancel(Scope::Entire, RefundChoice::Full, 1);
    let mut refused = book.booking.clone();
    let key = refused.refund_requests[0].key.clone();
    refused.refund_refused(&key);
    book.becomes(refused);
    assert_eq!(book.kinds(), [(Invoice, 100_000), (CreditNote, 100_000)]);
}

#[derive(Debug, Clone)]
enum Step {
    Pay(i64),
    Participant(usize, u8),
    Entire(u8),
    Restore,
    RestoreParticipant(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_i64..200_000).prop_map(Step::Pay),
        (0_usize..5, 0_u8..3).prop_map(|(at, choice)| Step::Participant(at, choice)),
        (0_u8..3).prop_map(Step::Entire),
        Just(Step::Restore),
        (0_usize..5).prop_map(Step::RestoreParticipant),
    ]
}

fn choice(number: u8) -> RefundChoice {
    [RefundChoice::Auto, RefundChoice::Full, RefundChoice::Nothing][usize::from(number)]
}

proptest! {
    #[test]
    fn documents_follow_a_booking_through_anything(
        count in 1_u32..5, total in 1_000_i64..1_000_000, advance in 1_i64..1_000, steps in prop::collection::vec(step(), 1..12),
    ) {
        let mut book = Book::new(booking(count, total, total * advance / 1_000));
        for (at, step) in steps.iter().enumerate() {
            let command = u32::try_from(at).unwrap();
            let person = |at: usize| book.booking.participants[at % book.booking.participants.len()].id;
            match *step {
                Step::Pay(amount) => book.pay(Paise(amount)),
                Step::Participant(at, number) => book.cancel(Scope::Participants(vec![person(at)]), choice(number), command),
                Step::Entire(number) => book.cancel(Scope::Entire, choice(number), command),
                Step::Restore => if let Ok(restored) = restore(&book.booking, Who::Admin, NOW) { book.becomes(restored) },
                Step::RestoreParticipant(at) => {
                    let restored = restore_participant(&book.booking, person(at), Who::Admin, NOW);
                    if let Ok(restored) = restored { book.becomes(restored) }
                }
            }
            let (booking, stands) = (&book.booking, book.so_far.stands());
            prop_assert!(stands >= Paise::ZERO && stands <= booking.price.total, "{stands:?}");
            if book.so_far.invoiced.is_some() && booking.status != Status::Cancelled {
                prop_assert_eq!(stands, worth(booking));
            }
            if booking.status == Status::Cancelled {
                let kept = booking.paid - given_back(booking);
                prop_assert!(stands <= kept.max(Paise::ZERO), "nothing stands beyond what is kept: {stands:?} {kept:?}");
            }
        }
        prop_assert!(book.issued.iter().all(|due| due.amount() > Paise::ZERO));
    }

    #[test]
    fn figures_of_parts_add_up_to_those_of_the_whole(
        net in 0_i64..10_000_000, rate in 0_i64..3_000, charge in 0_i64..100_000, included: bool, cuts in prop::collection::vec(0_u32..=1_000, 0..6),
    ) {
        let tax = net * rate / 10_000;
        let price = Breakdown {
            net: Paise(net),
            gst_rate: BasisPoints(rate),
            gst_type: if included { GstType::Included } else { GstType::Excluded },
            gst: Paise(if included { 0 } else { tax }),
            gst_included: Paise(if included { tax } else { 0 }),
            gateway: Paise(charge),
            total: Paise(net + charge + if included { 0 } else { tax }),
            ..Breakdown::agreed(Paise(1), 1)
        };
        let mut points: Vec<_> = cuts.iter().map(|cut| Paise(price.total.0 * i64::from(*cut) / 1_000)).collect();
        points.extend([Paise::ZERO, price.total]);
        points.sort();
        let parts: Vec<_> = points.windows(2).map(|two| figures(&price, two[0], two[1])).collect();
        let whole = figures(&price, Paise::ZERO, price.total);
        let sum = |of: fn(&Figures) -> Paise| parts.iter().map(of).sum::<Paise>();
        prop_assert_eq!((whole.tax, whole.charge), (if price.total.0 == 0 { Paise::ZERO } else { Paise(tax) }, price.gateway));
        prop_assert_eq!(sum(|part| part.tax), whole.tax);
        prop_assert_eq!(sum(|part| part.charge), whole.charge);
        prop_assert_eq!(sum(|part| part.taxable), whole.taxable);
        prop_assert!(parts.iter().all(|part| part.tax >= Paise::ZERO && part.charge >= Paise::ZERO));
    }
}
