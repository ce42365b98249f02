//! Shares and what is owed, under everything that can happen to a booking.

use cairn_shared::time::DAY;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    Cancellation, Kind, RefundChoice, Scope, Session, Who, cancel, payable, refund::tests::booking as booking_of,
};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn id(n: usize) -> Id {
    Id::derive(&["id", &n.to_string()])
}

/// A booking of so many people that waits for its payment.
fn booking(count: u32, total: Paise) -> Booking {
    let mut booking = booking_of(count, total.0, 0);
    booking.batch_start = NOW.plus(30 * DAY);
    booking.status = Status::PendingPayment;
    booking.mode = PaymentMode::Full;
    booking.partial = None;
    booking.paid = Paise::ZERO;
    booking.session = Some(Session { id: "s".into(), expires_at: NOW.plus(HOUR), attempts: 1, last_attempt: None });
    for (n, participant) in booking.participants.iter_mut().enumerate() {
        participant.name = format!("Person {n}");
        participant.email = format!("p{n}@example.org");
    }
    booking
}

/// The price shared by who pays for each of the others: participant 0 is the owner's.
fn shared(booking: &Booking, payers: &[usize]) -> Option<Booking> {
    let mut shares: Vec<NewShare> = Vec::new();
    for payer in 1..=payers.len() {
        let of = payers.iter().enumerate().filter(|(_, one)| **one == payer);
        let participants: Vec<_> = of.map(|(n, _)| booking.participants[n + 1].id).collect();
        if !participants.is_empty() {
            shares.push(NewShare { participants, name: None, email: None });
        }
    }
    let mut next = 0;
    let new = NewSplit { hours: None, shares: Some(shares) };
    let mut ids = || {
        next += 1;
        id(next)
    };
    split(booking, &new, "secret", &mut ids, Zone::INDIA, NOW).ok()
}

fn pay(booking: &mut Booking, amount: Paise, share: Option<Id>, n: usize) {
    let kind = if booking.paid == Paise::ZERO { Kind::Initial } else { Kind::Balance };
    let payment = Payment {
        id: format!("pay_{n}"),
        order_id: "o".into(),
        kind,
        amount,
        method: "upi".into(),
        captured_at: NOW,
        share,
    };
    let next = match booking.paid + amount >= booking.due_total() {
        true => booking.status_when_paid(),
        false => Status::PaymentConfirmedPartial,
    };
    booking.accept(&payment, next);
}

fn gone(booking: &Booking, participant: Id, choice: RefundChoice, n: usize) -> Option<Booking> {
    let wanted = Cancellation {
        scope: Scope::Participants(vec![participant]),
        choice,
        reason: None,
        who: Who::Admin,
        actor: None,
        start: booking.batch_start,
        command: id(1_000 + n),
    };
    cancel(booking, &wanted, NOW).ok()
}

proptest! {
    #[test]
    fn shares_and_the_owners_part_are_the_price_and_open_ones_what_is_owed(
        total in 1_000_i64..10_000_000,
        payers in proptest::collection::vec(0_usize..4, 1..8),
        deeds in proptest::collection::vec((0_usize..3, 0_usize..8), 0..12),
    ) {
        let count = u32::try_from(payers.len() + 1).unwrap();
        let Some(mut booking) = shared(&booking(count, Paise(total)), &payers) else { return Ok(()) };
        let partial = booking.partial.clone().unwrap();
        prop_assert_eq!(partial.initial + partial.remaining, booking.price.total);
        pay(&mut booking, partial.initial, None, 0);
        let mut came_back = Paise::ZERO;
        for (n, (deed, at)) in deeds.into_iter().enumerate() {
            // Whatever has happened, open shares are what is owed, and each payer has paid no more than their places.
            let open: Paise = booking.open_shares().map(|(_, amount)| amount).sum();
            prop_assert_eq!(open, (booking.due_total() - booking.paid).max(Paise::ZERO));
            let owed = payable(&booking);
            prop_assert_eq!(owed.map_or(Paise::ZERO, |owed| owed.amount), open);
            match deed {
                0 => {
                    let share = booking.open_shares().nth(at).map(|(share, amount)| (share.id, amount));
                    if let Some((share, amount)) = share {
                        pay(&mut booking, amount, Some(share), n + 1);
                    }
                }
                1 if at == 0 && open > Paise::ZERO => pay(&mut booking, open, None, n + 1),
                _ => {
                    let participant = booking.participants.get(at).map(|participant| participant.id);
                    let choice = if deed == 1 { RefundChoice::Auto } else { RefundChoice::Full };
                    if let Some(after) = participant.and_then(|one| gone(&booking, one, choice, n)) {
                        booking = after;
                    }
                }
            }
            let of_share = |payment: &SharePayment| {
                let back = booking.refund_requests.iter().filter(|r| r.payment.as_ref() == Some(&payment.id));
                back.map(|request| request.amount).sum::<Paise>()
            };
            for payment in booking.split.iter().flat_map(|split| &split.shares).filter_map(|s| s.payment.as_ref()) {
                prop_assert!(of_share(payment) <= payment.amount, "nobody gets back more than they paid");
            }
            came_back = booking.refund_requests.iter().map(|request| request.amount).sum();
            prop_assert!(came_back <= booking.paid);
            if booking.status == Status::Cancelled { break; }
        }
        prop_assert_eq!(came_back, booking.refunded);
    }

    #[test]
    fn a_proportion_is_the_amount_to_the_paisa(amount in 0_i64..1_000_000, weights in proptest::collection::vec(0_i64..10_000, 1..8)) {
        let weights: Vec<_> = weights.into_iter().map(Paise).collect();
        let parts = in_proportion(Paise(amount), &weights);
        let all: i64 = weights.iter().map(|weight| weight.0).sum();
        prop_assert_eq!(parts.iter().copied().sum::<Paise>(), Paise(if all == 0 { 0 } else { amount }));
        for (part, weight) in parts.iter().zip(&weights).filter(|_| all > 0) {
            prop_assert!((i128::from(part.0) * i128::from(all) - i128::from(amount) * i128::from(weight.0)).abs() <= i128::from(all));
        }
    }
}

#[test]
fn a_token_names_its_share_and_only_the_secret_makes_it() {
    let (booking, share) = (id(1), id(2));
    let token = share_token(booking, share, "secret");
    assert_eq!(share_of_token(&token), Some((booking, share)));
    assert_ne!(share_token(booking, share, "another"), token);
    for wrong in ["", "x", &token[1..], &token[..50], &format!("{token}0")] {
        assert_eq!(share_of_token(wrong), None, "{wrong}");
    }
}
