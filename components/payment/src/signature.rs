//! Signatures of the provider: HMAC-SHA256 in hexadecimal.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Whether `signature` (hex) is that of `message` under `key`. Takes the same time
/// for every wrong signature. An empty key signs nothing.
pub fn is_valid(key: &str, message: &[u8], signature: &str) -> bool {
    let Some(signature) = decode_hex(signature.trim()) else { return false };
    keyed(key, message).is_some_and(|mac| mac.verify_slice(&signature).is_ok())
}

/// The signature of a message, in lower-case hex; none for an empty key.
pub fn sign(key: &str, message: &[u8]) -> Option<String> {
    let bytes = keyed(key, message)?.finalize().into_bytes();
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn keyed(key: &str, message: &[u8]) -> Option<Hmac<Sha256>> {
    if key.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(message);
    Some(mac)
}

/// A SHA-256 in hex has 64 characters; anything else is no signature.
fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_message_and_one_key() {
        let signature = sign("secret", b"order_1|pay_1").unwrap();
        assert!(is_valid("secret", b"order_1|pay_1", &signature));
        assert!(is_valid("secret", b"order_1|pay_1", &signature.to_uppercase()));
        for (key, message, signature) in [
            ("other", b"order_1|pay_1".as_slice(), signature.as_str()),
            ("secret", b"order_1|pay_2", &signature),
            ("secret", b"order_1|pay_1", ""),
            ("secret", b"order_1|pay_1", &signature[..62]),
            ("secret", b"order_1|pay_1", &"\u{e9}".repeat(32)),
            ("", b"order_1|pay_1", &signature),
        ] {
            assert!(!is_valid(key, message, signature), "{key} {signature}");
        }
    }

    #[test]
    fn the_signature_is_the_published_algorithm() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign("Jefe", b"what do ya want for nothing?").as_deref(), Some(expected));
    }
}
