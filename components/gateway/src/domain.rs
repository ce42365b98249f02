//! Which service answers a path, and what holds for it.

/// Services that answer requests from outside, in the order `/health` names them.
pub const SERVICES: [&str; 8] = ["user", "trek", "batch", "booking", "payment", "notification", "content", "admin"];

const MEGABYTE: usize = 1024 * 1024;

/// Largest body where nothing long is sent.
const BODY_BYTES_MAX: usize = MEGABYTE;
/// Largest body of a form that carries long text.
const FORM_BYTES_MAX: usize = 10 * MEGABYTE;
/// Largest body of an upload: a file of 10 MB in its multipart wrapping.
const UPLOAD_BYTES_MAX: usize = 11 * MEGABYTE;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    Service(&'static str),
    /// A service, under `/api` and the same path.
    UnderApi(&'static str),
    Health,
    Banner,
    Nowhere,
}

/// The first segment of a path, and the first after `/api`.
fn segments(path: &str) -> (&str, Option<&str>) {
    let mut segments = path.strip_prefix('/').unwrap_or(path).splitn(3, '/');
    (segments.next().unwrap_or_default(), segments.next())
}

/// Which service owns a path. Private paths of services begin with nothing named here.
pub fn destination(path: &str) -> Destination {
    match segments(path) {
        ("", None) => Destination::Banner,
        ("health", None) => Destination::Health,
        ("uploads", Some(_)) => Destination::Service("content"),
        ("blogs", _) => Destination::UnderApi("content"),
        ("api", Some("treks")) if is_participants_export(path) => Destination::Service("booking"),
        ("api", Some(segment)) => owner(segment).map_or(Destination::Nowhere, Destination::Service),
        _ => Destination::Nowhere,
    }
}

/// Whether a path is `/api/treks/{id}/batches/{id}/export-participants`, which lies among
/// treks and tells of bookings.
fn is_participants_export(path: &str) -> bool {
    let segments: Vec<_> = path.split('/').collect();
    matches!(segments.as_slice(), [_, _, "treks", _, "batches", _, "export-participants"])
}

fn owner(segment: &str) -> Option<&'static str> {
    Some(match segment {
        "auth" | "users" | "user-groups" | "wishlist" => "user",
        "treks" | "regions" | "trek-sections" => "trek",
        "batches" => "batch",
        "bookings" | "failed-bookings" | "admin" => "booking",
        "payments" | "promos" => "payment",
        "blogs" | "blog-regions" | "offers" | "careers" | "leads" | "upload" | "google" => "content",
        "stats" | "tickets" | "settings" => "admin",
        "notifications" => "notification",
        _ => return None,
    })
}

/// Largest body of a request to this path, in bytes.
pub fn body_bytes_max(path: &str) -> usize {
    match segments(path) {
        ("api", Some("upload")) => UPLOAD_BYTES_MAX,
        ("api", Some("blogs")) | ("blogs", _) => UPLOAD_BYTES_MAX,
        ("api", Some("treks" | "regions" | "trek-sections" | "blog-regions" | "careers" | "settings")) => {
            FORM_BYTES_MAX
        }
        _ => BODY_BYTES_MAX,
    }
}

/// How requests to a path are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Not at all: machines that retry, and polling.
    Exempt,
    General,
    /// Few, whoever asks: what guesses passwords and codes, and what sends mail.
    Strict(&'static str),
    /// Few for people who are not logged in.
    StrictIfAnonymous(&'static str),
}

pub fn bucket(method: &str, path: &str) -> Bucket {
    match (method, path.trim_end_matches('/')) {
        ("POST", "/api/payments/webhook") => Bucket::Exempt,
        ("GET", "/api/notifications" | "/api/notifications/unread-count") => Bucket::Exempt,
        ("POST", "/api/auth/login") => Bucket::Strict("login"),
        ("POST", "/api/auth/register") => Bucket::Strict("register"),
        ("POST", "/api/auth/verify-register-otp") => Bucket::Strict("register-code"),
        ("POST", "/api/auth/verify-login-otp" | "/api/auth/verify-otp") => Bucket::Strict("login-code"),
        ("POST", "/api/auth/resend-register-otp" | "/api/auth/resend-login-otp" | "/api/auth/resend-otp") => {
            Bucket::Strict("resend")
        }
        ("POST", "/api/auth/forgot-password") => Bucket::Strict("forgot"),
        ("POST", "/api/auth/reset-password") => Bucket::Strict("reset"),
        ("PUT", "/api/auth/updatepassword") => Bucket::Strict("password"),
        ("POST", path) => match segments(path) {
            ("api", Some("leads")) => Bucket::StrictIfAnonymous("leads"),
            ("api", Some("careers")) => Bucket::StrictIfAnonymous("careers"),
            ("api", Some("upload")) => Bucket::StrictIfAnonymous("upload"),
            _ => Bucket::General,
        },
        _ => Bucket::General,
    }
}

/// Whether a method may change something.
pub fn changes_state(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// Whether a header of a request is ours to say and nobody else's, or ends at this hop.
pub fn is_stripped(name: &str) -> bool {
    name.starts_with("x-cairn-")
        || name.starts_with("spin-")
        || name.starts_with("x-forwarded-")
        || name.starts_with("proxy-")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "connection"
                | "keep-alive"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "expect"
        )
}

/// Origins whose pages may read answers and send cookies.
#[derive(Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// From a comma-separated list such as `https://trek.example, http://localhost:3000`.
    ///
    /// # Errors
    /// The first entry that is no origin.
    pub fn parse(list: &str) -> Result<Self, String> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(origin).collect::<Result<_, _>>().map(Self)
    }

    pub fn allow(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed == origin)
    }

    /// Also allows the origin of an address such as the front end's.
    ///
    /// # Errors
    /// It is no address.
    pub fn add(&mut self, address: &str) -> Result<(), String> {
        let origin = origin_of(address).ok_or_else(|| format!("`{address}` is not a web address"))?;
        self.0.push(origin.to_owned());
        Ok(())
    }
}

