//! The mailbox over HTTP, as Mailpit's REST API has it, so that a real Mailpit can take this
//! one's place; and `/_ctl/faults`, which it does not have.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::compose::compose;
use super::faults::Faults;
use super::message::{Address, Attachment, Message};
use super::search::Query;
use super::store::Entry;
use crate::doubles::http::{Answer, Call, content, json as respond};

/// Mails of a page unless asked otherwise.
const PAGE_MESSAGES: usize = 50;

type Reply = Response<Full<Bytes>>;

#[derive(Default, Deserialize)]
struct Chosen {
    #[serde(default, rename = "IDs")]
    ids: Vec<String>,
}

/// Answers a call under `/api/v1`; `segments` is the path behind it.
pub(super) fn answer(shared: &Shared, call: &Call, segments: &[&str]) -> Reply {
    match (&call.method, segments) {
        (&Method::GET, ["messages"]) => list(shared, call, None),
        (&Method::GET, ["search"]) => match call.query("query") {
            Some(query) => list(shared, call, Some(&Query::parse(query))),
            None => problem(StatusCode::BAD_REQUEST, "no search query"),
        },
        (&Method::DELETE, ["messages"]) => delete_chosen(shared, call),
        (&Method::DELETE, ["search"]) => match call.query("query") {
            Some(query) => delete_found(shared, &Query::parse(query)),
            None => problem(StatusCode::BAD_REQUEST, "no search query"),
        },
        (&Method::GET, ["message", id]) => with_message(shared, id, |mail| respond(StatusCode::OK, &full(mail))),
        (&Method::GET, ["message", id, "raw"]) => {
            with_message(shared, id, |mail| content(StatusCode::OK, "text/plain; charset=utf-8", mail.raw.clone()))
        }
        (&Method::GET, ["message", id, "part", part_id]) => {
            with_message(shared, id, |mail| match mail.attachments.iter().find(|part| part.part_id == *part_id) {
                Some(part) => content(StatusCode::OK, &part.media_type, part.content.clone()),
                None => problem(StatusCode::NOT_FOUND, "part not found"),
            })
        }
        _ => problem(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// `POST /api/v1/send`. The faults of the SMTP side hold here too, but for `slow_ms`.
pub(super) fn send(shared: &Shared, call: &Call) -> Answer {
    {
        let mut store = shared.store();
        if store.faults.refuse {
            return Answer::Hangup;
        }
        if store.faults.reject_next.strike() {
            return Answer::Send(problem(StatusCode::SERVICE_UNAVAILABLE, "try again later"));
        }
    }
    Answer::Send(match compose(&call.body) {
        Ok(message) => {
            let id = message.id.clone();
            shared.receive(message);
            respond(StatusCode::OK, &json!({ "ID": id }))
        }
        Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
    })
}

/// Answers a call under `/_ctl`; `segments` is the path behind it.
pub(super) fn control(shared: &Shared, call: &Call, segments: &[&str]) -> Reply {
    match (&call.method, segments) {
        (&Method::POST, ["faults"]) => match serde_json::from_slice::<Faults>(&call.body) {
            Ok(faults) => {
                shared.store().faults = faults.clone();
                respond(StatusCode::OK, &json!(faults))
            }
            Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        },
        (&Method::DELETE, ["faults"]) => {
            shared.store().faults = Faults::default();
            respond(StatusCode::OK, &json!(Faults::default()))
        }
        (&Method::GET, ["faults"]) => respond(StatusCode::OK, &json!(shared.store().faults)),
        _ => problem(StatusCode::NOT_FOUND, "no such control"),
    }
}

fn problem(status: StatusCode, text: &str) -> Reply {
    respond(status, &json!({ "Error": text }))
}

fn list(shared: &Shared, call: &Call, query: Option<&Query>) -> Reply {
    let number = |name| call.query(name).and_then(|value| value.parse::<usize>().ok());
    let (start, limit) = (number("start").unwrap_or(0), number("limit").unwrap_or(PAGE_MESSAGES));
    let store = shared.store();
    let found: Vec<&Entry> =
        store.newest_first().filter(|entry| query.is_none_or(|query| query.matches(entry))).collect();
    let messages: Vec<Value> = found.iter().skip(start).take(limit).map(|entry| summary(entry)).collect();
    let unread = found.iter().filter(|entry| !entry.read).count();
    respond(
        StatusCode::OK,
        &json!({
            "total": store.len(),
            "unread": store.unread(),
            "count": messages.len(),
            "messages_count": found.len(),
            "messages_unread": unread,
            "start": start,
            "tags": [],
            "messages": messages,
        }),
    )
}

fn delete_chosen(shared: &Shared, call: &Call) -> Reply {
    let chosen =
        if call.body.is_empty() { Ok(Chosen::default()) } else { serde_json::from_slice::<Chosen>(&call.body) };
    match chosen {
        Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        Ok(Chosen { ids }) => {
            shared.store().remove(|mail| ids.is_empty() || ids.contains(&mail.id));
            ok()
        }
    }
}

fn delete_found(shared: &Shared, query: &Query) -> Reply {
    let mut store = shared.store();
    let ids: std::collections::HashSet<String> =
        store.oldest_first().filter(|entry| query.matches(entry)).map(|entry| entry.message.id.clone()).collect();
    store.remove(|mail| ids.contains(&mail.id));
    ok()
}

fn ok() -> Reply {
    content(StatusCode::OK, "text/plain", Bytes::from_static(b"ok"))
}

/// Opens a mail, which marks it as read.
fn with_message(shared: &Shared, id: &str, show: impl Fn(&Message) -> Reply) -> Reply {
    match shared.store().get_mut(id) {
        Some(entry) => {
            entry.read = true;
            show(&entry.message)
        }
        None => problem(StatusCode::NOT_FOUND, "message not found"),
    }
}

fn summary(entry: &Entry) -> Value {
    let mail = &entry.message;
    json!({
        "ID": mail.id,
        "MessageID": mail.message_id,
        "Read": entry.read,
        "From": mail.from.as_ref().map(address),
        "To": addresses(&mail.to),
        "Cc": addresses(&mail.cc),
        "Bcc": addresses(&mail.bcc),
        "ReplyTo": addresses(&mail.reply_to),
        "Subject": mail.subject,
        "Created": instant(mail.received_ms),
        "Username": "",
        "Tags": [],
        "Size": mail.raw.len(),
        "Attachments": mail.attachments.len(),
        "Snippet": mail.snippet(),
    })
}

fn full(mail: &Message) -> Value {
    let is_inline = |part: &&Attachment| !part.content_id.is_empty() && part.media_type.starts_with("image/");
    let (inline, attached): (Vec<&Attachment>, Vec<&Attachment>) = mail.attachments.iter().partition(is_inline);
    json!({
        "ID": mail.id,
        "MessageID": mail.message_id,
        "From": mail.from.as_ref().map(address),
        "To": addresses(&mail.to),
        "Cc": addresses(&mail.cc),
        "Bcc": addresses(&mail.bcc),
        "ReplyTo": addresses(&mail.reply_to),
        "ReturnPath": mail.envelope.from,
        "Subject": mail.subject,
        "Date": instant(mail.date_ms.unwrap_or(mail.received_ms)),
        "Tags": [],
        "Username": "",
        "Text": mail.text,
        "HTML": mail.html,
        "Size": mail.raw.len(),
        "Inline": parts(&inline),
        "Attachments": parts(&attached),
    })
}

fn parts(parts: &[&Attachment]) -> Vec<Value> {
    let part = |part: &&Attachment| {
        json!({
            "PartID": part.part_id,
            "FileName": part.file_name,
            "ContentType": part.media_type,
            "ContentID": part.content_id,
            "Size": part.content.len(),
        })
    };
    parts.iter().map(part).collect()
}

fn address(address: &Address) -> Value {
    json!({ "Name": address.name, "Address": address.address })
}

fn addresses(list: &[Address]) -> Vec<Value> {
    list.iter().map(address).collect()
}

/// RFC 3339 in UTC.
pub(super) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}
