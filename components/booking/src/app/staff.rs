//! What staff decide about the state of a booking and about money that they received.

use cairn_shared::{Id, identity::Caller};

use super::{
    Actor, App, BookingError, CancelRequest,
    commands::Decision,
    mails::{MailIntent, confirmations},
    noting::Deed,
};
use crate::{
    domain::{
        Booking, OfficeMove, OfficeRefusal, PaidStatus, Proof, RefundChoice, Refusal, Remark, Scope, StaffMove, Status,
        Terms, Who, office_move, restore, staff_move,
    },
    store::CommandKind,
};

/// Remarks on one booking.
const REMARKS_MAX: usize = 500;

/// What staff want of a booking that they made.
#[derive(Debug, Clone, Default)]
pub struct OfficeChange {
    pub status: Option<Status>,
    pub paid: Option<PaidStatus>,
    pub remarks: Option<String>,
    pub proof: Proof,
}

impl App {
    /// Moves a booking to a state that staff chose, where the state table has such a row.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed, unless it is that payment
    /// has not booked the money yet: then the job goes on with it.
    pub async fn set_status(&self, staff: &Caller, id: Id, status: Status) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        self.step(staff, id, allowed(&found, status)?, status).await
    }

    async fn step(&self, staff: &Caller, id: Id, step: StaffMove, status: Status) -> Result<Booking, BookingError> {
        match step {
            StaffMove::Cancel => {
                let wanted = CancelRequest { scope: Scope::Entire, choice: RefundChoice::Nothing, reason: None };
                self.cancel(staff, id, &wanted).await
            }
            StaffMove::CompleteTrek => self.complete(Actor::of(staff, Who::Admin), id).await,
            StaffMove::Restore => {
                let command = self.new_command(CommandKind::Restore, Actor::of(staff, Who::Staff));
                let decide = |booking: &Booking| {
                    let booking = restore(booking, command.actor.who, self.now())?;
                    let mails =
                        if booking.status == Status::Confirmed { vec![MailIntent::Invoice] } else { Vec::new() };
                    Ok(Decision { booking, mails })
                };
                self.run(id, &command, &decide).await
            }
            StaffMove::Confirm => {
                let command = self.new_command(CommandKind::Confirm, Actor::of(staff, Who::Admin));
                let decide = |booking: &Booking| {
                    if allowed(booking, status)? != StaffMove::Confirm {
                        return Err(BookingError::InvalidStatus);
                    }
                    let booking = Booking { status: Status::Confirmed, ..booking.clone() };
                    let mut mails = confirmations(&booking);
                    mails.push(MailIntent::Invoice);
                    Ok(Decision { booking, mails })
                };
                self.run(id, &command, &decide).await
            }
            StaffMove::Paid(_) => {
                let decide = |booking: &mut Booking| match allowed(booking, status)? {
                    StaffMove::Paid(next) => Ok(next),
                    _ => Err(BookingError::InvalidStatus),
                };
                self.receive(staff, id, Proof::default(), &decide).await
            }
        }
    }

    /// Marks the balance of a booking as received by staff.
    ///
    /// # Errors
    /// As those of [`App::set_status`].
    pub async fn complete_partial(&self, staff: &Caller, id: Id, proof: Proof) -> Result<Booking, BookingError> {
        let decide = |booking: &mut Booking| match (booking.status, &booking.partial) {
            (Status::PaymentConfirmedPartial, Some(_)) => Ok(booking.status_when_paid()),
            (Status::PaymentConfirmedPartial, None) => Err(Refusal::NoInstalments.into()),
            _ => Err(Refusal::NotPartial.into()),
        };
        self.receive(staff, id, proof, &decide).await
    }

    /// Changes state, payment and remarks of a booking that staff made. The remark is
    /// kept first: should the process die in between, it is there without the change.
    ///
    /// # Errors
    /// As those of [`App::set_status`].
    pub async fn office_change(&self, staff: &Caller, id: Id, wanted: &OfficeChange) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        let step = office_step(&found, wanted)?;
        let terms = match step {
            OfficeMove::FirstInstalment => self.peers.trek_terms(found.trek_id).await?,
            OfficeMove::Nothing | OfficeMove::Paid(_) | OfficeMove::Other(_) => None,
        };
        let noted = match &wanted.remarks {
            Some(text) => self.add_remark(staff, id, text).await?,
            None => found,
        };
        match step {
            OfficeMove::Nothing => Ok(noted),
            OfficeMove::Other(step) => self.step(staff, id, step, wanted.status.unwrap_or(noted.status)).await,
            OfficeMove::Paid(_) | OfficeMove::FirstInstalment => {
                let decide = |booking: &mut Booking| self.office_receipt(booking, wanted, terms.as_ref());
                self.receive(staff, id, wanted.proof.clone(), &decide).await
            }
        }
    }

    fn office_receipt(
        &self,
        booking: &mut Booking,
        wanted: &OfficeChange,
        terms: Option<&Terms>,
    ) -> Result<Status, BookingError> {
        match office_step(booking, wanted)? {
            OfficeMove::Paid(next) => Ok(next),
            OfficeMove::FirstInstalment => {
                booking.split(terms, self.now()).ok_or(Refusal::PaymentStatus)?;
                Ok(Status::PaymentConfirmedPartial)
            }
            OfficeMove::Nothing | OfficeMove::Other(_) => Err(BookingError::Busy),
        }
    }

    /// Notes something that customers never see. Nothing to say changes nothing.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], and [`Refusal::TooManyRemarks`].
    pub async fn add_remark(&self, staff: &Caller, id: Id, text: &str) -> Result<Booking, BookingError> {
        let noted = self.db.transaction(async |tx| {
            let mut booking = self.visible(tx, id).await?;
            if text.is_empty() {
                return Ok::<_, BookingError>(booking);
            }
            if booking.remarks.len() >= REMARKS_MAX {
                return Err(Refusal::TooManyRemarks(REMARKS_MAX).into());
            }
            text.clone_into(&mut booking.admin_remarks);
            let username = if staff.name.is_empty() { &staff.email } else { &staff.name };
            booking.remarks.push(Remark {
                id: self.env.id(),
                remarks: text.to_owned(),
                added_by: staff.id,
                added_by_username: username.clone(),
                added_by_email: staff.email.clone(),
                added_at: self.now(),
            });
            self.save_as(tx, &mut booking, None, Deed::of("remark")).await?;
            Ok(booking)
        });
        let noted = noted.await?;
        self.env.wake_relay().await;
        Ok(noted)
    }

    /// Has payment book money that staff received. `decide` may change the booking, and
    /// says what it is once the money is booked.
    ///
    /// The intent is committed as a command; settling tells payment of it by its key and
    /// takes the payment, until that is done. A crash before the commit changes nothing;
    /// after it, the job goes on. Twice: while the first is not done it is the same
    /// intent, and then the booking is past the state in which money is received.
    /// Refused while payment has money that the booking does not know of yet: it would
    /// be received twice.
    async fn receive(
        &self,
        staff: &Caller,
        id: Id,
        proof: Proof,
        decide: &dyn Fn(&mut Booking) -> Result<Status, BookingError>,
    ) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        decide(&mut found.clone())?;
        if self.peers.captured(id).await? > found.paid - found.refunded && found.offline_due.is_none() {
            return Err(BookingError::Busy);
        }
        let command = self.new_command(CommandKind::ReceiveOffline, Actor::of(staff, Who::Admin));
        let decided = |booking: &Booking| {
            let mut booking = booking.clone();
            if booking.offline_due.is_none() {
                let next = decide(&mut booking)?;
                booking.expect_offline(next, proof.clone(), staff.id, command.id);
            }
            Ok(Decision::from(booking))
        };
        let booking = self.run(id, &command, &decided).await?;
        match &booking.offline_due {
            None => Ok(booking),
            Some(due) => Err(BookingError::Unavailable(format!("payment has not booked {} yet", due.key))),
        }
    }
}

fn allowed(booking: &Booking, status: Status) -> Result<StaffMove, BookingError> {
    staff_move(booking.status, status, booking.is_ready()).ok_or(BookingError::InvalidStatus)
}

fn office_step(booking: &Booking, wanted: &OfficeChange) -> Result<OfficeMove, BookingError> {
    if !booking.admin_created {
        return Err(Refusal::NotByStaff.into());
    }
    office_move(booking, wanted.status, wanted.paid).map_err(|refusal| match refusal {
        OfficeRefusal::Status => BookingError::InvalidStatus,
        OfficeRefusal::Payment => Refusal::PaymentStatus.into(),
    })
}
