//! Vouchers that are bought for somebody.

use cairn_shared::{
    Id, Paise, Timestamp,
    time::{DAY, HOUR},
    validate::Email,
};
use serde::{Deserialize, Serialize};

use super::{Kind, Payable};

/// What a gift is worth at least, and at most.
pub const GIFT_MIN: Paise = Paise::rupees(100);
pub const GIFT_MAX: Paise = Paise::rupees(100_000);

/// How long a gift can be paid, in ms.
const PAY_TIME: i64 = HOUR;

/// A gift is delivered within a year of being bought.
const DELIVERY_MAX: i64 = 365 * DAY;

/// How long the voucher is valid from its delivery, in ms.
const VALIDITY: i64 = 365 * DAY;

const NAME_CHARS_MAX: usize = 100;
const WORDS_CHARS_MAX: usize = 500;

/// From whom and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub from: String,
    /// Who gets the mail with the code.
    pub to: String,
    pub email: String,
    pub words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiftStatus {
    /// To be paid.
    Open,
    /// To be made a voucher.
    Paid,
    Issued,
    /// The money is to go back.
    Returning,
    Returned,
    /// Nobody paid in time.
    Expired,
}

impl GiftStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Issued => "issued",
            Self::Returning => "returning",
            Self::Returned => "returned",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Paid, Self::Issued, Self::Returning, Self::Returned, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    pub id: Id,
    pub buyer_id: Id,
    pub status: GiftStatus,
    pub amount: Paise,
    pub card: Card,
    pub deliver_at: Timestamp,
    pub mailed_at: Option<Timestamp>,
    pub payment_id: Option<String>,
    pub created_at: Timestamp,
    pub pay_until: Timestamp,
}

/// A gift as somebody wants to buy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGift {
    pub amount: Paise,
    pub from: String,
    pub to: String,
    pub email: String,
    pub words: String,
    /// None: as soon as it is paid.
    pub deliver_at: Option<Timestamp>,
}

/// A gift that waits to be paid.
///
/// # Errors
/// What is wrong with it, for people.
pub fn gift(new: &NewGift, buyer_id: Id, id: Id, now: Timestamp) -> Result<Gift, String> {
    if !(GIFT_MIN..=GIFT_MAX).contains(&new.amount) {
        return Err(format!("amount has to be from {GIFT_MIN} to {GIFT_MAX} rupees"));
    }
    for (name, text) in [("from", &new.from), ("to", &new.to)] {
        if !(1..=NAME_CHARS_MAX).contains(&text.chars().count()) {
            return Err(format!("{name} has to have 1 to {NAME_CHARS_MAX} characters"));
        }
    }
    if new.words.chars().count() > WORDS_CHARS_MAX {
        return Err(format!("words may have at most {WORDS_CHARS_MAX} characters"));
    }
    let email = Email::parse(&new.email).map_err(|problem| format!("email: {problem}"))?;
    let deliver_at = new.deliver_at.unwrap_or(now).max(now);
    if deliver_at > now.plus(DELIVERY_MAX) {
        return Err("deliverAt has to be within a year".to_owned());
    }
    let (from, to, words) = (new.from.clone(), new.to.clone(), new.words.clone());
    Ok(Gift {
        id,
        buyer_id,
        status: GiftStatus::Open,
        amount: new.amount,
        card: Card { from, to, email: email.to_string(), words },
        deliver_at,
        mailed_at: None,
        payment_id: None,
        created_at: now,
        pay_until: now.plus(PAY_TIME),
    })
}

impl Gift {
    /// Names the voucher that it becomes.
    pub fn key(&self) -> String {
        format!("gift/{}", self.id)
    }

    pub fn valid_until(&self) -> Timestamp {
        self.deliver_at.plus(VALIDITY)
    }

    /// What its buyer owes. Payment knows no difference between it and a booking.
    pub fn payable(&self) -> Payable {
        Payable {
            booking_id: self.id,
            user_id: self.buyer_id,
            trek_id: self.id,
            trek_name: "Gift voucher".into(),
            kind: Kind::Full,
            amount: self.amount,
            tender: None,
            expires_at: Some(self.pay_until),
            promo_code: None,
            order_value: self.amount,
            shares: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gift_has_bounds() {
        let now = Timestamp::from_millis(1_000);
        let id = Id::derive(&["gift"]);
        let good = NewGift {
            amount: Paise::rupees(500),
            from: "Meera".into(),
            to: "Asha".into(),
            email: "asha@example.org".into(),
            words: String::new(),
            deliver_at: None,
        };
        let made = gift(&good, id, id, now).unwrap();
        assert_eq!((made.deliver_at, made.payable().amount), (now, Paise::rupees(500)));
        for bad in [
            NewGift { amount: Paise(9_999), ..good.clone() },
            NewGift { amount: Paise(10_000_001), ..good.clone() },
            NewGift { from: String::new(), ..good.clone() },
            NewGift { to: "x".repeat(101), ..good.clone() },
            NewGift { words: "x".repeat(501), ..good.clone() },
            NewGift { email: "nobody".into(), ..good.clone() },
            NewGift { deliver_at: Some(now.plus(366 * DAY)), ..good.clone() },
        ] {
            assert!(gift(&bad, id, id, now).is_err(), "{bad:?}");
        }
    }
}
