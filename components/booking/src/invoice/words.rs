//! Amounts in words, as India counts: thousand, lakh, crore.

use cairn_shared::Paise;

const SMALL: [&str; 20] = [
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
];
const TENS: [&str; 10] = ["", "", "Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"];

/// Group sizes, largest first.
const GROUPS: [(u64, &str); 4] = [(10_000_000, "Crore"), (100_000, "Lakh"), (1_000, "Thousand"), (100, "Hundred")];

fn number(value: u64) -> String {
    let mut rest = value;
    let mut parts = Vec::new();
    for (size, name) in GROUPS {
        if rest >= size {
            parts.push(format!("{} {name}", number(rest / size)));
            rest %= size;
        }
    }
    if rest > 0 || parts.is_empty() {
        parts.push(below_hundred(rest));
    }
    parts.join(" ")
}

fn below_hundred(value: u64) -> String {
    let word = |words: &[&str], at: u64| {
        usize::try_from(at).ok().and_then(|at| words.get(at).copied()).unwrap_or("").to_owned()
    };
    match (value / 10, value % 10) {
        (0 | 1, _) => word(&SMALL, value),
        (tens, 0) => word(&TENS, tens),
        (tens, ones) => format!("{}-{}", word(&TENS, tens), word(&SMALL, ones)),
    }
}

/// `Rupees One Lakh Twenty-Three Thousand Four Hundred Fifty-Six and Seventy Paise Only`.
pub fn in_words(amount: Paise) -> String {
    let value = amount.0.unsigned_abs();
    let sign = if amount.0 < 0 { "Minus " } else { "" };
    match (value / 100, value % 100) {
        (0, paise) if paise > 0 => format!("{sign}{} Paise Only", number(paise)),
        (rupees, 0) => format!("{sign}Rupees {} Only", number(rupees)),
        (rupees, paise) => format!("{sign}Rupees {} and {} Paise Only", number(rupees), number(paise)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counted_in_thousands_lakhs_and_crores() {
        for (paise, words) in [
            (0, "Rupees Zero Only"),
            (1, "One Paise Only"),
            (100, "Rupees One Only"),
            (1_015, "Rupees Ten and Fifteen Paise Only"),
            (2_100, "Rupees Twenty-One Only"),
            (10_000, "Rupees One Hundred Only"),
            (847_440, "Rupees Eight Thousand Four Hundred Seventy-Four and Forty Paise Only"),
            (10_000_000, "Rupees One Lakh Only"),
            (12_345_670, "Rupees One Lakh Twenty-Three Thousand Four Hundred Fifty-Six and Seventy Paise Only"),
            (1_000_000_000, "Rupees One Crore Only"),
            (
                1_234_567_890_99,
                "Rupees One Hundred Twenty-Three Crore Forty-Five Lakh Sixty-Seven Thousand Eight Hundred Ninety and Ninety-Nine Paise Only",
            ),
            (-500, "Minus Rupees Five Only"),
        ] {
            assert_eq!(in_words(Paise(paise)), words);
        }
    }
}
