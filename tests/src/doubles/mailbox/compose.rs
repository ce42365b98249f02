//! Mails handed over as JSON (Mailpit's `POST /api/v1/send`), for senders without SMTP. They
//! become ordinary mails on the way in, so that nobody can tell afterwards.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::raw::Raw;
use serde::Deserialize;

use super::message::{Envelope, Message};
use super::store::MESSAGE_BYTES_MAX;
use crate::doubles::{now_ms, random_id};

/// The largest request: a mail of the largest size, and what base64 and JSON add.
pub(super) const REQUEST_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 3 * 4 + 1024 * 1024;
/// Recipients of a mail.
const RECIPIENTS_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Person {
    #[serde(default)]
    name: String,
    email: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "Content")]
    content: String,
    #[serde(rename = "Filename")]
    file_name: String,
    #[serde(default, rename = "ContentType")]
    media_type: String,
    #[serde(default, rename = "ContentID")]
    content_id: String,
}

/// The request's body.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ask {
    from: Person,
    #[serde(default)]
    to: Vec<Person>,
    #[serde(default)]
    cc: Vec<Person>,
    #[serde(default)]
    bcc: Vec<String>,
    #[serde(default)]
    reply_to: Vec<Person>,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
    #[serde(default, rename = "HTML")]
    html: String,
    #[serde(default)]
    attachments: Vec<File>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Why a request is no mail.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("not a mail in JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("from 1 to {RECIPIENTS_MAX} recipients are needed")]
    Recipients,
    #[error("{0:?} is no mail address")]
    Address(String),
    #[error("header {0:?} must be one line of printable ASCII")]
    Header(String),
    #[error("attachment {name:?} is not base64: {cause}")]
    Attachment { name: String, cause: base64::DecodeError },
    #[error("the mail could not be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Makes a mail of a request.
pub(super) fn compose(body: &[u8]) -> Result<Message, Unsendable> {
    let ask: Ask = serde_json::from_slice(body)?;
    let envelope = Envelope { from: ask.from.email.clone(), to: recipients(&ask)? };
    let mut mail = MessageBuilder::new().from(one(&ask.from)).to(list(&ask.to)).subject(ask.subject.as_str());
    if !ask.cc.is_empty() {
        mail = mail.cc(list(&ask.cc));
    }
    if !ask.reply_to.is_empty() {
        mail = mail.reply_to(list(&ask.reply_to));
    }
    if !ask.text.is_empty() || ask.html.is_empty() {
        mail = mail.text_body(ask.text.as_str());
    }
    if !ask.html.is_empty() {
        mail = mail.html_body(ask.html.as_str());
    }
    for (name, value) in &ask.headers {
        header_check(name, value)?;
        mail = mail.header(name.as_str(), Raw::new(value.as_str()));
    }
    for file in &ask.attachments {
        let content = BASE64
            .decode(&file.content)
            .map_err(|cause| Unsendable::Attachment { name: file.file_name.clone(), cause })?;
        let media_type = if file.media_type.is_empty() { "application/octet-stream" } else { &file.media_type };
        mail = if file.content_id.is_empty() {
            mail.attachment(media_type, file.file_name.as_str(), content)
        } else {
            mail.inline(media_type, file.content_id.as_str(), content)
        };
    }
    let raw = Bytes::from(mail.write_to_vec()?);
    Ok(Message::parse(random_id("", 22), envelope, raw, now_ms()))
}

fn recipients(ask: &Ask) -> Result<Vec<String>, Unsendable> {
    let named = ask.to.iter().chain(&ask.cc).map(|person| &person.email);
    let all: Vec<String> = named.chain(&ask.bcc).cloned().collect();
    if !(1..=RECIPIENTS_MAX).contains(&all.len()) {
        return Err(Unsendable::Recipients);
    }
    let known = all.iter().chain(std::iter::once(&ask.from.email));
    let broken =
        |address: &&String| !address.contains('@') || address.contains(|c: char| c.is_whitespace() || c.is_control());
    match known.into_iter().find(broken) {
        Some(address) => Err(Unsendable::Address(address.clone())),
        None => Ok(all),
    }
}

/// A line break in a header would let its sender write further headers.
fn header_check(name: &str, value: &str) -> Result<(), Unsendable> {
    let name_is_legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if name_is_legal && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(());
    }
    Err(Unsendable::Header(name.to_owned()))
}

fn one(person: &Person) -> Address<'_> {
    let name = (!person.name.is_empty()).then_some(person.name.as_str());
    Address::new_address(name, person.email.as_str())
}

fn list(people: &[Person]) -> Address<'_> {
    Address::new_list(people.iter().map(one).collect())
}
