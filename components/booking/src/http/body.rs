//! Bodies of requests, parsed at the edge. Clients are old and many: what they send
//! is read generously, what is stored is not.

use cairn_shared::{Error, Paise, Result, validate::Email};
use serde::Deserialize;
use serde_json::Value;

use super::vouchers::CODE_CHARS_MAX;
use crate::{
    app::Details,
    domain::{
        Contact, CreateError, Displayed, EmergencyContact, NewBooking, ParticipantInput, PaymentMode, Status,
        participants_max,
    },
};

pub(super) const TEXT_CHARS_MAX: usize = 200;
pub(super) const REQUESTS_CHARS_MAX: usize = 2_000;
const ADD_ONS_MAX: usize = 50;

/// `POST /api/bookings`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BookingBody {
    trek_id: Value,
    batch_id: Value,
    number_of_participants: Value,
    user_details: Value,
    add_ons: Value,
    total_price: Value,
    frontend_initial_amount: Value,
    coupon_code: Value,
    voucher_code: Value,
    payment_mode: Value,
    session_id: Value,
}

/// Absent, null, "", 0 and false are nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// An amount of rupees that was displayed: a number, or a number in text.
pub(super) fn amount(value: &Value) -> Option<Paise> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.and_then(Paise::from_rupees)
}

impl BookingBody {
    /// # Errors
    /// The first thing that is wrong, in the order clients know.
    pub fn parse(self) -> Result<NewBooking> {
        let required = [&self.trek_id, &self.batch_id, &self.number_of_participants, &self.user_details];
        // Zero people is a wrong number, not a missing one.
        if required.iter().any(|value| is_nothing(value) && !value.is_number()) {
            return Err(Error::bad_request("Please provide all required fields"));
        }
        let contact = contact(&self.user_details)?;
        let count = count(&self.number_of_participants)?;
        let mode = match &self.payment_mode {
            mode if is_nothing(mode) => PaymentMode::Full,
            Value::String(mode) if mode == "full" => PaymentMode::Full,
            Value::String(mode) if mode == "partial" => PaymentMode::Partial,
            _ => return Err(Error::bad_request("paymentMode has to be full or partial")),
        };
        let add_ons = self.add_ons.as_array().map(Vec::as_slice).unwrap_or_default();
        if add_ons.len() > ADD_ONS_MAX {
            return Err(Error::bad_request(format!("At most {ADD_ONS_MAX} add-ons can be booked")));
        }
        Ok(NewBooking {
            trek_id: text(&self.trek_id).parse().map_err(|_| CreateError::TrekNotFound)?,
            batch_id: text(&self.batch_id).parse().map_err(|_| CreateError::BatchNotFound)?,
            count,
            contact,
            add_ons: add_ons.iter().map(|add_on| text(&add_on["name"])).collect(),
            promo_code: promo_code(&self.coupon_code),
            voucher_code: voucher_code(&self.voucher_code)?,
            mode,
            displayed: Displayed { total: amount(&self.total_price), initial: amount(&self.frontend_initial_amount) },
            session_id: Some(text(&self.session_id)).filter(|id| !id.is_empty()),
        })
    }
}

pub(super) fn contact(details: &Value) -> Result<Contact> {
    let [name, email, phone] = ["name", "email", "phone"].map(|field| text(&details[field]));
    if name.is_empty() || email.is_empty() || phone.is_empty() {
        return Err(Error::bad_request("Please provide all user details"));
    }
    if [&name, &phone].iter().any(|text| text.chars().count() > TEXT_CHARS_MAX) {
        return Err(Error::bad_request(format!("A name or phone number may have at most {TEXT_CHARS_MAX} characters")));
    }
    let email = Email::parse(&email).map_err(Error::bad_request)?;
    Ok(Contact { name, email: email.to_string(), phone })
}

/// A whole number from 1, also in text.
pub(super) fn count(value: &Value) -> Result<u32> {
    let count = match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && *n > 0.0).map(|n| n as u64))
        }
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let count =
        count.and_then(|count| u32::try_from(count).ok()).filter(|count| (1..=participants_max()).contains(count));
    count.ok_or_else(|| Error::bad_request("Invalid number of participants"))
}

/// A voucher's code, if one is given.
fn voucher_code(value: &Value) -> Result<Option<String>> {
    let code = text(value);
    match code.chars().count() {
        0 => Ok(None),
        1..=CODE_CHARS_MAX => Ok(Some(code)),
        _ => Err(CreateError::VoucherInvalid.into()),
    }
}

/// The code itself, or that of the object that validating it answered.
fn promo_code(value: &Value) -> Option<String> {
    let code = match value {
        Value::Object(_) => text(&value["code"]),
        other => text(other),
    };
    Some(code).filter(|code| !code.is_empty())
}

/// `PUT /api/bookings/{id}/participants`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParticipantsBody {
    participants: Vec<ParticipantInput>,
    emergency_contact: Value,
    additional_requests: Option<String>,
}

impl From<ParticipantsBody> for Details {
    fn from(body: ParticipantsBody) -> Self {
        Self {
            participants: body.participants,
            emergency: emergency(&body.emergency_contact),
            additional_requests: body.additional_requests.as_deref().map(requests),
        }
    }
}

/// An emergency contact, if all of it is given. `relationship` is another name of `relation`.
pub(super) fn emergency(value: &Value) -> Option<EmergencyContact> {
    let [name, phone, relation, relationship] = ["name", "phone", "relation", "relationship"]
        .map(|field| text(&value[field]).chars().take(TEXT_CHARS_MAX).collect::<String>());
    let relation = if relation.is_empty() { relationship } else { relation };
    let complete = !name.is_empty() && !phone.is_empty() && !relation.is_empty();
    complete.then_some(EmergencyContact { name, phone, relation })
}

/// What a customer asks for, at most so many characters of it.
pub(super) fn requests(text: &str) -> String {
    text.trim().chars().take(REQUESTS_CHARS_MAX).collect()
}

/// `PUT /api/bookings/{id}/status`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusBody {
    status: Value,
}

impl StatusBody {
    /// # Errors
    /// 400 for what is no status that can be set.
    pub fn parse(self) -> Result<Status> {
        let settable = |status: &Status| status.is_public() && *status != Status::PaymentConfirmedPartial;
        let status = self.status.as_str().and_then(Status::parse).filter(settable);
        status.ok_or_else(|| Error::bad_request("Invalid status"))
    }
}
