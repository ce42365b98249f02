//! Where a component may connect to: one entry of `allowed_outbound_hosts`.

use std::{net::IpAddr, ops::Range};

/// A permission such as `https://api.example.com`, `http://*.example.com:8080`,
/// `*://10.0.0.0/8:*` or `https://self`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    scheme: Option<String>,
    host: Host,
    port: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// With the leading dot, in lower case.
    Subdomains(String),
    /// The application itself.
    Own,
    Name(String),
    Network(IpAddr, u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ports {
    Any,
    Range(Range<u32>),
}

/// Why an entry cannot be understood, and how to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AllowedHostError {
    #[error("has no scheme; write `scheme://host:port`, such as `https://api.example.com`")]
    NoScheme,
    #[error("has a scheme that is neither `*` nor letters")]
    Scheme,
    #[error("has no host; write `scheme://host:port`")]
    NoHost,
    #[error("has a path; a permission covers a whole host, so end it after the port")]
    Path,
    #[error("has a user name; leave credentials out of it")]
    Credentials,
    #[error("has a `*` inside its host; `*` may stand for a whole host, or begin it as in `*.example.com`")]
    Wildcard,
    #[error("has a host that is neither a name nor an address")]
    Host,
    #[error("has no port, and its scheme has no usual one; add `:port` or `:*`")]
    NoPort,
    #[error("has a port that is neither `*`, a number up to 65535, nor a range such as `8000..9000`")]
    Port,
}

impl AllowedHost {
    /// Reads one entry, after its templates have been filled in.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the end of a sentence about it.
    pub fn parse(text: &str) -> Result<Self, AllowedHostError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(AllowedHostError::NoScheme)?;
        let scheme = parse_scheme(scheme)?;
        let (host, port) = split_port(rest);
        let host = parse_host(host)?;
        let port = match port {
            Some(port) => parse_ports(port)?,
            None => usual_port(scheme.as_deref())?,
        };
        Ok(Self { scheme, host, port })
    }

    /// Whether it permits a connection to `host` (a name, or an address without
    /// brackets) at `port` for `scheme`.
    #[must_use]
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.allows_scheme(scheme) && self.host.allows(host) && self.port.allows(port)
    }

    /// Whether it names one host, address or network, rather than covering many by a
    /// wildcard: then whatever it leads to is meant.
    #[must_use]
    pub fn is_named(&self) -> bool {
        matches!(self.host, Host::Name(_) | Host::Network(..))
    }

    /// The host name it permits at `port`, if it permits one.
    #[must_use]
    pub fn name(&self, port: u16) -> Option<&str> {
        match &self.host {
            Host::Name(name) if self.port.allows(port) => Some(name),
            Host::Name(_) | Host::Any | Host::Subdomains(_) | Host::Own | Host::Network(..) => None,
        }
    }

    /// The scheme it is for; without one it is for any.
    #[must_use]
    pub fn scheme(&self) -> Option<&str> {
        self.scheme.as_deref()
    }

    /// Whether it permits requests to the application itself.
    #[must_use]
    pub fn allows_own(&self, scheme: &str) -> bool {
        self.allows_scheme(scheme) && matches!(self.host, Host::Any | Host::Own)
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        match &self.scheme {
            Some(own) => own.eq_ignore_ascii_case(scheme),
            None => true,
        }
    }
}

impl Host {
    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Own => false,
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Subdomains(suffix) => {
                let start = host.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                let tail = start.and_then(|start| host.get(start..));
                tail.is_some_and(|tail| tail.eq_ignore_ascii_case(suffix))
            }
            Self::Network(network, bits) => host.parse().is_ok_and(|address| same_network(*network, address, *bits)),
        }
    }
}

impl Ports {
    fn allows(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Range(range) => range.contains(&u32::from(port)),
        }
    }
}

fn parse_scheme(scheme: &str) -> Result<Option<String>, AllowedHostError> {
    if scheme == "*" {
        return Ok(None);
    }
    let letters = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
    letters.then(|| Some(scheme.to_ascii_lowercase())).ok_or(AllowedHostError::Scheme)
}

/// Splits at the last colon that is not part of an IPv6 address.
fn split_port(rest: &str) -> (&str, Option<&str>) {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    }
}

fn parse_host(text: &str) -> Result<Host, AllowedHostError> {
    match text {
        "" => return Err(AllowedHostError::NoHost),
        "*" => return Ok(Host::Any),
        "self" | "self.alt" => return Ok(Host::Own),
        _ => {}
    }
    if let Some(network) = parse_network(text) {
        return Ok(network);
    }
    if text.contains('/') {
        return Err(AllowedHostError::Path);
    }
    if text.contains('@') {
        return Err(AllowedHostError::Credentials);
    }
    if let Some(name) = text.strip_prefix("*.") {
        let name = parse_name(name)?;
        return Ok(Host::Subdomains(format!(".{name}")));
    }
    parse_name(text).map(Host::Name)
}

fn parse_network(text: &str) -> Option<Host> {
    let text = text.strip_prefix('[').unwrap_or(text);
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.strip_suffix(']').unwrap_or(address).parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.trim_end_matches(']').parse().ok()?,
        None => bits_max,
    };
    (bits <= bits_max).then_some(Host::Network(address, bits))
}

