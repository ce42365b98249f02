//! Who may do what: the doors of the operator's API.
//!
//! Whoever can open the socket is the operator: its file belongs to one user. Over
//! the network a token says so; without it an address of this machine alone shows how
//! the application is, and changes nothing.

use std::{fmt, path::Path};

use http::{HeaderMap, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// Environment variable with the operator's token.
pub const TOKEN_VARIABLE: &str = "CAIRN_OPERATOR_TOKEN";
/// Characters that a token has at least.
const TOKEN_CHARACTERS_MIN: usize = 16;
const SCHEME: &str = "Bearer ";
/// Headers by which a browser shows that a web page sent the request.
const BROWSER_HEADERS: [&str; 2] = ["origin", "sec-fetch-site"];

/// The operator's token. Only its hash is kept, so that it can neither be shown nor
/// be guessed from how long a comparison takes.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// Why a token cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the operator's token needs at least {TOKEN_CHARACTERS_MIN} characters, without spaces")]
    Weak,
    #[error("the operator's token cannot be read from {0}")]
    Unreadable(String),
}

impl Token {
    /// A token as it is sent.
    ///
    /// # Errors
    /// When it is too short, or could not be sent.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let sendable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let strong = text.len() >= TOKEN_CHARACTERS_MIN;
        if sendable && strong { Ok(Self(Sha256::digest(text).into())) } else { Err(TokenError::Weak) }
    }

    /// The token in a file, without spaces around it.
    ///
    /// # Errors
    /// As [`Token::new`], or when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Self::new(read(path)?.trim())
    }

    /// Whether a request carries it.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = sent.and_then(|value| value.strip_prefix(SCHEME));
        token.is_some_and(|token| <[u8; 32]>::from(Sha256::digest(token)) == self.0)
    }
}

/// The text of a token file.
pub(crate) fn read(path: &Path) -> Result<String, TokenError> {
    std::fs::read_to_string(path).map_err(|error| TokenError::Unreadable(format!("{}: {error}", path.display())))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where a request came in.
#[derive(Debug, Clone)]
pub enum Access {
    /// By the socket.
    Socket,
    /// By an address.
    Network {
        /// What commands need; without one none is taken.
        token: Option<Token>,
        /// Only this machine can reach it.
        local: bool,
    },
}

/// Why a request is not answered.
pub(super) struct Refusal {
    pub status: StatusCode,
    pub message: &'static str,
}

impl Access {
    /// Whether a request may be answered.
    pub(super) fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        if BROWSER_HEADERS.iter().any(|name| headers.contains_key(*name)) {
            return Err(Refusal { status: StatusCode::FORBIDDEN, message: "This address is not for web pages." });
        }
        let Self::Network { token, local } = self else { return Ok(()) };
        let open = match Need::of(method, path) {
            Need::Nothing => true,
            Need::Reading => *local,
            Need::Commanding => false,
        };
        match token {
            _ if open => Ok(()),
            Some(token) if token.is_in(headers) => Ok(()),
            Some(_) => Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                message: "This needs the operator's token, as `Authorization: Bearer <token>`.",
            }),
            None => Err(Refusal {
                status: StatusCode::FORBIDDEN,
                message: "This is done by the operator's socket; here only with a token, which is not set up \
                          (CAIRN_OPERATOR_TOKEN).",
            }),
        }
    }
}

/// What a request needs its sender to be allowed.
enum Need {
    Nothing,
    Reading,
    Commanding,
}

impl Need {
    fn of(method: &Method, path: &str) -> Self {
        match path {
            "/livez" | "/readyz" => Self::Nothing,
            // Log lines may be about persons.
            "/logs" => Self::Commanding,
            _ if method == Method::GET => Self::Reading,
            _ => Self::Commanding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-long-enough-token";

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    fn status(access: &Access, method: &Method, path: &str, headers: &HeaderMap) -> u16 {
        access.check(method, path, headers).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn each_door_opens_for_what_it_is_for() {
        let (none, right) = (HeaderMap::new(), headers(&format!("Bearer {TOKEN}")));
        let network = |token: bool, local| Access::Network { token: token.then(|| Token::new(TOKEN).unwrap()), local };
        let (local, local_token, remote) = (network(false, true), network(true, true), network(true, false));
        for (method, path, expected) in [
            (Method::GET, "/livez", [200, 200, 200, 200]),
            (Method::GET, "/metrics", [200, 200, 200, 401]),
            (Method::GET, "/components/a/versions", [200, 200, 200, 401]),
            (Method::GET, "/logs", [200, 403, 401, 401]),
            (Method::POST, "/swap", [200, 403, 401, 401]),
            (Method::PUT, "/log-levels/a", [200, 403, 401, 401]),
        ] {
            let doors = [&Access::Socket, &local, &local_token, &remote];
            assert_eq!(doors.map(|door| status(door, &method, path, &none)), expected, "{method} {path}");
            assert_eq!(status(&remote, &method, path, &right), 200);
        }
    }

    #[test]
    fn no_other_token_opens() {
        let remote = Access::Network { token: Some(Token::new(TOKEN).unwrap()), local: false };
        for sent in ["", "Bearer", "Bearer ", TOKEN, "Bearer a-long-enough-toke", "Bearer a-long-enough-token2"] {
            assert_eq!(status(&remote, &Method::POST, "/swap", &headers(sent)), 401, "{sent:?}");
        }
    }

    #[test]
    fn web_pages_are_refused_everywhere() {
        let mut headers = headers(&format!("Bearer {TOKEN}"));
        headers.insert("origin", "https://example.org".parse().unwrap());
        assert_eq!(status(&Access::Socket, &Method::GET, "/livez", &headers), 403);
    }

    #[test]
    fn a_weak_token_is_refused_and_none_is_shown() {
        for weak in ["", "short", "fifteen-letters", "with spaces in the middle", "schlüssel-mit-umlaut"] {
            assert_eq!(Token::new(weak), Err(TokenError::Weak), "{weak}");
        }
        let access = Access::Network { token: Some(Token::new(TOKEN).unwrap()), local: false };
        assert!(!format!("{access:?}").contains(TOKEN));
    }
}
