//! The WIT exports of the notification service.

use cairn_shared::{Paise, Timestamp, validate::Email};

use crate::{
    domain::{
        Attachment, Balance, BookingCancelled, BookingConfirmed, CallOff, Cancellation, Clearance, Code, Confirmation,
        Credit, Envelope, Gift, MailError, Message, Move, News, Notice, PaymentReceived, Person, Recipient, Refund,
        RefundKind, RefundState, Refusal, Request, RequestKind, Settlement, ShareReceipt, ShareRequest, Transfer, Trip,
    },
    shell::{
        Exports, app,
        bindings::exports::cairn::notification::{gifts, mail as wit, notices},
    },
};

impl wit::Guest for Exports {
    async fn enqueue(envelope: wit::Envelope) -> Result<(), wit::Error> {
        let wit::Envelope { key, to, message, attachments } = envelope;
        queue(key, to, parsed_message(message), attachments).await
    }
}

impl notices::Guest for Exports {
    async fn booking_confirmed(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Confirmation,
    ) -> Result<(), wit::Error> {
        let person = |notices::Person { name, age, gender }| Person { name, age, gender };
        let confirmation = Confirmation {
            people: about.people.into_iter().map(person).collect(),
            total: about.total.map(Paise),
            requests: about.requests,
        };
        notify(to, trip, News::Confirmed(confirmation)).await
    }

    async fn balance_received(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Settlement,
    ) -> Result<(), wit::Error> {
        let settlement = Settlement {
            amount: Paise(about.amount),
            total: Paise(about.total),
            method: about.method,
            payment_id: about.payment_id,
        };
        notify(to, trip, News::BalanceReceived(settlement)).await
    }

    async fn booking_cancelled(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Cancellation,
    ) -> Result<(), wit::Error> {
        let notices::Cancellation { entire, names, reason, refund } = about;
        notify(to, trip, News::Cancelled(Cancellation { entire, names, reason, refund: refund.map(parsed_refund) }))
            .await
    }

    async fn seat_cancelled(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Withdrawal,
    ) -> Result<(), wit::Error> {
        notify(to, trip, News::SeatCancelled(about.reason)).await
    }

    async fn seat_transferred(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Transfer,
    ) -> Result<(), wit::Error> {
        let notices::Transfer { old_name, new_name } = about;
        notify(to, trip, News::SeatTransferred(Transfer { old_name, new_name })).await
    }

    async fn declaration_wanted(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Undeclared,
    ) -> Result<(), wit::Error> {
        notify(to, trip, News::DeclarationWanted(about.names)).await
    }

    async fn declaration_received(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Declaration,
    ) -> Result<(), wit::Error> {
        notify(to, trip, News::DeclarationReceived(about.name)).await
    }

    async fn declaration_decided(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Clearance,
    ) -> Result<(), wit::Error> {
        let notices::Clearance { name, approved } = about;
        notify(to, trip, News::DeclarationDecided(Clearance { name, approved })).await
    }

    async fn dates_changed(to: notices::Address, trip: wit::Trip, about: notices::Move) -> Result<(), wit::Error> {
        let moved = Move {
            old_start: Timestamp::from_millis(about.old_start),
            old_end: Timestamp::from_millis(about.old_end),
            answer: about.answer,
        };
        notify(to, trip, News::DatesChanged(moved)).await
    }

    async fn request_declined(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Refusal,
    ) -> Result<(), wit::Error> {
        notify(to, trip, News::RequestDeclined(Refusal { kind: request_kind(about.kind), answer: about.answer })).await
    }

    async fn request_received(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Request,
    ) -> Result<(), wit::Error> {
        let request = Request {
            kind: request_kind(about.kind),
            reason: about.reason,
            customer: about.customer,
            phone: about.phone,
            wanted_start: about.wanted_start.map(Timestamp::from_millis),
        };
        notify(to, trip, News::RequestReceived(request)).await
    }

    async fn unpaid_cancelled(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Balance,
    ) -> Result<(), wit::Error> {
        notify(to, trip, News::UnpaidCancelled(balance(about))).await
    }

    async fn balance_reminder(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::Balance,
    ) -> Result<(), wit::Error> {
        notify(to, trip, News::BalanceReminder(balance(about))).await
    }

    async fn share_asked(
        to: notices::Address,
        trip: wit::Trip,
        about: notices::ShareRequest,
    ) -> Result<(), wit::Error> {
        let (amount, due) = (Paise(about.amount), Timestamp::from_millis(about.due_date));
        notify(to, trip, News::ShareAsked(ShareRequest { by: about.by, amount, due, link: about.link })).await
    }

    async fn share_paid(to: notices::Address, trip: wit::Trip, about: notices::ShareReceipt) -> Result<(), wit::Error> {
        let notices::ShareReceipt { amount, method, payment_id } = about;
        notify(to, trip, News::SharePaid(ShareReceipt { amount: Paise(amount), method, payment_id })).await
    }

    async fn details_reminder(to: notices::Address, trip: wit::Trip) -> Result<(), wit::Error> {
        notify(to, trip, News::DetailsReminder).await
    }