fn parse_name(name: &str) -> Result<String, AllowedHostError> {
    if name.contains('*') {
        return Err(AllowedHostError::Wildcard);
    }
    let label = |label: &str| {
        let fits = (1..=63).contains(&label.len());
        fits && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let valid = name.len() <= 253 && name.split('.').all(label);
    valid.then(|| name.to_ascii_lowercase()).ok_or(AllowedHostError::Host)
}

fn parse_ports(text: &str) -> Result<Ports, AllowedHostError> {
    if text == "*" {
        return Ok(Ports::Any);
    }
    let number = |text: &str| text.parse::<u16>().map(u32::from);
    let range = match text.split_once("..") {
        Some((start, end)) => number(start).and_then(|start| Ok(start..number(end)?)),
        None => number(text).map(|port| port..port + 1),
    };
    match range {
        Ok(range) if !range.is_empty() => Ok(Ports::Range(range)),
        _ => Err(AllowedHostError::Port),
    }
}

fn usual_port(scheme: Option<&str>) -> Result<Ports, AllowedHostError> {
    let port = match scheme.ok_or(AllowedHostError::NoPort)? {
        "http" => 80,
        "https" => 443,
        "postgres" | "postgresql" => 5432,
        "mysql" => 3306,
        "redis" => 6379,
        "mqtt" => 1883,
        "smtp" => 25,
        _ => return Err(AllowedHostError::NoPort),
    };
    Ok(Ports::Range(port..port + 1))
}

fn same_network(network: IpAddr, address: IpAddr, bits: u8) -> bool {
    let first_bits = |left: u128, right: u128, width: u32| {
        let shift = width.saturating_sub(u32::from(bits));
        // A shift by the full width, which `0.0.0.0/0` asks for, keeps nothing.
        left.checked_shr(shift).unwrap_or(0) == right.checked_shr(shift).unwrap_or(0)
    };
    match (network, address) {
        (IpAddr::V4(left), IpAddr::V4(right)) => first_bits(left.to_bits().into(), right.to_bits().into(), 32),
        (IpAddr::V6(left), IpAddr::V6(right)) => first_bits(left.to_bits(), right.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_covers_its_scheme_host_and_port_only() {
        for (permission, scheme, host, port, allowed) in [
            ("https://api.example.com", "https", "api.example.com", 443, true),
            ("https://api.example.com", "https", "API.example.com", 443, true),
            ("https://api.example.com", "http", "api.example.com", 443, false),
            ("https://api.example.com", "https", "api.example.com", 444, false),
            ("https://api.example.com", "https", "x.api.example.com", 443, false),
            ("https://api.example.com/", "https", "api.example.com", 443, true),
            ("http://*.example.com:*", "http", "a.b.example.com", 9, true),
            ("http://*.example.com:*", "http", "example.com", 9, false),
            ("http://*.example.com:*", "http", "badexample.com", 9, false),
            ("http://*.spin.internal", "http", "a.spin.internal", 80, true),
            ("*://*:*", "redis", "anything", 1, true),
            ("http://localhost:8000..8010", "http", "localhost", 8009, true),
            ("http://localhost:8000..8010", "http", "localhost", 8010, false),
            ("*://10.0.0.0/8:*", "http", "10.200.1.1", 80, true),
            ("*://10.0.0.0/8:*", "http", "11.0.0.1", 80, false),
            ("*://0.0.0.0/0:*", "http", "11.0.0.1", 80, true),
            ("http://127.0.0.1:8080", "http", "127.0.0.1", 8080, true),
            ("http://[::1]:8080", "http", "::1", 8080, true),
            ("http://[::1]", "http", "::1", 80, true),
            ("http://[::1]:8080", "http", "::2", 8080, false),
            ("https://self", "https", "self", 443, false),
        ] {
            let parsed = AllowedHost::parse(permission).unwrap();
            assert_eq!(parsed.allows(scheme, host, port), allowed, "{permission} {host}:{port}");
        }
    }

    #[test]
    fn the_application_itself_is_a_permission_of_its_own() {
        let allows = |text: &str| AllowedHost::parse(text).unwrap().allows_own("https");
        assert!(allows("https://self"));
        assert!(allows("*://*:*"));
        assert!(!allows("http://self"));
        assert!(!allows("https://example.com"));
    }

    #[test]
    fn what_cannot_be_a_permission_is_refused_with_its_reason() {
        for (text, error) in [
            ("example.com", AllowedHostError::NoScheme),
            ("*", AllowedHostError::NoScheme),
            ("h2c://example.com", AllowedHostError::Scheme),
            ("://example.com", AllowedHostError::Scheme),
            ("https://", AllowedHostError::NoHost),
            ("https://:443", AllowedHostError::NoHost),
            ("https://example.com/path", AllowedHostError::Path),
            ("https://a@example.com", AllowedHostError::Credentials),
            ("https://a.*.com", AllowedHostError::Wildcard),
            ("https://*example.com", AllowedHostError::Wildcard),
            ("https://exa mple.com", AllowedHostError::Host),
            ("https://example..com", AllowedHostError::Host),
            ("ftp://example.com", AllowedHostError::NoPort),
            ("*://example.com", AllowedHostError::NoPort),
            ("https://example.com:70000", AllowedHostError::Port),
            ("https://example.com:9..9", AllowedHostError::Port),
            ("https://example.com:", AllowedHostError::Port),
        ] {
            assert_eq!(AllowedHost::parse(text), Err(error), "{text}");
        }
    }
}
