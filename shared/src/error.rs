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
    /// Whether it is sent as a problem of RFC 9457.
    problem: bool,
}

impl Error {
    /// An error with a status, a stable code in capitals, and a message for people.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            extra: Map::new(),
            retry_after: None,
            cause: None,
            problem: false,
        }
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

    /// Has it sent as RFC 9457 says: for routes that existing clients do not know.
    pub fn problem(mut self) -> Self {
        self.problem = true;
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
        let (status, retry_after, problem) = (self.status, self.retry_after, self.problem);
        let body = if problem { self.problem_body(now) } else { self.envelope(service, now) };
        let mut response = Response::json(status, &body);
        if problem {
            response.headers = vec![("content-type".into(), "application/problem+json".into())];
        }
        match retry_after {
            Some(seconds) => response.header("retry-after", seconds.to_string()),
            None => response,
        }
    }

    fn problem_body(self, now: Timestamp) -> Value {
        let mut body = json!({
            "type": "about:blank",
            "status": self.status,
            "title": phrase(self.status),
            "detail": self.message,
            "code": self.code,
            "timestamp": now,
        });
        if let Value::Object(object) = &mut body {
            object.extend(self.extra);
        }
        body
    }

    fn envelope(self, service: &str, now: Timestamp) -> Value {
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
        body
    }
}

/// What HTTP calls a status.
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        400..500 => "Client Error",
        _ => "Internal Server Error",
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
            DbError::Busy | DbError::Conflict => Self::unavailable(error),
            DbError::Value(problem) => {
                Self::bad_request("The request has a text that is too long or has a character that cannot be stored.")
                    .cause(problem)
            }
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_sent_as_one_and_the_cause_never() {
        let error = Error::conflict("It has arrived already.").cause("row 7").retry_after(3).with("left", 5).problem();
        let response = error.into_response("test", Timestamp::from_millis(0));
        assert_eq!(response.header_value("content-type"), Some("application/problem+json"));
        assert_eq!(response.header_value("retry-after"), Some("3"));
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((&body["status"], &body["title"]), (&json!(409), &json!("Conflict")));
        assert_eq!((&body["detail"], &body["left"]), (&json!("It has arrived already."), &json!(5)));
        assert!(!body.to_string().contains("row 7"));
    }
}
