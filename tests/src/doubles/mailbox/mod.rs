//! The mail server's double: takes mails by SMTP or as JSON and shows them over HTTP (Mailpit's API, a
//! page) and to tests in the same process.
//!
//! It delivers nothing to anybody, and knows nothing of what the mails are about.

mod api;
mod compose;
mod faults;
mod message;
mod page;
mod search;
mod smtp;
mod store;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::Notify;

pub use faults::Faults;
pub use message::{Address, Attachment, Message};
pub use store::{MAILBOX_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX};

use super::http::{Answer, Call, Server, content, html};
use store::Store;

/// Open SMTP connections; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 128;

/// A mail that was waited for did not come.
#[derive(Debug, thiserror::Error)]
#[error("no new mail to {to} with {subject:?} in its subject within {timeout:?}; there are: {there:?}")]
pub struct NoSuchMail {
    /// The recipient that was asked for.
    pub to: String,
    /// The part of the subject that was asked for.
    pub subject: String,
    /// How long it was waited.
    pub timeout: Duration,
    /// Recipients and subjects of the mails that did come.
    pub there: Vec<String>,
}

/// A running double. Dropping it closes its ports.
#[derive(Debug)]
pub struct Mailbox {
    smtp: Server,
    http: Server,
    shared: Arc<Shared>,
}

impl Mailbox {
    /// Starts on two addresses `host:port`, port 0 for any.
    ///
    /// # Errors
    /// One of the addresses cannot be listened on.
    pub async fn start(smtp_listen: &str, http_listen: &str) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { store: Mutex::default(), arrived: Notify::new() });
        let receiving = Arc::clone(&shared);
        let smtp = super::http::accept(smtp_listen, CONNECTIONS_MAX, move |stream| {
            smtp::converse(Arc::clone(&receiving), stream)
        })
        .await?;
        let serving = Arc::clone(&shared);
        let http = super::http::serve(http_listen, compose::REQUEST_BYTES_MAX, move |call| {
            let shared = Arc::clone(&serving);
            async move { route(&shared, &call) }
        })
        .await?;
        Ok(Self { smtp, http, shared })
    }

    /// Where it takes mails.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp.addr
    }

    /// Where it shows them.
    pub fn http_addr(&self) -> SocketAddr {
        self.http.addr
    }

    /// `http://host:port`, without `/api/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.http.addr)
    }

    /// Waits for a mail to `to` with `subject_contains` in its subject. Each mail is given out
    /// once, the oldest first: waiting again is waiting for the next one.
    ///
    /// # Errors
    /// None came in time; the error lists what did.
    pub async fn wait_for(
        &self,
        to: &str,
        subject_contains: &str,
        timeout: Duration,
    ) -> Result<Arc<Message>, NoSuchMail> {
        let fits = |mail: &Message| mail.is_to(to) && mail.subject().contains(subject_contains);
        let arrival = async {
            loop {
                let arrived = self.shared.arrived.notified();
                if let Some(mail) = self.shared.store().take(fits) {
                    return mail;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(timeout, arrival).await.map_err(|_elapsed| NoSuchMail {
            to: to.to_owned(),
            subject: subject_contains.to_owned(),
            timeout,
            there: self.messages().iter().map(|mail| headline(mail)).collect(),
        })
    }

    /// All mails, oldest first.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.shared.store().oldest_first().map(|entry| Arc::clone(&entry.message)).collect()
    }

    /// All mails to an address, oldest first.
    pub fn messages_to(&self, address: &str) -> Vec<Arc<Message>> {
        self.messages().into_iter().filter(|mail| mail.is_to(address)).collect()
    }

    /// Deletes all mails.
    pub fn clear(&self) {
        self.shared.store().remove(|_| true);
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.store().faults = faults;
    }
}

fn headline(mail: &Message) -> String {
    let to: Vec<&str> = mail.recipients().map(|address| address.address.as_str()).collect();
    format!("{}: {}", to.join(", "), mail.subject)
}

/// What the two servers and the handle share.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    arrived: Notify,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, message: Message) {
        self.store().push(message);
        self.arrived.notify_waiters();
    }
}

fn route(shared: &Shared, call: &Call) -> Answer {
    let response = match (&call.method, call.segments().as_slice()) {
        (&Method::POST, ["api", "v1", "send"]) => return api::send(shared, call),
        (_, ["api", "v1", rest @ ..]) => api::answer(shared, call, rest),
        (_, ["_ctl", rest @ ..]) => api::control(shared, call, rest),
        (&Method::GET, []) => page::list(shared),
        (&Method::GET, ["view", id]) => page::view(shared, id),
        (&Method::GET, ["livez" | "readyz"]) => content(StatusCode::OK, "text/plain", Bytes::from_static(b"ok")),
        _ => html(StatusCode::NOT_FOUND, "<!doctype html><title>Not found</title><h1>Not found</h1>".to_owned()),
    };
    Answer::Send(response)
}
