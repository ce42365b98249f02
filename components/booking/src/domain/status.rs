//! The states of a booking and who may move it between them.

use cairn_shared::{Timestamp, time::DAY};
use serde::{Deserialize, Serialize};

/// Where a booking stands. `Creating` and `Expired` are internal: such a booking
/// does not exist for anybody outside.
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
}

impl Status {
    pub const ALL: [Self; 9] = [
        Self::Creating,
        Self::Pending,
        Self::PendingPayment,
        Self::PaymentCompleted,
        Self::PaymentConfirmedPartial,
        Self::Confirmed,
        Self::TrekCompleted,
        Self::Cancelled,
        Self::Expired,
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
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether outsiders know this state.
    pub fn is_public(self) -> bool {
        !matches!(self, Self::Creating | Self::Expired)
    }

    /// Whether the booking has its seats for good, or waits for somebody to pay.
    pub fn holds_seats(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Expired)
    }

    /// Whether money was taken for seats that are still kept.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::PaymentCompleted | Self::PaymentConfirmedPartial | Self::Confirmed | Self::TrekCompleted)
    }
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

/// The move that a status set by staff stands for; none where it is not allowed.
pub fn staff_move(from: Status, to: Status, has_participants: bool) -> Option<StaffMove> {
    use Status::{
        Cancelled, Confirmed, PaymentCompleted, PaymentConfirmedPartial, Pending, PendingPayment, TrekCompleted,
    };
    match (from, to) {
        (Pending, Confirmed | PaymentCompleted) => Some(StaffMove::Paid(to)),
        (PaymentConfirmedPartial, PaymentCompleted) if !has_participants => Some(StaffMove::Paid(to)),
        (PaymentConfirmedPartial, Confirmed) if has_participants => Some(StaffMove::Paid(to)),
        (PaymentCompleted, Confirmed) if has_participants => Some(StaffMove::Confirm),
        (Confirmed, TrekCompleted) => Some(StaffMove::CompleteTrek),
        (Pending | PendingPayment | PaymentCompleted | PaymentConfirmedPartial | Confirmed, Cancelled) => {
            Some(StaffMove::Cancel)
        }
        (Cancelled, Confirmed) => Some(StaffMove::Restore),
        _ => None,
    }
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
