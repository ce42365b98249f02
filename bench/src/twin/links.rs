//! What each service asks of others, answered by the others' use cases in process:
//! the same translations as at the WIT boundary, without the boundary.

use std::{
    rc::Rc,
    sync::{Arc, PoisonError},
};

use cairn_booking::{app as booking, domain as sale};
use cairn_notification::domain as notice;
use cairn_payment::domain as pay;
use cairn_shared::{
    Id, Paise, Timestamp, async_trait,
    identity::{Caller, Group},
    time::MINUTE,
    validate::Email,
};
use cairn_trek::domain as catalogue;
use cairn_user::domain as account;

use super::services::World;

/// What the gateway asks.
pub struct Gateway {
    pub user: Rc<cairn_user::app::App>,
    pub world: Arc<World>,
}

#[async_trait(?Send)]
impl cairn_gateway::app::Peers for Gateway {
    async fn authenticate(&self, token: &str) -> Result<Caller, cairn_gateway::app::NotAuthenticated> {
        use cairn_gateway::app::NotAuthenticated as Refusal;
        use cairn_user::app::NotAuthenticated;
        match self.user.authenticate(token).await {
            Ok(account) => Ok(caller(account)),
            Err(NotAuthenticated::InvalidToken) => Err(Refusal::InvalidToken),
            Err(NotAuthenticated::NoAccount) => Err(Refusal::NoAccount),
            Err(NotAuthenticated::Unavailable(cause)) => Err(Refusal::Unavailable(cause.to_string())),
        }
    }

