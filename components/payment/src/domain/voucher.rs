//! Credit that whoever shows its code can pay with.

use cairn_shared::{Id, Paise, Timestamp, time::DAY};

use super::{AMOUNT_MIN, Account, CURRENCY, Kind, Payment, Provider, Refund, Transfer, check_text, text_enum};

/// How long a voucher is valid where nobody says otherwise.
pub const VOUCHER_VALIDITY: i64 = 365 * DAY;

/// A voucher that gets money back is valid for at least so long from then.
pub const VOUCHER_RENEWAL: i64 = 30 * DAY;

/// The longest validity that can be given.
pub const VOUCHER_VALIDITY_MAX: i64 = 3 * 365 * DAY;

/// The most that can be given away at once.
pub const VOUCHER_AMOUNT_MAX: Paise = Paise::rupees(1_000_000);

/// Characters of a code, without what people put in between.
pub const VOUCHER_CODE_CHARS: usize = 16;

/// Random bytes of a code: five bits a character.
pub const VOUCHER_CODE_BYTES: usize = 10;

/// Letters and digits that nobody takes for others.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The method of a payment by voucher.
pub const VOUCHER_METHOD: &str = "voucher";

text_enum! {
    /// What a voucher was issued for.
    VoucherKind {
        /// Money of a booking that did not take place.
        Credit = "credit",
        /// Bought for somebody.
        Gift = "gift",
        /// Given away by staff.
        Goodwill = "goodwill",
    }
}

/// A code as it is stored. It is a secret: no log and no message says more than its end.
#[derive(Clone, PartialEq, Eq)]
pub struct VoucherCode(String);

impl std::fmt::Debug for VoucherCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hint())
    }
}

impl VoucherCode {
    /// A code made of random bytes.
    pub fn of(bytes: [u8; VOUCHER_CODE_BYTES]) -> Self {
        let mut text = String::with_capacity(VOUCHER_CODE_CHARS);
        for five in bytes.chunks_exact(5) {
            let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for place in (0..8).rev() {
                let at = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
                text.push(char::from(ALPHABET[at % ALPHABET.len()]));
            }
        }
        Self(text)
    }

    /// A code as somebody typed it: in groups or not, in any case, with O for 0 and I or L
    /// for 1. None for what is no code.
    pub fn parse(text: &str) -> Option<Self> {
        let mut code = String::with_capacity(VOUCHER_CODE_CHARS);
        for letter in text.chars().filter(|letter| !matches!(letter, '-' | ' ')) {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                letter => letter,
            };
            let known = u8::try_from(letter).is_ok_and(|byte| ALPHABET.contains(&byte));
            if !known || code.len() == VOUCHER_CODE_CHARS {
                return None;
            }
            code.push(letter);
        }
        (code.len() == VOUCHER_CODE_CHARS).then_some(Self(code))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As people read it: in groups of four.
    pub fn grouped(&self) -> String {
        let groups: Vec<_> = self.0.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }

    /// So much of it as may be shown: its last four characters.
    pub fn hint(&self) -> String {
        self.0.chars().skip(VOUCHER_CODE_CHARS - 4).collect()
    }
}

impl cairn_shared::db::FromValue for VoucherCode {
    fn from_value(value: &cairn_shared::db::Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        Self::parse(&text).ok_or_else(|| "a voucher's code in another form".to_owned())
    }
}

/// Why a voucher was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voided {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
}

/// A voucher as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    pub id: Id,
    pub code: VoucherCode,
    pub kind: VoucherKind,
    /// Names what it was issued for.
    pub issue_key: String,
    pub amount: Paise,
    /// So much of the amount nobody has paid for.
    pub bonus: Paise,
    pub owner_id: Option<Id>,
    /// The booking whose money it was.
    pub booking_id: Option<Id>,
    pub reason: String,
    /// A person's id, or `system`.
    pub issued_by: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    pub voided: Option<Voided>,
    /// Not spent, by the book; what is reserved is a part of it.
    pub balance: Paise,
    /// Waits to be spent by payables that are open.
    pub reserved: Paise,
}

