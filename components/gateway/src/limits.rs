//! How often an address may ask.
//!
//! Requests are counted in fixed windows, one small record for each address and
//! bucket. Counting is one read and one write without a lock: of requests that
//! arrive at once some may count as one, so a limit is approximate, never less
//! than what is configured. The number of records is bounded; addresses that share
//! a record take turns in it, which only makes the limit milder for them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use cairn_shared::{Timestamp, time::SECOND};

/// Records of a bucket.
const SLOTS: u64 = 65_536;

/// A limit: so many requests in a window of so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub requests_max: u64,
    pub window_ms: i64,
}

/// What is stored for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Tells addresses that share a record apart.
    tag: u64,
    window: i64,
    requests: u64,
}

/// What a limit says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub limit: u64,
    pub remaining: u64,
    /// Until the window ends, from 1.
    pub reset_seconds: u32,
}

/// The address in a text, with or without a port.
pub fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse());
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Whose requests are counted together: an IPv4 address, or the /64 network of an
/// IPv6 address, of which one subscriber has a whole.
pub fn client(address: Option<IpAddr>) -> String {
    match address {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        None => "unknown".to_owned(),
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The key of the record for this client in this bucket.
pub fn key(bucket: &str, client: &str) -> String {
    format!("{bucket}:{:04x}", hash(client) % SLOTS)
}

/// Counts a request: what is decided, and what to store. Nothing is stored for a
/// request that is refused.
pub fn count(limit: Limit, client: &str, stored: Option<&[u8]>, now: Timestamp) -> (Decision, Option<[u8; 24]>) {
    let (tag, window) = (hash(client), now.millis().div_euclid(limit.window_ms));
    let before = stored.and_then(Count::decode).filter(|count| count.tag == tag && count.window == window);
    let requests = before.map_or(0, |count| count.requests);
    let ends = (window + 1).saturating_mul(limit.window_ms);
    let left_ms = ends.saturating_sub(now.millis()).max(1);
    let decision = Decision {
        allowed: requests < limit.requests_max,
        limit: limit.requests_max,
        remaining: limit.requests_max.saturating_sub(requests + 1),
        reset_seconds: u32::try_from((left_ms + SECOND - 1) / SECOND).unwrap_or(u32::MAX),
    };
    let store = decision.allowed.then(|| Count { tag, window, requests: requests + 1 }.encode());
    (decision, store)
}

impl Count {
    fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.window.to_le_bytes());
        bytes[16..].copy_from_slice(&self.requests.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let part = |at: usize| bytes.get(at..at + 8)?.try_into().ok();
        Some(Self {
            tag: u64::from_le_bytes(part(0)?),
            window: i64::from_le_bytes(part(8)?),
            requests: u64::from_le_bytes(part(16)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { requests_max: 2, window_ms: 60_000 };

    #[test]
    fn a_window_lets_so_many_through_and_the_next_one_again() {
        let at = |ms| Timestamp::from_millis(ms);
        let (first, stored) = count(LIMIT, "a", None, at(60_500));
        assert_eq!(first, Decision { allowed: true, limit: 2, remaining: 1, reset_seconds: 60 });
        let (second, stored) = count(LIMIT, "a", stored.as_ref().map(|s| &s[..]), at(61_000));
        assert_eq!((second.allowed, second.remaining), (true, 0));
        let full = stored.unwrap();
        let (third, nothing) = count(LIMIT, "a", Some(&full), at(119_999));
        assert_eq!((third.allowed, third.reset_seconds, nothing), (false, 1, None));
        assert!(count(LIMIT, "a", Some(&full), at(120_000)).0.allowed);
        assert!(count(LIMIT, "b", Some(&full), at(119_999)).0.allowed, "another address in the same record");
        assert!(count(LIMIT, "a", Some(b"nonsense"), at(0)).0.allowed);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        assert_eq!(client(address("[2001:db8:1:2:3:4:5:6]:443")), client(address("2001:db8:1:2::9")));
        assert_ne!(client(address("2001:db8:1:2::9")), client(address("2001:db8:1:3::9")));
        assert_eq!(client(address("::ffff:192.0.2.1")), "192.0.2.1");
        assert_eq!(client(address("192.0.2.1:5000")), "192.0.2.1");
    }
}
