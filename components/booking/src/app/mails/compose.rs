//! From a note to the mail that it stands for, by the booking as it is now.

use cairn_shared::{Id, Paise};

use super::{Attachment, Mail, MailIntent, Message, News, Person, RefundNews, Trip};
use crate::{
    app::{App, BookingError, RefundError},
    domain::{Booking, Participant, Payment, RefundStatus, Status, worth},
    store,
};

fn trip(booking: &Booking) -> Trip {
    Trip {
        booking_id: booking.id,
        booking_code: booking.code(),
        trek_name: booking.trek_name.clone(),
        start: booking.batch_start,
        end: booking.batch_end,
        participants: coming(booking).map(|participant| participant.name.clone()).collect(),
    }
}

fn coming(booking: &Booking) -> impl Iterator<Item = &Participant> {
    booking.participants.iter().filter(|participant| !participant.is_cancelled)
}

/// A mail before it has a key.
struct Draft {
    to: (String, String),
    message: Message,
    attachments: Vec<Attachment>,
}

impl App {
    /// The mail that a note stands for; none when there is nothing to tell any more.
    pub(super) async fn mail(
        &self,
        key: &str,
        booking_id: Id,
        intent: &MailIntent,
    ) -> Result<Option<Mail>, BookingError> {
        let Some(booking) = store::booking_fetch(&self.db, booking_id).await? else { return Ok(None) };
        let occasion = key.rsplit('/').next().unwrap_or_default();
        let draft = self.draft_mail(&booking, intent, occasion).await?;
        Ok(draft.map(|Draft { to: (name, email), message, attachments }| Mail {
            key: key.to_owned(),
            name,
            email,
            message,
            attachments,
        }))
    }

