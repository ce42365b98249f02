//! Passwords: Argon2id for new ones; bcrypt, from the system before, is accepted.
//!
//! Hashing takes tens of milliseconds on purpose and must stay out of transactions.

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};

pub const CHARS_MIN: usize = 6;
/// Longest password, in bytes: hashing must not become a way to keep us busy.
pub const BYTES_MAX: usize = 512;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// What no password matches. Checking against it takes as long as checking a real one.
pub const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password of acceptable length. It cannot be printed.
pub struct Password(String);

impl Password {
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            _ if text.chars().count() < CHARS_MIN => Err("The password needs at least 6 characters"),
            _ if text.len() > BYTES_MAX => Err("The password is too long"),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// Argon2id, 19 MiB, two passes, one lane: the library's and OWASP's choice.
    ///
    /// # Errors
    /// The library refuses; there is no such input.
    pub fn hash(&self, salt: [u8; SALT_BYTES]) -> Result<String, String> {
        let salt = SaltString::encode_b64(&salt).map_err(|error| error.to_string())?;
        let hash = Argon2::default().hash_password(self.0.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
    }
}

/// What a check of a password found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, and its hash is of a kind that is no longer made.
    RightOutdated,
}

/// Checks a password against a stored hash. A hash of no known kind matches nothing.
pub fn check(password: &str, hash: &str) -> Verdict {
    if password.len() > BYTES_MAX {
        return Verdict::Wrong;
    }
    if hash.starts_with("$2") {
        return match bcrypt::verify(password, hash) {
            Ok(true) => Verdict::RightOutdated,
            Ok(false) | Err(_) => Verdict::Wrong,
        };
    }
    let Ok(parsed) = PasswordHash::new(hash) else { return Verdict::Wrong };
    if Argon2::default().verify_password(password.as_bytes(), &parsed).is_err() {
        return Verdict::Wrong;
    }
    let current = NOBODY.split('$').take(4).eq(hash.split('$').take(4));
    if current { Verdict::Right } else { Verdict::RightOutdated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_recognised_and_another_is_not() {
        let hash = Password::parse("correct horse").unwrap().hash([7; SALT_BYTES]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(check("correct horse", &hash), Verdict::Right);
        assert_eq!(check("correct horsf", &hash), Verdict::Wrong);
        assert_eq!(check("", NOBODY), Verdict::Wrong);
        assert_eq!(check("x", "nonsense"), Verdict::Wrong);
    }

    #[test]
    fn a_bcrypt_hash_is_accepted_and_outdated() {
        let hash = bcrypt::hash_with_salt("old secret", 4, [3; 16]).unwrap().to_string();
        assert_eq!(check("old secret", &hash), Verdict::RightOutdated);
        assert_eq!(check("new secret", &hash), Verdict::Wrong);
    }

    #[test]
    fn the_stand_in_hash_is_a_real_one() {
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
