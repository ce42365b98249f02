//! Notices by their WIT interface.

use cairn_shared::Timestamp;

use super::mail_error;
pub(super) use crate::shell::bindings::cairn::notification::notices::Address;
use crate::{
    app::{MailError, News, Person, RefundNews},
    domain::{RefundStatus, RefundType, RequestKind},
    shell::bindings::cairn::notification::{mail, notices},
};

pub(super) async fn send(to: Address, trip: mail::Trip, news: &News) -> Result<(), MailError> {
    let sent = match news.clone() {
        News::Confirmed { people, total, requests } => {
            let person = |Person { name, age, gender }| notices::Person { name, age, gender };
            let people = people.into_iter().map(person).collect();
            let about = notices::Confirmation { people, total: total.map(|total| total.0), requests };
            notices::booking_confirmed(to, trip, about).await
        }
        News::BalanceReceived { amount, total, method, payment_id } => {
            let about = notices::Settlement { amount: amount.0, total: total.0, method, payment_id };
            notices::balance_received(to, trip, about).await
        }
        News::Cancelled { entire, names, reason, refund: back } => {
            let about = notices::Cancellation { entire, names, reason, refund: back.map(refund) };
            notices::booking_cancelled(to, trip, about).await
        }
        News::SeatCancelled { reason } => notices::seat_cancelled(to, trip, notices::Withdrawal { reason }).await,
        News::SeatTransferred { old_name, new_name } => {
            notices::seat_transferred(to, trip, notices::Transfer { old_name, new_name }).await
        }
        News::DeclarationWanted { names } => notices::declaration_wanted(to, trip, notices::Undeclared { names }).await,
        News::DeclarationReceived { name } => {
            notices::declaration_received(to, trip, notices::Declaration { name }).await
        }
        News::DeclarationDecided { name, approved } => {
            notices::declaration_decided(to, trip, notices::Clearance { name, approved }).await
        }
        News::DatesChanged { old_start, old_end, answer } => {
            let about = notices::Move { old_start: old_start.millis(), old_end: old_end.millis(), answer };
            notices::dates_changed(to, trip, about).await
        }
        News::RequestDeclined { kind, answer } => {
            notices::request_declined(to, trip, notices::Refusal { kind: request_kind(kind), answer }).await
        }
        News::RequestReceived { kind, reason, customer, phone, wanted_start } => {
            let about = notices::Request {
                kind: request_kind(kind),
                reason,
                customer,
                phone,
                wanted_start: wanted_start.map(Timestamp::millis),
            };
            notices::request_received(to, trip, about).await
        }
        News::UnpaidCancelled { balance, due } => {
            notices::unpaid_cancelled(to, trip, notices::Balance { amount: balance.0, due_date: due.millis() }).await
        }
        News::BalanceReminder { balance, due } => {
            notices::balance_reminder(to, trip, notices::Balance { amount: balance.0, due_date: due.millis() }).await
        }
        News::ShareAsked { by, amount, due, link } => {
            let about = notices::ShareRequest { by, amount: amount.0, due_date: due.millis(), link };
            notices::share_asked(to, trip, about).await
        }
        News::SharePaid { amount, method, payment_id } => {
            let about = notices::ShareReceipt { amount: amount.0, method, payment_id };
            notices::share_paid(to, trip, about).await
        }
        News::DetailsReminder => notices::details_reminder(to, trip).await,
        News::TripReminder => notices::trip_reminder(to, trip).await,
        News::CalledOff { reason, refund, voucher, deadline, link } => {
            let (refund, voucher, deadline) = (refund.0, voucher.0, deadline.millis());
            notices::called_off(to, trip, notices::CallOff { reason, refund, voucher, deadline, link }).await
        }
        News::VoucherIssued { code, amount, expires_at } => {
            let about = notices::Credit { code, amount: amount.0, expires_at: expires_at.millis() };
            notices::voucher_issued(to, trip, about).await
        }
    };
    sent.map_err(mail_error)
}

fn refund(refund: RefundNews) -> notices::Refund {
    notices::Refund {
        kind: match refund.kind {
            RefundType::Auto => notices::RefundKind::Auto,
            RefundType::Full => notices::RefundKind::Full,
            RefundType::Custom => notices::RefundKind::Custom,
        },
        amount: refund.amount.0,
        state: match refund.status {
            RefundStatus::Success => notices::RefundState::Paid,
            RefundStatus::Failed => notices::RefundState::Failed,
            RefundStatus::Pending | RefundStatus::Processing | RefundStatus::NotApplicable => {
                notices::RefundState::Processing
            }
        },
    }
}

fn request_kind(kind: RequestKind) -> notices::RequestKind {
    match kind {
        RequestKind::Cancellation => notices::RequestKind::Cancellation,
        RequestKind::Reschedule => notices::RequestKind::Reschedule,
    }
}
