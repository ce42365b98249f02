//! Sizes, times and zone offsets as people write them.

use std::time::Duration;

const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

const TIMES_MS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

/// `64MiB` as bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    scaled(text, &SIZES)
}

/// `30s` as a duration.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    scaled(text, &TIMES_MS).map(Duration::from_millis)
}

/// `+05:30` as minutes; a day has no zone further than 14 hours away.
pub(super) fn utc_offset_minutes(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let minutes = two_digits(hours)? * 60 + two_digits(minutes).filter(|minutes| *minutes < 60)?;
    (minutes <= 14 * 60).then_some(sign * minutes)
}

fn two_digits(text: &str) -> Option<i32> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("2 GiB"), Some(2 << 30));
        assert_eq!(bytes("10kB"), Some(10_000));
        assert_eq!(bytes("512B"), Some(512));
    }

    #[test]
    fn sizes_without_number_or_unit_are_refused() {
        for text in ["", "64", "MiB", "-1MiB", "1.5MiB", "64 mib", "99999999999999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times_reach_from_milliseconds_to_hours() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("2min"), Some(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(duration("30"), None);
        assert_eq!(duration("30m"), None);
    }

    #[test]
    fn offsets_have_a_sign_and_both_parts() {
        assert_eq!(utc_offset_minutes("+05:30"), Some(330));
        assert_eq!(utc_offset_minutes("-08:00"), Some(-480));
        assert_eq!(utc_offset_minutes("Z"), Some(0));
        for text in ["", "05:30", "+5:30", "+05:60", "+15:00", "+0530", "+०५:३०"] {
            assert_eq!(utc_offset_minutes(text), None, "{text}");
        }
    }
}
