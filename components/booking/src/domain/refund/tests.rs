//! Whoever is cancelled in whatever order, the money adds up.

use proptest::prelude::*;

use super::*;
use crate::domain::{
    Breakdown, Cancellation, CancellationRequest, Contact, EmergencyContact, PartialPayment, ParticipantInput,
    PaymentMode, User, Who, cancel, merge_participants, restore_participant,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const DAY: i64 = cairn_shared::time::DAY;

fn id(name: &str) -> Id {
    Id::derive(&[name])
}

/// A booking of so many people, of which so much is paid.
pub(in crate::domain) fn booking(count: u32, total: i64, paid: i64) -> Booking {
    let partial = PartialPayment {
        initial: Paise(paid),
        remaining: Paise(total - paid),
        due: NOW,
        reminder_sent_at: None,
        initial_paid_at: Some(NOW),
        final_paid_at: None,
    };
    let is_paid = paid >= total;
    let document = serde_json::json!({
        "id": id("booking"), "version": 1,
        "user": User { id: id("user"), name: "M".into(), email: "m@example.org".into(), phone: None },
        "trekId": id("trek"), "trekName": "Trek", "batchId": id("batch"),
        "batchStart": NOW.plus(60 * DAY), "batchEnd": NOW.plus(61 * DAY), "addOns": [],
        "contact": Contact { name: "M".into(), email: "m@example.org".into(), phone: "1".into() },
        "emergency": null, "price": Breakdown { total: Paise(total), ..Breakdown::agreed(Paise(1), count) }, "promo": null,
        "status": if is_paid { "confirmed" } else { "payment_confirmed_partial" },
        "mode": if is_paid { PaymentMode::Full } else { PaymentMode::Partial },
        "partial": if is_paid { None } else { Some(partial) }, "session": null,
        "participants": [],
        "additionalRequests": null, "specialRequirements": null, "adminRemarks": "", "remarks": [], "adminCreated": false,
        "cancellationRequest": CancellationRequest::default(), "cancelledAt": null, "cancelledBy": null,
        "cancellationReason": "", "refundStatus": RefundStatus::NotApplicable, "refundAmount": 0, "refundDate": null,
        "refundType": RefundType::Auto, "firstPayment": null, "paymentError": null, "paid": Paise(paid), "refunded": 0,
        "refundDue": null, "createdAt": NOW, "updatedAt": NOW,
    });
    // As a document of an earlier version of this service reads, without the newer fields.
    let mut booking: Booking = serde_json::from_value(document).unwrap();
    let people: Vec<_> = (0..count)
        .map(|at| ParticipantInput {
            name: Some(format!("Person {at}")),
            email: Some("p@example.org".into()),
            phone: Some("1".into()),
            ..ParticipantInput::default()
        })
        .collect();
    let emergency = EmergencyContact { name: "A".into(), phone: "1".into(), relation: "Parent".into() };
    let mut ids = (0..count).map(|at| id(&format!("person {at}")));
    merge_participants(&mut booking, &people, Some(emergency), &[], || ids.next().unwrap()).unwrap();
    booking
}

fn cancellation(scope: Scope, choice: RefundChoice, days: i64, command: &str) -> Cancellation {
    Cancellation {
        scope,
        choice,
        reason: None,
        who: Who::Admin,
        actor: None,
        start: NOW.plus(days * DAY),
        command: id(command),
    }
}

fn asked(booking: &Booking) -> Paise {
    booking.refund_requests.iter().map(|request| request.amount).sum()
}

#[test]
fn tiers_change_at_their_days() {
    let policy = RefundPolicy::default();
    let percent = |days| policy.tier(days).unwrap().percent.0 / 100;
    assert_eq!([22, 21, 15, 14, 8, 7, 0, -3].map(percent), [100, 75, 75, 50, 50, 0, 0, 0]);
    assert_eq!(policy.tier(18).unwrap().color, "text-yellow-600");
    assert_eq!(RefundPolicy::check(&policy.tiers), Ok(()));
}

#[test]
fn a_reduced_refund_is_whole_rupees_and_a_full_one_is_not_rounded() {
    let policy = RefundPolicy::default();
    assert_eq!(policy.tier(18).unwrap().of(Paise(847_440)), Paise::rupees(6_356));
    assert_eq!(policy.tier(30).unwrap().of(Paise(847_440)), Paise(847_440));
    assert_eq!(policy.tier(18).unwrap().of(Paise(90)), Paise(90), "never more than there was");
}

#[test]
fn what_does_not_divide_goes_to_the_first() {
    let parts = |amount, count: u32| (0..count as usize).map(|at| part(Paise(amount), count, at).0).collect::<Vec<_>>();
    assert_eq!(parts(100, 3), [34, 33, 33]);
    assert_eq!(parts(2, 3), [1, 1, 0]);
    assert_eq!(parts(0, 2), [0, 0]);
}

#[test]
fn a_charge_on_the_whole_price_may_use_up_a_first_instalment() {
    let refund = |days| {
        let wanted = cancellation(Scope::Entire, RefundChoice::Auto, days, "c");
        asked(&cancel(&booking(2, 100_000, 30_000), &wanted, NOW).unwrap())
    };
    assert_eq!([30, 18, 10, 5].map(refund), [30_000, 5_000, 0, 0].map(Paise));
}

#[test]
fn money_above_the_price_is_not_the_cancellations_to_give_back() {
    // Paid twice; half of the price is charged.
    let wanted = cancellation(Scope::Entire, RefundChoice::Auto, 10, "c");
    assert_eq!(asked(&cancel(&booking(2, 100_000, 200_000), &wanted, NOW).unwrap()), Paise(50_000));
}

#[test]
fn a_refund_in_parts_is_done_when_all_of_it_is() {
    let wanted = cancellation(Scope::Entire, RefundChoice::Full, 30, "c");
    let mut cancelled = cancel(&booking(1, 1_000, 1_000), &wanted, NOW).unwrap();
    let key = cancelled.refund_requests[0].key.clone();
    let heard = |id: &str, amount, status| Refund {
        id: id.into(),
        payment_id: "p".into(),
        key: Some(key.clone()),
        amount: Paise(amount),
        status,
        at: NOW,
    };
    for (refunds, status, refunded) in [
        (vec![heard("a", 600, RefundStatus::Success)], RefundStatus::Processing, 1_000),
        (
            vec![heard("a", 600, RefundStatus::Success), heard("b", 400, RefundStatus::Failed)],
            RefundStatus::Failed,
            600,
        ),
        (
            vec![heard("a", 600, RefundStatus::Success), heard("b", 400, RefundStatus::Success)],
            RefundStatus::Success,
            1_000,
        ),
    ] {
        cancelled.hear_refunds(&refunds);
        assert_eq!((cancelled.refund_status, cancelled.refunded), (status, Paise(refunded)));
        assert_eq!(cancelled.refund_amount, Paise(1_000));
        assert_eq!(cancelled.refund_date.is_some(), status == RefundStatus::Success);
    }
}

#[test]
fn a_refund_that_nobody_asked_for_here_counts_too() {
    let mut confirmed = booking(2, 1_000, 1_000);
    let made =
        |status| Refund { id: "r".into(), payment_id: "p".into(), key: None, amount: Paise(300), status, at: NOW };
    confirmed.hear_refunds(&[made(RefundStatus::Success)]);
    assert_eq!((confirmed.refunded, confirmed.refund_status), (Paise(300), RefundStatus::NotApplicable));
    assert_eq!(confirmed.refundable(), Paise(700));
    let over = cancellation(Scope::Entire, RefundChoice::Custom(Paise(701)), 30, "c");
    assert!(cancel(&confirmed, &over, NOW).is_err());
    let all = cancellation(Scope::Entire, RefundChoice::Full, 30, "c");
    assert_eq!(asked(&cancel(&confirmed, &all, NOW).unwrap()), Paise(700));
}

proptest! {
    /// Everybody is cancelled one by one, long before the start: each gets its part, and
    /// all parts come to what was paid, to the paisa.
    #[test]
    fn shares_of_all_come_to_everything_in_any_order(
        total in 1_000_i64..10_000_000, paid_percent in 1_i64..=100, order in Just((0..6_u32).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let paid = (total * paid_percent / 100).max(1);
        let mut booking = booking(6, total, paid);
        for at in order {
            let scope = Scope::Participants(vec![id(&format!("person {at}"))]);
            let owed_before = booking.due_total() - booking.paid;
            booking = cancel(&booking, &cancellation(scope, RefundChoice::Auto, 40, &format!("c{at}")), NOW).unwrap();
            prop_assert!(booking.due_total() - booking.paid <= owed_before, "nobody owes more when somebody leaves");
            prop_assert!(booking.due_total() >= booking.paid || booking.seats() == 0);
        }
        prop_assert_eq!(booking.status, Status::Cancelled);
        prop_assert_eq!(asked(&booking), Paise(paid));
        prop_assert_eq!(booking.refunded, Paise(paid));
    }

    /// Whatever is cancelled, however, whenever: never more goes back than was paid, and no
    /// participant gets more than its share.
    #[test]
    fn no_more_goes_back_than_was_paid(
        count in 1_u32..8, total in 100_i64..10_000_000, paid_percent in 0_i64..=120,
        steps in prop::collection::vec((0_u32..8, 0_u8..4, -5_i64..40, any::<bool>()), 1..12),
    ) {
        let paid = total * paid_percent / 100;
        let mut booking = booking(count, total, paid);
        for (at, (person, choice, days, back)) in steps.into_iter().enumerate() {
            let choice = match choice {
                0 => RefundChoice::Auto,
                1 => RefundChoice::Full,
                2 => RefundChoice::Nothing,
                _ => RefundChoice::Custom(Paise(total / i64::from(count))),
            };
            let person = id(&format!("person {person}"));
            let wanted = cancellation(Scope::Participants(vec![person]), choice, days, &format!("c{at}"));
            if let Ok(cancelled) = cancel(&booking, &wanted, NOW) {
                booking = cancelled;
            }
            if back && let Ok(restored) = restore_participant(&booking, person, Who::Admin, NOW) {
                booking = restored;
            }
            prop_assert_eq!(asked(&booking), booking.refunded);
            prop_assert!(booking.refunded <= booking.paid);
            for (at, participant) in booking.participants.iter().enumerate() {
                prop_assert!(participant.refund_amount <= booking.share(at) + Paise(1), "a custom amount is about a share");
            }
        }
        let left = booking.refundable();
        if let Ok(cancelled) = cancel(&booking, &cancellation(Scope::Entire, RefundChoice::Full, 40, "all"), NOW) {
            prop_assert!(asked(&cancelled) <= cancelled.paid);
            prop_assert!(cancelled.refund_amount <= left);
        }
    }

    #[test]
    fn for_a_paid_booking_the_refund_is_the_tables(days in -10_i64..40, total in 1_i64..1_000_000_000) {
        let policy = RefundPolicy::default();
        let cancelled = cancel(&booking(3, total, total), &cancellation(Scope::Entire, RefundChoice::Auto, days, "c"), NOW).unwrap();
        prop_assert_eq!(asked(&cancelled), policy.tier(days).unwrap().of(Paise(total)));
    }

    #[test]
    fn later_is_never_better(days in -10_i64..40, amount in 0_i64..1_000_000_000) {
        let policy = RefundPolicy::default();
        let of = |days| policy.tier(days).unwrap().of(Paise(amount));
        prop_assert!(of(days) <= of(days + 1) + Paise(50));
    }
}
