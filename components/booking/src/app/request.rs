//! What owners ask staff for, and the answers.

use cairn_shared::{Id, identity::Caller};

use super::{Actor, App, BookingError, commands::Decision, mails::MailIntent};
use crate::{
    domain::{Booking, NewRequest, Refusal, RequestKind, Target, Who, answer, ask},
    store::CommandKind,
};

/// Staff's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub approved: bool,
    pub words: String,
}

impl App {
    /// Notes what the owner asks for; staff answer it.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn ask(&self, caller: &Caller, id: Id, new: &NewRequest) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        if found.user.id != caller.id {
            return Err(BookingError::Forbidden("Not authorized to modify this booking"));
        }
        let batches = match new.kind {
            RequestKind::Reschedule => self.peers.batches_of_treks(&[found.trek_id]).await?,
            RequestKind::Cancellation => Vec::new(),
        };
        let actor = Actor { id: Some(caller.id), who: Who::Owner };
        let command = self.new_command(CommandKind::Request, actor);
        let wanted = batches.iter().find(|batch| Some(batch.id) == new.preferred_batch).map(|batch| batch.start);
        let decide = |booking: &Booking| -> Result<Decision, BookingError> {
            let booking = ask(booking, new, &batches, self.now())?;
            let to_staff =
                MailIntent::RequestReceived { request: new.kind, reason: new.reason.clone(), wanted_start: wanted };
            Ok(Decision { booking, mails: vec![to_staff] })
        };
        self.run(id, &command, &decide).await
    }

    /// Answers a pending request. An approved reschedule moves the booking in the same
    /// command; an approved cancellation records the answer alone, since staff cancel in
    /// a call of their own before.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn answer(&self, caller: &Caller, id: Id, given: &Answer) -> Result<(Booking, bool), BookingError> {
        let found = self.visible(&self.db, id).await?;
        let request = &found.cancellation_request;
        if !request.is_pending() {
            return Err(Refusal::NoRequest.into());
        }
        let moves = given.approved && request.kind.as_deref() == Some(RequestKind::Reschedule.as_str());
        let target = match (moves, request.preferred_batch) {
            (false, _) => None,
            (true, None) => return Err(Refusal::NothingPreferred.into()),
            (true, Some(wanted)) => Some(self.preferred(&found, wanted).await?),
        };
        let kind = if moves { CommandKind::Shift } else { CommandKind::Answer };
        let command = self.new_command(kind, Actor::of(caller, Who::Staff));
        let decide = |booking: &Booking| self.answered(booking, given, target.as_ref(), command.actor.who);
        let answered = self.run(id, &command, &decide).await.map_err(|error| match error {
            BookingError::BatchFull => Refusal::PreferredFull.into(),
            BookingError::BatchClosed => Refusal::BatchClosed.into(),
            other => other,
        })?;
        Ok((answered, moves))
    }

    async fn preferred(&self, booking: &Booking, wanted: Id) -> Result<Target, BookingError> {
        let target = self.target(booking, wanted, Refusal::PreferredGone).await;
        target.map_err(|error| match error {
            BookingError::Refused(Refusal::TrekNotFound) => Refusal::NoBatches.into(),
            other => other,
        })
    }

    fn answered(
        &self,
        booking: &Booking,
        given: &Answer,
        target: Option<&Target>,
        who: Who,
    ) -> Result<Decision, BookingError> {
        let answered = answer(booking, given.approved, &given.words, self.now())?;
        match target {
            // The owner may have asked for something else meanwhile.
            Some(target) if booking.cancellation_request.preferred_batch != Some(target.batch.id) => {
                Err(BookingError::Busy)
            }
            Some(target) => self.shifted(&answered, target, who, Some(&given.words)),
            None if given.approved => Ok(answered.into()),
            None => {
                let asked = booking.cancellation_request.kind.as_deref().and_then(RequestKind::parse);
                let declined =
                    asked.map(|request| MailIntent::RequestDeclined { request, answer: given.words.clone() });
                Ok(Decision { booking: answered, mails: declined.into_iter().collect() })
            }
        }
    }
}
