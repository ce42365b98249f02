//! What participants declare about their health and fitness, and what staff decide.
//!
//! Answers are in rows of their own and go to the booking's owner and to staff who may
//! manage bookings. Neither events nor logs, mails or the audit have any of them.

use std::collections::BTreeMap;

use cairn_shared::{Error, Id, Tx, identity::Caller, page::Page};
use serde_json::{Value, json};

use super::{App, BookingError, MANAGE_BOOKINGS, mails::MailIntent, noting::Deed};
use crate::{
    domain::{Booking, Clearance, DeclarationForm, DeclarationState, Question, Refusal, Who, decide, declare},
    store::{self, Declaration},
};

/// What staff decide about a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The one that they have read.
    pub declaration: Id,
    pub state: DeclarationState,
    /// To the owner, on the booking's page.
    pub note: String,
}

/// A booking with the newest declaration of each participant.
pub type Declared = (Booking, BTreeMap<Id, Declaration>);

impl App {
    /// What a trek's next booking has to declare; none when nothing is asked.
    pub(super) async fn clearance(&self, trek_id: Id) -> Result<Option<Clearance>, BookingError> {
        let form = store::declaration_form_fetch(&self.db, trek_id).await?;
        let asks = form.filter(|form| !form.questions.is_empty());
        Ok(asks.map(|form| Clearance { form, cleared: Vec::new() }))
    }

    /// The newest form of a trek; none when it never had one.
    ///
    /// # Errors
    /// The database's.
    pub async fn declaration_form(&self, trek_id: Id) -> Result<Option<DeclarationForm>, BookingError> {
        Ok(store::declaration_form_fetch(&self.db, trek_id).await?)
    }

    /// Gives a trek its next form. Bookings that are made already keep theirs.
    ///
    /// # Errors
    /// The database's. Two at once: one of them is refused by the key of the version.
    pub async fn declaration_form_put(
        &self,
        caller: &Caller,
        trek_id: Id,
        questions: &[Question],
    ) -> Result<DeclarationForm, BookingError> {
        self.db
            .transaction(async |tx| {
                let before = store::declaration_form_fetch(tx, trek_id).await?;
                let put = store::declaration_form_insert(tx, trek_id, questions, caller.id, self.now()).await;
                let put = put.map_err(|error| match error {
                    error if error.is_unique("declaration_forms.trek_id") => BookingError::Busy,
                    error => error.into(),
                })?;
                self.note_record(tx, "declaration_form.put", trek_id, json!(before), json!(put)).await?;
                Ok(put)
            })
            .await
    }

    /// What was declared for a booking, for its owner and for staff.
    ///
    /// # Errors
    /// [`BookingError::NotFound`], [`BookingError::Forbidden`].
    pub async fn declarations(&self, caller: &Caller, id: Id) -> Result<Declared, BookingError> {
        let booking = self.visible(&self.db, id).await?;
        capacity(caller, &booking)?;
        Ok((booking, store::declaration_list(&self.db, id).await?))
    }

    /// A page of declarations in a state, for staff.
    ///
    /// # Errors
    /// The database's.
    pub async fn declaration_page(
        &self,
        state: DeclarationState,
        page: Page,
    ) -> Result<(Vec<Declaration>, i64), BookingError> {
        Ok(store::declaration_page(&self.db, state, page).await?)
    }

