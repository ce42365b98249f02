//! The states of a booking and who may move it between them.

use cairn_shared::{Timestamp, time::DAY};
use serde::{Deserialize, Serialize};

/// Where a booking stands. `Creating`, `Expired` and `Deleted` are internal: such a
/// booking does not exist for anybody outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Seats and checkout are being arranged.
    Creating,
    /// Made by staff, not paid.
    Pending,
    PendingPayment,
    PaymentCompleted,
    PaymentConfirmedPartial,
    Confirmed,
    TrekCompleted,
    Cancelled,
    /// Never paid in time.
    Expired,
    /// Removed by staff; its row is about to go.
    Deleted,
}

impl Status {
    pub const ALL: [Self; 10] = [
        Self::Creating,
        Self::Pending,
        Self::PendingPayment,
        Self::PaymentCompleted,
        Self::PaymentConfirmedPartial,
        Self::Confirmed,
        Self::TrekCompleted,
        Self::Cancelled,
        Self::Expired,
        Self::Deleted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Pending => "pending",
            Self::PendingPayment => "pending_payment",
            Self::PaymentCompleted => "payment_completed",
            Self::PaymentConfirmedPartial => "payment_confirmed_partial",
            Self::Confirmed => "confirmed",
            Self::TrekCompleted => "trek_completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether outsiders know this state.
    pub fn is_public(self) -> bool {
        !matches!(self, Self::Creating | Self::Expired | Self::Deleted)
    }

    /// Whether the booking has its seats for good, or waits for somebody to pay.
    pub fn holds_seats(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Expired | Self::Deleted)
    }

    /// Whether money was taken for seats that are still kept.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::PaymentCompleted | Self::PaymentConfirmedPartial | Self::Confirmed | Self::TrekCompleted)
    }
}

/// Who moves a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// The customer whose booking it is.
    Owner,
    /// Somebody whose group may manage bookings.
    Staff,
    Admin,
    /// The payment provider, by what it captured.
    Provider,
    /// A schedule.
    System,
}

impl Who {
    pub const ALL: [Self; 5] = [Self::Owner, Self::Staff, Self::Admin, Self::Provider, Self::System];
}

/// What happens to a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Seats and checkout of a new booking are arranged.
    Book,
    /// The seats of a custom trek's booking are arranged; nothing is paid online.
    BookCustom,
    /// Staff book for a customer.
    BookManually,
    /// The customer changes a booking that is not paid yet.
    Renew,
    /// A failed booking gets a new session.
    Revive,
    /// Money was captured.
    Capture,
    /// Money was captured for seats that are gone, or of a wrong amount.
    GiveBack,
    /// Nobody paid in time.
    SessionOver,
    /// Staff received money.
    ReceiveOffline,
    /// Participants' details.
    GiveDetails,
    CompleteTrek,
    /// The entire booking.
    Cancel,
    /// Some of its participants, also because their share was not paid in time; the last
    /// one cancels the booking.
    CancelParticipant,
    /// The balance was not paid in time.
    AutoCancel,
    Restore,
    RestoreParticipant,
    /// To another batch.
    Shift,
    /// A seat, to another person.
    Transfer,
    /// A participant's health and fitness.
    Declare,
    /// Staff decide about such a declaration. Once everybody is cleared, a booking that is
    /// paid is confirmed: see [`super::Booking::heed_clearance`].
    Clear,
    /// The owner asks for a cancellation or another batch.
    Request,
    Delete,
}

impl Trigger {
    pub const ALL: [Self; 22] = [
        Self::Book,
        Self::BookCustom,
        Self::BookManually,
        Self::Renew,
        Self::Revive,
        Self::Capture,
        Self::GiveBack,
        Self::SessionOver,
        Self::ReceiveOffline,
        Self::GiveDetails,
        Self::CompleteTrek,
        Self::Cancel,
        Self::CancelParticipant,
        Self::AutoCancel,
        Self::Restore,
        Self::RestoreParticipant,
        Self::Shift,
        Self::Transfer,
        Self::Declare,
        Self::Clear,
        Self::Request,
        Self::Delete,
    ];
}

/// Where a trigger leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The state stays.
    Same,
    Becomes(Status),
    /// What is paid, and whether details are in, decides.
    AsPaid,
    /// The state stays while somebody is left on the booking, unless all that is owed now
    /// is paid; else it is cancelled.
    SameOrCancelled,
    /// One of these, by what staff say was paid.
    OneOf(&'static [Status]),
}

struct Row {
    trigger: Trigger,
    from: &'static [Status],
    who: &'static [Who],
    next: Next,
}

