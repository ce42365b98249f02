//! What a handler can ask of a request.

use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::{Request, router::Params};
use crate::{Error, Result};

/// A part of a request that a handler takes as an argument.
pub trait FromRequest: Sized {
    /// # Errors
    /// The answer to a request that lacks it: a 4xx that says what is wrong.
    fn from_request(request: &mut Request, params: &Params) -> Result<Self>;
}

/// The `{…}` segment of a route, or a pair of the first two.
pub struct Path<T>(pub T);

fn segment<T: FromStr<Err: std::fmt::Display>>(params: &Params, at: usize) -> Result<T> {
    let text = params.0.get(at).ok_or_else(|| Error::internal("the route has fewer segments"))?;
    text.parse().map_err(|error| {
        Error::new(400, "INVALID_ID", format!("\u{201c}{}\u{201d} in the address is not valid: {error}.", cut(text)))
    })
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

impl<T: FromStr<Err: std::fmt::Display>> FromRequest for Path<T> {
    fn from_request(_: &mut Request, params: &Params) -> Result<Self> {
        segment(params, 0).map(Self)
    }
}

/// The first two `{…}` segments of a route.
impl<T: FromStr<Err: std::fmt::Display>, U: FromStr<Err: std::fmt::Display>> FromRequest for Path2<T, U> {
    fn from_request(_: &mut Request, params: &Params) -> Result<Self> {
        Ok(Self(segment(params, 0)?, segment(params, 1)?))
    }
}

/// The first two `{…}` segments of a route.
pub struct Path2<T, U>(pub T, pub U);

/// Another part, whose absence is answered as RFC 9457 says.
pub struct Problem<E>(pub E);

impl<E: FromRequest> FromRequest for Problem<E> {
    fn from_request(request: &mut Request, params: &Params) -> Result<Self> {
        E::from_request(request, params).map(Self).map_err(Error::problem)
    }
}

/// The query string. Empty values count as absent, unknown keys are ignored.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    fn from_request(request: &mut Request, _: &Params) -> Result<Self> {
        let given = request.query().split('&').filter(|pair| !pair.is_empty() && !pair.ends_with('='));
        let given = given.collect::<Vec<_>>().join("&");
        let parser = serde_urlencoded::Deserializer::new(form_urlencoded::parse(given.as_bytes()));
        let value = serde_path_to_error::deserialize(parser);
        value.map(Self).map_err(|error| field_error("query parameter", &error.path().to_string(), error.inner()))
    }
}

/// A JSON object (or array) as body; an empty body is an empty object.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(request: &mut Request, _: &Params) -> Result<Self> {
        let body = std::mem::take(&mut request.body);
        let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}".as_slice() } else { &body };
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[') => {}
            _ => return Err(Error::bad_request("The body has to be a JSON object.")),
        }
        if escapes_nul(body) {
            return Err(Error::bad_request("A text must not have the character U+0000."));
        }
        let mut parser = serde_json::Deserializer::from_slice(body);
        let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.inner());
            if inner.is_syntax() || inner.is_eof() {
                return Error::bad_request("Invalid JSON payload").cause(inner);
            }
            field_error("field", &path, inner)
        })?;
        parser.end().map_err(|error| Error::bad_request("Invalid JSON payload").cause(error))?;
        Ok(Self(value))
    }
}

/// Whether a text in this JSON has the one character that Postgres does not store.
fn escapes_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// One sentence that names the field, and `errors` keyed by its path.
fn field_error(what: &str, path: &str, error: &impl std::fmt::Display) -> Error {
    let problem = error.to_string();
    let problem = problem.split(" at line ").next().unwrap_or_default();
    let message = match path {
        "." | "?" => format!("The request is not complete: {problem}."),
        path => format!("The {what} `{}` is not valid: {problem}.", cut(path)),
    };
    Error::bad_request(message).with("errors", serde_json::json!({ path: { "message": problem } }))
}

/// The body as it came.
pub struct Body(pub Vec<u8>);

impl FromRequest for Body {
    fn from_request(request: &mut Request, _: &Params) -> Result<Self> {
        Ok(Self(std::mem::take(&mut request.body)))
    }
}

/// All headers, for the few handlers that look at one.
pub struct Header(pub Vec<(String, String)>);

impl Header {
    /// The first header of this lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequest for Header {
    fn from_request(request: &mut Request, _: &Params) -> Result<Self> {
        Ok(Self(request.headers.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_nul_is_found_and_an_escaped_backslash_is_not_mistaken_for_it() {
        for (json, found) in
            [(r#"["\\u0000"]"#, false), (r#"["\u0000"]"#, true), (r#"["\\\u0000"]"#, true), (r#"["\"#, false)]
        {
            assert_eq!(escapes_nul(json.as_bytes()), found, "{json}");
        }
    }
}
