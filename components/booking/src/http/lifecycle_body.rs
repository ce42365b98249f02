//! Bodies of the requests in `lifecycle`, parsed at the edge.

use cairn_shared::{Error, Id, Paise, Result};
use serde::Deserialize;
use serde_json::Value;

use super::body::{amount, is_nothing, text};
use crate::{
    app::{Answer, CancelRequest},
    domain::{NewRequest, RefundChoice, RefundPolicy, Refusal, RequestKind, Scope, Tier, participants_max},
};

/// Longest reason or answer, in characters.
const WORDS_CHARS_MAX: usize = 1_000;

/// Words of people: trimmed; none when there are none.
fn words(name: &str, value: &Value) -> Result<Option<String>> {
    match value {
        Value::Null | Value::String(_) => {}
        _ => return Err(Error::bad_request(format!("{name} has to be text"))),
    }
    let words = text(value);
    if words.chars().count() > WORDS_CHARS_MAX {
        return Err(Error::bad_request(format!("{name} may have at most {WORDS_CHARS_MAX} characters")));
    }
    Ok(Some(words).filter(|words| !words.is_empty()))
}

fn choice(refund_type: &Value, custom: Option<Paise>) -> Result<RefundChoice> {
    match refund_type {
        absent if is_nothing(absent) => Ok(RefundChoice::Auto),
        Value::String(kind) if kind == "auto" => Ok(RefundChoice::Auto),
        Value::String(kind) if kind == "full" => Ok(RefundChoice::Full),
        Value::String(kind) if kind == "custom" => match custom {
            Some(amount) if amount >= Paise::ZERO => Ok(RefundChoice::Custom(amount)),
            _ => Err(Error::bad_request("A custom refund needs an amount of rupees, 0 or more")),
        },
        _ => Err(Error::bad_request("refundType has to be auto, custom or full")),
    }
}

/// A cancellation in either of the two vocabularies that clients have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CancelBody {
    cancellation_type: Value,
    selected_participants: Value,
    refund_type: Value,
    custom_refund_amount: Value,
    cancellation_reason: Value,
    refund: Value,
    participant_id: Value,
    reason: Value,
}

impl CancelBody {
    /// # Errors
    /// The first field that makes no sense. Amounts that clients reckoned are not read.
    pub fn parse(self) -> Result<CancelRequest> {
        let custom = amount(&self.custom_refund_amount).or_else(|| amount(&self.refund));
        let choice = match self.refund {
            Value::Bool(false) => RefundChoice::Nothing,
            _ => choice(&self.refund_type, custom)?,
        };
        let reason = words("cancellationReason", &self.cancellation_reason)?;
        let reason = reason.map_or_else(|| words("reason", &self.reason), |reason| Ok(Some(reason)))?;
        Ok(CancelRequest { scope: self.scope()?, choice, reason })
    }

    fn scope(&self) -> Result<Scope> {
        if !is_nothing(&self.participant_id) {
            return Ok(Scope::Participants(ids(std::slice::from_ref(&self.participant_id))));
        }
        match &self.cancellation_type {
            absent if is_nothing(absent) => Ok(Scope::Entire),
            Value::String(kind) if kind == "entire" => Ok(Scope::Entire),
            Value::String(kind) if kind == "individual" => {
                let selected = self.selected_participants.as_array().map(Vec::as_slice).unwrap_or_default();
                if u32::try_from(selected.len()).is_ok_and(|count| count <= participants_max()) {
                    Ok(Scope::Participants(ids(selected)))
                } else {
                    Err(Error::bad_request(format!("At most {} participants can be selected", participants_max())))
                }
            }
            _ => Err(Error::bad_request("cancellationType has to be entire or individual")),
        }
    }
}

/// Ids that are well formed; others name nobody.
fn ids(values: &[Value]) -> Vec<Id> {
    values.iter().filter_map(|value| text(value).parse().ok()).collect()
}

/// `PUT /api/bookings/{id}/participants/{participantId}/cancel`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParticipantCancelBody {
    reason: Value,
    refund_type: Value,
    refund_amount: Value,
}

impl ParticipantCancelBody {
    /// What an owner says about the refund counts for nothing.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn parse(self, admin: bool) -> Result<(RefundChoice, Option<String>)> {
        let reason = words("reason", &self.reason)?;
        let choice = if admin { choice(&self.refund_type, amount(&self.refund_amount))? } else { RefundChoice::Auto };
        Ok((choice, reason))
    }
}

/// `PUT /api/bookings/{id}/shift-batch`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShiftBody {
    new_batch_id: Value,
}

impl ShiftBody {
    /// The batch; none when what was given is no id.
    ///
    /// # Errors
    /// 400 when nothing was given.
    pub fn parse(self) -> Result<Option<Id>> {
        if is_nothing(&self.new_batch_id) {
            return Err(Error::bad_request("New batch ID is required"));
        }
        Ok(text(&self.new_batch_id).parse().ok())
    }
}

/// `POST /api/bookings/{id}/cancellation-request`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestBody {
    request_type: Value,
    reason: Value,
    preferred_batch: Value,
}

impl RequestBody {
    /// # Errors
    /// The first field that makes no sense.
    pub fn parse(self) -> Result<NewRequest> {
        let kind = self.request_type.as_str().and_then(RequestKind::parse).ok_or_else(|| {
            Error::bad_request(r#"Invalid request type. Must be either "cancellation" or "reschedule""#)
        })?;
        let preferred_batch = match (kind, &self.preferred_batch) {
            (RequestKind::Cancellation, _) => None,
            (RequestKind::Reschedule, absent) if is_nothing(absent) => None,
            (RequestKind::Reschedule, given) => Some(text(given).parse().map_err(|_| Refusal::ForeignBatch)?),
        };
        Ok(NewRequest { kind, reason: words("reason", &self.reason)?.unwrap_or_default(), preferred_batch })
    }
}

/// `PUT /api/bookings/{id}/cancellation-request`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerBody {
    status: Value,
    admin_response: Value,
}

impl AnswerBody {
    /// # Errors
    /// The first field that makes no sense.
    pub fn parse(self) -> Result<Answer> {
        let approved = match self.status.as_str() {
            Some("approved") => true,
            Some("rejected") => false,
            _ => return Err(Error::bad_request(r#"Invalid status. Must be either "approved" or "rejected""#)),
        };
        Ok(Answer { approved, words: words("adminResponse", &self.admin_response)?.unwrap_or_default() })
    }
}

/// `PUT /api/bookings/refund-policies/{trekId}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyBody {
    tiers: Vec<Tier>,
}

impl PolicyBody {
    /// # Errors
    /// What is wrong with the tiers.
    pub fn parse(self) -> Result<Vec<Tier>> {
        RefundPolicy::check(&self.tiers).map_err(Error::bad_request)?;
        Ok(self.tiers)
    }
}
