//! Components made for the last release candidate of WASI 0.3, which Spin 4.0 served.
//!
//! The interfaces of `0.3.0-rc-2026-03-15` are those of 0.3.0, function by function, and
//! only their names differ. Semantic versioning takes whatever follows a `+` for a note
//! about the build: `0.3.0+rc-2026-03-15` is as good as 0.3.0 to a linker, and exactly as
//! long as the name that it replaces, so that nothing else in the file has to change.

use std::borrow::Cow;

const CANDIDATE: &[u8] = b"@0.3.0-rc-2026-03-15";
/// Where the two names differ.
const MARK: usize = b"@0.3.0".len();

/// The component with the names of the release.
#[must_use]
pub fn as_release(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut named = Cow::Borrowed(bytes);
    for (at, window) in bytes.windows(CANDIDATE.len()).enumerate() {
        if window == CANDIDATE
            && let Some(mark) = named.to_mut().get_mut(at + MARK)
        {
            *mark = b'+';
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_candidate_becomes_one_of_the_release_and_nothing_else_changes() {
        let before =
            b"wasi:http/types@0.3.0-rc-2026-03-15 wasi:cli/run@0.2.0-rc-2023-10-18 wasi:io@0.3.0-rc-2026-03-15";
        let after = b"wasi:http/types@0.3.0+rc-2026-03-15 wasi:cli/run@0.2.0-rc-2023-10-18 wasi:io@0.3.0+rc-2026-03-15";
        assert_eq!(as_release(before).as_ref(), after);
        assert!(matches!(as_release(after), Cow::Borrowed(_)));
    }
}
