//! The other services by their WIT interfaces.

mod notices;

use cairn_shared::{BasisPoints, Id, Paise, Timestamp, async_trait, time::SECOND};

use crate::{
    app::{
        Customer, CustomerError, HoldRequest, Mail, MailError, Message, NewCustomer, OfflineError, Peers, Place,
        RefundError, SeatsError, Trip, Unavailable,
    },
    domain::{
        AddOn, Batch, BatchStatus, CreateError, CustomField, DiscountType, GatewayType, Gift, GstType, InitialAmount,
        IssuedVoucher, Kind, Offer, OfflineDue, OfflineMethod, PartialTerms, Payable, Payment, Quote, RefundRequest,
        RefundType, Tender, Terms, TrekSummary, VoucherTerms,
    },
    shell::bindings::cairn::{
        batch::{closing, schedule, seats, types as batch_types},
        notification::{gifts, mail},
        payment::{checkout, earnings, offline, promos, refunds, shares, vouchers},
        trek::catalogue,
        user::{accounts, customers},
    },
};

/// How long a place is held before it is confirmed, in ms.
const PLACE_TIME: i64 = 20 * SECOND;

/// The components beside this one, through the host.
pub struct Links;

fn texts(ids: &[Id]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// An id from another service. One that is none is that service's fault.
fn id(text: &str) -> Result<Id, Unavailable> {
    text.parse().map_err(|error| Unavailable(format!("\u{201c}{text}\u{201d} in an answer: {error}")))
}

fn paise(amount: i64) -> Paise {
    Paise(amount)
}

fn terms(terms: catalogue::Terms) -> Result<Terms, Unavailable> {
    let partial = terms.partial_payment;
    Ok(Terms {
        id: id(&terms.id)?,
        name: terms.name,
        enabled: terms.enabled,
        custom: terms.custom,
        custom_link_expiry: terms.custom_link_expiry.map(Timestamp::from_millis),
        display_price: paise(terms.display_price),
        add_ons: terms
            .add_ons
            .into_iter()
            .map(|a| AddOn { name: a.name, price: paise(a.price), enabled: a.enabled })
            .collect(),
        gst: BasisPoints(terms.gst.into()),
        gst_type: match terms.gst_type {
            catalogue::GstType::Included => GstType::Included,
            catalogue::GstType::Excluded => GstType::Excluded,
        },
        gateway: BasisPoints(terms.gateway.into()),
        gateway_type: match terms.gateway_type {
            catalogue::GatewayType::Customer => GatewayType::Customer,
            catalogue::GatewayType::Operator => GatewayType::Own,
        },
        partial: PartialTerms {
            enabled: partial.enabled,
            initial: match partial.amount_type {
                catalogue::AmountType::Fixed => InitialAmount::Fixed(paise(partial.amount)),
                catalogue::AmountType::Percentage => InitialAmount::Percentage(BasisPoints(partial.amount)),
            },
            due_days: partial.final_payment_due_days,
            auto_cancel: partial.auto_cancel_on_due_date,
        },
        custom_fields: terms
            .custom_fields
            .into_iter()
            .map(|f| CustomField { name: f.name, required: f.required })
            .collect(),
    })
}

fn batch(batch: batch_types::Batch) -> Result<Batch, Unavailable> {
    Ok(Batch {
        id: id(&batch.id)?,
        trek_id: id(&batch.trek_id)?,
        start: Timestamp::from_millis(batch.start_date),
        end: Timestamp::from_millis(batch.end_date),
        price: paise(batch.price),
        max_participants: batch.max_participants,
        reserved_slots: batch.reserved_slots,
        taken: batch.taken,
        status: match batch.status {
            batch_types::Status::Upcoming => BatchStatus::Upcoming,
            batch_types::Status::Ongoing => BatchStatus::Ongoing,
            batch_types::Status::Completed => BatchStatus::Completed,
            batch_types::Status::Cancelled => BatchStatus::Cancelled,
        },
    })
}

fn seats_error(error: seats::Error) -> SeatsError {
    match error {
        seats::Error::BatchNotFound => SeatsError::BatchNotFound,
        seats::Error::SoldOut(_) => SeatsError::SoldOut,
        seats::Error::Closed => SeatsError::Closed,
        seats::Error::NoHold => SeatsError::NoHold,
        seats::Error::Invalid(problem) => SeatsError::Unavailable(format!("seats refused the request: {problem}")),
        seats::Error::Unavailable(cause) => SeatsError::Unavailable(cause),
    }
}

fn promo_error(error: promos::Error) -> CreateError {
    match error {
        promos::Error::InvalidCode => CreateError::PromoInvalid,
        promos::Error::Expired => CreateError::PromoExpired,
        promos::Error::UsedUp => CreateError::PromoUsedUp,
        promos::Error::BelowMinimum(amount) => CreateError::PromoBelowMinimum(paise(amount)),
        promos::Error::NotApplicable => CreateError::PromoNotApplicable,
        promos::Error::Unavailable(cause) => CreateError::Unavailable(cause),
    }
}

fn checkout_error(error: checkout::Error) -> CreateError {
    match error {
        checkout::Error::Promo(error) => promo_error(error),
        checkout::Error::Invalid(problem) => {
            CreateError::Unavailable(format!("checkout refused the request: {problem}"))
        }
        checkout::Error::Unavailable(cause) => CreateError::Unavailable(cause),
    }
}

fn schedule_error(error: schedule::Error) -> Unavailable {
    match error {
        schedule::Error::NotFound => Unavailable("a list of batches was not found".into()),
        schedule::Error::Unavailable(cause) => Unavailable(cause),
    }
}

fn trip(trip: &Trip) -> mail::Trip {
    mail::Trip {
        booking_id: trip.booking_id.to_string(),
        booking_code: trip.booking_code.clone(),
        trek_name: trip.trek_name.clone(),
        start_date: trip.start.millis(),
        end_date: trip.end.millis(),
        participants: trip.participants.clone(),
    }
}

fn mail_error(error: mail::Error) -> MailError {
    match error {
        mail::Error::Invalid(problem) => MailError::Invalid(problem),
        mail::Error::Unavailable(cause) => MailError::Unavailable(cause),
    }
}

fn checkout_kind(kind: Kind) -> Result<checkout::Kind, Unavailable> {
    match kind {
        Kind::Full => Ok(checkout::Kind::Full),
        Kind::Initial => Ok(checkout::Kind::Initial),
        Kind::Balance => Ok(checkout::Kind::Balance),
        Kind::Offline => Err(Unavailable("an offline payment has no checkout".into())),
    }
}

fn customer(customer: customers::Customer) -> Result<Customer, Unavailable> {
    Ok(Customer {
        id: id(&customer.id)?,
        name: customer.name,
        email: customer.email,
        phone: customer.phone,
        address: customer.address,
        city: customer.city,
        state: customer.state,
        zip_code: customer.zip_code,
        country: customer.country,
        created_by_staff: customer.created_by_staff,
    })
}

fn found(found: Result<customers::Customer, customers::Error>) -> Result<Option<Customer>, Unavailable> {
    match found {
        Ok(found) => customer(found).map(Some),
        Err(customers::Error::NotFound) => Ok(None),
        Err(customers::Error::Taken) => Err(Unavailable("a look-up was refused as taken".into())),
        Err(customers::Error::Invalid(cause) | customers::Error::Unavailable(cause)) => Err(Unavailable(cause)),
    }
}

fn payable(payable: &Payable) -> Result<checkout::Payable, Unavailable> {
    Ok(checkout::Payable {
        booking_id: payable.booking_id.to_string(),
        user_id: payable.user_id.to_string(),
        trek_name: payable.trek_name.clone(),
        kind: checkout_kind(payable.kind)?,
        amount: payable.amount.0,
        expires_at: payable.expires_at.map(Timestamp::millis),
        promo_code: payable.promo_code.clone(),
        order_value: payable.order_value.0,
        trek_id: payable.trek_id.to_string(),
    })
}

fn tender(tender: &Tender) -> vouchers::Tender {
    vouchers::Tender { voucher_id: tender.voucher.to_string(), amount: tender.amount.0 }
}

fn payment(payment: checkout::Payment, kind: Kind) -> Payment {
    Payment {
        id: payment.id,
        order_id: payment.order_id,
        kind,
        amount: paise(payment.amount),
        method: payment.method,
        captured_at: Timestamp::from_millis(payment.captured_at),
        share: None,
    }
}

fn credit_error(error: vouchers::Error) -> RefundError {
    match error {
        vouchers::Error::Unavailable(cause) => RefundError::Unavailable(cause),
        refused => RefundError::Refused(refused.to_string()),
    }
}

fn voucher_error(error: vouchers::Error) -> CreateError {
    match error {
        vouchers::Error::Unknown => CreateError::VoucherInvalid,
        vouchers::Error::Expired => CreateError::VoucherExpired,
        vouchers::Error::Void => CreateError::VoucherVoid,
        vouchers::Error::Short(_) => CreateError::VoucherUsedUp,
        vouchers::Error::Promo(error) => promo_error(error),
        // What is paid already is told of by an event.
        vouchers::Error::Invalid(cause) | vouchers::Error::Unavailable(cause) => CreateError::Unavailable(cause),
    }
}

#[async_trait(?Send)]
impl Peers for Links {
    async fn fill_phone(&self, user_id: Id, phone: &str) -> Result<(), Unavailable> {
        accounts::fill_phone(user_id.to_string(), phone.to_owned())
            .await
            .map_err(|error| Unavailable(error.to_string()))
    }

    async fn customer(&self, id: Id) -> Result<Option<Customer>, Unavailable> {
        found(customers::get(id.to_string()).await)
    }

    async fn customer_by_phone(&self, phone: &str) -> Result<Option<Customer>, Unavailable> {
        found(customers::find_by_phone(phone.to_owned()).await)
    }

    async fn customer_create(&self, new: &NewCustomer) -> Result<Customer, CustomerError> {
        let new = new.clone();
        let made = customers::create(customers::NewCustomer {
            name: new.name,
            email: new.email,
            phone: new.phone,
            address: new.address,
            city: new.city,
            state: new.state,
            zip_code: new.zip_code,
            country: new.country,
        });
        match made.await {
            Ok(made) => customer(made).map_err(|Unavailable(cause)| CustomerError::Unavailable(cause)),
            Err(customers::Error::Taken) => Err(CustomerError::Taken),
            Err(customers::Error::Invalid(problem)) => Err(CustomerError::Invalid(problem)),
            Err(customers::Error::NotFound) => Err(CustomerError::Unavailable("an account was not made".into())),
            Err(customers::Error::Unavailable(cause)) => Err(CustomerError::Unavailable(cause)),
        }
    }

    async fn trek_terms(&self, id: Id) -> Result<Option<Terms>, Unavailable> {
        match catalogue::get_terms(id.to_string()).await {
            Ok(found) => terms(found).map(Some),
            Err(catalogue::Error::NotFound) => Ok(None),
            Err(catalogue::Error::Unavailable(cause)) => Err(Unavailable(cause)),
        }
    }

    async fn trek_summaries(&self, ids: &[Id]) -> Result<Vec<TrekSummary>, Unavailable> {
        let found = catalogue::list_summaries(texts(ids)).await.map_err(|error| Unavailable(error.to_string()))?;
        found
            .into_iter()
            .map(|trek| Ok(TrekSummary { id: id(&trek.id)?, name: trek.name, image: trek.image }))
            .collect()
    }

    async fn batch(&self, id: Id) -> Result<Option<Batch>, Unavailable> {
        match schedule::get(id.to_string()).await {
            Ok(found) => batch(found).map(Some),
            Err(schedule::Error::NotFound) => Ok(None),
            Err(schedule::Error::Unavailable(cause)) => Err(Unavailable(cause)),
        }
    }

    async fn batches(&self, ids: &[Id]) -> Result<Vec<Batch>, Unavailable> {
        let found = schedule::list_batches(texts(ids)).await.map_err(schedule_error)?;
        found.into_iter().map(batch).collect()
    }

    async fn batches_of_treks(&self, trek_ids: &[Id]) -> Result<Vec<Batch>, Unavailable> {
        let found = schedule::list_of_treks(texts(trek_ids)).await.map_err(schedule_error)?;
        found.into_iter().map(batch).collect()
    }

    async fn close_batch(&self, id: Id) -> Result<(), SeatsError> {
        closing::cancel(id.to_string()).await.map_err(|error| match error {
            closing::Error::NotFound => SeatsError::BatchNotFound,
            closing::Error::Unavailable(cause) => SeatsError::Unavailable(cause),
        })
    }

    async fn hold(&self, request: &HoldRequest) -> Result<(), SeatsError> {
        let request = seats::HoldRequest {
            key: request.booking_id.to_string(),
            batch_id: request.batch_id.to_string(),
            seats: request.seats,
            expires_at: request.expires_at.millis(),
            use_reserved: request.use_reserved,
        };
        seats::hold(request).await.map(drop).map_err(seats_error)
    }

    async fn extend(&self, booking_id: Id, expires_at: Timestamp) -> Result<(), SeatsError> {
        seats::extend(booking_id.to_string(), expires_at.millis()).await.map_err(seats_error)
    }

    async fn confirm(&self, booking_id: Id) -> Result<(), SeatsError> {
        seats::confirm(booking_id.to_string()).await.map_err(seats_error)
    }

    async fn release(&self, booking_id: Id) -> Result<(), SeatsError> {
        seats::release(booking_id.to_string()).await.map_err(seats_error)
    }

    async fn resize(&self, booking_id: Id, count: u32) -> Result<(), SeatsError> {
        seats::resize(booking_id.to_string(), count, true).await.map(drop).map_err(seats_error)
    }

    async fn reserve(&self, place: &Place) -> Result<(), SeatsError> {
        let request = seats::HoldRequest {
            key: place.key.clone(),
            batch_id: place.batch_id.to_string(),
            seats: place.seats,
            // Confirmed at once; until then it must not outlive a request that died.
            expires_at: Timestamp::now().plus(PLACE_TIME).millis(),
            use_reserved: true,
        };
        seats::hold(request).await.map_err(seats_error)?;
        seats::confirm(place.key.clone()).await.map_err(seats_error)
    }

    async fn unreserve(&self, key: &str) -> Result<(), SeatsError> {
        seats::release(key.to_owned()).await.map_err(seats_error)
    }

    async fn move_to(&self, booking_id: Id, place: &Place) -> Result<(), SeatsError> {
        let request = seats::MoveRequest {
            key: booking_id.to_string(),
            batch_id: place.batch_id.to_string(),
            seats: place.seats,
            taking: Some(place.key.clone()),
            use_reserved: true,
        };
        seats::move_(request).await.map(drop).map_err(seats_error)
    }

    async fn quote(
        &self,
        code: &str,
        trek_id: Id,
        order_value: Paise,
        booking_id: Option<Id>,
    ) -> Result<Quote, CreateError> {
        let booking_id = booking_id.map(|id| id.to_string());
        let promo = promos::quote(code.to_owned(), trek_id.to_string(), order_value.0, booking_id)
            .await
            .map_err(promo_error)?;
        Ok(Quote {
            id: id(&promo.id)?,
            code: promo.code,
            discount_type: match promo.discount_type {
                promos::DiscountType::Percentage => DiscountType::Percentage,
                promos::DiscountType::Fixed => DiscountType::Fixed,
            },
            discount_value: promo.discount_value,
            discount: paise(promo.discount),
        })
    }

    async fn open(&self, owed: &Payable) -> Result<(), CreateError> {
        if !owed.shares.is_empty() {
            let shares = owed.shares.iter().map(|share| shares::Share {
                id: share.id.to_string(),
                amount: share.amount.0,
                key_digest: share.digest.clone(),
                expires_at: share.expires_at.millis(),
            });
            return shares::open(payable(owed)?, shares.collect()).await.map_err(checkout_error);
        }
        match &owed.tender {
            Some(by) => vouchers::open(payable(owed)?, tender(by)).await.map_err(voucher_error),
            None => checkout::open(payable(owed)?).await.map_err(checkout_error),
        }
    }

    async fn voucher_offer(&self, code: &str, owed: Paise, booking_id: Option<Id>) -> Result<Offer, CreateError> {
        let booking_id = booking_id.map(|id| id.to_string());
        let offer = vouchers::quote(code.to_owned(), owed.0, booking_id).await.map_err(voucher_error)?;
        Ok(Offer { voucher: id(&offer.voucher_id)?, hint: offer.hint, pays: paise(offer.pays) })
    }

    async fn redeem(&self, owed: &Payable, by: &Tender) -> Result<Payment, CreateError> {
        let key = format!("booking/{}/{}", owed.booking_id, by.key);
        let paid = vouchers::redeem(key, payable(owed)?, tender(by)).await.map_err(voucher_error)?;
        Ok(payment(paid, owed.kind))
    }

    async fn close(&self, booking_id: Id) -> Result<(), Unavailable> {
        checkout::close(booking_id.to_string()).await.map_err(|error| Unavailable(error.to_string()))
    }

    async fn refund_all(&self, booking_id: Id, reason: &str) -> Result<(), Unavailable> {
        checkout::refund_all(booking_id.to_string(), reason.to_owned())
            .await
            .map_err(|error| Unavailable(error.to_string()))
    }

    async fn refund(&self, booking_id: Id, request: &RefundRequest) -> Result<(), RefundError> {
        let asked = refunds::Request {
            key: request.key.clone(),
            booking_id: booking_id.to_string(),
            participant_id: request.participant.map(|id| id.to_string()),
            payment_id: request.payment.clone(),
            amount: request.amount.0,
            kind: match request.kind {
                RefundType::Auto => refunds::Kind::Auto,
                RefundType::Full => refunds::Kind::Full,
                RefundType::Custom => refunds::Kind::Custom,
            },
            reason: request.reason.clone(),
            requested_by: request.requested_by.map_or_else(|| "system".to_owned(), |id| id.to_string()),
        };
        refunds::refund(asked).await.map(drop).map_err(|error| match error {
            refunds::Error::Unavailable(cause) => RefundError::Unavailable(cause),
            refused => RefundError::Refused(refused.to_string()),
        })
    }

    async fn credit(
        &self,
        booking_id: Id,
        owner: Id,
        request: &RefundRequest,
        terms: &VoucherTerms,
    ) -> Result<(), RefundError> {
        let credit = vouchers::CreditRequest {
            key: request.key.clone(),
            booking_id: booking_id.to_string(),
            owner_id: owner.to_string(),
            amount: request.amount.0,
            bonus: terms.bonus.0,
            expires_at: terms.expires_at.millis(),
            reason: request.reason.clone(),
            requested_by: request.requested_by.map_or_else(|| "system".to_owned(), |id| id.to_string()),
        };
        vouchers::credit(credit).await.map(drop).map_err(credit_error)
    }

    async fn gift(&self, gift: &Gift) -> Result<(), RefundError> {
        let request = vouchers::CreditRequest {
            key: gift.key(),
            booking_id: gift.id.to_string(),
            owner_id: gift.buyer_id.to_string(),
            amount: gift.amount.0,
            bonus: 0,
            expires_at: gift.valid_until().millis(),
            reason: "Gift voucher".to_owned(),
            requested_by: gift.buyer_id.to_string(),
        };
        vouchers::gift(request).await.map(drop).map_err(credit_error)
    }

    async fn gift_return(&self, gift: &Gift) -> Result<(), RefundError> {
        vouchers::take_back(gift.key(), "The buyer wants the money back".to_owned()).await.map_err(credit_error)
    }

    async fn voucher(&self, key: &str) -> Result<IssuedVoucher, RefundError> {
        let issued = vouchers::get_issued(key.to_owned()).await.map_err(credit_error)?;
        let expires_at = Timestamp::from_millis(issued.expires_at);
        Ok(IssuedVoucher { code: issued.code, amount: paise(issued.amount), expires_at })
    }

    async fn record_offline(&self, booking_id: Id, user_id: Id, due: &OfflineDue) -> Result<Payment, OfflineError> {
        let receipt = offline::Receipt {
            key: due.key.clone(),
            booking_id: booking_id.to_string(),
            user_id: user_id.to_string(),
            kind: checkout_kind(due.kind).map_err(|Unavailable(cause)| OfflineError::Refused(cause))?,
            amount: due.amount.0,
            method: match due.method {
                OfflineMethod::Cash => offline::Method::Cash,
                OfflineMethod::BankTransfer => offline::Method::BankTransfer,
                OfflineMethod::Other => offline::Method::Other,
            },
            reference: due.reference.clone(),
            actor: due.actor.to_string(),
        };
        let payment = offline::record(receipt).await.map_err(|error| match error {
            offline::Error::Invalid(problem) => OfflineError::Refused(problem),
            offline::Error::KeyReused => OfflineError::Refused("the key names other money".into()),
            offline::Error::Unavailable(cause) => OfflineError::Unavailable(cause),
        })?;
        Ok(self::payment(payment, due.kind))
    }

    async fn captured(&self, booking_id: Id) -> Result<Paise, Unavailable> {
        let payments = checkout::list_payments(booking_id.to_string()).await;
        let payments = payments.map_err(|error| Unavailable(error.to_string()))?;
        Ok(payments.iter().map(|payment| paise(payment.amount - payment.refunded)).sum())
    }

    async fn earn(&self, booking_id: Id, tax: Paise) -> Result<(), Unavailable> {
        earnings::earn(booking_id.to_string(), tax.0).await.map_err(|error| Unavailable(error.to_string()))
    }

    async fn defer(&self, booking_id: Id) -> Result<(), Unavailable> {
        earnings::defer(booking_id.to_string()).await.map_err(|error| Unavailable(error.to_string()))
    }

    async fn mail(&self, sent: &Mail) -> Result<(), MailError> {
        let attachments = sent.attachments.iter().map(|attachment| mail::Attachment {
            file_name: attachment.file_name.clone(),
            content_type: attachment.content_type.to_owned(),
            content: attachment.content.clone(),
        });
        let attachments = attachments.collect();
        let to = mail::Recipient { name: sent.name.clone(), email: sent.email.clone() };
        let key = sent.key.clone();
        let message = match &sent.message {
            Message::Notice(about, news) => {
                return notices::send(notices::Address { key, to, attachments }, trip(about), news).await;
            }
            Message::PaymentReceived { trip: about, amount, remaining, due, method, payment_id } => {
                mail::Message::PaymentReceived(mail::PaymentReceived {
                    trip: trip(about),
                    amount: amount.0,
                    remaining: remaining.0,
                    due_date: due.map(Timestamp::millis),
                    method: method.clone(),
                    payment_id: payment_id.clone(),
                })
            }
            Message::Invoice(about) => mail::Message::Invoice(trip(about)),
            Message::Gift { from, words, code, amount, expires_at } => {
                let about = gifts::Gift {
                    from: from.clone(),
                    words: words.clone(),
                    code: code.clone(),
                    amount: amount.0,
                    expires_at: expires_at.millis(),
                };
                return gifts::gift_voucher(gifts::Address { key, to, attachments }, about).await.map_err(mail_error);
            }
        };
        mail::enqueue(mail::Envelope { key, to, message, attachments }).await.map_err(mail_error)
    }
}