const fn row(trigger: Trigger, from: &'static [Status], who: &'static [Who], next: Next) -> Row {
    Row { trigger, from, who, next }
}

/// States in which a booking has seats and is not over.
const LIVE: &[Status] =
    &[Status::Pending, Status::PaymentCompleted, Status::PaymentConfirmedPartial, Status::Confirmed];

/// [`LIVE`], and those that still wait for their payment.
const ACTIVE: &[Status] = &[
    Status::Pending,
    Status::PendingPayment,
    Status::PaymentCompleted,
    Status::PaymentConfirmedPartial,
    Status::Confirmed,
];

/// States in which a first payment may come in.
const UNPAID: &[Status] = &[Status::Creating, Status::PendingPayment, Status::Expired];

/// Every way a booking may go. What is not here does not happen.
const TABLE: &[Row] = &[
    row(Trigger::Book, &[Status::Creating], &[Who::Owner], Next::Becomes(Status::PendingPayment)),
    row(Trigger::BookCustom, &[Status::Creating], &[Who::Owner], Next::Becomes(Status::Confirmed)),
    row(
        Trigger::BookManually,
        &[Status::Creating],
        &[Who::Admin],
        Next::OneOf(&[Status::Confirmed, Status::PaymentConfirmedPartial, Status::Pending]),
    ),
    row(Trigger::Renew, &[Status::PendingPayment], &[Who::Owner], Next::Same),
    row(Trigger::Revive, &[Status::Expired], &[Who::Admin], Next::Becomes(Status::PendingPayment)),
    row(Trigger::Capture, UNPAID, &[Who::Provider], Next::AsPaid),
    row(Trigger::Capture, &[Status::PaymentConfirmedPartial], &[Who::Provider], Next::AsPaid),
    row(Trigger::GiveBack, UNPAID, &[Who::Provider], Next::Becomes(Status::Cancelled)),
    row(Trigger::GiveBack, &[Status::Deleted], &[Who::Provider], Next::Becomes(Status::Cancelled)),
    row(Trigger::GiveBack, &[Status::Cancelled], &[Who::Provider], Next::Same),
    row(Trigger::SessionOver, &[Status::PendingPayment], &[Who::System, Who::Admin], Next::Becomes(Status::Expired)),
    row(Trigger::ReceiveOffline, &[Status::Pending], &[Who::Admin], Next::AsPaid),
    row(Trigger::ReceiveOffline, &[Status::PaymentConfirmedPartial], &[Who::Admin], Next::AsPaid),
    row(Trigger::GiveDetails, &[Status::PaymentCompleted], &[Who::Owner, Who::Admin], Next::Becomes(Status::Confirmed)),
    row(
        Trigger::GiveDetails,
        &[Status::PendingPayment, Status::PaymentConfirmedPartial, Status::Confirmed],
        &[Who::Owner, Who::Admin],
        Next::Same,
    ),
    row(
        Trigger::CompleteTrek,
        &[Status::Confirmed],
        &[Who::Staff, Who::Admin, Who::System],
        Next::Becomes(Status::TrekCompleted),
    ),
    row(Trigger::Cancel, ACTIVE, &[Who::Admin], Next::Becomes(Status::Cancelled)),
    row(Trigger::CancelParticipant, LIVE, &[Who::Owner, Who::Admin, Who::System], Next::SameOrCancelled),
    row(Trigger::AutoCancel, &[Status::PaymentConfirmedPartial], &[Who::System], Next::Becomes(Status::Cancelled)),
    row(Trigger::Restore, &[Status::Cancelled], &[Who::Staff, Who::Admin], Next::AsPaid),
    row(Trigger::RestoreParticipant, LIVE, &[Who::Staff, Who::Admin], Next::AsPaid),
    row(Trigger::RestoreParticipant, &[Status::Cancelled], &[Who::Staff, Who::Admin], Next::AsPaid),
    row(Trigger::Shift, ACTIVE, &[Who::Staff, Who::Admin], Next::Same),
    row(Trigger::Transfer, LIVE, &[Who::Owner, Who::Staff, Who::Admin], Next::Same),
    row(Trigger::Declare, ACTIVE, &[Who::Owner, Who::Staff, Who::Admin], Next::Same),
    row(Trigger::Clear, ACTIVE, &[Who::Staff, Who::Admin], Next::Same),
    row(
        Trigger::Request,
        &[Status::PaymentCompleted, Status::PaymentConfirmedPartial, Status::Confirmed],
        &[Who::Owner],
        Next::Same,
    ),
    row(
        Trigger::Delete,
        &[
            Status::Pending,
            Status::PendingPayment,
            Status::PaymentCompleted,
            Status::PaymentConfirmedPartial,
            Status::Confirmed,
            Status::TrekCompleted,
            Status::Cancelled,
        ],
        &[Who::Admin],
        Next::Becomes(Status::Deleted),
    ),
];

