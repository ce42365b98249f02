//! Who goes: participant details.

use cairn_shared::{Id, identity::Caller};

use super::{App, BookingError, noting::Deed};
use crate::domain::{Booking, EmergencyContact, ParticipantInput, ParticipantsError, Status, merge_participants};

/// Details of all participants, as given.
#[derive(Debug, Clone, Default)]
pub struct Details {
    pub participants: Vec<ParticipantInput>,
    pub emergency: Option<EmergencyContact>,
    pub additional_requests: Option<String>,
}

impl App {
    /// Stores the details of all participants. A booking that is paid in full is then
    /// confirmed, in the same transaction with its mails.
    ///
    /// The trek's questions are asked first, outside the transaction. Twice or two at
    /// once: the later details count. A crash leaves all of it or nothing.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn put_participants(&self, caller: &Caller, id: Id, details: &Details) -> Result<Booking, BookingError> {
        let found = self.visible(&self.db, id).await?;
        if found.user.id != caller.id && !caller.is_admin() {
            return Err(BookingError::Forbidden("Not authorized to update this booking"));
        }
        // Refused before the trek is asked: most mistakes need no other service.
        let mut check = found.clone();
        merge(&mut check, details, &[], self)?;
        let terms = self.peers.trek_terms(found.trek_id).await?;
        let fields = terms.map(|terms| terms.custom_fields).unwrap_or_default();
        let stored = self
            .db
            .transaction(async |tx| {
                let mut booking = self.visible(tx, id).await?;
                merge(&mut booking, details, &fields, self)?;
                if let Some(requests) = &details.additional_requests {
                    booking.additional_requests = Some(requests.clone());
                }
                self.save_as(tx, &mut booking, None, Deed::of("participants")).await?;
                if booking.status == Status::Confirmed {
                    self.queue_confirmations(tx, &booking).await?;
                }
                self.ask_for_declarations(tx, &booking).await?;
                Ok::<_, BookingError>(booking)
            })
            .await?;
        self.wake().await;
        Ok(stored)
    }
}

fn merge(
    booking: &mut Booking,
    details: &Details,
    fields: &[crate::domain::CustomField],
    app: &App,
) -> Result<(), BookingError> {
    let outcome =
        merge_participants(booking, &details.participants, details.emergency.clone(), fields, || app.env.id());
    outcome.map_err(|error: ParticipantsError| BookingError::Participants(error))
}
