//! Six-digit codes that are mailed to prove an address.
//!
//! A code is stored as a keyed hash that covers what it is for, so it cannot be
//! guessed from the database and is worth nothing anywhere else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cairn_shared::{
    Timestamp,
    time::{MINUTE, SECOND},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How long a code is good, and a registration waits.
pub const VALID_MINUTES: u32 = 10;
pub const VALID: i64 = VALID_MINUTES as i64 * MINUTE;
/// Wrong codes after which a code is void.
pub const ATTEMPTS_MAX: i64 = 5;
/// Time between two mails to somebody.
pub const RESEND_AFTER: i64 = 60 * SECOND;
/// Mails for one registration or one password login.
pub const SENDS_MAX: i64 = 5;

const CODES: u32 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Register,
    Login,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
        }
    }
}

/// What a code is for: it is good for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    pub purpose: Purpose,
    pub subject: &'s str,
    pub issued_at: Timestamp,
}

/// A new code, every one equally likely.
pub fn draw(mut random: impl FnMut(&mut [u8])) -> String {
    loop {
        let mut bytes = [0; 4];
        random(&mut bytes);
        let number = u32::from_be_bytes(bytes);
        // The few numbers past the last whole million would make low codes likelier.
        if number < u32::MAX - u32::MAX % CODES {
            return format!("{:06}", number % CODES);
        }
    }
}

/// Makes and checks digests of codes.
#[derive(Clone)]
pub struct CodeKey(Hmac<Sha256>);

impl CodeKey {
    /// A key of its own, derived from the application's secret.
    ///
    /// # Errors
    /// Never for any secret; the type of the hash allows for it.
    pub fn derive(secret: &str) -> Result<Self, String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
        mac.update(b"cairn one-time codes 1");
        Hmac::new_from_slice(&mac.finalize().into_bytes()).map(Self).map_err(|error| error.to_string())
    }

    fn mac(&self, scope: Scope<'_>, code: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [scope.purpose.as_str(), scope.subject, code] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(&scope.issued_at.millis().to_be_bytes());
        mac
    }

    pub fn digest(&self, scope: Scope<'_>, code: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(scope, code).finalize().into_bytes())
    }

    /// Whether the digest is that of the code, in time that tells nothing.
    pub fn matches(&self, scope: Scope<'_>, code: &str, digest: &str) -> bool {
        let digest = URL_SAFE_NO_PAD.decode(digest).unwrap_or_default();
        self.mac(scope, code.trim()).verify_slice(&digest).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_six_digits_and_no_bias() {
        let mut given = vec![[0xff; 4], [0, 0, 0, 7]].into_iter();
        assert_eq!(draw(|bytes| bytes.copy_from_slice(&given.next().unwrap())), "000007");
    }

    #[test]
    fn a_digest_is_good_for_its_scope_alone() {
        let key = CodeKey::derive("secret").unwrap();
        let scope = Scope { purpose: Purpose::Login, subject: "a", issued_at: Timestamp::from_millis(5) };
        let digest = key.digest(scope, "123456");
        assert!(key.matches(scope, " 123456", &digest));
        assert!(!key.matches(scope, "123457", &digest));
        assert!(!key.matches(Scope { subject: "b", ..scope }, "123456", &digest));
        assert!(!key.matches(Scope { purpose: Purpose::Register, ..scope }, "123456", &digest));
        assert!(!key.matches(Scope { issued_at: Timestamp::from_millis(6), ..scope }, "123456", &digest));
        assert!(!CodeKey::derive("other").unwrap().matches(scope, "123456", &digest));
        assert!(!key.matches(scope, "123456", ""));
    }
}