    async fn draft_mail(
        &self,
        booking: &Booking,
        intent: &MailIntent,
        occasion: &str,
    ) -> Result<Option<Draft>, BookingError> {
        let booker = || (booking.contact.name.clone(), booking.contact.email.clone());
        let send = |to, message, attachments| Ok(Some(Draft { to, message, attachments }));
        let news = match intent {
            MailIntent::PaymentReceived { payment_id } => {
                let Some(payment) = store::payment_fetch(&self.db, payment_id).await? else { return Ok(None) };
                let attachments = self.invoice_attachment(booking, "Invoice").await?;
                return send(booker(), payment_received(booking, payment), attachments);
            }
            MailIntent::Invoice => {
                let attachments = self.invoice_attachment(booking, "invoice").await?;
                return send(booker(), Message::Invoice(trip(booking)), attachments);
            }
            MailIntent::ConfirmedParticipant { name, email } => {
                let to = (name.clone(), email.clone());
                return send(to, Message::Notice(trip(booking), confirmed(booking, false)), Vec::new());
            }
            MailIntent::SeatCancelled { name, email, reason } => {
                let news = News::SeatCancelled { reason: reason.clone() };
                return send((name.clone(), email.clone()), Message::Notice(trip(booking), news), Vec::new());
            }
            MailIntent::SeatTransferred { to, old_name, new_name } => {
                let news = News::SeatTransferred { old_name: old_name.clone(), new_name: new_name.clone() };
                let to = to.clone().unwrap_or_else(booker);
                return send(to, Message::Notice(trip(booking), news), Vec::new());
            }
            MailIntent::RequestReceived { request, reason, wanted_start } => {
                let Some(staff) = self.seller.email.clone() else { return Ok(None) };
                let news = News::RequestReceived {
                    kind: *request,
                    reason: reason.clone(),
                    customer: booking.contact.name.clone(),
                    phone: booking.contact.phone.clone(),
                    wanted_start: *wanted_start,
                };
                let to = (self.seller.trade_name.clone(), staff);
                return send(to, Message::Notice(trip(booking), news), Vec::new());
            }
            MailIntent::DeclarationReceived { name } => {
                let Some(staff) = self.seller.email.clone() else { return Ok(None) };
                let news = News::DeclarationReceived { name: name.clone() };
                let to = (self.seller.trade_name.clone(), staff);
                return send(to, Message::Notice(trip(booking), news), Vec::new());
            }
            MailIntent::ShareAsked { share } => {
                let asked = booking.open_shares().find(|(open, _)| open.id == *share);
                let (Some((asked, amount)), Some(split)) = (asked, &booking.split) else { return Ok(None) };
                let Some(link) = self.share_link(booking.id, *share).await? else { return Ok(None) };
                let news = News::ShareAsked { by: booking.contact.name.clone(), amount, due: split.deadline, link };
                let to = (asked.name.clone(), asked.email.clone());
                return send(to, Message::Notice(trip(booking), news), Vec::new());
            }
            MailIntent::SharePaid { payment_id } => {
                let Some(payment) = store::payment_fetch(&self.db, payment_id).await? else { return Ok(None) };
                let Some(share) = payment.share.and_then(|id| booking.share_with(id)) else { return Ok(None) };
                let to = (share.name.clone(), share.email.clone());
                let (amount, method) = (payment.amount, payment.method);
                let news = News::SharePaid { amount, method, payment_id: payment.id };
                return send(to, Message::Notice(trip(booking), news), Vec::new());
            }
            MailIntent::DeclarationWanted => declaration_wanted(booking),
            MailIntent::DeclarationApproved { name } => {
                Some(News::DeclarationDecided { name: name.clone(), approved: true })
            }
            MailIntent::DeclarationRefused { name } => {
                Some(News::DeclarationDecided { name: name.clone(), approved: false })
            }
            MailIntent::CalledOff => self.called_off(booking).await?,
            MailIntent::VoucherIssued { key } => match self.peers.voucher(key).await {
                Ok(issued) => Some(News::VoucherIssued {
                    code: issued.code,
                    amount: issued.amount,
                    expires_at: issued.expires_at,
                }),
                Err(RefundError::Unavailable(cause)) => return Err(BookingError::Unavailable(cause)),
                Err(RefundError::Refused(_)) => None,
            },
            MailIntent::Confirmed => Some(confirmed(booking, true)),
            MailIntent::Cancelled => Some(cancelled(booking)),
            MailIntent::ParticipantsCancelled { participants } => Some(participants_cancelled(booking, participants)),
            MailIntent::DatesChanged { old_start, old_end, answer } => {
                Some(News::DatesChanged { old_start: *old_start, old_end: *old_end, answer: answer.clone() })
            }
            MailIntent::RequestDeclined { request, answer } => {
                Some(News::RequestDeclined { kind: *request, answer: answer.clone() })
            }
            MailIntent::UnpaidCancelled { balance_paise, due } => {
                Some(News::UnpaidCancelled { balance: Paise(*balance_paise), due: *due })
            }
            MailIntent::BalanceReminder => balance_reminder(booking),
            MailIntent::DetailsReminder => {
                (booking.participants.is_empty() && booking.status.holds_seats()).then_some(News::DetailsReminder)
            }
            MailIntent::TripReminder => booking.status.holds_seats().then_some(News::TripReminder),
        };
        let attachments = match intent {
            MailIntent::Cancelled | MailIntent::ParticipantsCancelled { .. } | MailIntent::UnpaidCancelled { .. } => {
                let corrections = self.corrections_of(booking.id, occasion).await?;
                corrections.into_iter().map(|(number, content)| pdf(number, content)).collect()
            }
            _ => Vec::new(),
        };
        match news {
            Some(news) => send(booker(), Message::Notice(trip(booking), news), attachments),
            None => Ok(None),
        }
    }

    /// None once the booker has chosen.
    async fn called_off(&self, booking: &Booking) -> Result<Option<News>, BookingError> {
        let Some(called_off) = booking.called_off.as_ref().filter(|_| booking.awaits_choice()) else {
            return Ok(None);
        };
        let Some(off) = store::call_off_fetch(&self.db, called_off.call_off).await? else { return Ok(None) };
        let worth = worth(booking, off.bonus);
        Ok(Some(News::CalledOff {
            reason: called_off.reason.clone(),
            refund: worth.refund,
            voucher: worth.voucher,
            deadline: called_off.deadline,
            link: format!("{}/api/bookings/call-offs/choice/{}", self.seller.api_url, off.token(booking.id)),
        }))
    }