/// Where a trigger by somebody leads from a state; none where the table has no such row.
pub fn next(from: Status, trigger: Trigger, who: Who) -> Option<Next> {
    let fits = |row: &&Row| row.trigger == trigger && row.from.contains(&from) && row.who.contains(&who);
    TABLE.iter().find(fits).map(|row| row.next)
}

/// What staff achieve by setting a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaffMove {
    /// Money was received offline; the booking is then in this state.
    Paid(Status),
    /// Details are in and everything is paid.
    Confirm,
    CompleteTrek,
    /// The entire booking, without a refund.
    Cancel,
    /// A cancelled booking lives again; what was paid decides the state.
    Restore,
}

impl StaffMove {
    /// The trigger that the move is one of.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Paid(_) => Trigger::ReceiveOffline,
            Self::Confirm => Trigger::GiveDetails,
            Self::CompleteTrek => Trigger::CompleteTrek,
            Self::Cancel => Trigger::Cancel,
            Self::Restore => Trigger::Restore,
        }
    }
}

/// The move that a status set by an admin stands for; none where the table has no row
/// for it.
pub fn staff_move(from: Status, to: Status, has_participants: bool) -> Option<StaffMove> {
    use Status::{Cancelled, Confirmed, PaymentCompleted, PaymentConfirmedPartial, Pending, TrekCompleted};
    let meant = match (from, to) {
        (_, Cancelled) => StaffMove::Cancel,
        (_, TrekCompleted) => StaffMove::CompleteTrek,
        (Cancelled, Confirmed) => StaffMove::Restore,
        (PaymentCompleted, Confirmed) if has_participants => StaffMove::Confirm,
        (Pending, Confirmed | PaymentCompleted) => StaffMove::Paid(to),
        (PaymentConfirmedPartial, PaymentCompleted) if !has_participants => StaffMove::Paid(to),
        (PaymentConfirmedPartial, Confirmed) if has_participants => StaffMove::Paid(to),
        _ => return None,
    };
    next(from, meant.trigger(), Who::Admin).map(|_| meant)
}

