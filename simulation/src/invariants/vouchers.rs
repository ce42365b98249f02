//! Vouchers, and gifts that become vouchers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cairn_shared::{Id, Paise, Sql, Timestamp, params};

use super::{count, payments::Known};
use crate::process::Databases;

/// Nobody spent more of a voucher than there was, nothing is reserved that is not there, and
/// all vouchers together are what the book says.
pub(super) async fn always(databases: &Databases) -> Result<()> {
    let db = &databases.payment;
    let select = "SELECT v.id AS id, v.amount AS amount, \
         CAST(COALESCE((SELECT SUM(CASE WHEN t.credit = 'vouchers' THEN t.amount WHEN t.debit = 'vouchers' THEN -t.amount ELSE 0 END) \
           FROM ledger_transfers t WHERE t.voucher_id = v.id), 0) AS BIGINT) AS credit, \
         CAST(COALESCE((SELECT SUM(o.voucher_amount) FROM payables o WHERE o.voucher_id = v.id AND o.status = 'open'), 0) AS BIGINT) AS reserved \
         FROM vouchers v ORDER BY v.id";
    let mut sum = Paise::ZERO;
    for row in db.query(select, params![]).await? {
        let (id, amount): (Id, Paise) = (row.get("id")?, row.get("amount")?);
        let (left, reserved): (Paise, Paise) = (row.get("credit")?, row.get("reserved")?);
        ensure!(left >= Paise::ZERO && left <= amount, "voucher {id} of {amount} has {left}");
        ensure!(reserved <= left, "of voucher {id} {reserved} are reserved and {left} are there");
        sum += left;
    }
    let select = "SELECT CAST(COALESCE(SUM(CASE WHEN credit = 'vouchers' THEN amount ELSE -amount END), 0) AS BIGINT) AS n \
                  FROM ledger_transfers WHERE credit = 'vouchers' OR debit = 'vouchers'";
    let book = Paise(count(db, select).await?);
    ensure!(sum == book, "vouchers have {sum}, and the book says {book}");
    Ok(())
}

/// What went back of a gift's payments.
#[derive(Default)]
struct Back {
    to_vouchers: Paise,
    elsewhere: Paise,
    /// Staff see it.
    failed: Paise,
}

/// The money of a gift is in its voucher, or back where it came from, or on a refund that
/// staff have to look at; and its code was mailed on its day.
pub(super) async fn gifts(databases: &Databases, payments: &BTreeMap<String, Known>, now: Timestamp) -> Result<()> {
    let select = "SELECT id, status, amount, deliver_at, mailed_at FROM gifts ORDER BY id";
    for row in databases.booking.query(select, params![]).await? {
        let (id, status): (Id, String) = (row.get("id")?, row.get("status")?);
        let own = payments.values().filter(|known| known.booking == Some(id) && known.problem.is_none());
        let paid: Paise = own.map(Known::counted).sum();
        let back = back(databases, id).await?;
        let moved = back.to_vouchers + back.elsewhere + back.failed;
        ensure!(moved == paid, "gift {id} is {status}, was paid {paid}, and {moved} went somewhere");
        let voucher = format!("gift/{id}");
        let voucher = cairn_payment::store::voucher_fetch_by_key(&databases.payment, &voucher).await?;
        match status.as_str() {
            "issued" => {
                let voucher = voucher.with_context(|| format!("gift {id} is issued and has no voucher"))?;
                let amount: Paise = row.get("amount")?;
                ensure!(
                    voucher.amount == amount && back.to_vouchers == amount,
                    "gift {id} of {amount} has a voucher of {} that {} went to",
                    voucher.amount,
                    back.to_vouchers
                );
                let (due, mailed): (Timestamp, Option<Timestamp>) = (row.get("deliver_at")?, row.get("mailed_at")?);
                ensure!(mailed.is_some() || due > now, "gift {id} was due on {due} and is not mailed");
            }
            "returned" => {
                ensure!(back.to_vouchers == Paise::ZERO, "gift {id} went back and its voucher has money");
                let good = voucher.filter(|voucher| voucher.voided.is_none() || voucher.balance > Paise::ZERO);
                ensure!(good.is_none(), "gift {id} went back and its voucher is good");
            }
            "expired" => ensure!(paid == Paise::ZERO, "gift {id} expired and was paid {paid}"),
            other => anyhow::bail!("gift {id} rests as {other}"),
        }
    }
    Ok(())
}

async fn back(databases: &Databases, gift: Id) -> Result<Back> {
    let select = "SELECT r.amount AS amount, r.status AS status, r.voucher_id AS voucher_id FROM refunds r \
                  JOIN payments p ON p.id = r.payment_id \
                  WHERE p.booking_id = $1 AND p.problem IS NULL AND r.surplus = 0";
    let mut back = Back::default();
    for row in databases.payment.query(select, params![gift]).await? {
        let amount: Paise = row.get("amount")?;
        match (row.get::<String>("status")?.as_str(), row.get::<Option<Id>>("voucher_id")?) {
            ("failed", _) => back.failed += amount,
            (_, Some(_)) => back.to_vouchers += amount,
            (_, None) => back.elsewhere += amount,
        }
    }
    Ok(back)
}
