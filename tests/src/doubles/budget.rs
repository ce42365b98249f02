//! How many times a fault still strikes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// How many times a fault still strikes. In JSON a number, or `true` for "until cleared".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Budget {
    /// It does not strike.
    #[default]
    Never,
    /// It strikes this many times more.
    Times(u32),
    /// It strikes until it is cleared.
    Always,
}

impl Budget {
    /// Uses up one strike; `false` if there is none left.
    pub fn strike(&mut self) -> bool {
        match self {
            Self::Never | Self::Times(0) => false,
            Self::Times(left) => {
                *left -= 1;
                true
            }
            Self::Always => true,
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_u32(0),
            Self::Times(left) => serializer.serialize_u32(*left),
            Self::Always => serializer.serialize_bool(true),
        }
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::Bool(true) => Ok(Self::Always),
            Value::Bool(false) => Ok(Self::Never),
            other => other
                .as_u64()
                .and_then(|times| u32::try_from(times).ok())
                .map(Self::Times)
                .ok_or_else(|| serde::de::Error::custom("expected a count, true or false")),
        }
    }
}
