//! Vouchers as a means of payment. The price of a booking does not know of them.

use cairn_shared::{Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Booking, Status, payable};

/// What a voucher is to pay of what a booking owes now. Payment keeps it for the booking
/// until that is paid or over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tender {
    /// Names the payment where the voucher pays all: it is made once.
    pub key: Id,
    pub voucher: Id,
    /// The last four characters of its code.
    pub hint: String,
    pub amount: Paise,
}

/// What a voucher pays of an amount, as payment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub voucher: Id,
    pub hint: String,
    pub pays: Paise,
}

/// How money of a booking becomes a voucher instead of going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoucherTerms {
    /// Given on top of the money.
    pub bonus: Paise,
    pub expires_at: Timestamp,
}

/// A voucher as its owner is told of it. The code is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedVoucher {
    pub code: String,
    pub amount: Paise,
    pub expires_at: Timestamp,
}

impl Tender {
    pub fn of(offer: Offer, key: Id) -> Self {
        Self { key, voucher: offer.voucher, hint: offer.hint, amount: offer.pays }
    }

    /// As much of it as an amount needs: the rest is nothing, or enough for a provider.
    pub fn fitted(&self, owed: Paise) -> Option<Self> {
        let least = Paise::rupees(1);
        let rest = owed - self.amount;
        let amount = match () {
            () if rest <= Paise::ZERO => owed,
            () if rest < least => owed - least,
            () => self.amount,
        };
        (amount > Paise::ZERO).then(|| Self { amount, ..self.clone() })
    }
}

impl Booking {
    /// Whether a voucher pays all that is owed now, so that nobody has to pay online.
    pub fn is_covered(&self) -> bool {
        self.status != Status::Creating && payable(self).is_some_and(|owed| owed.online() == Paise::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tender_follows_what_is_owed() {
        let id = Id::derive(&["voucher"]);
        let tender = Tender { key: id, voucher: id, hint: "SZFY".into(), amount: Paise(1_000) };
        let fitted = |owed| tender.fitted(Paise(owed)).map(|fitted| fitted.amount.0);
        assert_eq!((fitted(5_000), fitted(1_100), fitted(1_000)), (Some(1_000), Some(1_000), Some(1_000)));
        assert_eq!((fitted(1_099), fitted(700), fitted(0)), (Some(999), Some(700), None));
    }
}
