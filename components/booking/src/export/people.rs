//! The table of a batch's participants.

use cairn_shared::Zone;
use serde_json::Value;

use super::Cell;
use crate::domain::{Booking, Participant};

/// The columns where a request names none.
const DEFAULT: [&str; 10] = [
    "participantName",
    "participantAge",
    "participantGender",
    "participantPhone",
    "emergencyContactName",
    "emergencyContactPhone",
    "emergencyContactRelation",
    "medicalConditions",
    "specialRequests",
    "bookingUserName",
];

/// Columns of one table, at most.
pub const FIELDS_MAX: usize = 40;

/// Begins the keys of what a trek asks of its own.
const CUSTOM: &str = "custom_";

/// The keys that a comma-separated list names, each once; without one, the usual ones.
///
/// # Errors
/// There are too many.
pub fn keys(text: Option<&str>) -> Result<Vec<String>, String> {
    let mut keys: Vec<String> = Vec::new();
    for name in text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !keys.iter().any(|key| key == name) {
            keys.push(name.to_owned());
        }
    }
    if keys.len() > FIELDS_MAX {
        return Err(format!("At most {FIELDS_MAX} fields can be exported at once"));
    }
    Ok(if keys.is_empty() { DEFAULT.map(str::to_owned).to_vec() } else { keys })
}

/// The title of a column; a key that is not known is its own.
pub fn title(key: &str) -> &str {
    match key {
        "participantName" => "Participant Name",
        "participantAge" => "Age",
        "participantGender" => "Gender",
        "participantPhone" | "contactNumber" => "Contact Number",
        "emergencyContactName" => "Emergency Contact Name",
        "emergencyContactPhone" => "Emergency Contact Phone",
        "emergencyContactRelation" => "Emergency Contact Relation",
        "medicalConditions" => "Medical Conditions",
        "specialRequests" => "Special Requests",
        "bookingUserName" => "Booking User Name",
        "bookingUserEmail" => "Booking User Email",
        "bookingUserPhone" => "Booking User Phone",
        "bookingDate" => "Booking Date",
        "bookingStatus" | "status" => "Booking Status",
        "totalPrice" => "Total Price",
        "additionalRequests" => "Additional Requests",
        key => key.strip_prefix(CUSTOM).unwrap_or(key),
    }
}

/// Rows of a booking: one for each participant who comes.
pub fn rows(booking: &Booking, keys: &[String], zone: Zone) -> Vec<Vec<Cell>> {
    let coming = booking.participants.iter().filter(|participant| !participant.is_cancelled);
    coming.map(|participant| keys.iter().map(|key| cell(booking, participant, key, zone)).collect()).collect()
}

fn cell(booking: &Booking, participant: &Participant, key: &str, zone: Zone) -> Cell {
    let emergency = booking.emergency.as_ref();
    match key {
        "participantName" => Cell::text(&participant.name),
        "participantAge" => participant.age.map_or_else(|| Cell::text(""), Cell::Count),
        "participantGender" => Cell::optional(participant.gender.as_deref()),
        "participantPhone" | "contactNumber" => Cell::text(&participant.phone),
        "emergencyContactName" => Cell::optional(emergency.map(|contact| contact.name.as_str())),
        "emergencyContactPhone" => Cell::optional(emergency.map(|contact| contact.phone.as_str())),
        "emergencyContactRelation" => Cell::optional(emergency.map(|contact| contact.relation.as_str())),
        "medicalConditions" => either(&participant.allergies, &participant.medical_conditions),
        "specialRequests" => either(&participant.extra_comment, &participant.special_requests),
        "bookingUserName" => Cell::text(&booking.user.name),
        "bookingUserEmail" => Cell::text(&booking.user.email),
        "bookingUserPhone" => Cell::optional(booking.user.phone.as_deref()),
        "bookingDate" => Cell::text(zone.day_text(booking.created_at)),
        "bookingStatus" | "status" => Cell::text(booking.status.as_str()),
        "totalPrice" => Cell::Amount(booking.price.total),
        "additionalRequests" => Cell::optional(booking.additional_requests.as_deref()),
        key => Cell::text(key.strip_prefix(CUSTOM).map(|name| custom(participant, name)).unwrap_or_default()),
    }
}

fn either(first: &str, second: &str) -> Cell {
    Cell::text(if first.trim().is_empty() { second } else { first })
}

/// What a participant answered to a question of the trek's.
fn custom(participant: &Participant, name: &str) -> String {
    if let Some(value) = participant.custom_fields.get(name).filter(|value| !value.trim().is_empty()) {
        return value.clone();
    }
    let names = |response: &&Value| ["fieldId", "fieldName"].iter().any(|key| response[*key] == name);
    participant.custom_field_responses.iter().find(names).map(|response| shown(&response["value"])).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
