//! Names of variables.

/// Why a name is not one: Spin maps names to environment variables and paths,
/// so they are plain lower snake case.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let starts_with_letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if name.is_empty() {
        Err("it must not be empty")
    } else if !plain {
        Err("it may hold only lower-case letters, digits and underscores")
    } else if !starts_with_letter {
        Err("it must start with a letter")
    } else if name.ends_with('_') || name.contains("__") {
        Err("an underscore must stand alone between letters or digits")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_snake_case() {
        for name in ["a", "jwt_secret", "a1_b2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "A", "a-b", "1a", "_a", "a_", "a__b", "a.b", "ä"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
