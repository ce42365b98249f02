//! Prices that several people pay: shared by the owner, paid by links, over at a deadline.
//!
//! Sharing is a command on a booking that waits for its payment. Once the owner has paid
//! their own part, payment has the shares beside the balance, and settling keeps them what
//! the row says, as it does with everything that is owed. Of a share that is paid, payment
//! tells as of any capture.

use cairn_shared::{Id, identity::Caller};

use super::{Actor, App, BookingError, CancelRequest, MANAGE_BOOKINGS, commands::Decision, mails::MailIntent};
use crate::{
    domain::{
        Booking, NewSplit, RefundChoice, Refusal, Scope, Share, ShareState, Status, Who, readdress, share_of_token,
        share_token, split,
    },
    store::{self, CommandKind},
};

/// Why somebody does not come along.
const NOT_PAID_IN_TIME: &str = "The share of the price was not paid in time";

/// A booking whose price is shared, and what signs its links. Only its owner gets those.
pub struct Shared {
    pub booking: Booking,
    pub secret: Option<String>,
}

impl App {
    /// Shares the price, or shares it anew, as long as nobody has paid. Links go out once
    /// the owner has paid their own part.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn split(&self, caller: &Caller, id: Id, new: &NewSplit) -> Result<Shared, BookingError> {
        self.owned(caller, id).await?;
        let mut secret = [0; 16];
        cairn_shared::id::random(&mut secret);
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        store::split_secret_insert(&self.db, id, &secret).await?;
        let secret = self.secret(id).await?;
        let command = self.new_command(CommandKind::Split, Actor::of(caller, Who::Owner));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            Ok(split(booking, new, &secret, &mut || self.env.id(), self.env.zone, self.now())?.into())
        };
        let booking = self.run(id, &command, &decide).await?;
        Ok(Shared { booking, secret: Some(secret) })
    }

    /// The owner pays for everybody again, as long as nobody has paid.
    ///
    /// # Errors
    /// [`BookingError`] says why not.
    pub async fn unsplit(&self, caller: &Caller, id: Id) -> Result<Booking, BookingError> {
        self.owned(caller, id).await?;
        let command = self.new_command(CommandKind::Split, Actor::of(caller, Who::Owner));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            let unpaid = booking.status == Status::PendingPayment && !booking.session_over(self.now());
            if unpaid { Ok(booking.unsplit().into()) } else { Err(Refusal::SplitUnpaidOnly.into()) }
        };
        self.run(id, &command, &decide).await
    }

    /// Has somebody else pay a share, or the same person by a new link. The link before is
    /// void.
    ///
    /// # Errors
    /// [`BookingError`] says why not; then nothing has changed.
    pub async fn readdress(
        &self,
        caller: &Caller,
        id: Id,
        share: Id,
        name: &str,
        email: &str,
    ) -> Result<Shared, BookingError> {
        self.owned(caller, id).await?;
        let secret = self.secret(id).await?;
        let command = self.new_command(CommandKind::Split, Actor::of(caller, Who::Owner));
        let new_id = self.env.id();
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            let changed = readdress(booking, share, (name, email), &secret, new_id)?;
            let asks = changed.share_state(new_id) == Some(ShareState::Open);
            let mails = asks.then_some(MailIntent::ShareAsked { share: new_id }).into_iter().collect();
            Ok(Decision { booking: changed, mails })
        };
        let booking = self.run(id, &command, &decide).await?;
        Ok(Shared { booking, secret: Some(secret) })
    }

    /// How the price is shared, for the owner, who gets the links, and for staff.
    ///
    /// # Errors
    /// [`Refusal::NotSplit`], and that it is not theirs.
    pub async fn shared(&self, caller: &Caller, id: Id) -> Result<Shared, BookingError> {
        let booking = self.visible(&self.db, id).await?;
        let is_owner = booking.user.id == caller.id;
        if !is_owner && !caller.may(MANAGE_BOOKINGS) {
            return Err(BookingError::NotFound);
        }
        if booking.split.is_none() {
            return Err(Refusal::NotSplit.into());
        }
        let secret = if is_owner { Some(self.secret(id).await?) } else { None };
        Ok(Shared { booking, secret })
    }

    /// The booking and the share that a link is for.
    ///
    /// # Errors
    /// [`Refusal::NoSuchShare`] for a link that nobody signed, or that was replaced.
    pub async fn share_of_link(&self, token: &str) -> Result<(Booking, Share), BookingError> {
        let (id, share) = share_of_token(token).ok_or(Refusal::NoSuchShare)?;
        let found = store::booking_fetch(&self.db, id).await?.filter(|booking| booking.is_visible(self.now()));
        let booking = found.ok_or(Refusal::NoSuchShare)?;
        let signed = booking.share_with(share).filter(|share| share.is_opened_by(token)).cloned();
        Ok((booking, signed.ok_or(Refusal::NoSuchShare)?))
    }

    async fn owned(&self, caller: &Caller, id: Id) -> Result<(), BookingError> {
        let booking = self.visible(&self.db, id).await?;
        if booking.user.id == caller.id || caller.is_admin() { Ok(()) } else { Err(BookingError::NotFound) }
    }

    async fn secret(&self, id: Id) -> Result<String, BookingError> {
        Ok(store::split_secret_fetch(&self.db, id).await?.ok_or(Refusal::NotSplit)?)
    }

    /// The address at which a share is paid; none where its price is not shared any more.
    pub(super) async fn share_link(&self, booking: Id, share: Id) -> Result<Option<String>, BookingError> {
        let secret = store::split_secret_fetch(&self.db, booking).await?;
        Ok(secret.map(|secret| self.link(booking, share, &secret)))
    }

    pub fn link(&self, booking: Id, share: Id, secret: &str) -> String {
        format!("{}/api/bookings/split/{}", self.seller.api_url, share_token(booking, share, secret))
    }

    /// Takes those off a booking whose share nobody has paid in time. The others stay, and
    /// with that everything is paid. A crash leaves the command, which settling finishes;
    /// who pays at the same time has the lease, or gets the money back.
    ///
    /// # Errors
    /// [`Refusal::NotOverdue`] where there is nothing to do.
    pub(super) async fn lapse(&self, id: Id) -> Result<(), BookingError> {
        let command = self.new_command(CommandKind::CancelParticipants, Actor::SYSTEM);
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            let lapsed = booking.lapsed(self.now());
            if lapsed.is_empty() {
                return Err(Refusal::NotOverdue.into());
            }
            let wanted = CancelRequest {
                scope: Scope::Participants(lapsed),
                choice: RefundChoice::Nothing,
                reason: Some(NOT_PAID_IN_TIME.into()),
            };
            self.cancelled(booking, &self.cancellation(&command, &wanted, booking.batch_start))
        };
        self.run(id, &command, &decide).await.map(drop)
    }
}
