//! Session tokens: JWT, HS256, as the system before issued them and with its secret.
//!
//! A token carries the account's id and its token version. Tokens without a version,
//! which the system before issued, count as version 0: every account starts there, so
//! they stay good until the account's version is first raised.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cairn_shared::{Id, Timestamp, time::SECOND};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Shortest secret, in characters.
pub const SECRET_CHARS_MIN: usize = 32;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// How long a session lasts, as `30d`, `12h`, `45m` or `90s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub seconds: i64,
}

impl Lifetime {
    pub const MONTH: Self = Self { seconds: 30 * 24 * 60 * 60 };
}

impl FromStr for Lifetime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "give a time such as 30d, 12h, 45m or 90s";
        let text = text.trim();
        let unit = match text.chars().last() {
            Some('d') => 24 * 60 * 60,
            Some('h') => 60 * 60,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(PROBLEM),
        };
        let number: i64 = text[..text.len() - 1].trim().parse().map_err(|_| PROBLEM)?;
        let seconds = number.checked_mul(unit).filter(|seconds| (1..=10 * 365 * 24 * 60 * 60).contains(seconds));
        seconds.map(|seconds| Self { seconds }).ok_or(PROBLEM)
    }
}

/// What a good token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub account: Id,
    pub token_version: i64,
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    id: String,
    /// Seconds.
    iat: i64,
    exp: i64,
    #[serde(default)]
    tv: i64,
    /// Tells sessions that begin in the same second apart, so that one can be ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

/// Issues and reads tokens.
pub struct Sessions {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    pub lifetime: Lifetime,
}

impl Sessions {
    pub fn new(secret: &str, lifetime: Lifetime) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Expiry is checked against the time that is handed in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            lifetime,
        }
    }

    /// A token for a new session, which `session` names.
    ///
    /// # Errors
    /// The claims cannot be written; there are none like that.
    pub fn issue(&self, session: Id, account: Id, token_version: i64, now: Timestamp) -> Result<String, String> {
        let iat = now.millis() / SECOND;
        let claims = Claims {
            id: account.to_string(),
            iat,
            exp: iat + self.lifetime.seconds,
            tv: token_version,
            jti: Some(session.to_string()),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(|error| error.to_string())
    }

    /// What a token says; none unless it is ours and still runs.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Session> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let token = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?;
        let of_type = token.header.typ.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("JWT"));
        let expires_at = Timestamp::from_millis(token.claims.exp.saturating_mul(SECOND));
        let account = token.claims.id.parse().ok()?;
        (of_type && now < expires_at).then_some(Session { account, token_version: token.claims.tv, expires_at })
    }
}

/// Names a token, or another long secret, without giving it away.
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_760_600_000_000);
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn sessions() -> Sessions {
        Sessions::new(SECRET, Lifetime::MONTH)
    }

    fn signed(claims: &serde_json::Value, algorithm: Algorithm) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    #[test]
    fn a_session_ends_with_its_time() {
        let (sessions, id) = (sessions(), Id::derive(&["a"]));
        let token = sessions.issue(Id::derive(&["s"]), id, 3, NOW).unwrap();
        let session = sessions.read(&token, NOW).unwrap();
        assert_eq!((session.account, session.token_version), (id, 3));
        assert!(sessions.read(&token, session.expires_at.plus(-1)).is_some());
        assert!(sessions.read(&token, session.expires_at).is_none());
    }

    #[test]
    fn a_token_of_the_system_before_is_version_0() {
        let id = Id::derive(&["a"]);
        let iat = NOW.millis() / 1000;
        let claims = serde_json::json!({ "id": id, "iat": iat, "exp": iat + 60 });
        assert_eq!(sessions().read(&signed(&claims, Algorithm::HS256), NOW).unwrap().token_version, 0);
    }

    #[test]
    fn other_algorithms_signatures_and_claims_are_refused() {
        let sessions = sessions();
        let good = sessions.issue(Id::derive(&["s"]), Id::derive(&["a"]), 0, NOW).unwrap();
        let iat = NOW.millis() / 1000;
        let other_algorithm =
            signed(&serde_json::json!({ "id": Id::derive(&["a"]), "iat": iat, "exp": iat + 60 }), Algorithm::HS384);
        let (head, _) = good.rsplit_once('.').unwrap();
        let unsigned =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#), head.split_once('.').unwrap().1);
        let no_expiry = signed(&serde_json::json!({ "id": Id::derive(&["a"]), "iat": iat }), Algorithm::HS256);
        let other_secret = Sessions::new("another-secret-another-secret-32", Lifetime::MONTH)
            .issue(Id::derive(&["s"]), Id::derive(&["a"]), 0, NOW)
            .unwrap();
        let query = signed(&serde_json::json!({ "id": { "$ne": "" }, "iat": iat, "exp": iat + 60 }), Algorithm::HS256);
        for token in
            ["", "a.b.c", head, &other_algorithm, &unsigned, &no_expiry, &other_secret, &query, &"x".repeat(10_000)]
        {
            assert!(sessions.read(token, NOW).is_none(), "{token}");
        }
    }

    #[test]
    fn lifetimes_are_read_as_people_write_them() {
        assert_eq!("30d".parse(), Ok(Lifetime::MONTH));
        assert_eq!("12h".parse::<Lifetime>().unwrap().seconds, 43_200);
        for wrong in ["", "30", "d", "-1d", "0s", "1é", "99999999999999d"] {
            assert!(wrong.parse::<Lifetime>().is_err(), "{wrong}");
        }
    }
}
