//! Record ids: 24 lower-case hex characters, four bytes of seconds and eight random ones.
//!
//! The format is that of the system before, so ids survive a move.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The id of a stored record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 12]);

/// Text that is not 24 hex characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 24 hexadecimal characters")]
pub struct InvalidId;

impl Id {
    /// A new id. Ids sort by the second they were made in.
    pub fn generate(now: Timestamp) -> Self {
        let mut bytes = [0; 12];
        crate::id::random(&mut bytes);
        bytes[..4].copy_from_slice(&seconds(now));
        Self(bytes)
    }

    /// Sorts before every id that is made from this second on, and after every earlier one.
    pub fn first_of(at: Timestamp) -> Self {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds(at));
        Self(bytes)
    }

    /// An id made from other text, always the same from the same: for steps that
    /// may run twice and must not make two records.
    pub fn derive(parts: &[&str]) -> Self {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 12];
        bytes.copy_from_slice(&hash.finalize()[..12]);
        Self(bytes)
    }

    /// The last eight characters, upper-cased: what people read out on the phone.
    pub fn short_code(&self) -> String {
        self.to_string()[16..].to_uppercase()
    }
}

/// The first four bytes of ids of this second. There are none for times before 1970.
fn seconds(at: Timestamp) -> [u8; 4] {
    let seconds = at.millis().max(0) / 1000;
    u32::try_from(seconds).unwrap_or(u32::MAX).to_be_bytes()
}

/// Fills `bytes` from the system's generator.
///
/// # Panics
/// When the system has no randomness to give; nothing safe can be done then.
pub fn random(bytes: &mut [u8]) {
    #[cfg(not(target_family = "wasm"))]
    if let Some(conductor) = crate::conduct::conductor() {
        return conductor.random(bytes);
    }
    getrandom::fill(bytes).expect("the system's random number generator answers");
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.as_bytes();
        if digits.len() != 24 {
            return Err(InvalidId);
        }
        let mut bytes = [0; 12];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16).ok_or(InvalidId);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| InvalidId)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = Id::generate(Timestamp::from_millis(1_760_600_000_000));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(&id.to_string()[..8], "68f09fc0");
    }

    #[test]
    fn ids_sort_by_the_second_they_were_made_in() {
        let at = Timestamp::from_millis(1_760_600_000_999);
        let first = Id::first_of(at);
        assert!(first <= Id::generate(at) && Id::generate(at.plus(-1_000)) < first);
        assert!(Id::first_of(Timestamp::from_millis(-1)) <= Id::generate(Timestamp::from_millis(0)));
    }

    #[test]
    fn anything_but_24_hex_characters_is_no_id() {
        for text in ["", "68f0", "zzf0a1b2c3d4e5f607182930", "68f0a1b2c3d4e5f6071829300"] {
            assert_eq!(text.parse::<Id>(), Err(InvalidId), "{text}");
        }
    }

    #[test]
    fn a_derived_id_depends_on_where_its_parts_end() {
        assert_eq!(Id::derive(&["ab", "c"]), Id::derive(&["ab", "c"]));
        assert_ne!(Id::derive(&["ab", "c"]), Id::derive(&["a", "bc"]));
    }
}
