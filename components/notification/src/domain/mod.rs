//! What a mail is about, what may be sent, and when an attempt is repeated.

mod notice;

use cairn_shared::{
    DbError, Id, Paise, Timestamp,
    time::{DAY, MINUTE, SECOND},
    validate::Email,
};

pub use notice::{
    Balance, CallOff, Cancellation, Clearance, Confirmation, Credit, Move, News, Notice, Person, Refund, RefundKind,
    RefundState, Refusal, Request, RequestKind, Settlement, ShareReceipt, ShareRequest, Transfer,
};

/// Characters of a sender's key.
pub const KEY_CHARS_MAX: usize = 200;

/// Attachments of one mail.
pub const ATTACHMENTS_MAX: usize = 5;

/// Bytes of all attachments of one mail together.
pub const ATTACHMENT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Participants named in one mail.
pub const PARTICIPANTS_MAX: usize = 100;

/// Characters of a name, of a trek or of a file.
pub const NAME_CHARS_MAX: usize = 120;

/// Characters of text that people wrote, such as a reason.
pub const REMARK_CHARS_MAX: usize = 1000;

/// How long a mail is tried, unless what it says is void earlier.
pub const TRIED_FOR: i64 = 3 * DAY;

/// The first and the longest wait after an attempt that failed.
const BACKOFF_MIN: i64 = 10 * SECOND;
const BACKOFF_MAX: i64 = 30 * MINUTE;

/// Whom a mail is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub name: String,
    pub email: Email,
}

/// A file that goes with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub file_name: String,
    pub content_type: String,
    pub content: Vec<u8>,
}

/// A one-time code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub code: String,
    pub valid_minutes: u32,
}

/// A booked trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    pub booking_id: String,
    pub booking_code: String,
    pub trek_name: String,
    pub start_date: Timestamp,
    pub end_date: Timestamp,
    pub participants: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReceived {
    pub trip: Trip,
    pub amount: Paise,
    /// Still due; zero: paid in full.
    pub remaining: Paise,
    pub due_date: Option<Timestamp>,
    pub method: String,
    pub payment_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingConfirmed {
    pub trip: Trip,
    /// None for participants, who are not told the price.
    pub total: Option<Paise>,
    pub requests: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingCancelled {
    pub trip: Trip,
    /// What goes back to the payer.
    pub refund: Paise,
    pub reason: String,
}

/// What happened, with what the mail says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    RegistrationCode(Code),
    LoginCode(Code),
    /// A new account, by its username.
    Welcome(String),
    PaymentReceived(PaymentReceived),
    BookingConfirmed(BookingConfirmed),
    BookingCancelled(BookingCancelled),
    /// An invoice sent again, or for a booking that staff confirmed.
    Invoice(Trip),
    Notice(Notice),
    Gift(Gift),
}

/// A voucher that somebody has bought for the reader.
#[derive(Clone, PartialEq, Eq)]
pub struct Gift {
    pub from: String,
    pub words: String,
    /// A secret: with it anybody can pay.
    pub code: String,
    pub amount: Paise,
    pub expires: Timestamp,
}

impl std::fmt::Debug for Gift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gift").field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl Message {
    /// The name of the kind, for the log and the table.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RegistrationCode(_) => "registration-code",
            Self::LoginCode(_) => "login-code",
            Self::Welcome(_) => "welcome",
            Self::PaymentReceived(_) => "payment-received",
            Self::BookingConfirmed(_) => "booking-confirmed",
            Self::BookingCancelled(_) => "booking-cancelled",
            Self::Invoice(_) => "invoice",
            Self::Notice(notice) => notice.news.kind(),
            Self::Gift(_) => "gift-voucher",
        }
    }

    /// The code it carries, if it does.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::RegistrationCode(code) | Self::LoginCode(code) => Some(code),
            Self::Welcome(_)
            | Self::PaymentReceived(_)
            | Self::BookingConfirmed(_)
            | Self::BookingCancelled(_)
            | Self::Invoice(_)
            | Self::Notice(_)
            | Self::Gift(_) => None,
        }
    }

    fn trip(&self) -> Option<&Trip> {
        match self {
            Self::RegistrationCode(_) | Self::LoginCode(_) | Self::Welcome(_) | Self::Gift(_) => None,
            Self::PaymentReceived(payment) => Some(&payment.trip),
            Self::BookingConfirmed(booking) => Some(&booking.trip),
            Self::BookingCancelled(booking) => Some(&booking.trip),
            Self::Invoice(trip) => Some(trip),
            Self::Notice(notice) => Some(&notice.trip),
        }
    }

    /// Until when it is of use to its reader.
    pub fn give_up_at(&self, now: Timestamp) -> Timestamp {
        let valid = self.code().map_or(TRIED_FOR, |code| i64::from(code.valid_minutes).saturating_mul(MINUTE));
        now.plus(valid.min(TRIED_FOR))
    }
}

/// A mail to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender's key: the same key is queued once, however often it is sent.
    pub key: String,
    pub to: Recipient,
    pub message: Message,
    pub attachments: Vec<Attachment>,
}

/// Why a mail was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The address or an attachment cannot be sent.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Unavailable(String),
}