    async fn trip_reminder(to: notices::Address, trip: wit::Trip) -> Result<(), wit::Error> {
        notify(to, trip, News::TripReminder).await
    }

    async fn called_off(to: notices::Address, trip: wit::Trip, about: notices::CallOff) -> Result<(), wit::Error> {
        let call_off = CallOff {
            reason: about.reason,
            refund: Paise(about.refund),
            voucher: Paise(about.voucher),
            deadline: Timestamp::from_millis(about.deadline),
            link: about.link,
        };
        notify(to, trip, News::CalledOff(call_off)).await
    }

    async fn voucher_issued(to: notices::Address, trip: wit::Trip, about: notices::Credit) -> Result<(), wit::Error> {
        let expires = Timestamp::from_millis(about.expires_at);
        notify(to, trip, News::VoucherIssued(Credit { code: about.code, amount: Paise(about.amount), expires })).await
    }
}

impl gifts::Guest for Exports {
    async fn gift_voucher(to: notices::Address, about: gifts::Gift) -> Result<(), wit::Error> {
        let notices::Address { key, to, attachments } = to;
        let gift = Gift {
            from: about.from,
            words: about.words,
            code: about.code,
            amount: Paise(about.amount),
            expires: Timestamp::from_millis(about.expires_at),
        };
        queue(key, to, Message::Gift(gift), attachments).await
    }
}

async fn notify(to: notices::Address, about: wit::Trip, news: News) -> Result<(), wit::Error> {
    let notices::Address { key, to, attachments } = to;
    queue(key, to, Message::Notice(Notice { trip: trip(about), news }), attachments).await
}

async fn queue(
    key: String,
    to: wit::Recipient,
    message: Message,
    attachments: Vec<wit::Attachment>,
) -> Result<(), wit::Error> {
    let app = app().await.map_err(wit::Error::Unavailable)?;
    let envelope = parsed(key, to, message, attachments).map_err(wit::Error::Invalid)?;
    app.enqueue(&envelope).await.map_err(|error| match error {
        MailError::Invalid(problem) => wit::Error::Invalid(problem),
        MailError::Unavailable(cause) => wit::Error::Unavailable(cause),
    })
}

fn parsed_refund(refund: notices::Refund) -> Refund {
    Refund {
        kind: match refund.kind {
            notices::RefundKind::Auto => RefundKind::Auto,
            notices::RefundKind::Full => RefundKind::Full,
            notices::RefundKind::Custom => RefundKind::Custom,
        },
        amount: Paise(refund.amount),
        state: match refund.state {
            notices::RefundState::Processing => RefundState::Processing,
            notices::RefundState::Paid => RefundState::Paid,
            notices::RefundState::Failed => RefundState::Failed,
        },
    }
}

fn request_kind(kind: notices::RequestKind) -> RequestKind {
    match kind {
        notices::RequestKind::Cancellation => RequestKind::Cancellation,
        notices::RequestKind::Reschedule => RequestKind::Reschedule,
    }
}

fn balance(balance: notices::Balance) -> Balance {
    Balance { amount: Paise(balance.amount), due: Timestamp::from_millis(balance.due_date) }
}

fn parsed(
    key: String,
    to: wit::Recipient,
    message: Message,
    attachments: Vec<wit::Attachment>,
) -> Result<Envelope, String> {
    let email = Email::parse(&to.email)?;
    let attachments = attachments.into_iter().map(|file| {
        let wit::Attachment { file_name, content_type, content } = file;
        Attachment { file_name, content_type, content }
    });
    Ok(Envelope { key, to: Recipient { name: to.name, email }, message, attachments: attachments.collect() })
}

fn parsed_message(message: wit::Message) -> Message {
    let code = |wit::Code { code, valid_minutes }| Code { code, valid_minutes };
    match message {
        wit::Message::RegistrationCode(sent) => Message::RegistrationCode(code(sent)),
        wit::Message::LoginCode(sent) => Message::LoginCode(code(sent)),
        wit::Message::Welcome(welcome) => Message::Welcome(welcome.username),
        wit::Message::PaymentReceived(payment) => Message::PaymentReceived(PaymentReceived {
            trip: trip(payment.trip),
            amount: Paise(payment.amount),
            remaining: Paise(payment.remaining),
            due_date: payment.due_date.map(Timestamp::from_millis),
            method: payment.method,
            payment_id: payment.payment_id,
        }),
        wit::Message::BookingConfirmed(booking) => Message::BookingConfirmed(BookingConfirmed {
            trip: trip(booking.trip),
            total: booking.total.map(Paise),
            requests: booking.requests,
        }),
        wit::Message::BookingCancelled(booking) => Message::BookingCancelled(BookingCancelled {
            trip: trip(booking.trip),
            refund: Paise(booking.refund),
            reason: booking.reason,
        }),
        wit::Message::Invoice(booked) => Message::Invoice(trip(booked)),
    }
}

fn trip(trip: wit::Trip) -> Trip {
    Trip {
        booking_id: trip.booking_id,
        booking_code: trip.booking_code,
        trek_name: trip.trek_name,
        start_date: Timestamp::from_millis(trip.start_date),
        end_date: Timestamp::from_millis(trip.end_date),
        participants: trip.participants,
    }
}