    async fn invoice_attachment(&self, booking: &Booking, name: &str) -> Result<Vec<Attachment>, BookingError> {
        let content = self.invoice_of(booking).await?;
        Ok(vec![pdf(format!("{name}-{}", booking.id), content)])
    }
}

fn pdf(name: String, content: Vec<u8>) -> Attachment {
    Attachment { file_name: format!("{name}.pdf"), content_type: "application/pdf", content }
}

fn payment_received(booking: &Booking, payment: Payment) -> Message {
    let partial = booking.partial.as_ref();
    let is_first = booking.first_payment.as_ref().is_none_or(|first| first.id == payment.id);
    if !is_first && partial.is_some_and(|partial| partial.remaining == Paise::ZERO) {
        let news = News::BalanceReceived {
            amount: payment.amount,
            total: booking.price.total,
            method: payment.method,
            payment_id: payment.id,
        };
        return Message::Notice(trip(booking), news);
    }
    let due = partial.filter(|partial| partial.remaining > Paise::ZERO);
    Message::PaymentReceived {
        trip: trip(booking),
        amount: payment.amount,
        remaining: due.map_or(Paise::ZERO, |partial| partial.remaining),
        due: due.map(|partial| partial.due),
        method: payment.method,
        payment_id: payment.id,
    }
}

fn confirmed(booking: &Booking, to_booker: bool) -> News {
    let person = |p: &Participant| Person { name: p.name.clone(), age: p.age, gender: p.gender.clone() };
    let requests = booking.additional_requests.clone().filter(|_| to_booker);
    News::Confirmed {
        people: coming(booking).map(person).collect(),
        total: to_booker.then_some(booking.price.total),
        requests: requests.unwrap_or_default(),
    }
}

fn cancelled(booking: &Booking) -> News {
    let refund = RefundNews { kind: booking.refund_type, amount: booking.refund_amount, status: booking.refund_status };
    News::Cancelled {
        entire: true,
        names: booking.participants.iter().map(|participant| participant.name.clone()).collect(),
        reason: booking.cancellation_reason.clone(),
        refund: Some(refund).filter(promises_money),
    }
}

fn participants_cancelled(booking: &Booking, ids: &[Id]) -> News {
    let gone: Vec<_> = booking.participants.iter().filter(|participant| ids.contains(&participant.id)).collect();
    let any = |status| gone.iter().any(|participant| participant.refund_status == status);
    let status = match () {
        () if any(RefundStatus::Failed) => RefundStatus::Failed,
        () if any(RefundStatus::Processing) || any(RefundStatus::Pending) => RefundStatus::Processing,
        () if any(RefundStatus::Success) => RefundStatus::Success,
        () => RefundStatus::NotApplicable,
    };
    let refund = gone.first().map(|first| RefundNews {
        kind: first.refund_type,
        amount: gone.iter().map(|participant| participant.refund_amount).sum(),
        status,
    });
    News::Cancelled {
        entire: booking.status == Status::Cancelled,
        names: gone.iter().map(|participant| participant.name.clone()).collect(),
        reason: gone.first().map(|first| first.cancellation_reason.clone()).unwrap_or_default(),
        refund: refund.filter(promises_money),
    }
}

fn promises_money(refund: &RefundNews) -> bool {
    refund.amount > Paise::ZERO && refund.status != RefundStatus::NotApplicable
}

/// None once the balance is paid or the booking is gone.
fn balance_reminder(booking: &Booking) -> Option<News> {
    let partial = booking.partial.as_ref()?;
    let owed = booking.status == Status::PaymentConfirmedPartial && partial.remaining > Paise::ZERO;
    owed.then_some(News::BalanceReminder { balance: partial.remaining, due: partial.due })
}

/// None once everybody is cleared or the booking is gone.
fn declaration_wanted(booking: &Booking) -> Option<News> {
    let names: Vec<_> = booking.uncleared().map(|participant| participant.name.clone()).collect();
    (booking.status.holds_seats() && !names.is_empty()).then_some(News::DeclarationWanted { names })
}
