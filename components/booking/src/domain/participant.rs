//! The people on a booking.

use std::collections::BTreeMap;

use cairn_shared::{Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Booking, CustomField, EmergencyContact, RefundStatus, RefundType, Severance, Status};

/// Longest text of a participant's, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    #[serde(rename = "_id")]
    pub id: Id,
    pub name: String,
    pub email: String,
    pub phone: String,
    pub age: Option<u32>,
    pub gender: Option<String>,
    pub allergies: String,
    pub extra_comment: String,
    pub medical_conditions: String,
    pub special_requests: String,
    pub custom_fields: BTreeMap<String, String>,
    pub custom_field_responses: Vec<Value>,
    pub is_cancelled: bool,
    pub cancelled_at: Option<Timestamp>,
    pub cancellation_reason: String,
    pub refund_status: RefundStatus,
    pub refund_amount: Paise,
    pub refund_date: Option<Timestamp>,
    pub refund_type: RefundType,
    /// The place in the booking's money, once cancelled by itself.
    #[serde(default)]
    pub severance: Option<Severance>,
}

impl Participant {
    pub fn cancel(&mut self, reason: &str, now: Timestamp) {
        self.is_cancelled = true;
        self.cancelled_at = Some(now);
        reason.clone_into(&mut self.cancellation_reason);
    }

    pub fn restore(&mut self) {
        self.is_cancelled = false;
        self.cancelled_at = None;
        self.cancellation_reason.clear();
        self.severance = None;
    }
}

/// A participant as given by the owner or staff, not yet checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParticipantInput {
    #[serde(rename = "_id")]
    pub id: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<Value>,
    /// A number, numeric text, or nothing.
    pub age: Option<Value>,
    pub gender: Option<String>,
    pub allergies: Option<String>,
    pub extra_comment: Option<String>,
    pub medical_conditions: Option<String>,
    pub special_requests: Option<String>,
    pub custom_fields: Option<BTreeMap<String, Value>>,
}

/// Why participant details are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParticipantsError {
    #[error("Number of participants does not match the booking")]
    Count,
    #[error("Emergency contact information is required (name, phone, relation)")]
    EmergencyContact,
    #[error("Participant {0} is missing required fields (name, email, phone)")]
    Missing(usize),
    #[error("Participant {number}: {problem}")]
    Invalid { number: usize, problem: String },
    #[error("This booking cannot be updated")]
    NotNow,
}

/// Whether details may be given in this state.
fn takes_details(status: Status) -> bool {
    matches!(
        status,
        Status::PendingPayment | Status::PaymentCompleted | Status::PaymentConfirmedPartial | Status::Confirmed
    )
}

/// Puts new details on a booking. What the server decided about a participant
/// (cancellation, refund) stays, whatever was sent.
///
/// # Errors
/// The first rule that is broken; the booking is then as it was.
pub fn merge_participants(
    booking: &mut Booking,
    inputs: &[ParticipantInput],
    emergency: Option<EmergencyContact>,
    fields: &[CustomField],
    mut new_id: impl FnMut() -> Id,
) -> Result<(), ParticipantsError> {
    if !takes_details(booking.status) {
        return Err(ParticipantsError::NotNow);
    }
    if u32::try_from(inputs.len()) != Ok(booking.count()) {
        return Err(ParticipantsError::Count);
    }
    let emergency = emergency.ok_or(ParticipantsError::EmergencyContact)?;
    let mut merged = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter().enumerate() {
        let named = |p: &&Participant| input.id.as_ref().is_some_and(|id| *id == p.id.to_string());
        let before = booking.participants.iter().find(named).or_else(|| booking.participants.get(at));
        let id = before.map_or_else(&mut new_id, |before| before.id);
        let mut participant = checked(at + 1, input, fields, id, Reach::Required)?;
        if let Some(before) = before {
            keep_decisions(&mut participant, before);
        }
        merged.push(participant);
    }
    distinct(&merged)?;
    booking.participants = merged;
    booking.emergency = Some(emergency);
    if booking.status == Status::PaymentCompleted && booking.is_ready() {
        booking.status = Status::Confirmed;
    }
    Ok(())
}