fn origin(entry: &str) -> Result<String, String> {
    let entry = entry.trim_end_matches('/');
    match origin_of(entry) {
        Some(origin) if origin == entry => Ok(entry.to_ascii_lowercase()),
        _ => Err(format!("`{entry}` is not an origin such as https://trek.example")),
    }
}

/// Scheme, host and port of a web address.
pub fn origin_of(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once("://")?;
    let host_bytes = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let plain = matches!(scheme, "http" | "https") && host_bytes > 0 && !rest[..host_bytes].contains('@');
    plain.then(|| &address[..scheme.len() + "://".len() + host_bytes])
}

/// Whether an id given from outside is a plain token that can go into logs and headers.
pub fn is_correlation_id(text: &str) -> bool {
    const CHARS_MAX: usize = 128;
    (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_has_its_owner() {
        for (path, service) in [
            ("/api/auth/login", "user"),
            ("/api/users", "user"),
            ("/api/user-groups/x", "user"),
            ("/api/wishlist", "user"),
            ("/api/treks", "trek"),
            ("/api/treks/x/batches/y", "trek"),
            ("/api/treks/x/batches/y/export-participants", "booking"),
            ("/api/treks/x/batches/y/export-participants/z", "trek"),
            ("/api/regions/x", "trek"),
            ("/api/trek-sections", "trek"),
            ("/api/batches/x", "batch"),
            ("/api/bookings", "booking"),
            ("/api/failed-bookings", "booking"),
            ("/api/admin/bookings/x/cancel", "booking"),
            ("/api/payments/verify", "payment"),
            ("/api/promos/validate", "payment"),
            ("/api/blogs", "content"),
            ("/api/blog-regions", "content"),
            ("/api/offers", "content"),
            ("/api/careers", "content"),
            ("/api/leads", "content"),
            ("/api/upload", "content"),
            ("/api/google/reviews", "content"),
            ("/uploads/images/a.jpg", "content"),
            ("/api/stats", "admin"),
            ("/api/tickets", "admin"),
            ("/api/settings", "admin"),
            ("/api/notifications", "notification"),
        ] {
            assert_eq!(destination(path), Destination::Service(service), "{path}");
        }
        assert_eq!(destination("/blogs/rain"), Destination::UnderApi("content"));
    }

    #[test]
    fn private_and_unknown_paths_lead_nowhere() {
        for path in [
            "/_events",
            "/_jobs/relay",
            "/_exports/bookings",
            "/api",
            "/api/",
            "/api/health",
            "/api/_events",
            "/api//_events",
            "/health/x",
            "/x",
            "//_events",
            "/uploads",
        ] {
            assert_eq!(destination(path), Destination::Nowhere, "{path}");
        }
    }

    #[test]
    fn only_origins_are_taken_as_origins() {
        let origins = Origins::parse("https://trek.example, http://localhost:3000/,").unwrap();
        assert!(origins.allow("https://trek.example") && origins.allow("http://localhost:3000"));
        assert!(!origins.allow("https://trek.example.evil.example") && !origins.allow("null") && !origins.allow(""));
        for wrong in ["trek.example", "https://trek.example/path", "ftp://x", "*", "https://"] {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(origin_of("https://a.example:8/b?c"), Some("https://a.example:8"));
        assert_eq!(origin_of("https://good.example@evil.example/"), None);
    }
}
