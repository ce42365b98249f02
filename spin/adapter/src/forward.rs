//! What of a request and a response goes from one component to another.

/// A header: lower-case name and its value.
pub type Header = (String, String);

/// Headers that speak of one connection, or that whoever sends on writes anew.
const NOT_FORWARDED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The characters of the longest name a component may have here: a DNS label.
const SERVICE_CHARS_MAX: usize = 63;

/// The headers that concern the other end, without those of the connection.
pub fn end_to_end(headers: Vec<Header>) -> Vec<Header> {
    let listed: Vec<String> =
        headers.iter().filter(|(name, _)| name == "connection").flat_map(|(_, value)| names(value)).collect();
    let stays = |name: &str| NOT_FORWARDED.contains(&name) || listed.iter().any(|listed| listed == name);
    headers.into_iter().filter(|(name, _)| !stays(name)).collect()
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|name| name.trim().to_ascii_lowercase())
}

/// The address of a request to a component, or none if that is no component's name.
///
/// A name that could say more than a name, such as `shop.example/`, would choose
/// another host than the one meant.
pub fn address(service: &str, target: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let named = !service.is_empty() && service.len() <= SERVICE_CHARS_MAX && service.chars().all(plain);
    (named && target.starts_with('/')).then(|| format!("http://{service}.spin.internal{target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let headers = vec![
            header("host", "shop.example"),
            header("accept", "application/json"),
            header("connection", "Keep-Alive, X-Hop"),
            header("keep-alive", "timeout=5"),
            header("x-hop", "1"),
            header("content-length", "12"),
            header("set-cookie", "a=1"),
            header("set-cookie", "b=2"),
        ];
        let kept = [header("accept", "application/json"), header("set-cookie", "a=1"), header("set-cookie", "b=2")];
        assert_eq!(end_to_end(headers), kept);
    }

    #[test]
    fn a_request_goes_to_the_component_with_path_and_query_unchanged() {
        assert_eq!(
            address("orders", "/api/orders?limit=5&q=a%20b").as_deref(),
            Some("http://orders.spin.internal/api/orders?limit=5&q=a%20b")
        );
    }

    #[test]
    fn a_name_that_is_more_than_a_name_reaches_nobody() {
        for service in ["", "shop.example/", "a@b", "a.b", "ORDERS", "orders:80", &"a".repeat(64)] {
            assert_eq!(address(service, "/"), None, "{service}");
        }
        assert_eq!(address("orders", ".example/"), None, "a target without its slash would extend the host");
    }
}
