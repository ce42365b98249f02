//! Payments, refunds and the book, against the bookings and the providers.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use cairn_booking::domain::{Booking, RefundStatus, Status};
use cairn_shared::{Db, Id, Paise, Row, Sql, Timestamp, params};

use super::count;
use crate::{
    process::Databases,
    provider::{Company, Provider},
    seen::Seen,
};

/// Differences between book and records that are named.
const NAMED_MAX: i64 = 5;

/// A payment as payment has it, in paise.
pub struct Known {
    pub booking: Option<Id>,
    pub amount: Paise,
    pub surplus: Paise,
    pub problem: Option<String>,
    /// Whether the provider has it; else it is cash, or a voucher's.
    pub online: bool,
    /// Given back, in order: of the surplus, and of the rest; and what failed of either.
    pub surplus_back: Paise,
    pub back: Paise,
    pub failed: Paise,
    /// Of `back`, what has arrived: offline it waits for staff.
    pub arrived: Paise,
}

impl Known {
    /// What its booking is told of.
    pub fn counted(&self) -> Paise {
        self.amount - self.surplus
    }
}

/// All captured payments, by id.
///
/// # Errors
/// The database's.
pub async fn payments(db: &Db) -> Result<BTreeMap<String, Known>> {
    let mut known = BTreeMap::new();
    let select = "SELECT id, booking_id, amount, surplus, problem, provider FROM payments ORDER BY id";
    for row in db.query(select, params![]).await? {
        let id: String = row.get("id")?;
        let refunds = "SELECT amount, status, surplus FROM refunds WHERE payment_id = $1";
        let refunds = db.query(refunds, params![&id]).await?;
        let sum = |which: &dyn Fn(&str, bool) -> bool| -> Result<Paise> {
            let amount = |row: &Row| -> Result<Paise> {
                let counts = which(&row.get::<String>("status")?, row.get("surplus")?);
                Ok(if counts { row.get("amount")? } else { Paise::ZERO })
            };
            refunds.iter().map(amount).sum()
        };
        let payment = Known {
            booking: row.get("booking_id")?,
            amount: row.get("amount")?,
            surplus: row.get("surplus")?,
            problem: row.get("problem")?,
            online: matches!(row.get::<String>("provider")?.as_str(), "razorpay" | "stripe"),
            surplus_back: sum(&|status, surplus| status != "failed" && surplus)?,
            back: sum(&|status, surplus| status != "failed" && !surplus)?,
            failed: sum(&|status, _| status == "failed")?,
            arrived: sum(&|status, surplus| status == "success" && !surplus)?,
        };
        known.insert(id, payment);
    }
    Ok(known)
}

/// The book shows every payment and refund, is in balance, and says what the provider holds.
pub(super) async fn book(databases: &Databases, provider: &Provider, now: Timestamp) -> Result<()> {
    let db = &databases.payment;
    let differences = cairn_payment::store::ledger_differences(db, NAMED_MAX).await?;
    ensure!(differences.is_empty(), "the book differs from the records: {differences:?}");
    let balances = cairn_payment::store::ledger_balances(db, now).await?;
    let sum: Paise = balances.iter().map(|balance| balance.debits - balance.credits).sum();
    ensure!(sum == Paise::ZERO, "the book is out of balance by {sum}");
    for company in [Company::Razorpay, Company::Stripe] {
        let account = format!("provider:{}", company.as_str());
        let held = balances.iter().find(|balance| balance.account.as_str() == account);
        let held = held.map_or(Paise::ZERO, |balance| balance.debits - balance.credits);
        // What staff paid out by hand for a refund that the provider could not make is still there.
        let there = Paise(provider.holds(company));
        ensure!(held == there, "by the book {account} holds {held}, and it holds {there}");
    }
    Ok(())
}

