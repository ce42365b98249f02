//! What participants declare about their health and fitness, and what follows from it.
//!
//! A trek's form is frozen into the booking when it is made. The booking knows who is
//! cleared to come and nothing of what they declared; a booking that is paid is not
//! confirmed before everybody on it is cleared.

use std::collections::{BTreeMap, BTreeSet};

use cairn_shared::{Id, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Booking, Participant, Refusal, Status, Trigger, Who};

/// Most questions of a form.
pub const QUESTIONS_MAX: usize = 40;

/// Longest question, and longest key of one, in characters.
const QUESTION_CHARS_MAX: usize = 500;
const KEY_CHARS_MAX: usize = 60;

/// Longest answer, in characters.
const ANSWER_CHARS_MAX: usize = 1_000;

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    YesNo,
    Text,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Names it in answers.
    pub key: String,
    pub text: String,
    pub kind: AnswerKind,
    #[serde(default)]
    pub required: bool,
}

/// The questions that a booking was sold under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclarationForm {
    pub version: u32,
    pub questions: Vec<Question>,
}

/// A participant whom staff have cleared, by id and name: another name is another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub participant: Id,
    pub name: String,
}

/// What has to be declared for a booking, and who is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clearance {
    pub form: DeclarationForm,
    pub cleared: Vec<Cleared>,
}

/// How a declaration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclarationState {
    /// Waits for staff.
    Submitted,
    Approved,
    /// Staff want another one.
    AskedAgain,
    /// Whoever declared it cannot come. Staff cancel, with a refund as they see fit.
    Refused,
}

impl DeclarationState {
    pub const ALL: [Self; 4] = [Self::Submitted, Self::Approved, Self::AskedAgain, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::AskedAgain => "asked_again",
            Self::Refused => "refused",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl DeclarationForm {
    /// Checks questions that somebody wrote.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub fn check(questions: &[Question]) -> Result<(), String> {
        if questions.len() > QUESTIONS_MAX {
            return Err(format!("A form has at most {QUESTIONS_MAX} questions"));
        }
        let keys: BTreeSet<_> = questions.iter().map(|question| &question.key).collect();
        if keys.len() != questions.len() {
            return Err("Two questions have the same key".into());
        }
        let is_key = |key: &str| {
            (1..=KEY_CHARS_MAX).contains(&key.len()) && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        for Question { key, text, .. } in questions {
            if !is_key(key) {
                return Err(format!("A key has 1 to {KEY_CHARS_MAX} letters, digits or underscores"));
            }
            if text.trim().is_empty() || text.chars().count() > QUESTION_CHARS_MAX {
                return Err(format!("A question has 1 to {QUESTION_CHARS_MAX} characters"));
            }
        }
        Ok(())
    }

    /// The answers to its questions, as far as they were given.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub fn answers(&self, given: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, String> {
        if let Some(unknown) = given.keys().find(|key| self.questions.iter().all(|question| question.key != **key)) {
            let unknown: String = unknown.chars().take(KEY_CHARS_MAX).collect();
            return Err(format!("There is no question \u{201c}{unknown}\u{201d}"));
        }
        let mut answers = BTreeMap::new();
        for question in &self.questions {
            let key = &question.key;
            let answer = match (given.get(key), question.kind) {
                (None | Some(Value::Null), _) => None,
                (Some(Value::Bool(answer)), AnswerKind::YesNo) => Some(Value::Bool(*answer)),
                (Some(_), AnswerKind::YesNo) => return Err(format!("{key} has to be true or false")),
                (Some(Value::String(text)), AnswerKind::Text) if text.chars().count() > ANSWER_CHARS_MAX => {
                    return Err(format!("{key} may have at most {ANSWER_CHARS_MAX} characters"));
                }
                (Some(Value::String(text)), AnswerKind::Text) => {
                    Some(text.trim()).filter(|text| !text.is_empty()).map(Value::from)
                }
                (Some(_), AnswerKind::Text) => return Err(format!("{key} has to be text")),
            };
            match answer {
                Some(answer) => drop(answers.insert(key.clone(), answer)),
                None if question.required => return Err(format!("{key} has to be answered")),
                None => {}
            }
        }
        Ok(answers)
    }
}

impl Booking {
    /// Whether everybody who comes is cleared, where that is asked for.
    pub fn is_cleared(&self) -> bool {
        self.clearance.is_none() || (!self.participants.is_empty() && self.uncleared().next().is_none())
    }

    /// Who comes and is not cleared.
    pub fn uncleared(&self) -> impl Iterator<Item = &Participant> {
        let cleared = self.clearance.as_ref();
        self.participants.iter().filter(move |participant| {
            let known = |one: &Cleared| one.participant == participant.id && one.name == participant.name;
            cleared.is_some_and(|clearance| !participant.is_cancelled && !clearance.cleared.iter().any(known))
        })
    }

