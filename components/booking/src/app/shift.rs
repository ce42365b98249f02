//! Bookings that go to another batch.

use cairn_shared::{Id, identity::Caller};

use super::{Actor, App, BookingError, commands::Decision, mails::MailIntent};
use crate::{
    domain::{Booking, Refusal, Target, Who, shift},
    store::CommandKind,
};

impl App {
    /// Moves a booking to another batch of its trek. A place is kept there first, under
    /// the command's key, so that the move itself, which comes after the commit, cannot
    /// be refused: at every moment the booking has its seats on the batch that its row
    /// names. Twice: the second request finds it is there.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn shift(&self, caller: &Caller, id: Id, batch_id: Option<Id>) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        let batch_id = batch_id.ok_or(Refusal::NewBatchNotFound)?;
        let target = self.target(&found, batch_id, Refusal::NewBatchNotFound).await?;
        let command = self.new_command(CommandKind::Shift, Actor::of(caller, Who::Staff));
        let decide = |booking: &Booking| self.shifted(booking, &target, command.actor.who, None);
        self.run(id, &command, &decide).await.map_err(new_batch_full)
    }

    /// A batch of the booking's trek, with what its balance depends on.
    pub(super) async fn target(&self, booking: &Booking, batch_id: Id, gone: Refusal) -> Result<Target, BookingError> {
        let terms = self.peers.trek_terms(booking.trek_id).await?.ok_or(Refusal::TrekNotFound)?;
        let batch = self.peers.batch(batch_id).await?.filter(|batch| batch.trek_id == booking.trek_id);
        let due_days = Some(terms.partial.due_days).filter(|_| terms.partial.enabled);
        Ok(Target { batch: batch.ok_or(gone)?, due_days })
    }

    pub(super) fn shifted(
        &self,
        booking: &Booking,
        target: &Target,
        who: Who,
        answer: Option<&str>,
    ) -> Result<Decision, BookingError> {
        let shifted = shift(booking, target, who, self.now())?;
        let mail = MailIntent::DatesChanged {
            old_start: booking.batch_start,
            old_end: booking.batch_end,
            answer: answer.map(str::to_owned),
        };
        Ok(Decision { booking: shifted, mails: vec![mail] })
    }
}

pub(super) fn new_batch_full(error: BookingError) -> BookingError {
    match error {
        BookingError::BatchFull => Refusal::NewBatchFull.into(),
        BookingError::BatchClosed => Refusal::BatchClosed.into(),
        other => other,
    }
}
