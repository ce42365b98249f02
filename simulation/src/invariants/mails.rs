//! What people were told.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use cairn_booking::domain::Status;
use cairn_shared::{Id, Sql, Timestamp, params};

use crate::{
    process::Databases,
    seen::{Life, Seen},
};

const PAID: [Status; 4] =
    [Status::PaymentCompleted, Status::PaymentConfirmedPartial, Status::Confirmed, Status::TrekCompleted];

/// A mail that was queued.
struct Mail {
    key: String,
    /// Address, in lower case.
    recipient: String,
    at: Timestamp,
}

/// No mail tells of something that did not happen, none goes to somebody whom it does not
/// concern, and who is confirmed was told.
pub(super) async fn check(databases: &Databases, seen: &Seen) -> Result<()> {
    let mut confirmed = BTreeSet::new();
    let select = "SELECT mail_key, recipient, created_at FROM mails ORDER BY id";
    for row in databases.notification.query(select, params![]).await? {
        let recipient = row.get::<String>("recipient")?.to_lowercase();
        let mail = Mail { key: row.get("mail_key")?, recipient, at: row.get("created_at")? };
        let parts: Vec<_> = mail.key.split('/').collect();
        match parts.as_slice() {
            ["booking", id, label, rest @ ..] => {
                let id: Id = id.parse()?;
                let life =
                    seen.lives.get(&id).with_context(|| format!("{} is of a booking that never was", mail.key))?;
                let happened = happened(databases, life, label, rest).await?;
                ensure!(happened, "{} tells of something that did not happen", mail.key);
                concerns(life, &mail, label, rest)?;
                if *label == "confirmed" {
                    confirmed.insert((id, mail.recipient));
                }
            }
            ["gift", id] => gift(databases, &mail, id.parse()?).await?,
            _ => {}
        }
    }
    // Who comes back to a booking that was cancelled is told by those who bring it back.
    let stayed = |life: &&Life| !life.gone && !life.statuses.contains(Status::Cancelled.as_str());
    for life in seen.lives.values().filter(stayed).filter(|life| life.booking.status == Status::Confirmed) {
        let booking = &life.booking;
        let told = |address: &str| confirmed.contains(&(booking.id, address.to_lowercase()));
        ensure!(told(&booking.contact.email), "booking {} is confirmed and nobody was told", booking.id);
        let coming = booking.participants.iter().filter(|participant| !participant.is_cancelled && !life.lost_somebody);
        for participant in coming.filter(|participant| !participant.email.is_empty()) {
            let name = &participant.name;
            ensure!(told(&participant.email), "booking {} is confirmed and {name} was not told", booking.id);
        }
    }
    Ok(())
}

async fn happened(databases: &Databases, life: &Life, label: &str, rest: &[&str]) -> Result<bool> {
    let (id, occasion) = (life.booking.id, rest.last().copied().unwrap_or_default());
    let was = |statuses: &[Status]| statuses.iter().any(|status| life.statuses.contains(status.as_str()));
    let there = async |select: &str, named: &str| {
        let found = databases.booking.query_opt(select, params![named, id]).await?;
        Ok::<_, anyhow::Error>(found.is_some())
    };
    Ok(match label {
        "payment" => there("SELECT id FROM payments WHERE id = $1 AND booking_id = $2", occasion).await? && was(&PAID),
        "confirmed" => was(&[Status::Confirmed]),
        "cancelled" => was(&[Status::Cancelled]),
        "unpaid-cancelled" => was(&[Status::Cancelled]) && was(&[Status::PaymentConfirmedPartial]),
        "participants-cancelled" | "seat-cancelled" => life.lost_somebody,
        "dates-changed" => life.batches.len() > 1,
        "request-declined" | "request-received" => life.asked,
        "balance-reminder" => was(&[Status::PaymentConfirmedPartial]),
        "share-asked" => was(&[Status::PaymentConfirmedPartial]),
        "share-paid" => {
            let select = "SELECT id FROM payments WHERE id = $1 AND booking_id = $2 AND share_id IS NOT NULL";
            there(select, occasion).await?
        }
        "details-reminder" | "invoice" => was(&PAID),
        "seat-transferred" => life.transferred,
        "declaration-wanted" => life.booking.clearance.is_some(),
        "declaration-approved" | "declaration-refused" => {
            let declaration = occasion.split('-').next().unwrap_or_default();
            there(
                "SELECT id FROM declarations WHERE id = $1 AND booking_id = $2 AND decided_at IS NOT NULL",
                declaration,
            )
            .await?
        }
        "called-off" => life.booking.called_off.is_some() && was(&[Status::Cancelled]),
        "voucher" => life.booking.refund_requests.iter().any(|one| one.key == occasion && one.voucher.is_some()),
        "trip-reminder" => was(&[Status::Confirmed]),
        other => bail!("mails of the kind {other} are not known here"),
    })
}

/// A mail to a participant goes to somebody who is, or was, one when what it tells of
/// happened. A confirmation is not for those who had left by then, nor for who comes later.
fn concerns(life: &Life, mail: &Mail, label: &str, rest: &[&str]) -> Result<()> {
    let (true, [_, occasion]) = (matches!(label, "confirmed" | "seat-cancelled" | "seat-transferred"), rest) else {
        return Ok(());
    };
    let joined = life.joined.get(&mail.recipient);
    ensure!(
        joined.is_some_and(|joined| *joined <= mail.at),
        "{} goes to {} who did not come",
        mail.key,
        mail.recipient
    );
    // What the booking was like when it was noted: by its version, else by the command.
    let Some(roster) = occasion.parse().ok().and_then(|version: i64| life.rosters.get(&version)) else { return Ok(()) };
    let comes = label != "confirmed" || roster.contains(&mail.recipient);
    ensure!(comes, "{} goes to {} who was not coming then", mail.key, mail.recipient);
    Ok(())
}

/// A gift's code is mailed once there is a voucher, and not before its day.
async fn gift(databases: &Databases, mail: &Mail, id: Id) -> Result<()> {
    let select = "SELECT status, deliver_at FROM gifts WHERE id = $1";
    let row = databases.booking.query_opt(select, params![id]).await?;
    let row = row.with_context(|| format!("{} is of a gift that never was", mail.key))?;
    let (status, due): (String, Timestamp) = (row.get("status")?, row.get("deliver_at")?);
    ensure!(due <= mail.at, "{} was mailed on {}, before {due}", mail.key, mail.at);
    ensure!(matches!(status.as_str(), "issued" | "returned"), "{} was mailed and it is {status}", mail.key);
    Ok(())
}
