//! Ids that follow a request through logs, components and other services.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A correlation id, in bytes.
pub const CORRELATION_BYTES_MAX: usize = 64;

/// Names one request in every log line about it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CorrelationId(Arc<str>);

/// The text is no id that may be repeated in logs and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a correlation id has 1 to {CORRELATION_BYTES_MAX} letters, digits, `-`, `_` or `.`")]
pub struct CorrelationIdError;

impl CorrelationId {
    /// A new id of 32 hexadecimal digits.
    #[must_use]
    pub fn generate() -> Self {
        let id = (u128::from(unique()) << 64) | u128::from(unique());
        Self(format!("{id:032x}").into())
    }

    /// The id that a client sent, where it is one, or else a new one.
    #[must_use]
    pub fn from_client(sent: Option<&[u8]>) -> Self {
        let text = sent.and_then(|sent| std::str::from_utf8(sent).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_else(Self::generate)
    }

    /// As it stands in headers and log lines.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CorrelationId {
    type Err = CorrelationIdError;

    fn from_str(text: &str) -> Result<Self, CorrelationIdError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let valid = (1..=CORRELATION_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| Self(text.into())).ok_or(CorrelationIdError)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// W3C Trace Context, the `traceparent` header: which trace a request belongs
/// to, and which span of it caused this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    /// The span that caused this one; zero for the first of a trace. It is not sent on.
    parent_span_id: u64,
    flags: u8,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent is `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`, no id all zero")]
pub struct TraceContextError;

const SAMPLED: u8 = 1;

impl TraceContext {
    /// The first span of a new trace, sampled.
    #[must_use]
    pub fn generate() -> Self {
        let trace_id = (u128::from(unique()) << 64) | u128::from(unique());
        Self { trace_id, span_id: unique(), parent_span_id: 0, flags: SAMPLED }
    }

    /// A new span of the same trace, caused by this one.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: unique(), parent_span_id: self.span_id, ..self }
    }

    /// The same span, recorded or not.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        Self { flags: if sampled { SAMPLED } else { 0 }, ..self }
    }

    /// The context that a client sent continues; without a valid one a trace begins.
    #[must_use]
    pub fn from_client(sent: Option<&[u8]>) -> Self {
        let text = sent.and_then(|sent| std::str::from_utf8(sent).ok());
        let parent: Option<Self> = text.and_then(|text| text.parse().ok());
        parent.map_or_else(Self::generate, Self::child)
    }

    /// Names the trace; never zero.
    #[must_use]
    pub fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// Names this span within the trace; never zero.
    #[must_use]
    pub fn span_id(self) -> u64 {
        self.span_id
    }

    /// The span that caused this one, unless it is the first of its trace.
    #[must_use]
    pub fn parent_span_id(self) -> Option<u64> {
        (self.parent_span_id != 0).then_some(self.parent_span_id)
    }

    /// Whether the caller records this trace.
    #[must_use]
    pub fn sampled(self) -> bool {
        self.flags & SAMPLED == SAMPLED
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        parse_traceparent(text).ok_or(TraceContextError)
    }
}

/// A later version may append fields, and must begin like this one.
fn parse_traceparent(text: &str) -> Option<TraceContext> {
    let (head, tail) = text.split_at_checked(55)?;
    let mut fields = head.split('-');
    let version = hex(fields.next()?, 2)?;
    let trace_id = hex(fields.next()?, 32)?;
    let span_id = hex(fields.next()?, 16)?;
    let flags = hex(fields.next()?, 2)?;
    let tail_fits = match version {
        0xff => false,
        0 => tail.is_empty(),
        _ => tail.is_empty() || tail.starts_with('-'),
    };
    let valid = tail_fits && trace_id != 0 && span_id != 0;
    valid.then_some(TraceContext {
        trace_id,
        span_id: u64::try_from(span_id).ok()?,
        parent_span_id: 0,
        // Bits other than `sampled` mean nothing in the version that is sent on.
        flags: u8::try_from(flags).ok()? & SAMPLED,
    })
}

fn hex(text: &str, length: usize) -> Option<u128> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let valid = text.len() == length && lower;
    valid.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, flags, parent_span_id: _ } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// A number unlike any other: a counter under a keyed hash whose key the
/// operating system chose. Ids must be unique, not secret, and this neither
/// fails nor asks the system again. Never zero, which means "none" in a trace.
fn unique() -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    KEY.hash_one(count).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn generated_ids_differ_and_can_be_parsed() {
        let ids: HashSet<_> = (0..10_000).map(|_| CorrelationId::generate()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.as_str().parse::<CorrelationId>().as_ref() == Ok(id)));
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_is_replaced() {
        let kept = CorrelationId::from_client(Some(b"order-7_A.b"));
        assert_eq!(kept.as_str(), "order-7_A.b");
        let long = "x".repeat(CORRELATION_BYTES_MAX + 1);
        for sent in ["", "a b", "a\nb", "é", "a\"b", &long] {
            assert_eq!(sent.parse::<CorrelationId>(), Err(CorrelationIdError), "{sent}");
            assert_eq!(CorrelationId::from_client(Some(sent.as_bytes())).as_str().len(), 32);
        }
        assert_eq!(CorrelationId::from_client(None).as_str().len(), 32);
    }

    #[test]
    fn a_trace_context_survives_its_header() {
        let parent: TraceContext = PARENT.parse().unwrap();
        assert_eq!(parent.to_string(), PARENT);
        assert!(parent.sampled());
        let own = TraceContext::generate();
        assert_eq!(own.to_string().parse(), Ok(own));
    }

    #[test]
    fn a_child_stays_in_its_trace_and_keeps_the_decision_to_sample() {
        let parent: TraceContext = PARENT.replace("-01", "-00").parse().unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
        assert_eq!((parent.parent_span_id(), child.parent_span_id()), (None, Some(parent.span_id())));
        assert!(!child.sampled());
        let continued = TraceContext::from_client(Some(PARENT.as_bytes()));
        assert_eq!(continued.trace_id(), parent.trace_id());
    }

    #[test]
    fn headers_of_later_versions_are_understood_as_far_as_they_agree() {
        let later = PARENT.replacen("00", "01", 1);
        assert!(later.parse::<TraceContext>().is_ok());
        assert!(format!("{later}-more").parse::<TraceContext>().is_ok());
        assert!(format!("{later}more").parse::<TraceContext>().is_err());
        let flags: TraceContext = PARENT.replace("-01", "-ff").parse().unwrap();
        assert_eq!(flags.to_string(), PARENT);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &format!("{PARENT}-more"),
            &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            &PARENT.replace('-', "_"),
            &PARENT.replace("0af", "+af"),
            &"é".repeat(40),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(TraceContextError), "{text}");
        }
    }
}
