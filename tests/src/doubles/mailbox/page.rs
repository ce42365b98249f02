//! Pages for people: the list of mails and a mail. Plain HTML, nothing is loaded from elsewhere.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::Shared;
use super::api::instant;
use super::message::{Address, Message};
use super::store::Entry;
use crate::doubles::http::{escape, html};

/// Mails shown in the list, the newest ones.
const MAILS_SHOWN_MAX: usize = 200;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccc}\
pre{background:#f3f3f3;padding:1rem;white-space:pre-wrap}iframe{width:100%;height:40rem;border:1px solid #ccc}\
.unread{font-weight:600}";

/// `GET /`.
pub(super) fn list(shared: &Shared) -> Response<Full<Bytes>> {
    let store = shared.store();
    let rows: String = store.newest_first().take(MAILS_SHOWN_MAX).map(row).collect();
    let body = format!(
        "<h1>Mails ({})</h1><table><tr><th>To</th><th>Subject</th><th>Received</th></tr>{rows}</table>",
        store.len()
    );
    page(StatusCode::OK, "Mails", &body)
}

fn row(entry: &Entry) -> String {
    let mail = &entry.message;
    let recipients: Vec<String> = mail.recipients().map(|to| escape(&to.address)).collect();
    format!(
        "<tr class=\"{class}\"><td>{to}</td><td><a href=\"/view/{id}\">{subject}</a></td><td>{received}</td></tr>",
        class = if entry.read { "read" } else { "unread" },
        to = recipients.join(", "),
        id = escape(&mail.id),
        subject = escape(if mail.subject.is_empty() { "(no subject)" } else { &mail.subject }),
        received = instant(mail.received_ms),
    )
}

/// `GET /view/:id`.
pub(super) fn view(shared: &Shared, id: &str) -> Response<Full<Bytes>> {
    match shared.store().get_mut(id) {
        Some(entry) => {
            entry.read = true;
            page(StatusCode::OK, "Mail", &mail_body(&entry.message))
        }
        None => page(StatusCode::NOT_FOUND, "Unknown mail", "<h1>Unknown mail</h1><p><a href=\"/\">All mails</a></p>"),
    }
}

fn mail_body(mail: &Message) -> String {
    let list = |addresses: &[Address]| {
        addresses.iter().map(|address| escape(&address.to_string())).collect::<Vec<_>>().join(", ")
    };
    let files: String = mail
        .attachments
        .iter()
        .map(|part| {
            format!(
                "<li><a href=\"/api/v1/message/{id}/part/{part_id}\">{name}</a> ({kind}, {size} bytes)</li>",
                id = escape(&mail.id),
                part_id = escape(&part.part_id),
                name = escape(if part.file_name.is_empty() { "unnamed" } else { &part.file_name }),
                kind = escape(&part.media_type),
                size = part.content.len(),
            )
        })
        .collect();
    // Sandboxed without any permission: a mail's HTML may come from anybody.
    let html_part = if mail.html.is_empty() {
        String::new()
    } else {
        format!("<h2>HTML</h2><iframe sandbox srcdoc=\"{}\"></iframe>", escape(&mail.html))
    };
    format!(
        "<p><a href=\"/\">All mails</a> · <a href=\"/api/v1/message/{id}/raw\">raw</a></p><h1>{subject}</h1>\
         <p>From {from}<br>To {to}<br>Cc {cc}<br>Bcc {bcc}<br>{received}</p><ul>{files}</ul>\
         <h2>Text</h2><pre>{text}</pre>{html_part}",
        id = escape(&mail.id),
        subject = escape(&mail.subject),
        from = list(mail.from.as_slice()),
        to = list(&mail.to),
        cc = list(&mail.cc),
        bcc = list(&mail.bcc),
        received = instant(mail.received_ms),
        text = escape(&mail.text),
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Full<Bytes>> {
    html(
        status,
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>{body}</html>"
        ),
    )
}