    async fn counter(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.world.counters.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    async fn counter_save(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let mut counters = self.world.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}

fn caller(account: account::Account) -> Caller {
    let group = account.group.map(|group| Group {
        id: group.id,
        permissions: group.permissions.into_names(),
        name: group.name,
    });
    Caller {
        id: account.id,
        name: account.name,
        email: account.email,
        phone: account.contact.phone,
        role: account.role,
        group,
    }
}

/// What the user service asks.
pub struct User {
    pub notification: Rc<cairn_notification::app::App>,
}

#[async_trait(?Send)]
impl cairn_user::app::Peers for User {
    async fn enqueue(&self, mail: account::Mail) -> Result<(), String> {
        let code = |code, valid_minutes| notice::Code { code, valid_minutes };
        let message = match mail.message {
            account::Message::RegistrationCode { code: digits, valid_minutes } => {
                notice::Message::RegistrationCode(code(digits, valid_minutes))
            }
            account::Message::LoginCode { code: digits, valid_minutes } => {
                notice::Message::LoginCode(code(digits, valid_minutes))
            }
            account::Message::Welcome { username } => notice::Message::Welcome(username),
        };
        let to = notice::Recipient { name: mail.name, email: Email::parse(&mail.email)? };
        let envelope = notice::Envelope { key: mail.key, to, message, attachments: Vec::new() };
        self.notification.enqueue(&envelope).await.map_err(|error| error.to_string())
    }
}

/// What the trek service asks.
pub struct Trek {
    pub batch: Rc<cairn_batch::app::App>,
}

#[async_trait(?Send)]
impl cairn_trek::app::Peers for Trek {
    async fn batches(&self, trek_ids: &[Id]) -> Result<Vec<catalogue::Batch>, String> {
        let found = self.batch.batches_of_treks(trek_ids).await.map_err(|error| error.to_string())?;
        let now = self.batch.env.now();
        Ok(found.into_iter().map(|batch| listed(batch, now)).collect())
    }
}

fn listed(batch: cairn_batch::domain::Batch, now: Timestamp) -> catalogue::Batch {
    catalogue::Batch {
        status: batch.status(now).as_str(),
        id: batch.id,
        trek_id: batch.trek_id,
        start_date: batch.start_date,
        end_date: batch.end_date,
        price: batch.price,
        max_participants: batch.max_participants,
        reserved_slots: batch.reserved_slots,
        current_participants: batch.taken,
        actual_current_participants: batch.taken,
        available_spots: batch.max_participants.saturating_sub(batch.taken),
    }
}

/// What the booking service asks.
pub struct Booking {
    pub user: Rc<cairn_user::app::App>,
    pub trek: Rc<cairn_trek::app::App>,
    pub batch: Rc<cairn_batch::app::App>,
    pub payment: Rc<cairn_payment::app::App>,
    pub notification: Rc<cairn_notification::app::App>,
}

fn unavailable(cause: impl ToString) -> booking::Unavailable {
    booking::Unavailable(cause.to_string())
}

impl Booking {
    fn departure(&self, batch: cairn_batch::domain::Batch) -> sale::Batch {
        use cairn_batch::domain::Status;
        let status = match batch.status(self.batch.env.now()) {
            Status::Upcoming => sale::BatchStatus::Upcoming,
            Status::Ongoing => sale::BatchStatus::Ongoing,
            Status::Completed => sale::BatchStatus::Completed,
            Status::Cancelled => sale::BatchStatus::Cancelled,
        };
        sale::Batch {
            id: batch.id,
            trek_id: batch.trek_id,
            start: batch.start_date,
            end: batch.end_date,
            price: batch.price,
            max_participants: batch.max_participants,
            reserved_slots: batch.reserved_slots,
            taken: batch.taken,
            status,
        }
    }
}

fn terms(terms: catalogue::Terms) -> sale::Terms {
    let partial = terms.partial_payment;
    sale::Terms {
        id: terms.id,
        name: terms.name,
        enabled: terms.enabled,
        custom: terms.custom,
        custom_link_expiry: terms.custom_link_expiry,
        display_price: terms.display_price,
        add_ons: terms
            .add_ons
            .into_iter()
            .map(|a| sale::AddOn { name: a.name, price: a.price, enabled: a.is_enabled })
            .collect(),
        gst: terms.gst,
        gst_type: match terms.gst_type {
            catalogue::GstType::Included => sale::GstType::Included,
            catalogue::GstType::Excluded => sale::GstType::Excluded,
        },
        gateway: terms.gateway,
        gateway_type: match terms.gateway_type {
            catalogue::GatewayType::Customer => sale::GatewayType::Customer,
            catalogue::GatewayType::Own => sale::GatewayType::Own,
        },
        partial: sale::PartialTerms {
            enabled: partial.enabled,
            initial: match partial.amount_type {
                catalogue::AmountType::Fixed => sale::InitialAmount::Fixed(partial.amount),
                catalogue::AmountType::Percentage => {
                    sale::InitialAmount::Percentage(cairn_shared::BasisPoints(partial.amount.0))
                }
            },
            due_days: partial.final_payment_due_days,
            auto_cancel: partial.auto_cancel_on_due_date,
        },
        custom_fields: terms
            .custom_fields
            .into_iter()
            .map(|f| sale::CustomField { name: f.field_name, required: f.is_required })
            .collect(),
    }
}

fn seats_error(error: cairn_batch::domain::SeatsError) -> booking::SeatsError {
    use cairn_batch::domain::SeatsError;
    match error {
        SeatsError::BatchNotFound => booking::SeatsError::BatchNotFound,
        SeatsError::SoldOut(_) => booking::SeatsError::SoldOut,
        SeatsError::Closed => booking::SeatsError::Closed,
        SeatsError::NoHold => booking::SeatsError::NoHold,
        SeatsError::Invalid(cause) | SeatsError::Unavailable(cause) => booking::SeatsError::Unavailable(cause),
    }
}

fn open_error(error: pay::OpenError) -> sale::CreateError {
    use pay::{PromoProblem, VoucherProblem};
    match error {
        pay::OpenError::Promo(PromoProblem::InvalidCode) => sale::CreateError::PromoInvalid,
        pay::OpenError::Promo(PromoProblem::Expired) => sale::CreateError::PromoExpired,
        pay::OpenError::Promo(PromoProblem::UsedUp | PromoProblem::UsedByUser) => sale::CreateError::PromoUsedUp,
        pay::OpenError::Promo(PromoProblem::BelowMinimum(least)) => sale::CreateError::PromoBelowMinimum(least),
        pay::OpenError::Promo(PromoProblem::NotApplicable) => sale::CreateError::PromoNotApplicable,
        pay::OpenError::Voucher(VoucherProblem::Unknown) => sale::CreateError::VoucherInvalid,
        pay::OpenError::Voucher(VoucherProblem::Expired) => sale::CreateError::VoucherExpired,
        pay::OpenError::Voucher(VoucherProblem::Void) => sale::CreateError::VoucherVoid,
        pay::OpenError::Voucher(VoucherProblem::Short(_)) => sale::CreateError::VoucherUsedUp,
        pay::OpenError::Invalid(cause) | pay::OpenError::Unavailable(cause) => sale::CreateError::Unavailable(cause),
    }
}

fn quote(promo: pay::Promo, order_value: Paise) -> sale::Quote {
    sale::Quote {
        id: promo.id,
        discount: promo.discount(order_value),
        code: promo.code,
        discount_type: match promo.discount_type {
            pay::DiscountType::Percentage => sale::DiscountType::Percentage,
            pay::DiscountType::Fixed => sale::DiscountType::Fixed,
        },
        discount_value: promo.discount_value,
    }
}

fn payable(given: &sale::Payable) -> Result<pay::Payable, sale::CreateError> {
    Ok(pay::Payable {
        booking_id: given.booking_id,
        user_id: given.user_id,
        trek_id: given.trek_id,
        trek_name: given.trek_name.clone(),
        kind: match given.kind {
            sale::Kind::Full => pay::Kind::Full,
            sale::Kind::Initial => pay::Kind::Initial,
            sale::Kind::Balance => pay::Kind::Balance,
            sale::Kind::Offline => {
                return Err(sale::CreateError::Unavailable("an offline payment has no checkout".into()));
            }
        },
        amount: given.amount,
        order_value: given.order_value,
        expires_at: given.expires_at,
    })
}

fn credit_error(error: pay::RefundError) -> booking::RefundError {
    match error {
        pay::RefundError::Other(cause) => booking::RefundError::Unavailable(cause.to_string()),
        refused => booking::RefundError::Refused(format!("{refused:?}")),
    }
}

fn share(booking_id: Id, open: &sale::OpenShare) -> Option<pay::Share> {
    let key_digest = pay::KeyDigest::parse(&open.digest)?;
    Some(pay::Share { id: open.id, booking_id, amount: open.amount, key_digest, expires_at: open.expires_at })
}

fn tender(tender: &sale::Tender) -> pay::Tender {
    pay::Tender { voucher_id: tender.voucher, amount: tender.amount }
}

fn trip(trip: &booking::Trip) -> notice::Trip {
    notice::Trip {
        booking_id: trip.booking_id.to_string(),
        booking_code: trip.booking_code.clone(),
        trek_name: trip.trek_name.clone(),
        start_date: trip.start,
        end_date: trip.end,
        participants: trip.participants.clone(),
    }
}

fn message(message: &booking::Message) -> notice::Message {
    match message {
        booking::Message::PaymentReceived { trip: about, amount, remaining, due, method, payment_id } => {
            notice::Message::PaymentReceived(notice::PaymentReceived {
                trip: trip(about),
                amount: *amount,
                remaining: *remaining,
                due_date: *due,
                method: method.clone(),
                payment_id: payment_id.clone(),
            })
        }
        booking::Message::Notice(about, news) => {
            notice::Message::Notice(notice::Notice { trip: trip(about), news: super::notices::news(news) })
        }
        booking::Message::Invoice(about) => notice::Message::Invoice(trip(about)),
        booking::Message::Gift { from, words, code, amount, expires_at } => notice::Message::Gift(notice::Gift {
            from: from.clone(),
            words: words.clone(),
            code: code.clone(),
            amount: *amount,
            expires: *expires_at,
        }),
    }
}

fn customer(account: cairn_user::domain::Account) -> booking::Customer {
    let contact = account.contact;
    booking::Customer {
        id: account.id,
        name: account.name,
        email: account.email,
        phone: contact.phone,
        address: contact.address,
        city: contact.city,
        state: contact.state,
        zip_code: contact.zip_code,
        country: contact.country,
        created_by_staff: account.created_by_staff,
    }
}

#[async_trait(?Send)]
impl booking::Peers for Booking {
    async fn fill_phone(&self, user_id: Id, phone: &str) -> Result<(), booking::Unavailable> {
        self.user.phone_fill(user_id, phone).await.map_err(|error| unavailable(format!("{error:?}")))
    }

    async fn customer(&self, id: Id) -> Result<Option<booking::Customer>, booking::Unavailable> {
        match self.user.account(id).await {
            Ok(account) => Ok(Some(customer(account))),
            Err(cairn_user::domain::AccountError::NotFound) => Ok(None),
            Err(error) => Err(unavailable(format!("{error:?}"))),
        }
    }

    async fn customer_by_phone(&self, phone: &str) -> Result<Option<booking::Customer>, booking::Unavailable> {
        let found = self.user.customer_by_phone(phone).await;
        Ok(found.map_err(|error| unavailable(format!("{error:?}")))?.map(customer))
    }

    async fn customer_create(&self, new: &booking::NewCustomer) -> Result<booking::Customer, booking::CustomerError> {
        let new = new.clone();
        let email = Email::parse(&new.email).map_err(|problem| booking::CustomerError::Invalid(problem.into()))?;
        let contact = cairn_user::domain::Contact {
            address: new.address,
            city: new.city,
            state: new.state,
            zip_code: new.zip_code,
            country: new.country,
            ..Default::default()
        };
        let made = cairn_user::app::NewCustomer { name: new.name, email, phone: new.phone, contact };
        match self.user.customer_create(&made).await {
            Ok(account) => Ok(customer(account)),
            Err(cairn_user::domain::AccountError::EmailTaken | cairn_user::domain::AccountError::PhoneTaken) => {
                Err(booking::CustomerError::Taken)
            }
            Err(error) => Err(booking::CustomerError::Unavailable(format!("{error:?}"))),
        }
    }

    async fn trek_terms(&self, id: Id) -> Result<Option<sale::Terms>, booking::Unavailable> {
        Ok(self.trek.terms(id).await.map_err(unavailable)?.map(terms))
    }

    async fn trek_summaries(&self, ids: &[Id]) -> Result<Vec<sale::TrekSummary>, booking::Unavailable> {
        let found = self.trek.terms_of(ids).await.map_err(unavailable)?;
        Ok(found
            .into_iter()
            .map(|trek| sale::TrekSummary { id: trek.id, name: trek.name, image: trek.image })
            .collect())
    }

    async fn batch(&self, id: Id) -> Result<Option<sale::Batch>, booking::Unavailable> {
        let found = self.batch.batch(id).await.map_err(unavailable)?;
        Ok(found.map(|batch| self.departure(batch)))
    }

    async fn batches(&self, ids: &[Id]) -> Result<Vec<sale::Batch>, booking::Unavailable> {
        let found = self.batch.batches(ids).await.map_err(unavailable)?;
        Ok(found.into_iter().map(|batch| self.departure(batch)).collect())
    }

    async fn batches_of_treks(&self, trek_ids: &[Id]) -> Result<Vec<sale::Batch>, booking::Unavailable> {
        let found = self.batch.batches_of_treks(trek_ids).await.map_err(unavailable)?;
        Ok(found.into_iter().map(|batch| self.departure(batch)).collect())
    }

    async fn close_batch(&self, id: Id) -> Result<(), booking::SeatsError> {
        match self.batch.cancel(id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(booking::SeatsError::BatchNotFound),
            Err(error) => Err(booking::SeatsError::Unavailable(error.to_string())),
        }
    }

    async fn hold(&self, request: &booking::HoldRequest) -> Result<(), booking::SeatsError> {
        let request = cairn_batch::domain::HoldRequest {
            key: request.booking_id.to_string(),
            batch_id: request.batch_id,
            seats: request.seats,
            expires_at: request.expires_at,
            use_reserved: request.use_reserved,
        };
        self.batch.hold(&request).await.map(drop).map_err(seats_error)
    }

    async fn extend(&self, booking_id: Id, expires_at: Timestamp) -> Result<(), booking::SeatsError> {
        self.batch.extend(&booking_id.to_string(), expires_at).await.map_err(seats_error)
    }

    async fn confirm(&self, booking_id: Id) -> Result<(), booking::SeatsError> {
        self.batch.confirm(&booking_id.to_string()).await.map_err(seats_error)
    }

    async fn release(&self, booking_id: Id) -> Result<(), booking::SeatsError> {
        self.batch.release(&booking_id.to_string()).await.map_err(seats_error)
    }

    async fn resize(&self, booking_id: Id, seats: u32) -> Result<(), booking::SeatsError> {
        self.batch.resize(&booking_id.to_string(), seats, true).await.map(drop).map_err(seats_error)
    }

    async fn reserve(&self, place: &booking::Place) -> Result<(), booking::SeatsError> {
        let request = cairn_batch::domain::HoldRequest {
            key: place.key.clone(),
            batch_id: place.batch_id,
            seats: place.seats,
            expires_at: self.batch.env.now().plus(MINUTE),
            use_reserved: true,
        };
        self.batch.hold(&request).await.map_err(seats_error)?;
        self.batch.confirm(&place.key).await.map_err(seats_error)
    }

    async fn unreserve(&self, key: &str) -> Result<(), booking::SeatsError> {
        self.batch.release(key).await.map_err(seats_error)
    }

    async fn move_to(&self, booking_id: Id, place: &booking::Place) -> Result<(), booking::SeatsError> {
        let request = cairn_batch::domain::MoveRequest {
            key: booking_id.to_string(),
            batch_id: place.batch_id,
            seats: place.seats,
            taking: Some(place.key.clone()),
            use_reserved: true,
        };
        self.batch.relocate(&request).await.map(drop).map_err(seats_error)
    }

    async fn quote(
        &self,
        code: &str,
        trek_id: Id,
        order_value: Paise,
        booking_id: Option<Id>,
    ) -> Result<sale::Quote, sale::CreateError> {
        let usage = pay::Use { trek_id: Some(trek_id), order_value: Some(order_value), ..pay::Use::default() };
        let promo = self.payment.quote(code, usage, booking_id).await.map_err(open_error)?;
        Ok(quote(promo, order_value))
    }

    async fn open(&self, given: &sale::Payable) -> Result<(), sale::CreateError> {
        if !given.shares.is_empty() {
            let shares: Option<Vec<_>> = given.shares.iter().map(|open| share(given.booking_id, open)).collect();
            let shares = shares.ok_or_else(|| sale::CreateError::Unavailable("no digest".into()))?;
            return self.payment.open_shared(payable(given)?, &shares).await.map_err(open_error);
        }
        let by = given.tender.as_ref().map(tender);
        self.payment.open_with_voucher(payable(given)?, given.promo_code.as_deref(), by).await.map_err(open_error)
    }

    async fn credit(
        &self,
        booking_id: Id,
        owner: Id,
        request: &sale::RefundRequest,
        terms: &sale::VoucherTerms,
    ) -> Result<(), booking::RefundError> {
        let credit = pay::CreditRequest {
            key: request.key.clone(),
            booking_id,
            owner_id: owner,
            amount: request.amount,
            bonus: terms.bonus,
            expires_at: terms.expires_at,
            reason: request.reason.clone(),
            requested_by: request.requested_by.map_or_else(|| "system".to_owned(), |id| id.to_string()),
        };
        self.payment.credit(credit).await.map(drop).map_err(credit_error)
    }

    async fn gift(&self, gift: &sale::Gift) -> Result<(), booking::RefundError> {
        let request = pay::CreditRequest {
            key: gift.key(),
            booking_id: gift.id,
            owner_id: gift.buyer_id,
            amount: gift.amount,
            bonus: Paise::ZERO,
            expires_at: gift.valid_until(),
            reason: "Gift voucher".to_owned(),
            requested_by: gift.buyer_id.to_string(),
        };
        self.payment.gift(request).await.map(drop).map_err(credit_error)
    }

    async fn gift_return(&self, gift: &sale::Gift) -> Result<(), booking::RefundError> {
        self.payment.take_back(&gift.key(), "The buyer wants the money back").await.map_err(credit_error)
    }

    async fn voucher(&self, key: &str) -> Result<sale::IssuedVoucher, booking::RefundError> {
        let issued = self.payment.voucher_of_key(key).await.map_err(credit_error)?;
        Ok(sale::IssuedVoucher { code: issued.code.grouped(), amount: issued.amount, expires_at: issued.expires_at })
    }

    async fn voucher_offer(
        &self,
        code: &str,
        owed: Paise,
        booking_id: Option<Id>,
    ) -> Result<sale::Offer, sale::CreateError> {
        let offer = self.payment.voucher_offer(code, owed, booking_id).await.map_err(open_error)?;
        Ok(sale::Offer { voucher: offer.voucher.id, hint: offer.voucher.code.hint(), pays: offer.pays })
    }

    async fn redeem(&self, owed: &sale::Payable, by: &sale::Tender) -> Result<sale::Payment, sale::CreateError> {
        let key = format!("booking/{}/{}", owed.booking_id, by.key);
        let redeemed = self.payment.redeem(&key, payable(owed)?, owed.promo_code.as_deref(), tender(by)).await;
        let payment = redeemed.map_err(open_error)?;
        Ok(sale::Payment {
            id: payment.id,
            order_id: payment.order_id,
            kind: owed.kind,
            amount: payment.amount,
            method: payment.method,
            captured_at: payment.captured_at,
            share: None,
        })
    }

    async fn close(&self, booking_id: Id) -> Result<(), booking::Unavailable> {
        self.payment.close(booking_id).await.map_err(|error| unavailable(format!("{error:?}")))
    }

    async fn refund_all(&self, booking_id: Id, reason: &str) -> Result<(), booking::Unavailable> {
        self.payment.refund_all(booking_id, reason).await.map_err(|error| unavailable(format!("{error:?}")))
    }

    async fn refund(&self, booking_id: Id, request: &sale::RefundRequest) -> Result<(), booking::RefundError> {
        let asked = pay::RefundRequest {
            key: request.key.clone(),
            booking_id,
            participant_id: request.participant,
            payment_id: request.payment.clone(),
            amount: request.amount,
            kind: match request.kind {
                sale::RefundType::Auto => pay::RefundKind::Auto,
                sale::RefundType::Full => pay::RefundKind::Full,
                sale::RefundType::Custom => pay::RefundKind::Custom,
            },
            reason: request.reason.clone(),
            requested_by: request.requested_by.map_or_else(|| "system".to_owned(), |id| id.to_string()),
        };
        self.payment.refund(asked).await.map(drop).map_err(|error| match error {
            pay::RefundError::Other(cause) => booking::RefundError::Unavailable(format!("{cause:?}")),
            refused => booking::RefundError::Refused(format!("{refused:?}")),
        })
    }

    async fn record_offline(
        &self,
        booking_id: Id,
        user_id: Id,
        due: &sale::OfflineDue,
    ) -> Result<sale::Payment, booking::OfflineError> {
        super::offline::record(&self.payment, booking_id, user_id, due).await
    }

    async fn captured(&self, booking_id: Id) -> Result<Paise, booking::Unavailable> {
        let payments = self.payment.payments(booking_id).await;
        let payments = payments.map_err(|error| unavailable(format!("{error:?}")))?;
        Ok(payments.iter().map(|payment| payment.amount - payment.refunded).sum())
    }

    async fn earn(&self, booking_id: Id, tax: Paise) -> Result<(), booking::Unavailable> {
        self.payment.earn(booking_id, tax).await.map_err(|error| unavailable(format!("{error:?}")))
    }

    async fn defer(&self, booking_id: Id) -> Result<(), booking::Unavailable> {
        self.payment.defer(booking_id).await.map_err(|error| unavailable(format!("{error:?}")))
    }

    async fn mail(&self, mail: &booking::Mail) -> Result<(), booking::MailError> {
        let email = Email::parse(&mail.email).map_err(|problem| booking::MailError::Invalid(problem.to_string()))?;
        let attachments = mail.attachments.iter().map(|file| notice::Attachment {
            file_name: file.file_name.clone(),
            content_type: file.content_type.to_owned(),
            content: file.content.clone(),
        });
        let envelope = notice::Envelope {
            key: mail.key.clone(),
            to: notice::Recipient { name: mail.name.clone(), email },
            message: message(&mail.message),
            attachments: attachments.collect(),
        };
        self.notification.enqueue(&envelope).await.map_err(|error| match error {
            notice::MailError::Invalid(problem) => booking::MailError::Invalid(problem),
            notice::MailError::Unavailable(cause) => booking::MailError::Unavailable(cause),
        })
    }
}