impl From<DbError> for MailError {
    fn from(error: DbError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Envelope {
    /// Whether it can be sent at all.
    ///
    /// # Errors
    /// [`MailError::Invalid`] says what is wrong.
    pub fn validate(&self) -> Result<(), MailError> {
        let invalid = |problem: &str| Err(MailError::Invalid(problem.to_owned()));
        if self.key.is_empty() || self.key.chars().count() > KEY_CHARS_MAX {
            return invalid("a key has 1 to 200 characters");
        }
        if self.message.code().is_some_and(|code| code.valid_minutes == 0 || !is_code(&code.code)) {
            return invalid("a code has 4 to 12 letters or digits and is valid for a minute at least");
        }
        let too_long = matches!(&self.message, Message::Notice(notice) if notice.news.is_too_long());
        if too_long || self.message.trip().is_some_and(|trip| trip.participants.len() > PARTICIPANTS_MAX) {
            return invalid("there are more than 100 participants");
        }
        if self.attachments.len() > ATTACHMENTS_MAX {
            return invalid("there are more than 5 attachments");
        }
        if self.attachments.iter().map(|file| file.content.len()).sum::<usize>() > ATTACHMENT_BYTES_MAX {
            return invalid("the attachments are larger than 10 MB together");
        }
        self.attachments.iter().try_for_each(Attachment::validate)
    }
}

fn is_code(text: &str) -> bool {
    (4..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl Attachment {
    fn validate(&self) -> Result<(), MailError> {
        let name = &self.file_name;
        let plain = |c: char| c.is_alphanumeric() || "-_.() ".contains(c);
        if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(plain) {
            return Err(MailError::Invalid(
                "a file name has letters, digits, spaces and -_.() only, 120 at most".into(),
            ));
        }
        let token =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b));
        match self.content_type.split_once('/') {
            Some((kind, subtype)) if token(kind) && token(subtype) => Ok(()),
            _ => Err(MailError::Invalid("a content type has the form type/subtype".into())),
        }
    }
}

/// A mail of the queue, as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub id: Id,
    pub key: String,
    pub kind: String,
    pub recipient_name: String,
    pub recipient: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Whether the bodies carry a code that must not outlive the sending.
    pub secret: bool,
    /// Attempts begun, this one included.
    pub attempts: i64,
    pub give_up_at: Timestamp,
    pub created_at: Timestamp,
}

impl Mail {
    /// What of the recipient may be logged.
    pub fn domain(&self) -> &str {
        self.recipient.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// When to try again after a failure at `now`; none if it is not worth it any more.
    pub fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let doublings = self.attempts.saturating_sub(1).clamp(0, 16);
        let next = now.plus(BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX));
        (next < self.give_up_at).then_some(next)
    }
}

/// Text on one line without control characters: what may stand in a header or a
/// list entry. Longer text is cut.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() || is_line_break(c) { ' ' } else { c }).collect();
    let words: Vec<_> = plain.split_whitespace().collect();
    words.join(" ").chars().take(chars_max).collect()
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mail(attempts: i64) -> Mail {
        Mail {
            id: Id::derive(&["mail"]),
            key: "k".into(),
            kind: "invoice".into(),
            recipient_name: String::new(),
            recipient: "asha@example.org".into(),
            subject: String::new(),
            text: String::new(),
            html: String::new(),
            secret: false,
            attempts,
            give_up_at: Timestamp::from_millis(TRIED_FOR),
            created_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn the_wait_doubles_from_ten_seconds_to_half_an_hour() {
        let wait = |attempts| mail(attempts).next_attempt(Timestamp::from_millis(0)).unwrap().millis();
        assert_eq!(
            [1, 2, 3, 20, i64::MAX].map(wait),
            [10 * SECOND, 20 * SECOND, 40 * SECOND, 30 * MINUTE, 30 * MINUTE]
        );
    }

    #[test]
    fn a_mail_is_given_up_when_it_is_of_no_use_any_more() {
        assert_eq!(mail(1).next_attempt(Timestamp::from_millis(TRIED_FOR - SECOND)), None);
        let code = Message::LoginCode(Code { code: "123456".into(), valid_minutes: 10 });
        assert_eq!(code.give_up_at(Timestamp::from_millis(0)), Timestamp::from_millis(10 * MINUTE));
    }

    #[test]
    fn attachments_are_checked() {
        let file = |name: &str, kind: &str| Attachment {
            file_name: name.into(),
            content_type: kind.into(),
            content: Vec::new(),
        };
        assert!(file("Invoice-BT1.pdf", "application/pdf").validate().is_ok());
        for (name, kind) in
            [("", "a/b"), ("a\r\nBcc: x", "a/b"), ("a\"b", "a/b"), ("../a", "a/b"), ("a", "pdf"), ("a", "a/b\r\nX: y")]
        {
            assert!(file(name, kind).validate().is_err(), "{name} {kind}");
        }
    }

    proptest! {
        #[test]
        fn one_line_never_breaks_a_line(text in any::<String>()) {
            let line = one_line(&text, 50);
            prop_assert!(line.chars().count() <= 50 && !line.chars().any(char::is_control), "a control character");
            prop_assert!(!line.chars().any(is_line_break), "a line break");
        }
    }
}