    /// Whether all that a confirmation takes beside the money is there.
    pub fn is_ready(&self) -> bool {
        !self.participants.is_empty() && self.is_cleared()
    }

    /// Brings the state in line with who is cleared, before the booking is stored: none is
    /// confirmed too early, and none that waited for this alone stays unconfirmed. Answers
    /// whether it is confirmed hereby.
    pub fn heed_clearance(&mut self) -> bool {
        let waits = self.clearance.is_some() && self.status == Status::PaymentCompleted && self.is_ready();
        if waits {
            self.status = Status::Confirmed;
        } else if self.status == Status::Confirmed && !self.is_cleared() {
            self.status = Status::PaymentCompleted;
        }
        waits
    }
}

/// Who declares, if something is to be declared and can be. `latest`: how this
/// participant's last declaration stands.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn declare(
    booking: &Booking,
    participant: Id,
    latest: Option<DeclarationState>,
    who: Who,
    now: Timestamp,
) -> Result<(&DeclarationForm, &Participant), Refusal> {
    let clearance = booking.clearance.as_ref().ok_or(Refusal::NothingToDeclare)?;
    let found = booking.participants.iter().find(|one| one.id == participant && !one.is_cancelled);
    let found = found.ok_or(Refusal::NoSuchParticipant)?;
    booking.next(Trigger::Declare, who).ok_or(Refusal::DeclarationOver)?;
    if booking.has_started(now) {
        return Err(Refusal::DeclarationOver);
    }
    let is_cleared = booking.uncleared().all(|one| one.id != participant);
    match latest {
        _ if is_cleared => Err(Refusal::DeclarationApproved),
        Some(DeclarationState::Refused) => Err(Refusal::DeclarationRefused),
        _ => Ok((&clearance.form, found)),
    }
}

/// What a decision of staff about a declaration makes of the booking. `name`: who declared.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn decide(
    booking: &Booking,
    participant: Id,
    name: &str,
    decided: DeclarationState,
    who: Who,
) -> Result<Booking, Refusal> {
    booking.next(Trigger::Clear, who).ok_or(Refusal::DeclarationOver)?;
    let found = booking.participants.iter().find(|one| one.id == participant && !one.is_cancelled);
    let found = found.ok_or(Refusal::NoSuchParticipant)?;
    let mut changed = booking.clone();
    let clearance = changed.clearance.as_mut().ok_or(Refusal::NothingToDeclare)?;
    clearance.cleared.retain(|one| one.participant != participant);
    if decided == DeclarationState::Approved {
        if found.name != name {
            return Err(Refusal::OtherPerson);
        }
        clearance.cleared.push(Cleared { participant, name: name.to_owned() });
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form() -> DeclarationForm {
        let question = |key: &str, kind, required| Question { key: key.into(), text: "?".into(), kind, required };
        let questions = vec![question("heart", AnswerKind::YesNo, true), question("remarks", AnswerKind::Text, false)];
        DeclarationForm { version: 1, questions }
    }

    #[test]
    fn answers_fit_their_questions() {
        let ask = |given: Value| form().answers(&serde_json::from_value(given).unwrap());
        let expected: BTreeMap<String, Value> =
            serde_json::from_value(json!({ "heart": false, "remarks": "x" })).unwrap();
        assert_eq!(ask(json!({ "heart": false, "remarks": " x " })), Ok(expected));
        for (given, problem) in [
            (json!({}), "heart has to be answered"),
            (json!({ "heart": null }), "heart has to be answered"),
            (json!({ "heart": "no" }), "heart has to be true or false"),
            (json!({ "heart": true, "remarks": 1 }), "remarks has to be text"),
            (json!({ "heart": true, "remarks": "x".repeat(1_001) }), "at most 1000 characters"),
            (json!({ "heart": true, "lungs": true }), "no question"),
        ] {
            assert!(ask(given.clone()).unwrap_err().contains(problem), "{given}");
        }
    }

    #[test]
    fn questions_are_told_apart_and_bounded() {
        let check = |change: &dyn Fn(&mut Vec<Question>)| {
            let mut questions = form().questions;
            change(&mut questions);
            DeclarationForm::check(&questions)
        };
        assert_eq!(check(&|_| ()), Ok(()));
        assert_eq!(check(&|questions| questions.clear()), Ok(()), "none: nothing is asked");
        assert!(check(&|questions| questions[1].key = "heart".into()).is_err());
        assert!(check(&|questions| questions[1].key = "a b".into()).is_err());
        assert!(check(&|questions| questions[1].text = " ".into()).is_err());
        assert!(check(&|questions| *questions = vec![questions[0].clone(); QUESTIONS_MAX + 1]).is_err());
    }
}
