//! `numeric`: decimal text from and to groups of four digits.

use super::value::take;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;

/// Digits of a group.
const GROUP: usize = 4;
/// Digits that Postgres takes before the point and behind it.
const DIGITS_MAX: usize = 16_383;

/// Text such as `-12.50` in Postgres' format.
pub(super) fn encode(text: &str) -> Result<Vec<u8>, String> {
    let invalid = || format!("{text:?} is no decimal number");
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (NEGATIVE, &text[1..]),
        Some(b'+') => (POSITIVE, &text[1..]),
        _ => (POSITIVE, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !are_digits(whole) || !are_digits(fraction) {
        return Err(invalid());
    }
    if whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX {
        return Err(format!("a decimal number has at most {DIGITS_MAX} digits before and behind its point"));
    }
    let whole_groups = whole.len().div_ceil(GROUP);
    let fraction_groups = fraction.len().div_ceil(GROUP);
    let padded = format!("{whole:0>0$}{fraction:0<1$}", whole_groups * GROUP, fraction_groups * GROUP);
    let groups: Vec<u16> = padded.as_bytes().chunks(GROUP).map(group).collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let significant = groups.iter().rposition(|group| *group != 0).map_or(&[][..], |last| &groups[leading..=last]);
    let weight = if significant.is_empty() { 0 } else { small(whole_groups)? - 1 - small(leading)? };
    let sign = if significant.is_empty() { POSITIVE } else { sign };
    let head = [small(significant.len())?.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes()];
    let mut bytes = head.concat();
    bytes.extend(small(fraction.len())?.to_be_bytes());
    bytes.extend(significant.iter().flat_map(|group| group.to_be_bytes()));
    Ok(bytes)
}

fn group(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'))
}

fn small(count: usize) -> Result<i16, String> {
    i16::try_from(count).map_err(|_| "the number has too many digits".to_owned())
}

/// Postgres' format as text, with as many digits behind the point as it has there.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let mut rest = bytes;
    let count = i16::from_be_bytes(take(&mut rest)?);
    let weight = i16::from_be_bytes(take(&mut rest)?);
    let sign = u16::from_be_bytes(take(&mut rest)?);
    let scale = usize::from(u16::from_be_bytes(take(&mut rest)?));
    let groups = (0..count).map(|_| Ok(u16::from_be_bytes(take(&mut rest)?))).collect::<Result<Vec<_>, String>>()?;
    let mut text = match sign {
        POSITIVE => String::new(),
        NEGATIVE => "-".to_owned(),
        NAN => return Ok("NaN".to_owned()),
        INFINITY => return Ok("Infinity".to_owned()),
        MINUS_INFINITY => return Ok("-Infinity".to_owned()),
        _ => return Err("a number of an unknown sign".to_owned()),
    };
    // Groups that are zero at either end are left out.
    let group = |position: i32| {
        let index = i32::from(weight) - position;
        usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or_default()
    };
    text.push_str(&group(i32::from(weight).max(0)).to_string());
    for position in (0..i32::from(weight).max(0)).rev() {
        text.push_str(&format!("{:04}", group(position)));
    }
    if scale > 0 {
        let fraction: String =
            (1..).take(scale.div_ceil(GROUP)).map(|position| format!("{:04}", group(-position))).collect();
        text.push('.');
        text.push_str(fraction.get(..scale).unwrap_or(&fraction));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_come_back() {
        for text in
            ["0", "1", "-1", "10000", "12345678.90", "0.0001", "0.00", "-0.5", "100000000", "9999.9999", "0.000012340"]
        {
            assert_eq!(decode(&encode(text).unwrap()).unwrap(), text);
        }
        assert_eq!(decode(&encode("+0012.50").unwrap()).unwrap(), "12.50");
        assert_eq!(decode(&encode("-0").unwrap()).unwrap(), "0");
        assert_eq!(decode(&encode(".5").unwrap()).unwrap(), "0.5");
        for text in ["", "-", ".", "1e5", "1.2.3", "NaN", "é", "--1"] {
            assert!(encode(text).is_err(), "{text}");
        }
        assert!(encode(&"9".repeat(20_000)).is_err());
        assert!(decode(&[0, 1, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn any_number_comes_back(text in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?") {
            prop_assert_eq!(decode(&encode(&text).unwrap()).unwrap(), text);
        }
    }
}
