//! What booking tells, as notification takes it.

use cairn_booking::{app as booking, domain as sale};
use cairn_notification::domain as notice;

pub fn news(news: &booking::News) -> notice::News {
    match news.clone() {
        booking::News::Confirmed { people, total, requests } => {
            let person = |booking::Person { name, age, gender }| notice::Person { name, age, gender };
            let people = people.into_iter().map(person).collect();
            notice::News::Confirmed(notice::Confirmation { people, total, requests })
        }
        booking::News::BalanceReceived { amount, total, method, payment_id } => {
            notice::News::BalanceReceived(notice::Settlement { amount, total, method, payment_id })
        }
        booking::News::Cancelled { entire, names, reason, refund: back } => {
            notice::News::Cancelled(notice::Cancellation { entire, names, reason, refund: back.map(refund) })
        }
        booking::News::SeatCancelled { reason } => notice::News::SeatCancelled(reason),
        booking::News::SeatTransferred { old_name, new_name } => {
            notice::News::SeatTransferred(notice::Transfer { old_name, new_name })
        }
        booking::News::DeclarationWanted { names } => notice::News::DeclarationWanted(names),
        booking::News::DeclarationReceived { name } => notice::News::DeclarationReceived(name),
        booking::News::DeclarationDecided { name, approved } => {
            notice::News::DeclarationDecided(notice::Clearance { name, approved })
        }
        booking::News::DatesChanged { old_start, old_end, answer } => {
            notice::News::DatesChanged(notice::Move { old_start, old_end, answer })
        }
        booking::News::RequestDeclined { kind, answer } => {
            notice::News::RequestDeclined(notice::Refusal { kind: request_kind(kind), answer })
        }
        booking::News::RequestReceived { kind, reason, customer, phone, wanted_start } => {
            let kind = request_kind(kind);
            notice::News::RequestReceived(notice::Request { kind, reason, customer, phone, wanted_start })
        }
        booking::News::UnpaidCancelled { balance: amount, due } => {
            notice::News::UnpaidCancelled(notice::Balance { amount, due })
        }
        booking::News::BalanceReminder { balance: amount, due } => {
            notice::News::BalanceReminder(notice::Balance { amount, due })
        }
        booking::News::ShareAsked { by, amount, due, link } => {
            notice::News::ShareAsked(notice::ShareRequest { by, amount, due, link })
        }
        booking::News::SharePaid { amount, method, payment_id } => {
            notice::News::SharePaid(notice::ShareReceipt { amount, method, payment_id })
        }
        booking::News::DetailsReminder => notice::News::DetailsReminder,
        booking::News::TripReminder => notice::News::TripReminder,
        booking::News::CalledOff { reason, refund, voucher, deadline, link } => {
            notice::News::CalledOff(notice::CallOff { reason, refund, voucher, deadline, link })
        }
        booking::News::VoucherIssued { code, amount, expires_at } => {
            notice::News::VoucherIssued(notice::Credit { code, amount, expires: expires_at })
        }
    }
}

fn refund(refund: booking::RefundNews) -> notice::Refund {
    notice::Refund {
        kind: match refund.kind {
            sale::RefundType::Auto => notice::RefundKind::Auto,
            sale::RefundType::Full => notice::RefundKind::Full,
            sale::RefundType::Custom => notice::RefundKind::Custom,
        },
        amount: refund.amount,
        state: match refund.status {
            sale::RefundStatus::Success => notice::RefundState::Paid,
            sale::RefundStatus::Failed => notice::RefundState::Failed,
            sale::RefundStatus::Pending | sale::RefundStatus::Processing | sale::RefundStatus::NotApplicable => {
                notice::RefundState::Processing
            }
        },
    }
}

fn request_kind(kind: booking::RequestKind) -> notice::RequestKind {
    match kind {
        booking::RequestKind::Cancellation => notice::RequestKind::Cancellation,
        booking::RequestKind::Reschedule => notice::RequestKind::Reschedule,
    }
}