fn keep_decisions(participant: &mut Participant, before: &Participant) {
    let before = before.clone();
    participant.is_cancelled = before.is_cancelled;
    participant.cancelled_at = before.cancelled_at;
    participant.cancellation_reason = before.cancellation_reason;
    participant.refund_status = before.refund_status;
    participant.refund_amount = before.refund_amount;
    participant.refund_date = before.refund_date;
    participant.refund_type = before.refund_type;
    participant.severance = before.severance;
    participant.custom_field_responses = before.custom_field_responses;
}

/// Whether a participant has to be reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Required,
    /// Who booked is.
    Optional,
}

/// Participants as staff note them at the desk: a name is enough.
///
/// # Errors
/// The first rule that is broken.
pub fn roster(
    inputs: &[ParticipantInput],
    mut new_id: impl FnMut() -> Id,
) -> Result<Vec<Participant>, ParticipantsError> {
    let numbered = inputs.iter().enumerate();
    numbered.map(|(at, input)| checked(at + 1, input, &[], new_id(), Reach::Optional)).collect()
}

/// Somebody who comes instead of a participant, with all that a trek asks for.
///
/// # Errors
/// The first rule that is broken.
pub fn newcomer(input: &ParticipantInput, fields: &[CustomField], id: Id) -> Result<Participant, ParticipantsError> {
    checked(1, input, fields, id, Reach::Required)
}

/// Who edits participants, and so what may be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditedBy {
    /// How to reach them.
    Owner,
    /// Everything but what the server decides.
    Staff,
}

/// Puts changes of participants on a booking, each by its id, else by its place. What
/// is not given stays, and so does what the server decided.
///
/// # Errors
/// The first rule that is broken; the booking is then as it was.
pub fn edit_participants(
    booking: &mut Booking,
    inputs: &[ParticipantInput],
    by: EditedBy,
    mut new_id: impl FnMut() -> Id,
) -> Result<(), ParticipantsError> {
    if u32::try_from(inputs.len()) != Ok(booking.count()) {
        return Err(ParticipantsError::Count);
    }
    let mut edited = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter().enumerate() {
        let named = |p: &&Participant| input.id.as_ref().is_some_and(|id| *id == p.id.to_string());
        let before = booking.participants.iter().find(named).or_else(|| booking.participants.get(at));
        edited.push(match before {
            Some(before) => {
                let mut after = checked(at + 1, &over(before, input, by), &[], before.id, Reach::Optional)?;
                keep_decisions(&mut after, before);
                after
            }
            None if by == EditedBy::Staff => checked(at + 1, input, &[], new_id(), Reach::Optional)?,
            None => return Err(ParticipantsError::Count),
        });
    }
    distinct(&edited)?;
    booking.participants = edited;
    Ok(())
}

fn distinct(participants: &[Participant]) -> Result<(), ParticipantsError> {
    let ids: std::collections::BTreeSet<_> = participants.iter().map(|participant| participant.id).collect();
    if ids.len() == participants.len() { Ok(()) } else { Err(ParticipantsError::Count) }
}

