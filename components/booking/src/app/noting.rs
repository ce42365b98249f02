//! What the audit is told of bookings.

use cairn_shared::{
    Error, Id, Tx,
    audit::{self, Change},
    origin,
};
use serde_json::Value;

use super::{Actor, App, BookingError};
use crate::domain::{Booking, Status};

/// What may say something about somebody's health, or is free text that may: the audit
/// says that it has changed and not how.
const HIDDEN: &[&str] = &[
    "allergies",
    "extraComment",
    "medicalConditions",
    "specialRequests",
    "customFields",
    "customFieldResponses",
    "additionalRequests",
    "specialRequirements",
];

/// What is done, for the audit and for documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'a> {
    /// A word such as `cancel`.
    pub action: &'static str,
    /// None: whoever is behind the request.
    pub actor: Option<Actor>,
    /// By which the documents that it calls for can be found.
    pub occasion: Option<&'a str>,
}

impl Deed<'_> {
    /// Done by whoever is behind the request.
    pub const fn of(action: &'static str) -> Self {
        Self { action, actor: None, occasion: None }
    }

    fn by(self, change: Change) -> Change {
        match self.actor {
            None => change,
            Some(Actor { id: Some(id), .. }) => change.by(id),
            Some(Actor { id: None, .. }) => change.by(origin::SYSTEM),
        }
    }
}

impl App {
    /// Notes what became of a booking, in the transaction of the change. One that is
    /// being made was not there before.
    pub(super) async fn note_booking(
        &self,
        tx: &Tx,
        before: Option<&Booking>,
        after: &Booking,
        deed: Deed<'_>,
    ) -> Result<(), BookingError> {
        let before = before.filter(|before| before.status != Status::Creating);
        let (action, before) = match before {
            Some(before) => (deed.action, told(before)?),
            None => ("create", Value::Null),
        };
        let change = Change::new(format!("booking.{action}"), after.id, before, told(after)?).hiding(HIDDEN);
        Ok(audit::note(tx, &self.env, deed.by(change)).await?)
    }

    /// Notes what became of a record beside the bookings.
    pub(super) async fn note_record(
        &self,
        tx: &Tx,
        action: &str,
        subject: Id,
        before: Value,
        after: Value,
    ) -> Result<(), BookingError> {
        Ok(audit::note(tx, &self.env, Change::new(action, subject, before, after)).await?)
    }
}

/// All of a booking but what changes with every change.
fn told(booking: &Booking) -> Result<Value, BookingError> {
    let mut value = serde_json::to_value(booking).map_err(Error::internal)?;
    if let Value::Object(fields) = &mut value {
        fields.remove("updatedAt");
        fields.remove("version");
    }
    Ok(value)
}
