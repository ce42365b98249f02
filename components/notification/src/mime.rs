//! A mail of the queue as the bytes that go to the mail server.

use cairn_shared::Timestamp;
use mail_builder::{
    MessageBuilder,
    headers::{date::Date, raw::Raw},
};

use crate::domain::{Attachment, Mail, NAME_CHARS_MAX, one_line};

/// In whose name mails go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    pub name: String,
    pub address: String,
}

impl Sender {
    /// `Name <local@domain>` or just the address, which must be plain ASCII on one line.
    ///
    /// # Errors
    /// What is wrong, for whoever configures it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.split_once('<')) {
            Some((name, address)) => (one_line(name, NAME_CHARS_MAX), address.trim()),
            None => ("NoReply".to_owned(), text.trim()),
        };
        let plain = |c: u8| c.is_ascii_graphic() && !b"<>,;:\"\\".contains(&c);
        match address.split_once('@') {
            Some((local, domain))
                if !local.is_empty() && !domain.is_empty() && !domain.contains('@') && address.bytes().all(plain) =>
            {
                Ok(Self { name, address: address.to_owned() })
            }
            _ => Err("give a sender as `Name <local@domain>`"),
        }
    }

    /// The domain mails come from.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// The whole message. Its id follows from the mail's, so that a mail that was sent
/// twice after a crash can be recognised as one.
///
/// # Errors
/// Writing to memory does not fail; whatever the builder reports.
pub fn compose(mail: &Mail, attachments: &[Attachment], sender: &Sender) -> std::io::Result<Vec<u8>> {
    let mut message = MessageBuilder::new()
        .from((one_line(&sender.name, NAME_CHARS_MAX), sender.address.clone()))
        .message_id(format!("{}@{}", mail.id, sender.domain()))
        .date(date(mail.created_at))
        .subject(one_line(&mail.subject, SUBJECT_CHARS_MAX))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(mail.text.as_str())
        .html_body(mail.html.as_str());
    message = match one_line(&mail.recipient_name, NAME_CHARS_MAX) {
        name if name.is_empty() => message.to(mail.recipient.as_str()),
        name => message.to((name, mail.recipient.clone())),
    };
    for file in attachments {
        message = message.attachment(file.content_type.as_str(), file.file_name.as_str(), file.content.as_slice());
    }
    message.write_to_vec()
}

/// Characters of a subject.
pub const SUBJECT_CHARS_MAX: usize = 200;

fn date(at: Timestamp) -> Date {
    Date::new(at.millis().div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use cairn_shared::Id;

    use super::*;

    #[test]
    fn a_sender_is_a_name_and_an_address() {
        let parse = |text| Sender::parse(text).map(|sender| (sender.name, sender.address));
        let pair = |name: &str, address: &str| Ok((name.to_owned(), address.to_owned()));
        assert_eq!(parse("Trek Desk <desk@example.org>"), pair("Trek Desk", "desk@example.org"));
        assert_eq!(parse("desk@localhost"), pair("NoReply", "desk@localhost"));
        for text in ["", "desk", "a <b>", "a@b@c", "<a@b\r\nX: y>", "a@b, c@d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_makes_a_header_of_its_own() {
        let evil = "Asha\r\nBcc: victim@example.org\r\n\r\nbody";
        let mail = Mail {
            id: Id::derive(&["m"]),
            key: evil.into(),
            kind: "welcome".into(),
            recipient_name: evil.into(),
            recipient: "asha@example.org".into(),
            subject: evil.into(),
            text: "text".into(),
            html: "<p>html</p>".into(),
            secret: false,
            attempts: 1,
            give_up_at: Timestamp::from_millis(1),
            created_at: Timestamp::from_millis(1_760_600_000_000),
        };
        let sender = Sender { name: evil.into(), address: "desk@example.org".into() };
        let bytes = compose(&mail, &[], &sender).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head
            .lines()
            .filter(|line| !line.starts_with(['\t', ' ']))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            ["From", "Message-ID", "Date", "Subject", "Auto-Submitted", "To", "MIME-Version", "Content-Type"],
            "{head}"
        );
    }
}