text_enum! {
    /// What a voucher is good for.
    VoucherState {
        Valid = "valid",
        Spent = "spent",
        Expired = "expired",
        Void = "void",
    }
}

/// Why a voucher does not pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoucherProblem {
    Unknown,
    Expired,
    Void,
    /// No more than this is left.
    Short(Paise),
}

impl Voucher {
    pub fn state(&self, now: Timestamp) -> VoucherState {
        match () {
            () if self.voided.is_some() => VoucherState::Void,
            () if self.expires_at <= now => VoucherState::Expired,
            () if self.balance == Paise::ZERO => VoucherState::Spent,
            () => VoucherState::Valid,
        }
    }

    /// Not spent and not reserved.
    pub fn available(&self) -> Paise {
        (self.balance - self.reserved).max(Paise::ZERO)
    }

    /// Whether it can be used at all.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now: Timestamp) -> Result<(), VoucherProblem> {
        match self.state(now) {
            VoucherState::Void => Err(VoucherProblem::Void),
            VoucherState::Expired => Err(VoucherProblem::Expired),
            VoucherState::Spent | VoucherState::Valid if self.available() == Paise::ZERO => {
                Err(VoucherProblem::Short(Paise::ZERO))
            }
            VoucherState::Spent | VoucherState::Valid => Ok(()),
        }
    }
}

/// What a voucher with this much left pays of an amount: all of it, or so much that the
/// rest is not too small for a provider.
pub fn tender_of(owed: Paise, left: Paise) -> Paise {
    match owed - left {
        rest if rest <= Paise::ZERO => owed,
        rest if rest < AMOUNT_MIN => (owed - AMOUNT_MIN).max(Paise::ZERO),
        _ => left,
    }
}

/// What a voucher is to pay of a payable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tender {
    pub voucher_id: Id,
    pub amount: Paise,
}

/// A payment by voucher. `source` names what it pays: the same source is the same payment.
pub fn voucher_payment(source: &str, booking_id: Id, kind: Kind, tender: Tender, now: Timestamp) -> Payment {
    Payment {
        id: format!("voucher_{}", Id::derive(&["voucher payment", source])),
        order_id: String::new(),
        booking_id: Some(booking_id),
        provider: Provider::Voucher,
        kind: Some(kind),
        amount: tender.amount,
        surplus: Paise::ZERO,
        currency: CURRENCY.into(),
        method: VOUCHER_METHOD.into(),
        problem: None,
        captured_at: now,
        refunded: Paise::ZERO,
        surplus_refunded: Paise::ZERO,
        voucher_id: Some(tender.voucher_id),
        share_id: None,
    }
}

/// Money of a booking that is to become a voucher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditRequest {
    /// Names the request: the same key is the same voucher.
    pub key: String,
    pub booking_id: Id,
    pub owner_id: Id,
    /// Captured for the booking and not given back.
    pub amount: Paise,
    /// Given on top of it.
    pub bonus: Paise,
    pub expires_at: Timestamp,
    pub reason: String,
    pub requested_by: String,
}

impl CreditRequest {
    /// # Errors
    /// What is wrong with it, for people.
    pub fn validate(&self, now: Timestamp) -> Result<(), String> {
        check_text("key", &self.key)?;
        check_text("requested-by", &self.requested_by)?;
        if self.amount < AMOUNT_MIN {
            return Err(format!("the smallest voucher has {AMOUNT_MIN} rupee"));
        }
        if self.bonus < Paise::ZERO || self.bonus > self.amount {
            return Err("the bonus has to be from 0 to the amount".into());
        }
        check_expiry(self.expires_at, now)
    }
}

