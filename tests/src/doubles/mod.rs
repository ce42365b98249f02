//! Doubles of the outside services: servers with the protocol of the real one, a state that
//! tests can look at, and faults that can be switched on.
//!
//! They run inside a test (`Razorpay::start("127.0.0.1:0")`) or as the binary `cairn-doubles`.
//! They keep everything in memory and know nothing of what the system under test does with
//! a payment or a mail.

mod budget;
mod http;
pub mod mailbox;
pub mod razorpay;
mod signature;
pub mod stripe;

pub use budget::Budget;
pub use mailbox::Mailbox;
pub use razorpay::Razorpay;
pub use stripe::Stripe;

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `prefix` and `len` random characters of `[A-Za-z0-9]`.
fn random_id(prefix: &str, len: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = vec![0u8; len];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    let drawn = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    prefix.chars().chain(drawn).collect()
}
