//! Signatures of components: who may say what runs here.
//!
//! A signature is embedded in the component as the WebAssembly tool conventions say
//! (`Signatures.md`, as the tool wasmsign2 writes it): the first section is a custom
//! section named `signature`, with Ed25519 signatures of the SHA-256 of all that
//! follows it. Keys are PEM files as OpenSSL writes them.

mod keys;
mod section;

use std::{io, path::PathBuf};

use ed25519_dalek::{Signature, Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use keys::{TrustedKey, read_trusted};
pub use keys::{generate, read_private};

/// How every component begins: the magic number, and a version and layer that tell it
/// from a core module.
const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key {} cannot be read: {error}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} is no Ed25519 {kind} key in PEM form; `cairn keygen` makes one", .path.display())]
    Form { path: PathBuf, kind: &'static str },
    #[error("the folder {} has no trusted key: no file in it ends in .pub or .pem", .0.display())]
    None(PathBuf),
    #[error("{} cannot be written: {error}", .path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Why a component is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("it is no component")]
    NoComponent,
    #[error("it is not signed, and only signed components run here; see `cairn sign`")]
    Unsigned,
    #[error("its signature cannot be read")]
    Unreadable,
    #[error("it is signed by no key that is trusted here")]
    Untrusted,
    #[error("it was changed after it was signed by the key {0:?}")]
    Tampered(String),
}

/// Whose components may run.
#[derive(Debug, Default)]
pub struct Policy {
    /// Without any, every component may.
    trusted: Vec<TrustedKey>,
}

impl Policy {
    /// Every component may run.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Only components signed by a key that `path` holds: a public key in a file, or a
    /// folder of such files.
    ///
    /// # Errors
    /// See [`KeyError`]; also when there is no key.
    pub fn trusting(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        Ok(Self { trusted: read_trusted(path.into())? })
    }

    /// Whether a component may run.
    ///
    /// # Errors
    /// Why not, see [`SignatureError`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), SignatureError> {
        if self.trusted.is_empty() {
            return Ok(());
        }
        let rest = bytes.strip_prefix(&PREAMBLE).ok_or(SignatureError::NoComponent)?;
        let (payload, content) = section::split(rest).ok_or(SignatureError::Unsigned)?;
        let signed = section::parse(payload).ok_or(SignatureError::Unreadable)?;
        let content_hash = Sha256::digest(content);
        let mut refusal = SignatureError::Untrusted;
        for set in &signed {
            let Some(key) = self.signer(set) else { continue };
            // The last hash is of everything. Those before it are of parts, which say
            // nothing about the whole.
            if set.hashes.last().is_some_and(|hash| hash == content_hash.as_slice()) {
                return Ok(());
            }
            refusal = SignatureError::Tampered(key.name.clone());
        }
        Err(refusal)
    }

    /// The trusted key that signed these hashes.
    fn signer(&self, set: &section::SignedHashes) -> Option<&TrustedKey> {
        let message = section::message(&set.hashes);
        let signed_by = |key: &&TrustedKey| {
            set.signatures.iter().any(|signature| {
                Signature::from_slice(signature)
                    .is_ok_and(|signature| key.key.verify_strict(&message, &signature).is_ok())
            })
        };
        self.trusted.iter().find(signed_by)
    }
}

/// The component with a signature of `key` in the place of any it had.
///
/// # Errors
/// When the bytes are no component.
pub fn sign(bytes: &[u8], key: &SigningKey) -> Result<Vec<u8>, SignatureError> {
    let rest = bytes.strip_prefix(&PREAMBLE).ok_or(SignatureError::NoComponent)?;
    let content = section::split(rest).map_or(rest, |(_, content)| content);
    let hash: [u8; section::HASH_BYTES] = Sha256::digest(content).into();
    let signature = key.sign(&section::message(&[hash]));
    let section = section::write(hash, &signature.to_bytes());
    Ok([&PREAMBLE[..], &section, content].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn policy(seeds: &[u8]) -> Policy {
        let trusted = |seed: &u8| TrustedKey { name: format!("key {seed}"), key: key(*seed).verifying_key() };
        Policy { trusted: seeds.iter().map(trusted).collect() }
    }

    fn component() -> Vec<u8> {
        wat::parse_str("(component (core module))").unwrap()
    }

    #[test]
    fn a_component_signed_by_a_trusted_key_may_run_and_still_is_a_component() {
        let signed = sign(&component(), &key(1)).unwrap();
        assert_eq!(policy(&[2, 1]).check(&signed), Ok(()));
        crate::engine::compiling().unwrap().precompile_component(&signed).unwrap();
    }

    #[test]
    fn without_trusted_keys_everything_may_run() {
        assert_eq!(Policy::any().check(b"anything"), Ok(()));
    }

    #[test]
    fn signing_again_replaces_the_signature() {
        let twice = sign(&sign(&component(), &key(1)).unwrap(), &key(2)).unwrap();
        assert_eq!(twice, sign(&component(), &key(2)).unwrap());
        assert_eq!(policy(&[1]).check(&twice), Err(SignatureError::Untrusted));
    }

    #[test]
    fn what_is_unsigned_or_no_component_is_refused() {
        let policy = policy(&[1]);
        assert_eq!(policy.check(&component()), Err(SignatureError::Unsigned));
        for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"nonsense"] {
            assert_eq!(policy.check(bytes), Err(SignatureError::NoComponent));
            assert_eq!(sign(bytes, &key(1)), Err(SignatureError::NoComponent));
        }
    }

    #[test]
    fn no_byte_of_a_signed_component_can_be_changed_added_or_removed() {
        let (policy, signed) = (policy(&[1]), sign(&component(), &key(1)).unwrap());
        for position in 0..signed.len() {
            for bit in 0..8 {
                let mut changed = signed.clone();
                changed[position] ^= 1 << bit;
                assert!(policy.check(&changed).is_err(), "bit {bit} of byte {position}");
            }
            assert!(policy.check(&signed[..position]).is_err(), "cut at {position}");
        }
        let longer = [signed.as_slice(), &[0, 2, 1, b'x']].concat();
        assert_eq!(policy.check(&longer), Err(SignatureError::Tampered("key 1".to_owned())));
    }

    #[test]
    fn a_part_that_was_signed_does_not_stand_for_the_whole() {
        // Hashes of a part and of everything: without its end, the part is all there is.
        let (part, rest) = (component()[PREAMBLE.len()..].to_vec(), [0, 2, 1, b'x']);
        let hashes: [[u8; 32]; 2] =
            [Sha256::digest(&part).into(), Sha256::digest([part.as_slice(), &rest].concat()).into()];
        let signature = key(1).sign(&section::message(&hashes)).to_bytes();
        let section = section::write_all(&hashes, &signature);
        let whole = [&PREAMBLE[..], &section, &part, &rest].concat();
        assert_eq!(policy(&[1]).check(&whole), Ok(()));
        let cut = &whole[..whole.len() - rest.len()];
        assert_eq!(policy(&[1]).check(cut), Err(SignatureError::Tampered("key 1".to_owned())));
    }
}
