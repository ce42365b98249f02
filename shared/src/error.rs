//! The one error that leaves a component by HTTP.
//!
//! A public message that a person can act on, and a private cause that is logged once.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::{db::DbError, http::Response, time::Timestamp};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An answer other than success.
#[derive(Debug)]
pub struct Error {
    status: u16,
    code: &'static str,
    message: String,
    /// Keys that clients read at the top level, such as `field`.
    extra: Map<String, Value>,
    /// Seconds after which a retry makes sense.
    retry_after: Option<u32>,
    /// What happened, for the log alone.
    cause: Option<String>,
}

impl Error {
    /// An error with a status, a stable code in capitals, and a message for people.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), extra: Map::new(), retry_after: None, cause: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "VALIDATION_ERROR", message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "INVALID_TOKEN", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "INSUFFICIENT_PERMISSIONS", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "NOT_FOUND", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "CONFLICT", message)
    }

    /// A failure on our side. `cause` goes to the log, never to the client.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error = Self::new(500, "INTERNAL_ERROR", "Something went wrong on our side. Please try again.");
        error.cause = Some(cause.to_string());
        error
    }

    /// Something we depend on does not answer.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        let message = "This part of the service is not available right now. Please try again in a minute.";
        let mut error = Self::new(503, "SERVICE_UNAVAILABLE", message).retry_after(30);
        error.cause = Some(cause.to_string());
        error
    }

    /// Another message for people.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// A key that clients read at the top level of the body.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// What the log is to say about it.
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn public_message(&self) -> &str {
        &self.message
    }

    /// The envelope, with the message at the top level where existing clients read it.
    pub fn into_response(self, service: &str, now: Timestamp) -> Response {
        if let Some(cause) = &self.cause {
            // What the client did wrong is the client's business.
            let log = if self.status >= 500 { crate::log::error } else { crate::log::info };
            log("request failed", &[("cause", cause), ("code", &self.code)]);
        }
        let mut body = json!({
            "success": false,
            "message": self.message,
            "error": { "code": self.code, "message": self.message },
            "timestamp": now,
            "service": service,
        });
        if let Value::Object(object) = &mut body {
            if let Some(errors) = self.extra.get("errors") {
                object["error"]["details"] = errors.clone();
            }
            object.extend(self.extra);
        }
        let response = Response::json(self.status, &body);
        match self.retry_after {
            Some(seconds) => response.header("retry-after", seconds.to_string()),
            None => response,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)?;
        self.cause.iter().try_for_each(|cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for Error {}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy => Self::unavailable("the database is locked"),
            other => Self::internal(other),
        }
    }
}
