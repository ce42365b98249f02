//! Where a guest wants to connect to: `postgres://…` or `host=… user=…`, as Spin
//! reads them.
//!
//! Only what a guest wrote counts. Files, sockets and the environment of the host
//! are out of its reach, so an address that asks for them is refused.

use std::collections::BTreeMap;

use sqlx::postgres::PgSslMode;

use super::Error;

/// The host name under which a component has its own database.
pub const OWN_HOST: &str = "cairn.internal";

const PORT_DEFAULT: u16 = 5432;
const ADDRESS_BYTES_MAX: usize = 4096;

/// An address that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// The component's own database, by its label.
    Own(String),
    Outside(Outside),
}

/// A server on the network, and as whom to log in there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outside {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    pub(super) tls: Tls,
    pub(super) application_name: Option<String>,
    pub(super) options: Option<String>,
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Tls {
    Disable,
    /// If the server offers it. Anybody in between could prevent it, so the
    /// certificate is not looked at either.
    #[default]
    Prefer,
    /// Always, with a certificate that a trusted authority made out for the host.
    Require,
}

impl Tls {
    pub(super) fn mode(self) -> PgSslMode {
        match self {
            Self::Disable => PgSslMode::Disable,
            Self::Prefer => PgSslMode::Prefer,
            Self::Require => PgSslMode::VerifyFull,
        }
    }
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(problem(format!("it is longer than {ADDRESS_BYTES_MAX} bytes")));
        }
        let url = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let mut settings = match url {
            Some(url) => from_url(url)?,
            None => from_words(text)?,
        };
        let mut take = |name: &str| settings.remove(name).filter(|value| !value.is_empty());
        let host = take("host").ok_or_else(|| problem("it names no host"))?;
        let database = take("dbname");
        if host.eq_ignore_ascii_case(OWN_HOST) {
            return database.map(Self::Own).ok_or_else(|| problem("it names no database, as in /<label>"));
        }
        if host.contains([',', '/']) {
            return Err(problem("give one host by name or number; sockets and lists are not supported"));
        }
        let port = match take("port") {
            Some(port) => port.parse().map_err(|_| problem(format!("{port:?} is no port")))?,
            None => PORT_DEFAULT,
        };
        let user = take("user").ok_or_else(|| problem("it names no user"))?;
        let outside = Outside {
            database: database.unwrap_or_else(|| user.clone()),
            host,
            port,
            password: take("password").unwrap_or_default(),
            tls: match take("sslmode").as_deref() {
                None | Some("prefer") => Tls::Prefer,
                Some("disable") => Tls::Disable,
                Some("require" | "verify-full") => Tls::Require,
                Some(other) => return Err(problem(format!("sslmode is disable, prefer or require, not {other:?}"))),
            },
            application_name: take("application_name"),
            options: take("options"),
            user,
        };
        // The host decides these itself.
        for ignored in ["connect_timeout", "keepalives", "keepalives_idle", "target_session_attrs", "channel_binding"] {
            settings.remove(ignored);
        }
        match settings.keys().next() {
            Some(unknown) => Err(problem(format!("the setting {unknown:?} is not supported"))),
            None => Ok(Self::Outside(outside)),
        }
    }
}

fn problem(text: impl Into<String>) -> Error {
    Error::Address(text.into())
}

fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        let [Some(high), Some(low)] = digits else {
            return Err(problem("a `%` is not followed by two hexadecimal digits"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| problem("it is not UTF-8"))
}

/// `user:password@host:port/database?name=value`.
fn from_url(url: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut settings = BTreeMap::new();
    let mut add = |name: &str, value: &str| {
        settings.insert(name.to_owned(), decoded(value)?);
        Ok::<_, Error>(())
    };
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    add("dbname", database)?;
    let (login, server) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    add("user", user)?;
    add("password", password)?;
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or_default()),
        None => server.split_once(':').unwrap_or((server, "")),
    };
    add("host", host)?;
    add("port", port)?;
    for setting in query.split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').ok_or_else(|| problem(format!("{setting:?} has no value")))?;
        add(&decoded(name)?, value)?;
    }
    Ok(settings)
}

/// `name=value name='a value'`, with backslashes before quotes.
fn from_words(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut settings = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(|| problem("it is neither postgres://… nor name=value"))?;
        let (value, after) = value(after.trim_start())?;
        settings.insert(name.trim().to_owned(), value);
        rest = after.trim_start();
    }
    Ok(settings)
}

/// The first value of a text, and what follows it.
fn value(text: &str) -> Result<(String, &str), Error> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, body.get(at + 1..).unwrap_or_default())),
            space if !quoted && space.is_whitespace() => return Ok((value, body.get(at..).unwrap_or_default())),
            _ => value.push(character),
        }
    }
    if quoted { Err(problem("a quote is not closed")) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(text: &str) -> Outside {
        match Address::parse(text).unwrap() {
            Address::Outside(outside) => outside,
            Address::Own(label) => panic!("own database {label}"),
        }
    }

    #[test]
    fn both_forms_are_read() {
        let expected = Outside {
            host: "db.example.com".into(),
            port: 5433,
            user: "me".into(),
            password: "p@ss word".into(),
            database: "shop".into(),
            tls: Tls::Require,
            application_name: None,
            options: None,
        };
        let url = "postgres://me:p%40ss%20word@db.example.com:5433/shop?sslmode=require";
        assert_eq!(outside(url), expected);
        let words = "host=db.example.com port=5433 user=me password='p@ss word' dbname = shop sslmode=require";
        assert_eq!(outside(words), expected);
        assert_eq!(outside("postgresql://me@[::1]").host, "::1");
        assert_eq!(outside("postgresql://me@h").database, "me");
        assert_eq!(outside("host=h user=me password='it\\'s'").password, "it's");
    }

    #[test]
    fn the_own_database_has_a_label() {
        assert_eq!(Address::parse("postgres://cairn.internal/shop").unwrap(), Address::Own("shop".into()));
        assert!(Address::parse("postgres://cairn.internal").is_err());
    }

    #[test]
    fn what_reaches_into_the_host_is_refused() {
        for address in [
            "",
            "nonsense",
            "postgres://",
            "postgres://user@/db",
            "postgres://user@%2Fvar%2Frun/db",
            "host=/var/run user=me",
            "host=a,b user=me",
            "postgres://host/db",
            "postgres://me@host/db?sslkey=/etc/key",
            "postgres://me@host/db?sslmode=maybe",
            "postgres://me@host:port/db",
            "postgres://me@host/%zz",
            "host=h user='me",
        ] {
            assert!(matches!(Address::parse(address), Err(Error::Address(_))), "{address}");
        }
    }
}
