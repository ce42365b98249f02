//! Where a component may connect to: `allowed_outbound_hosts` of its manifest.
//!
//! A host name alone is not trusted: what it resolves to is judged too, so that a
//! name that anybody can point anywhere does not lead into the operator's own
//! network. This module judges; it opens no connection and resolves no name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::manifest::AllowedHost;

/// Host names that end so are components of the same application.
pub const INTERNAL_SUFFIX: &str = ".spin.internal";

/// The entries of one component.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts(Vec<AllowedHost>);

/// Whether a connection may be made, and how far its address is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Denied,
    /// A wildcard covers it: it may resolve to public addresses only.
    PublicOnly,
    /// An entry names this host or address itself: wherever it resolves to is meant.
    Named,
}

impl Permission {
    /// Whether a connection to `address` may be made.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Named => true,
            Self::PublicOnly => is_public(address),
            Self::Denied => false,
        }
    }
}

impl AllowedHosts {
    /// Reads the entries, whose templates have been filled in.
    ///
    /// # Errors
    /// A sentence about every entry that cannot be read.
    pub fn parse(entries: &[String]) -> Result<Self, Vec<String>> {
        let mut allowed = Vec::new();
        let mut problems = Vec::new();
        for text in entries {
            match AllowedHost::parse(text) {
                Ok(entry) => allowed.push(entry),
                Err(problem) => problems.push(format!("allowed_outbound_hosts: {text:?} {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self(allowed)) } else { Err(problems) }
    }

    /// Whether a connection for `scheme` to `host` may be made.
    #[must_use]
    pub fn permission(&self, scheme: &str, host: &str, port: u16) -> Permission {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.0
            .iter()
            .filter(|entry| entry.allows(scheme, host, port))
            .map(permission)
            .max()
            .unwrap_or(Permission::Denied)
    }

    /// Whether requests to the application itself may be made.
    #[must_use]
    pub fn permits_own(&self) -> bool {
        self.0.iter().any(|entry| entry.allows_own("http") || entry.allows_own("https"))
    }

    /// Whether a raw TCP connection to `address` may be made, as far as that is
    /// decided without resolving names.
    #[must_use]
    pub fn permits_address(&self, address: IpAddr, port: u16) -> bool {
        let text = address.to_string();
        self.tcp_entries()
            .filter(|entry| entry.allows(entry.scheme().unwrap_or("tcp"), &text, port))
            .any(|entry| permission(entry).allows(address))
    }

    /// Host names to which raw TCP connections on `port` may be made. They are
    /// resolved by the caller and compared with the address that is asked for.
    pub fn tcp_names(&self, port: u16) -> impl Iterator<Item = &str> {
        self.tcp_entries().filter_map(move |entry| entry.name(port))
    }

    /// Whether raw TCP connections are allowed at all.
    #[must_use]
    pub fn has_tcp(&self) -> bool {
        self.tcp_entries().next().is_some()
    }

    /// Entries for HTTP are served by the HTTP client, which sees every request; a
    /// raw connection is another, stronger grant.
    fn tcp_entries(&self) -> impl Iterator<Item = &AllowedHost> {
        self.0.iter().filter(|entry| !matches!(entry.scheme(), Some("http" | "https")))
    }
}

fn permission(entry: &AllowedHost) -> Permission {
    if entry.is_named() { Permission::Named } else { Permission::PublicOnly }
}

/// An IPv4 address written as IPv6 is judged as the IPv4 address it leads to.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

/// Whether an address is one of the public internet: not this machine, not a
/// private or link-local network, and none of the other ranges set aside.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let set_aside = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // shared by carriers
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 198 && (18..20).contains(&b)) // benchmarking
        || a >= 240; // reserved
    !set_aside
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Only 2000::/3 has been given out for the public internet.
    let global = segments[0] & 0xe000 == 0x2000;
    let documentation = segments[0] == 0x2001 && segments[1] == 0x0db8;
    // Teredo and 6to4 carry an IPv4 address of anybody's choice inside.
    let teredo = segments[0] == 0x2001 && segments[1] == 0;
    let six_to_four = segments[0] == 0x2002;
    global && !documentation && !teredo && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> AllowedHosts {
        AllowedHosts::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_wildcard_leads_to_public_addresses_only() {
        let hosts = allowed(&["https://*.example.com", "*://*:9000"]);
        let permission = hosts.permission("https", "a.example.com", 443);
        assert_eq!(permission, Permission::PublicOnly);
        assert_eq!(hosts.permission("https", "example.com", 443), Permission::Denied);
        for refused in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "2002:7f00:1::1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!permission.allows(refused.parse().unwrap()), "{refused}");
        }
        assert!(permission.allows("93.184.215.14".parse().unwrap()));
        assert!(permission.allows("2606:2800:21f::1".parse().unwrap()));
    }

    #[test]
    fn a_named_address_or_network_is_meant_as_it_stands() {
        let hosts = allowed(&[
            "http://127.0.0.1:3000",
            "*://10.0.0.0/8:5432",
            "http://[::1]:80",
            "smtp://mail.example.com:587",
        ]);
        assert!(hosts.permission("http", "127.0.0.1", 3000).allows(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(hosts.permission("http", "127.0.0.2", 3000), Permission::Denied);
        assert_eq!(hosts.permission("http", "[::1]", 80), Permission::Named);
        assert!(hosts.permits_address("10.9.9.9".parse().unwrap(), 5432));
        assert!(!hosts.permits_address("127.0.0.1".parse().unwrap(), 3000), "an HTTP entry grants no raw connection");
        assert_eq!(hosts.tcp_names(587).collect::<Vec<_>>(), ["mail.example.com"]);
    }
}
