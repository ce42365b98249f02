//! Bookings and participants that live again.

use cairn_shared::{Id, identity::Caller};

use super::{Actor, App, BookingError, cancel::MANAGE_BOOKINGS, commands::Decision};
use crate::{
    domain::{Booking, Refusal, Who, restore, restore_participant},
    store::CommandKind,
};

impl App {
    /// Restores a cancelled booking with everybody on it. Its seats come first; the
    /// reserved ones count too. Twice: the second request finds it is not cancelled.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn restore(&self, caller: &Caller, id: Id) -> Result<Booking, BookingError> {
        let command = self.new_command(CommandKind::Restore, Actor::of(caller, Who::Staff));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            Ok(restore(booking, command.actor.who, self.now())?.into())
        };
        self.run(id, &command, &decide).await
    }

    /// Restores one participant who was cancelled alone.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn restore_participant(&self, caller: &Caller, id: Id, participant: Id) -> Result<Booking, BookingError> {
        self.visible(&self.db, id).await?;
        if !caller.may(MANAGE_BOOKINGS) {
            return Err(BookingError::NotYours);
        }
        let command = self.new_command(CommandKind::RestoreParticipant, Actor::of(caller, Who::Staff));
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            Ok(restore_participant(booking, participant, command.actor.who, self.now())?.into())
        };
        self.run(id, &command, &decide).await.map_err(|error| match error {
            BookingError::BatchFull => Refusal::SoldOut.into(),
            other => other,
        })
    }
}