    /// Takes a declaration for a participant; staff decide about it. One transaction: a
    /// crash leaves all of it or nothing. Twice: the later one counts.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn declare(
        &self,
        caller: &Caller,
        id: Id,
        participant: Id,
        given: &BTreeMap<String, Value>,
    ) -> Result<Declared, BookingError> {
        let declared = self.db.transaction(async |tx| {
            let booking = self.visible(tx, id).await?;
            let who = capacity(caller, &booking)?;
            let latest = store::declaration_list(tx, id).await?.remove(&participant);
            let latest = latest.map(|latest| latest.state);
            let (form, person) = declare(&booking, participant, latest, who, self.now())?;
            let new = Declaration {
                id: self.env.id(),
                booking_id: id,
                participant_id: participant,
                name: person.name.clone(),
                form_version: form.version,
                answers: form.answers(given).map_err(Error::bad_request)?,
                state: DeclarationState::Submitted,
                submitted_by: caller.id,
                submitted_at: self.now(),
                decided_by: None,
                decided_at: None,
                note: None,
            };
            store::declaration_insert(tx, &new).await?;
            self.note_declaration(tx, &new, latest).await?;
            let told = MailIntent::DeclarationReceived { name: new.name.clone() };
            self.queue(tx, &booking, &told, &new.id.to_string()).await?;
            Ok::<_, BookingError>((booking, store::declaration_list(tx, id).await?))
        });
        let declared = declared.await?;
        self.wake().await;
        Ok(declared)
    }

    /// Decides about a declaration, in one transaction with what follows: a booking that is
    /// paid is confirmed with the last approval, and is not any more when one is taken back.
    ///
    /// # Errors
    /// [`BookingError`] says why; then nothing has changed.
    pub async fn decide(
        &self,
        staff: &Caller,
        id: Id,
        participant: Id,
        verdict: &Verdict,
    ) -> Result<Declared, BookingError> {
        let decided = self.db.transaction(async |tx| {
            let booking = self.visible(tx, id).await?;
            let latest = store::declaration_list(tx, id).await?.remove(&participant);
            let latest = latest.ok_or(Refusal::NoDeclaration)?;
            if latest.id != verdict.declaration {
                let message = "There is a newer declaration of this participant. Please read it first.";
                return Err(Error::conflict(message).into());
            }
            let who = if staff.is_admin() { Who::Admin } else { Who::Staff };
            let mut changed = decide(&booking, participant, &latest.name, verdict.state, who)?;
            let now = self.now();
            store::declaration_decide(tx, latest.id, verdict.state, staff.id, &verdict.note, now).await?;
            let before = latest.state;
            let after = Declaration { state: verdict.state, ..latest };
            self.note_declaration(tx, &after, Some(before)).await?;
            self.save_as(tx, &mut changed, None, Deed::of("clear")).await?;
            if before != verdict.state {
                let occasion = format!("{}-{}", after.id, changed.version);
                self.queue(tx, &changed, &decision_mail(&after), &occasion).await?;
            }
            Ok::<_, BookingError>((changed, store::declaration_list(tx, id).await?))
        });
        let decided = decided.await?;
        self.wake().await;
        Ok(decided)
    }

    /// Asks the booker for what has to be declared, if anything is left to.
    pub(super) async fn ask_for_declarations(&self, tx: &Tx, booking: &Booking) -> Result<(), BookingError> {
        if booking.uncleared().next().is_none() {
            return Ok(());
        }
        self.queue(tx, booking, &MailIntent::DeclarationWanted, &booking.version.to_string()).await
    }

    /// What the audit is told of a declaration: that it is there and how it stands.
    async fn note_declaration(
        &self,
        tx: &Tx,
        declaration: &Declaration,
        before: Option<DeclarationState>,
    ) -> Result<(), BookingError> {
        let told = |state: DeclarationState| json!({ "declaration": declaration.id, "participant": declaration.participant_id, "state": state });
        let before = before.map_or(Value::Null, told);
        let action = format!("declaration.{}", declaration.state.as_str());
        self.note_record(tx, &action, declaration.booking_id, before, told(declaration.state)).await
    }
}

/// The owner's and staff's part in declarations; others have none.
fn capacity(caller: &Caller, booking: &Booking) -> Result<Who, BookingError> {
    match caller.may(MANAGE_BOOKINGS) {
        true if caller.is_admin() => Ok(Who::Admin),
        true => Ok(Who::Staff),
        false if booking.user.id == caller.id => Ok(Who::Owner),
        false => Err(BookingError::Forbidden("Not authorized to view this booking")),
    }
}

fn decision_mail(declaration: &Declaration) -> MailIntent {
    let name = declaration.name.clone();
    match declaration.state {
        DeclarationState::Approved => MailIntent::DeclarationApproved { name },
        DeclarationState::Refused => MailIntent::DeclarationRefused { name },
        DeclarationState::Submitted | DeclarationState::AskedAgain => MailIntent::DeclarationWanted,
    }
}
