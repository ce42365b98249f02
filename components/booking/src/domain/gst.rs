//! Goods and services tax: who is registered, and where a supply takes place.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// States and union territories by the codes that returns use.
const STATES: &[(u8, &str)] = &[
    (1, "Jammu and Kashmir"),
    (2, "Himachal Pradesh"),
    (3, "Punjab"),
    (4, "Chandigarh"),
    (5, "Uttarakhand"),
    (6, "Haryana"),
    (7, "Delhi"),
    (8, "Rajasthan"),
    (9, "Uttar Pradesh"),
    (10, "Bihar"),
    (11, "Sikkim"),
    (12, "Arunachal Pradesh"),
    (13, "Nagaland"),
    (14, "Manipur"),
    (15, "Mizoram"),
    (16, "Tripura"),
    (17, "Meghalaya"),
    (18, "Assam"),
    (19, "West Bengal"),
    (20, "Jharkhand"),
    (21, "Odisha"),
    (22, "Chhattisgarh"),
    (23, "Madhya Pradesh"),
    (24, "Gujarat"),
    (26, "Dadra and Nagar Haveli and Daman and Diu"),
    (27, "Maharashtra"),
    (29, "Karnataka"),
    (30, "Goa"),
    (31, "Lakshadweep"),
    (32, "Kerala"),
    (33, "Tamil Nadu"),
    (34, "Puducherry"),
    (35, "Andaman and Nicobar Islands"),
    (36, "Telangana"),
    (37, "Andhra Pradesh"),
    (38, "Ladakh"),
    (97, "Other Territory"),
];

/// Union territories without a legislature: their share of the tax has another name.
const WITHOUT_LEGISLATURE: [u8; 6] = [4, 26, 31, 35, 38, 97];

/// A state or union territory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct State(u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a state of India is given by its name or its two-digit GST code")]
pub struct InvalidState;

impl State {
    pub fn name(self) -> &'static str {
        STATES.iter().find(|(code, _)| *code == self.0).map_or("", |(_, name)| name)
    }

    /// What the half of the tax is called that goes to this state.
    pub fn tax_name(self) -> &'static str {
        if WITHOUT_LEGISLATURE.contains(&self.0) { "UTGST" } else { "SGST" }
    }
}

impl FromStr for State {
    type Err = InvalidState;

    /// By code or by name, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidState> {
        let text = text.trim();
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let code = digits.then(|| text.parse::<u8>().ok()).flatten();
        let found = STATES.iter().find(|(known, name)| code == Some(*known) || name.eq_ignore_ascii_case(text));
        found.map(|(code, _)| Self(*code)).ok_or(InvalidState)
    }
}

impl TryFrom<String> for State {
    type Error = InvalidState;

    fn try_from(text: String) -> Result<Self, InvalidState> {
        text.parse()
    }
}

impl From<State> for String {
    fn from(state: State) -> Self {
        format!("{:02}", state.0)
    }
}

/// The place of supply as invoices write it.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02})", self.name(), self.0)
    }
}

/// The registration number of a taxable person: state, PAN, entity, `Z`, check character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gstin(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGstin {
    #[error("a GSTIN has 15 characters such as 29AAACC1234F1Z5: state code, PAN, entity, Z, check character")]
    Shape,
    #[error("the first two digits of the GSTIN are no state's code")]
    State,
    #[error("the last character of the GSTIN does not match the others: please look for a typing mistake")]
    Check,
}

const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The check character of the first fourteen ones.
fn check_character(text: &[u8]) -> Option<u8> {
    let mut sum = 0;
    for (at, byte) in text.iter().take(14).enumerate() {
        let value = ALPHABET.iter().position(|known| known == byte)?;
        let product = value * (1 + at % 2);
        sum += product / 36 + product % 36;
    }
    ALPHABET.get((36 - sum % 36) % 36).copied()
}

impl FromStr for Gstin {
    type Err = InvalidGstin;