/// Every captured payment of the provider's is known with its refunds, and no other.
pub(super) async fn at_provider(
    databases: &Databases,
    provider: &Provider,
    payments: &BTreeMap<String, Known>,
) -> Result<()> {
    let captured: BTreeMap<_, _> = provider
        .payments()
        .into_iter()
        .filter(|payment| payment.captured)
        .map(|payment| (payment.id.clone(), payment))
        .collect();
    for (id, known) in payments.iter().filter(|(_, known)| known.online) {
        let Some(theirs) = captured.get(id) else { anyhow::bail!("{id} was never captured by the provider") };
        ensure!(known.amount == Paise(theirs.amount), "{id} is {} here and {} there", known.amount, theirs.amount);
        let select = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS n FROM refunds \
                      WHERE payment_id = $1 AND status = 'success' AND paid_out IS NULL AND voucher_id IS NULL";
        let back: i64 = databases.payment.query_one(select, params![id.as_str()]).await?.get("n")?;
        let there = provider.refunded(id);
        ensure!(back == there, "of {id} went back {back} by our records and {there} by the provider's");
    }
    for id in captured.keys() {
        ensure!(payments.contains_key(id), "{id} was captured and nobody here knows");
    }
    Ok(())
}

/// A booking has what payment has for it, and gave back what was decided.
pub(super) async fn money(booking: &Booking, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    let id = booking.id;
    let own = payments.values().filter(|known| known.booking == Some(id) && known.problem.is_none());
    let (mut paid, mut back) = (Paise::ZERO, Paise::ZERO);
    for known in own {
        paid += known.counted();
        back += known.back;
    }
    ensure!(booking.paid == paid, "booking {id} says it was paid {}, payment says {paid}", booking.paid);
    ensure!(booking.refunded == back, "booking {id} says {} went back, payment says {back}", booking.refunded);
    ensure!(back <= paid, "of booking {id} {back} of {paid} went back");
    ensure!(booking.offline_due.is_none(), "booking {id} still waits for money that staff received");
    if matches!(booking.status, Status::Expired | Status::PendingPayment) {
        ensure!(booking.paid == booking.refunded, "booking {id} was never paid for and keeps {}", booking.paid);
    }
    for request in &booking.refund_requests {
        let select = "SELECT amount FROM refund_requests WHERE request_key = $1";
        let asked = databases.payment.query_opt(select, params![&request.key]).await?;
        let asked: Option<Paise> = asked.map(|row| row.get("amount")).transpose()?;
        ensure!(
            asked.is_none() || asked == Some(request.amount),
            "booking {id} gives back {} and payment was asked for {asked:?}",
            request.amount
        );
        ensure!(
            asked.is_some() || request.status == RefundStatus::Failed,
            "booking {id} gives {} back, payment does not know, and nobody sees that",
            request.amount
        );
    }
    Ok(())
}

/// What was paid for a trip is earned once that is over or called off, and not before. Of
/// what is earned nothing is owed but refunds that failed.
pub(super) async fn earned(booking: &Booking, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    let id = booking.id;
    let book = cairn_payment::store::ledger_earning(&databases.payment, id).await?;
    let failed: Paise = payments.values().filter(|known| known.booking == Some(id)).map(|known| known.failed).sum();
    if matches!(booking.status, Status::TrekCompleted | Status::Cancelled) {
        let owed = book.unearned;
        ensure!(
            Paise::ZERO <= owed && owed <= failed,
            "booking {id} is over and owes {owed}; refunds failed: {failed}"
        );
    } else {
        ensure!(book.taxed + book.revenue == Paise::ZERO, "booking {id} is not over and its money is earned");
    }
    Ok(())
}

/// Money that belongs to no booking went back, or its refund failed where staff see it.
pub(super) async fn homeless(seen: &Seen, databases: &Databases, payments: &BTreeMap<String, Known>) -> Result<()> {
    for (id, known) in payments {
        let lives = known.booking.and_then(|booking| seen.lives.get(&booking)).is_some_and(|life| !life.gone);
        if known.surplus > Paise::ZERO {
            let seen_by_staff = known.surplus_back + known.failed >= known.surplus;
            ensure!(known.surplus_back == known.surplus || seen_by_staff, "the surplus of {id} does not go back");
        }
        if known.problem.is_some() || !lives {
            let left = known.amount - known.back - known.surplus_back;
            ensure!(left <= known.failed, "{left} of {id} belong to nobody and do not go back");
        }
        ensure!(known.back + known.surplus_back <= known.amount, "more of {id} went back than came");
    }
    let known = count(&databases.booking, "SELECT COUNT(*) AS n FROM payments").await?;
    let told = payments.values().filter(|known| {
        let lives = known.booking.and_then(|booking| seen.lives.get(&booking)).is_some_and(|life| !life.gone);
        known.problem.is_none() && lives
    });
    ensure!(usize::try_from(known).ok() == Some(told.count()), "booking knows {known} payments");
    Ok(())
}
