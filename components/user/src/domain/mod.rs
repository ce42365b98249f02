//! Accounts and the rules of getting in.

pub mod code;
pub mod group;
pub mod password;
pub mod session;

use cairn_shared::{DbError, Id, Timestamp, identity::Role};

pub use group::{Group, Permissions};

/// A person who can log in.
#[derive(Clone)]
pub struct Account {
    pub id: Id,
    pub name: String,
    /// Trimmed and in lower case.
    pub email: String,
    pub username: String,
    pub password_hash: String,
    pub role: Role,
    pub group: Option<Group>,
    pub contact: Contact,
    /// The e-mail address was proven.
    pub verified: bool,
    pub active: bool,
    /// Made by staff for a customer who had none.
    pub created_by_staff: bool,
    /// Sessions of other versions have ended.
    pub token_version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How to reach a person. Absent is absent, never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    pub phone: Option<String>,
    pub address: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub zip_code: Option<String>,
    pub country: Option<String>,
    pub profile_image: Option<String>,
}

/// A registration before its e-mail address is proven.
#[derive(Clone)]
pub struct Registration {
    pub email: String,
    pub name: String,
    pub username: String,
    pub password_hash: String,
    pub phone: Option<String>,
}

impl Registration {
    /// The account it becomes.
    pub fn account(self, id: Id, now: Timestamp) -> Account {
        Account {
            id,
            name: self.name,
            email: self.email,
            username: self.username,
            password_hash: self.password_hash,
            role: Role::User,
            group: None,
            contact: Contact { phone: self.phone, ..Contact::default() },
            verified: true,
            active: true,
            created_by_staff: false,
            token_version: 0,
            created_at: now,
            updated_at: now,
        }
    }
}

/// A phone number without the spaces and dashes people write: an optional `+`, then
/// up to 16 digits of which the first is not 0.
///
/// # Errors
/// What is wrong with it, for people.
pub fn phone(text: &str) -> Result<String, &'static str> {
    const DIGITS_MAX: usize = 16;
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits = text.strip_prefix('+').unwrap_or(&text);
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if plain && (1..=DIGITS_MAX).contains(&digits.len()) { Ok(text) } else { Err("Please give a valid phone number") }
}

/// The last ten digits of a phone number: what tells Indian numbers apart, however
/// their country code is written.
pub fn phone_digits(text: &str) -> String {
    const DIGITS: usize = 10;
    let digits: Vec<_> = text.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(DIGITS)..].iter().collect()
}

/// A name as the beginning of a user name: in lower case, without spaces.
pub fn username_base(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// A mail this service asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same key is sent once.
    pub key: String,
    pub name: String,
    pub email: String,
    pub message: Message,
}

/// What a mail tells. Codes are for the person alone, so nothing here can be printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    RegistrationCode { code: String, valid_minutes: u32 },
    LoginCode { code: String, valid_minutes: u32 },
    Welcome { username: String },
}

/// Why something is not done.
#[derive(Debug)]
pub enum AccountError {
    EmailTaken,
    UsernameTaken,
    PhoneTaken,
    /// Unknown address, wrong password or a closed account: nobody is told which.
    WrongCredentials,
    /// Too many wrong passwords; seconds until the next try.
    TooManyFailures(u32),
    /// Wrong, expired, used up, or never asked for.
    BadCode,
    /// The last mail was sent less than a minute ago; seconds until the next one.
    TooSoon(u32),
    /// The mail could not be queued. Nothing is kept that blocks another try.
    MailUnavailable(String),
    /// The current password that was given is another.
    WrongPassword,
    BadResetLink,
    /// An address is changed by proving the new one, not by a form.
    EmailChange,
    NotFound,
    GroupNotFound,
    GroupNameTaken,
    /// So many people are in the group.
    GroupInUse(i64),
    OwnRole,
    LastAdmin,
    Failed(cairn_shared::Error),
}

impl From<cairn_shared::Error> for AccountError {
    fn from(error: cairn_shared::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<DbError> for AccountError {
    fn from(error: DbError) -> Self {
        match error {
            error if error.is_unique("users.email") => Self::EmailTaken,
            error if error.is_unique("users.username") => Self::UsernameTaken,
            error if error.is_unique("user_groups.name") => Self::GroupNameTaken,
            error => Self::Failed(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_with_and_without_its_country_code() {
        for text in ["9800000001", "+919800000001", "+91 98000-00001", "09800000001"] {
            assert_eq!(phone_digits(text), "9800000001", "{text}");
        }
        assert_eq!(phone_digits("123"), "123");
    }

    #[test]
    fn phone_numbers_are_stored_without_decoration() {
        assert_eq!(phone("+91 98000-00001").as_deref(), Ok("+919800000001"));
        for wrong in ["", "+", "0980", "98x", "+12345678901234567"] {
            assert!(phone(wrong).is_err(), "{wrong}");
        }
    }
}