    fn from_str(text: &str) -> Result<Self, InvalidGstin> {
        let text = text.trim().to_ascii_uppercase();
        let bytes = text.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_uppercase);
        let shape = bytes.len() == 15
            && (0..2).all(digit)
            && (2..7).all(letter)
            && (7..11).all(digit)
            && letter(11)
            && bytes.iter().all(u8::is_ascii_alphanumeric)
            && bytes.get(13) == Some(&b'Z');
        if !shape {
            return Err(InvalidGstin::Shape);
        }
        text.get(..2).and_then(|code| code.parse::<State>().ok()).ok_or(InvalidGstin::State)?;
        if check_character(bytes) != bytes.get(14).copied() {
            return Err(InvalidGstin::Check);
        }
        Ok(Self(text))
    }
}

impl TryFrom<String> for Gstin {
    type Error = InvalidGstin;

    fn try_from(text: String) -> Result<Self, InvalidGstin> {
        text.parse()
    }
}

impl From<Gstin> for String {
    fn from(gstin: Gstin) -> Self {
        gstin.0
    }
}

impl fmt::Display for Gstin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Gstin {
    /// Where it is registered; none cannot be, since that was checked.
    pub fn state(&self) -> Option<State> {
        self.0.get(..2)?.parse().ok()
    }
}

/// Whom documents name as the recipient, where that is not simply the contact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Billing {
    pub name: Option<String>,
    pub address: Option<String>,
    pub gstin: Option<Gstin>,
    pub state: Option<State>,
}

impl Billing {
    /// The recipient's state: where it is registered, else where it says it is.
    pub fn state(&self) -> Option<State> {
        self.gstin.as_ref().and_then(Gstin::state).or(self.state)
    }
}

/// Where a supply takes place, as seen from the seller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// Within the seller's state: half of the tax is the centre's, half the state's.
    Within(State),
    /// In another state: all of the tax is integrated tax.
    Elsewhere(State),
}

/// The place of supply: the recipient's state, and where none is on record the seller's.
/// None when the seller is not registered: then no tax is split.
pub fn supply(seller: Option<&Gstin>, billing: Option<&Billing>) -> Option<Supply> {
    let home = seller?.state()?;
    Some(match billing.and_then(Billing::state) {
        Some(state) if state != home => Supply::Elsewhere(state),
        _ => Supply::Within(home),
    })
}

impl Supply {
    pub fn place(self) -> State {
        match self {
            Self::Within(state) | Self::Elsewhere(state) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gstin_is_checked_to_its_last_character() {
        for (text, outcome) in [
            ("27AAPFU0939F1ZV", Ok(27)),
            (" 29abcde1234f1zw ", Ok(29)),
            ("29ABCDE1234F1Z5", Err(InvalidGstin::Check)),
            ("27AAPFU0939F1YV", Err(InvalidGstin::Shape)),
            ("27AAPFU0939F1Z", Err(InvalidGstin::Shape)),
            ("2\u{662}AAPFU0939F1Z", Err(InvalidGstin::Shape)),
            ("99AAPFU0939F1ZV", Err(InvalidGstin::State)),
            ("", Err(InvalidGstin::Shape)),
        ] {
            let parsed = text.parse::<Gstin>().map(|gstin| gstin.state().unwrap().0);
            assert_eq!(parsed, outcome, "{text}");
        }
    }

    #[test]
    fn a_state_is_known_by_code_and_by_name() {
        for text in ["29", "Karnataka", " karnataka "] {
            assert_eq!(text.parse::<State>().unwrap().to_string(), "Karnataka (29)");
        }
        assert_eq!("07".parse::<State>().unwrap().name(), "Delhi");
        for text in ["", "28", "7", "+7", "Kar", "99"] {
            assert!(text.parse::<State>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_place_of_supply_is_the_recipients_and_else_the_sellers() {
        let seller: Gstin = "29ABCDE1234F1ZW".parse().unwrap();
        let state = |text: &str| Billing { state: Some(text.parse().unwrap()), ..Billing::default() };
        let home = Supply::Within("29".parse().unwrap());
        assert_eq!(supply(Some(&seller), None), Some(home));
        assert_eq!(supply(Some(&seller), Some(&state("29"))), Some(home));
        assert_eq!(supply(Some(&seller), Some(&state("32"))), Some(Supply::Elsewhere("32".parse().unwrap())));
        let registered = Billing { gstin: Some("27AAPFU0939F1ZV".parse().unwrap()), ..state("29") };
        assert_eq!(supply(Some(&seller), Some(&registered)), Some(Supply::Elsewhere("27".parse().unwrap())));
        assert_eq!(supply(None, Some(&state("32"))), None);
    }
}
