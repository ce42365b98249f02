//! A received mail, parsed once when it comes in.

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders, PartType};

/// Characters of the preview of a mail.
const SNIPPET_CHARS: usize = 250;

/// A name and an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name; empty if there is none.
    pub name: String,
    /// `local@domain`.
    pub address: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() {
            return f.write_str(&self.address);
        }
        write!(f, "{} <{}>", self.name, self.address)
    }
}

/// A file within a mail.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Unique within the mail.
    pub part_id: String,
    /// Empty if there is none.
    pub file_name: String,
    /// `type/subtype`.
    pub media_type: String,
    /// Empty if there is none.
    pub content_id: String,
    /// The decoded content.
    pub content: Bytes,
}

/// What the sender's server said before the mail.
#[derive(Debug, Clone, Default)]
pub(super) struct Envelope {
    pub from: String,
    pub to: Vec<String>,
}

/// A received mail.
#[derive(Debug, Clone)]
pub struct Message {
    pub(super) id: String,
    pub(super) envelope: Envelope,
    pub(super) raw: Bytes,
    pub(super) received_ms: i64,
    pub(super) date_ms: Option<i64>,
    pub(super) message_id: String,
    pub(super) from: Option<Address>,
    pub(super) to: Vec<Address>,
    pub(super) cc: Vec<Address>,
    pub(super) bcc: Vec<Address>,
    pub(super) reply_to: Vec<Address>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
    pub(super) attachments: Vec<Attachment>,
}

impl Message {
    /// Parses what came over SMTP. What is no proper mail still becomes one, with its text as
    /// it is: a test wants to see exactly that.
    pub(super) fn parse(id: String, envelope: Envelope, raw: Bytes, received_ms: i64) -> Self {
        let parsed = MessageParser::default().parse(&raw[..]).unwrap_or_default();
        let html = parsed.html_bodies().find_map(|part| match &part.body {
            PartType::Html(html) => Some(html.to_string()),
            _ => None,
        });
        let to = addresses(parsed.to());
        let cc = addresses(parsed.cc());
        let mut bcc = addresses(parsed.bcc());
        for recipient in &envelope.to {
            let mut named = to.iter().chain(&cc).chain(&bcc);
            if !named.any(|known| known.address.eq_ignore_ascii_case(recipient)) {
                bcc.push(Address { name: String::new(), address: recipient.clone() });
            }
        }
        Self {
            id,
            received_ms,
            date_ms: parsed.date().map(|date| date.to_timestamp().saturating_mul(1000)),
            message_id: parsed.message_id().unwrap_or_default().to_owned(),
            from: addresses(parsed.from()).into_iter().next(),
            to,
            cc,
            bcc,
            reply_to: addresses(parsed.reply_to()),
            subject: parsed.subject().unwrap_or_default().to_owned(),
            text: parsed.body_text(0).unwrap_or_default().into_owned(),
            html: html.unwrap_or_default(),
            attachments: attachments(&parsed),
            envelope,
            raw,
        }
    }

    /// Unique within the mailbox.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The sender by the mail's own word.
    pub fn from(&self) -> Option<&Address> {
        self.from.as_ref()
    }

    /// The visible recipients.
    pub fn to(&self) -> &[Address] {
        &self.to
    }

    /// The subject, decoded.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The text part; made from the HTML part if there is no other.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The HTML part; empty if there is none.
    pub fn html(&self) -> &str {
        &self.html
    }

    /// All attachments.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The attachment of that file name.
    pub fn attachment(&self, file_name: &str) -> Option<&Attachment> {
        self.attachments.iter().find(|attachment| attachment.file_name == file_name)
    }

    /// The mail as it came over the wire, without dot-stuffing.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether it went to that address, openly or not.
    pub fn is_to(&self, address: &str) -> bool {
        self.recipients().any(|known| known.address.eq_ignore_ascii_case(address))
    }

    pub(super) fn recipients(&self) -> impl Iterator<Item = &Address> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// The first characters of the text in one line.
    pub(super) fn snippet(&self) -> String {
        let mut snippet = String::new();
        for word in self.text.split_whitespace() {
            if snippet.chars().count() + word.chars().count() >= SNIPPET_CHARS {
                snippet.push_str("...");
                break;
            }
            if !snippet.is_empty() {
                snippet.push(' ');
            }
            snippet.push_str(word);
        }
        snippet
    }
}

fn addresses(field: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    field
        .into_iter()
        .flat_map(|addresses| addresses.iter())
        .map(|addr| Address { name: text(addr.name()), address: text(addr.address()) })
        .collect()
}

fn attachments(parsed: &mail_parser::Message<'_>) -> Vec<Attachment> {
    let mut found = Vec::new();
    for part_id in &parsed.attachments {
        let Some(part) = parsed.part(*part_id) else {
            continue;
        };
        let media_type =
            part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("octet-stream")));
        found.push(Attachment {
            part_id: part_id.to_string(),
            file_name: part.attachment_name().unwrap_or_default().to_owned(),
            media_type: media_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            content_id: part.content_id().unwrap_or_default().to_owned(),
            content: Bytes::copy_from_slice(part.contents()),
        });
    }
    found
}
