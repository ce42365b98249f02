//! Parts of what a booking owes that other people pay.

use cairn_shared::{Id, Paise, Timestamp};
use sha2::{Digest, Sha256};

use super::{Kind, OpenError, Payable, PaymentError};

/// Shares of one payable.
pub const SHARES_MAX: usize = 50;

/// Longest key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 200;

/// A part of a payable, to be paid by whoever knows its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub id: Id,
    pub booking_id: Id,
    pub amount: Paise,
    pub key_digest: KeyDigest,
    /// No order is made after it.
    pub expires_at: Timestamp,
}

/// SHA-256 of a key, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDigest(String);

impl KeyDigest {
    /// Of the key that somebody shows. None for what is no key.
    pub fn of(key: &str) -> Option<Self> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        Some(Self(Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// As somebody else has made it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == 64 && is_hex).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl cairn_shared::db::FromValue for KeyDigest {
    fn from_value(value: &cairn_shared::db::Value) -> Result<Self, String> {
        Self::parse(&String::from_value(value)?).ok_or_else(|| "this is no digest".to_owned())
    }
}

/// A share as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredShare {
    pub share: Share,
    /// It has been paid by itself.
    pub paid: bool,
    /// It, and the payable that it is a part of, wait to be paid.
    pub open: bool,
    /// Whose booking it is.
    pub user_id: Id,
}

impl StoredShare {
    /// Whether an order may be made for it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: Timestamp) -> Result<(), PaymentError> {
        match () {
            () if self.paid => Err(PaymentError::NothingRemaining),
            () if !self.open => Err(PaymentError::NotAwaitingPayment),
            () if self.share.expires_at <= now => Err(PaymentError::SessionExpired),
            () => Ok(()),
        }
    }
}

/// Whether a payable can have these shares: together they are at most all of it, so that
/// nobody has to pay twice.
///
/// # Errors
/// [`OpenError::Invalid`] for what could never be paid.
pub fn check_shares(payable: &Payable, shares: &[Share]) -> Result<(), OpenError> {
    let invalid = |problem: String| Err(OpenError::Invalid(problem));
    if shares.is_empty() {
        return Ok(());
    }
    if payable.kind != Kind::Balance {
        return invalid("only a balance has shares".into());
    }
    if shares.len() > SHARES_MAX {
        return invalid(format!("a payable has at most {SHARES_MAX} shares"));
    }
    if shares.iter().any(|share| share.amount < super::AMOUNT_MIN) {
        return invalid(format!("the smallest share is {} rupee", super::AMOUNT_MIN));
    }
    let all: Paise = shares.iter().map(|share| share.amount).sum();
    if all > payable.amount { invalid("the shares are more than what is owed".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_key_and_nothing_else() {
        let digest = KeyDigest::of("abc").unwrap();
        assert_eq!(digest.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(KeyDigest::parse(digest.as_str()), Some(digest));
        assert_eq!((KeyDigest::of(""), KeyDigest::of(&"x".repeat(201)), KeyDigest::parse("BA78")), (None, None, None));
    }
}