/// Days until an instant: begun days count, past ones are negative.
pub fn days_until(start: Timestamp, now: Timestamp) -> i64 {
    let millis = start.since(now);
    millis.div_euclid(DAY) + i64::from(millis.rem_euclid(DAY) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_text() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("all"), None);
    }

    /// The table as the contract has it, with seats that go to other persons and declarations: who may do what from where, and where it leads.
    /// Letters: (o)wner, (s)taff, (a)dmin, (p)rovider, s(y)stem.
    const CONTRACT: &str = "
        Book creating o pending_payment
        BookCustom creating o confirmed
        BookManually creating a confirmed|payment_confirmed_partial|pending
        Renew pending_payment o same
        Revive expired a pending_payment
        Capture creating p as_paid
        Capture pending_payment p as_paid
        Capture payment_confirmed_partial p as_paid
        Capture expired p as_paid
        GiveBack creating p cancelled
        GiveBack pending_payment p cancelled
        GiveBack cancelled p same
        GiveBack expired p cancelled
        GiveBack deleted p cancelled
        SessionOver pending_payment ay expired
        ReceiveOffline pending a as_paid
        ReceiveOffline payment_confirmed_partial a as_paid
        GiveDetails pending_payment oa same
        GiveDetails payment_completed oa confirmed
        GiveDetails payment_confirmed_partial oa same
        GiveDetails confirmed oa same
        CompleteTrek confirmed say trek_completed
        Cancel pending a cancelled
        Cancel pending_payment a cancelled
        Cancel payment_completed a cancelled
        Cancel payment_confirmed_partial a cancelled
        Cancel confirmed a cancelled
        CancelParticipant pending oay same_or_cancelled
        CancelParticipant payment_completed oay same_or_cancelled
        CancelParticipant payment_confirmed_partial oay same_or_cancelled
        CancelParticipant confirmed oay same_or_cancelled
        AutoCancel payment_confirmed_partial y cancelled
        Restore cancelled sa as_paid
        RestoreParticipant pending sa as_paid
        RestoreParticipant payment_completed sa as_paid
        RestoreParticipant payment_confirmed_partial sa as_paid
        RestoreParticipant confirmed sa as_paid
        RestoreParticipant cancelled sa as_paid
        Shift pending sa same
        Shift pending_payment sa same
        Shift payment_completed sa same
        Shift payment_confirmed_partial sa same
        Shift confirmed sa same
        Transfer pending osa same
        Transfer payment_completed osa same
        Transfer payment_confirmed_partial osa same
        Transfer confirmed osa same
        Declare pending osa same
        Declare pending_payment osa same
        Declare payment_completed osa same
        Declare payment_confirmed_partial osa same
        Declare confirmed osa same
        Clear pending sa same
        Clear pending_payment sa same
        Clear payment_completed sa same
        Clear payment_confirmed_partial sa same
        Clear confirmed sa same
        Request payment_completed o same
        Request payment_confirmed_partial o same
        Request confirmed o same
        Delete pending a deleted
        Delete pending_payment a deleted
        Delete payment_completed a deleted
        Delete payment_confirmed_partial a deleted
        Delete confirmed a deleted
        Delete trek_completed a deleted
        Delete cancelled a deleted";

    fn words(next: Next) -> String {
        match next {
            Next::Same => "same".into(),
            Next::Becomes(status) => status.as_str().into(),
            Next::AsPaid => "as_paid".into(),
            Next::SameOrCancelled => "same_or_cancelled".into(),
            Next::OneOf(statuses) => statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join("|"),
        }
    }

    /// Every state, trigger and person: what the contract allows, and not one thing more.
    #[test]
    fn the_table_is_the_contracts_and_everything_else_is_refused() {
        let letter = |who| match who {
            Who::Owner => 'o',
            Who::Staff => 's',
            Who::Admin => 'a',
            Who::Provider => 'p',
            Who::System => 'y',
        };
        let (mut allowed, mut refused) = (Vec::new(), 0);
        for trigger in Trigger::ALL {
            for from in Status::ALL {
                let by: Vec<_> = Who::ALL.iter().filter_map(|who| Some((*who, next(from, trigger, *who)?))).collect();
                refused += Who::ALL.len() - by.len();
                if let Some((_, to)) = by.first() {
                    assert!(by.iter().all(|(_, next)| next == to), "who does it makes no difference to where it leads");
                    let who: String = by.iter().map(|(who, _)| letter(*who)).collect();
                    allowed.push(format!("{trigger:?} {} {who} {}", from.as_str(), words(*to)));
                }
            }
        }
        let contract: Vec<_> = CONTRACT.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(allowed, contract);
        let cells = Trigger::ALL.len() * Status::ALL.len() * Who::ALL.len();
        let granted: usize = contract.iter().map(|line| line.split(' ').nth(2).map_or(0, str::len)).sum();
        assert_eq!(refused, cells - granted);
    }

    #[test]
    fn staff_may_move_a_booking_along_the_table_and_nowhere_else() {
        use Status::*;
        // From, to, whether participant details make the difference.
        let allowed: &[(Status, Status, &[bool])] = &[
            (Pending, Confirmed, &[false, true]),
            (Pending, PaymentCompleted, &[false, true]),
            (PaymentConfirmedPartial, PaymentCompleted, &[false]),
            (PaymentConfirmedPartial, Confirmed, &[true]),
            (PaymentCompleted, Confirmed, &[true]),
            (Confirmed, TrekCompleted, &[false, true]),
            (Pending, Cancelled, &[false, true]),
            (PendingPayment, Cancelled, &[false, true]),
            (PaymentCompleted, Cancelled, &[false, true]),
            (PaymentConfirmedPartial, Cancelled, &[false, true]),
            (Confirmed, Cancelled, &[false, true]),
            (Cancelled, Confirmed, &[false, true]),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                for details in [false, true] {
                    let expected = allowed.iter().any(|(f, t, d)| *f == from && *t == to && d.contains(&details));
                    assert_eq!(
                        staff_move(from, to, details).is_some(),
                        expected,
                        "{from:?} to {to:?}, details {details}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_begun_day_counts_as_a_day() {
        let start = Timestamp::from_millis(30 * DAY);
        assert_eq!(days_until(start, Timestamp::from_millis(9 * DAY)), 21);
        assert_eq!(days_until(start, Timestamp::from_millis(9 * DAY - 1)), 22);
        assert_eq!(days_until(start, Timestamp::from_millis(9 * DAY + 1)), 21);
        assert_eq!(days_until(start, Timestamp::from_millis(30 * DAY)), 0);
        assert_eq!(days_until(start, Timestamp::from_millis(31 * DAY)), -1);
    }
}
