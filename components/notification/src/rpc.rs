//! The WIT exports of the notification service.

use cairn_shared::{Paise, Timestamp, validate::Email};

use crate::{
    domain::{
        Attachment, BookingCancelled, BookingConfirmed, Code, Envelope, MailError, Message, PaymentReceived, Recipient,
        Trip,
    },
    shell::{Exports, app, bindings::exports::cairn::notification::mail as wit},
};

impl wit::Guest for Exports {
    async fn enqueue(envelope: wit::Envelope) -> Result<(), wit::Error> {
        let app = app().await.map_err(wit::Error::Unavailable)?;
        let envelope = parsed(envelope).map_err(wit::Error::Invalid)?;
        app.enqueue(&envelope).await.map_err(|error| match error {
            MailError::Invalid(problem) => wit::Error::Invalid(problem),
            MailError::Unavailable(cause) => wit::Error::Unavailable(cause),
        })
    }
}

fn parsed(envelope: wit::Envelope) -> Result<Envelope, String> {
    let wit::Envelope { key, to, message, attachments } = envelope;
    let email = Email::parse(&to.email)?;
    let attachments = attachments.into_iter().map(|file| {
        let wit::Attachment { file_name, content_type, content } = file;
        Attachment { file_name, content_type, content }
    });
    Ok(Envelope {
        key,
        to: Recipient { name: to.name, email },
        message: parsed_message(message),
        attachments: attachments.collect(),
    })
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
