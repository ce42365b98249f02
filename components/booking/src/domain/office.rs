//! What staff decide about a booking that they made.

use super::{Booking, PaidStatus, StaffMove, Status, staff_move};

/// What a change of status and payment comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfficeMove {
    /// Everything stays as it is.
    Nothing,
    /// All that is left to pay was received; the booking is then in this state.
    Paid(Status),
    /// The first of two instalments was received.
    FirstInstalment,
    /// A move that has nothing to do with money.
    Other(StaffMove),
}

/// Why staff may not set what they want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfficeRefusal {
    Status,
    Payment,
}

/// What staff want, if the state table and the money that is there allow it. What was
/// received cannot be unsaid: that would be a refund.
///
/// # Errors
/// Which of the two does not fit.
pub fn office_move(
    booking: &Booking,
    status: Option<Status>,
    paid: Option<PaidStatus>,
) -> Result<OfficeMove, OfficeRefusal> {
    let from = booking.status;
    let to = status.filter(|status| *status != from);
    let owes = booking.paid < booking.due_total();
    match (from, to, paid) {
        (Status::Pending, None, None | Some(PaidStatus::Unpaid)) => Ok(OfficeMove::Nothing),
        (Status::Pending, None, Some(PaidStatus::Completed)) => Ok(OfficeMove::Paid(Status::Confirmed)),
        (Status::Pending, None | Some(Status::PaymentConfirmedPartial), Some(PaidStatus::Partial))
        | (Status::Pending, Some(Status::PaymentConfirmedPartial), None) => Ok(OfficeMove::FirstInstalment),
        (
            Status::Pending | Status::PaymentConfirmedPartial,
            Some(to @ (Status::Confirmed | Status::PaymentCompleted)),
            None | Some(PaidStatus::Completed),
        ) => Ok(OfficeMove::Paid(to)),
        (Status::PaymentConfirmedPartial, None, Some(PaidStatus::Completed)) => {
            Ok(OfficeMove::Paid(booking.status_when_paid_offline()))
        }
        (Status::PaymentConfirmedPartial, None, None | Some(PaidStatus::Partial)) => Ok(OfficeMove::Nothing),
        (_, None, None) => Ok(OfficeMove::Nothing),
        (Status::PaymentCompleted | Status::Confirmed | Status::TrekCompleted, None, Some(PaidStatus::Completed))
            if !owes =>
        {
            Ok(OfficeMove::Nothing)
        }
        (_, Some(to), _) => {
            let step = staff_move(from, to, booking.is_ready()).ok_or(OfficeRefusal::Status)?;
            let fits = match (step, paid) {
                (StaffMove::Paid(_), _) => false,
                (_, None) => true,
                (StaffMove::Cancel, Some(PaidStatus::Unpaid)) => from == Status::Pending,
                (StaffMove::Confirm | StaffMove::CompleteTrek, Some(PaidStatus::Completed)) => !owes,
                (_, Some(_)) => false,
            };
            if fits { Ok(OfficeMove::Other(step)) } else { Err(OfficeRefusal::Payment) }
        }
        (_, None, Some(_)) => Err(OfficeRefusal::Payment),
    }
}