/// A change on top of what is known.
fn over(before: &Participant, input: &ParticipantInput, by: EditedBy) -> ParticipantInput {
    let text = |given: &Option<String>, known: &str| given.clone().or_else(|| Some(known.to_owned()));
    let contact = ParticipantInput {
        id: None,
        name: Some(before.name.clone()),
        email: text(&input.email, &before.email),
        phone: input.phone.clone().or_else(|| Some(before.phone.clone().into())),
        age: before.age.map(Into::into),
        gender: before.gender.clone(),
        allergies: Some(before.allergies.clone()),
        extra_comment: Some(before.extra_comment.clone()),
        medical_conditions: Some(before.medical_conditions.clone()),
        special_requests: Some(before.special_requests.clone()),
        custom_fields: Some(
            before.custom_fields.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect(),
        ),
    };
    match by {
        EditedBy::Owner => contact,
        EditedBy::Staff => ParticipantInput {
            name: text(&input.name, &before.name),
            age: input.age.clone().or(contact.age),
            gender: input.gender.clone().or(contact.gender),
            allergies: text(&input.allergies, &before.allergies),
            extra_comment: text(&input.extra_comment, &before.extra_comment),
            medical_conditions: text(&input.medical_conditions, &before.medical_conditions),
            special_requests: text(&input.special_requests, &before.special_requests),
            custom_fields: input.custom_fields.clone().or(contact.custom_fields),
            ..contact
        },
    }
}

fn checked(
    number: usize,
    input: &ParticipantInput,
    fields: &[CustomField],
    id: Id,
    reach: Reach,
) -> Result<Participant, ParticipantsError> {
    let invalid = |problem: String| ParticipantsError::Invalid { number, problem };
    let text = |value: &Option<String>| value.as_deref().unwrap_or_default().trim().to_owned();
    let required = |text: String| if text.is_empty() { Err(ParticipantsError::Missing(number)) } else { Ok(text) };
    let reachable = |text: String| if reach == Reach::Optional { Ok(text) } else { required(text) };
    let custom_fields: BTreeMap<String, String> =
        input.custom_fields.iter().flatten().map(|(name, value)| (name.clone(), plain(value))).collect();
    let participant = Participant {
        id,
        name: required(text(&input.name))?,
        email: reachable(text(&input.email))?.to_lowercase(),
        phone: reachable(input.phone.as_ref().map(plain).unwrap_or_default())?,
        age: age(input.age.as_ref()).map_err(invalid)?,
        gender: gender(input.gender.as_deref()).map_err(invalid)?,
        allergies: text(&input.allergies),
        extra_comment: text(&input.extra_comment),
        medical_conditions: text(&input.medical_conditions),
        special_requests: text(&input.special_requests),
        custom_fields,
        custom_field_responses: Vec::new(),
        is_cancelled: false,
        cancelled_at: None,
        cancellation_reason: String::new(),
        refund_status: RefundStatus::NotApplicable,
        refund_amount: Paise::ZERO,
        refund_date: None,
        refund_type: RefundType::Auto,
        severance: None,
    };
    if texts_of(&participant).any(|text| text.chars().count() > TEXT_CHARS_MAX) {
        return Err(invalid(format!("a text may have at most {TEXT_CHARS_MAX} characters")));
    }
    for field in fields.iter().filter(|field| field.required) {
        if participant.custom_fields.get(&field.name).is_none_or(|value| value.is_empty()) {
            return Err(invalid(format!("{} is required", field.name)));
        }
    }
    Ok(participant)
}

fn texts_of(p: &Participant) -> impl Iterator<Item = &String> {
    let fixed =
        [&p.name, &p.email, &p.phone, &p.allergies, &p.extra_comment, &p.medical_conditions, &p.special_requests];
    fixed.into_iter().chain(p.custom_fields.iter().flat_map(|(name, value)| [name, value]))
}

/// A value of a form as text; several choices are joined by commas.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn age(value: Option<&Value>) -> Result<Option<u32>, String> {
    let text = value.map(plain).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(age @ 0..=120) => Ok(Some(age)),
        _ => Err("age has to be a number from 0 to 120".into()),
    }
}

fn gender(value: Option<&str>) -> Result<Option<String>, String> {
    match value.map(str::trim) {
        None | Some("") => Ok(None),
        Some(gender @ ("Male" | "Female" | "Other")) => Ok(Some(gender.to_owned())),
        Some(_) => Err("gender has to be Male, Female or Other".into()),
    }
}
