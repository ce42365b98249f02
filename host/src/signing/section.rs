//! The bytes of a `signature` section.
//!
//! ```text
//! section    id 0, length, length of name, `signature`, payload
//! payload    version 1, content type 1, hash function 1 (SHA-256), count, sets
//! set        length, count, hashes, count, signatures
//! signature  length, length of key id, key id, algorithm 1 (Ed25519), length, bytes
//! ```
//!
//! Counts and lengths are LEB128.

/// Bytes of a SHA-256.
pub(super) const HASH_BYTES: usize = 32;

const CUSTOM_SECTION: u8 = 0;
const NAME: &[u8] = b"signature";
/// Version, content type and hash function.
const KIND: [u8; 3] = [1, 1, 1];
const ED25519: u8 = 1;
/// What signatures are made for, so that none means something elsewhere.
const DOMAIN: &[u8] = b"wasmsig";
/// Sets, hashes of a set and signatures of a set, each.
const COUNT_MAX: usize = 16;

/// Hashes, and the Ed25519 signatures of all of them together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedHashes {
    pub hashes: Vec<[u8; HASH_BYTES]>,
    pub signatures: Vec<Vec<u8>>,
}

/// What is signed.
pub(super) fn message(hashes: &[[u8; HASH_BYTES]]) -> Vec<u8> {
    [DOMAIN, &KIND, hashes.as_flattened()].concat()
}

/// The payload of the signature section, if it is the first one, and what follows it.
pub(super) fn split(sections: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader(sections);
    if reader.byte()? != CUSTOM_SECTION {
        return None;
    }
    let mut section = Reader(reader.sized()?);
    (section.sized()? == NAME).then_some((section.0, reader.0))
}

/// The sets of a payload that this version of the format describes.
pub(super) fn parse(payload: &[u8]) -> Option<Vec<SignedHashes>> {
    let mut reader = Reader(payload);
    if reader.take(KIND.len())? != KIND {
        return None;
    }
    let count = reader.count()?;
    let sets = (0..count).map(|_| set(reader.sized()?)).collect::<Option<Vec<_>>>()?;
    reader.0.is_empty().then_some(sets)
}

fn set(bytes: &[u8]) -> Option<SignedHashes> {
    let mut reader = Reader(bytes);
    let count = reader.count()?;
    let hashes = (0..count).map(|_| reader.take(HASH_BYTES)?.try_into().ok()).collect::<Option<Vec<_>>>()?;
    let mut signatures = Vec::new();
    for _ in 0..reader.count()? {
        let mut signature = Reader(reader.sized()?);
        let _key_id = signature.sized()?;
        // Signatures of other algorithms may stand beside ours.
        if signature.byte()? == ED25519 {
            signatures.push(signature.sized()?.to_vec());
        }
    }
    reader.0.is_empty().then_some(SignedHashes { hashes, signatures })
}

/// The whole section for one hash of everything.
pub(super) fn write(hash: [u8; HASH_BYTES], signature: &[u8]) -> Vec<u8> {
    write_all(&[hash], signature)
}

/// The whole section for hashes and one signature of them.
pub(super) fn write_all(hashes: &[[u8; HASH_BYTES]], signature: &[u8]) -> Vec<u8> {
    const NO_KEY_ID: &[u8] = &[];
    let signature = [&sized(NO_KEY_ID)[..], &[ED25519], &sized(signature)].concat();
    let set = [&leb128(hashes.len())[..], hashes.as_flattened(), &leb128(1), &sized(&signature)].concat();
    let payload = [&KIND[..], &leb128(1), &sized(&set)].concat();
    let section = [sized(NAME), payload].concat();
    [vec![CUSTOM_SECTION], sized(&section)].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut sized = leb128(bytes.len());
    sized.extend_from_slice(bytes);
    sized
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of up to 32 bits.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok()?.try_into().ok();
            }
        }
        None
    }

    fn count(&mut self) -> Option<usize> {
        self.number().filter(|count| *count <= COUNT_MAX)
    }

    /// Bytes with their length before them.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_section_reads_as_it_was_written() {
        let hashes = [[7; HASH_BYTES], [8; HASH_BYTES]];
        let written = [write_all(&hashes, &[9; 64]), b"rest".to_vec()].concat();
        let (payload, rest) = split(&written).unwrap();
        assert_eq!(rest, b"rest");
        let expected = SignedHashes { hashes: hashes.to_vec(), signatures: vec![vec![9; 64]] };
        assert_eq!(parse(payload), Some(vec![expected]));
    }

    #[test]
    fn another_first_section_is_no_signature() {
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[1, 1, 0]), None);
        assert_eq!(split(&[0, 3, 1, b'v', 1]), None);
        assert_eq!(split(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&bytes);
            let _ = parse(&bytes);
            let _ = parse(&[&KIND[..], &bytes].concat());
        }

        #[test]
        fn numbers_read_as_they_were_written(number in 0_u32..) {
            let number = usize::try_from(number).unwrap();
            prop_assert_eq!(Reader(&leb128(number)).number(), Some(number));
        }
    }
}