/// Whether this much can be given away.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_amount(amount: Paise) -> Result<(), String> {
    if (AMOUNT_MIN..=VOUCHER_AMOUNT_MAX).contains(&amount) {
        return Ok(());
    }
    Err(format!("a voucher has an amount from {AMOUNT_MIN} to {VOUCHER_AMOUNT_MAX} rupees"))
}

/// Whether a voucher can be valid until then.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), String> {
    if expires_at > now && expires_at <= now.plus(VOUCHER_VALIDITY_MAX) {
        return Ok(());
    }
    Err(format!("a voucher is valid for at most {} days", VOUCHER_VALIDITY_MAX / DAY))
}

fn credit_transfer(id: String, debit: Account, credit: Account, amount: Paise, voucher: &Voucher) -> Option<Transfer> {
    (amount > Paise::ZERO).then(|| Transfer {
        id,
        debit,
        credit,
        amount,
        booking_id: voucher.booking_id,
        payment_id: None,
        refund_id: None,
        voucher_id: Some(voucher.id),
    })
}

/// The part of a new voucher that nobody has paid for.
pub fn bonus_transfer(voucher: &Voucher) -> Option<Transfer> {
    let id = format!("voucher:{}:bonus", voucher.id);
    credit_transfer(id, Account::Goodwill, Account::Vouchers, voucher.bonus, voucher)
}

/// Takes out of a voucher what a refund had brought into it; none for another refund.
pub fn take_back_transfer(part: &Refund) -> Option<Transfer> {
    part.voucher_id.map(|voucher_id| Transfer {
        id: format!("refund:{}:taken-back:{}", part.id, part.retries),
        debit: Account::Vouchers,
        credit: Account::Unearned,
        amount: part.amount,
        booking_id: part.booking_id,
        payment_id: Some(part.payment_id.clone()),
        refund_id: Some(part.id),
        voucher_id: Some(voucher_id),
    })
}

/// What is left of a voucher that nobody can use any more is earned. `nth` counts how
/// often that has happened to it.
pub fn breakage_transfer(voucher: &Voucher, nth: i64) -> Option<Transfer> {
    let id = format!("voucher:{}:breakage:{nth}", voucher.id);
    credit_transfer(id, Account::Vouchers, Account::Revenue, voucher.available(), voucher)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let code = VoucherCode::of([0, 1, 2, 3, 4, 250, 251, 252, 253, 254]);
        assert_eq!(code.as_str(), "000G40R4ZBXZSZFY");
        assert_eq!((code.grouped().as_str(), code.hint().as_str()), ("000G-40R4-ZBXZ-SZFY", "SZFY"));
        for text in ["000g-40r4-zbxz-szfy", "OOOG 40R4 ZBXZ SZFY", "ooog40r4zbxzszfy"] {
            assert_eq!(VoucherCode::parse(text).as_ref(), Some(&code), "{text}");
        }
        for text in ["", "000G-40R4-ZBXZ", "000G-40R4-ZBXZ-SZFY-0", "000G-40R4-ZBXZ-SZF\u{e9}", "UUUU-UUUU-UUUU-UUUU"] {
            assert_eq!(VoucherCode::parse(text), None, "{text}");
        }
        assert_eq!(format!("{code:?}"), "SZFY", "a log shows no code");
    }

    proptest! {
        #[test]
        fn a_code_survives_its_text(bytes in any::<[u8; VOUCHER_CODE_BYTES]>()) {
            let code = VoucherCode::of(bytes);
            prop_assert_eq!(VoucherCode::parse(&code.grouped()), Some(code));
        }

        #[test]
        fn a_tender_leaves_nothing_or_what_a_provider_takes(owed in 1_i64..100_000, left in 0_i64..200_000) {
            let pays = tender_of(Paise(owed), Paise(left));
            prop_assert!(pays >= Paise::ZERO && pays <= Paise(owed.min(left.max(0))));
            let rest = Paise(owed) - pays;
            prop_assert!(rest == Paise::ZERO || rest >= AMOUNT_MIN || pays == Paise::ZERO);
        }
    }
}
