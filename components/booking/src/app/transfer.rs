//! Seats that go to another person.

use cairn_shared::{Id, identity::Caller};

use super::{
    Actor, App, BookingError, MANAGE_BOOKINGS,
    commands::Decision,
    mails::{MailIntent, has_own_address},
};
use crate::{
    domain::{Booking, Participant, ParticipantInput, Status, Who, newcomer, transfer},
    store::CommandKind,
};

impl App {
    /// Gives a participant's seat to somebody else, for the owner or for staff. No other
    /// service has a part in it. Twice: the second request does not find the participant.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn transfer(
        &self,
        caller: &Caller,
        id: Id,
        participant: Id,
        input: &ParticipantInput,
    ) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        let who = match caller.may(MANAGE_BOOKINGS) {
            true => Who::Staff,
            false if found.user.id == caller.id => Who::Owner,
            false => return Err(BookingError::Forbidden("Not authorized to update this booking")),
        };
        let terms = self.peers.trek_terms(found.trek_id).await?;
        let fields = terms.map(|terms| terms.custom_fields).unwrap_or_default();
        let comes = newcomer(input, &fields, self.env.id()).map_err(BookingError::Participants)?;
        let command = self.new_command(CommandKind::Transfer, Actor::of(caller, who));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            let transferred = transfer(booking, participant, comes.clone(), command.actor.who, self.now())?;
            let goes = booking.participants.iter().find(|before| before.id == participant);
            let mails = goes.map(|goes| mails(&transferred, goes, &comes)).unwrap_or_default();
            Ok(Decision { booking: transferred, mails })
        };
        self.run(id, &command, &decide).await
    }
}

/// The booker and whoever goes hear of the exchange; who comes, once the seats are certain.
fn mails(booking: &Booking, goes: &Participant, comes: &Participant) -> Vec<MailIntent> {
    let told = |to: Option<(String, String)>| MailIntent::SeatTransferred {
        to,
        old_name: goes.name.clone(),
        new_name: comes.name.clone(),
    };
    let mut mails = vec![told(None)];
    if booking.clearance.is_some() {
        mails.push(MailIntent::DeclarationWanted);
    }
    if has_own_address(booking, goes) {
        mails.push(told(Some((goes.name.clone(), goes.email.clone()))));
    }
    if booking.status == Status::Confirmed && booking.is_cleared() && has_own_address(booking, comes) {
        mails.push(MailIntent::ConfirmedParticipant { name: comes.name.clone(), email: comes.email.clone() });
    }
    mails
}
