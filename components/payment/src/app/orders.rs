//! Orders at the provider.

use cairn_shared::{Id, Paise, Timestamp, Tx};
use serde_json::json;

use super::{App, News};
use crate::{
    domain::{
        self, CURRENCY, Kind, ORDERS_PER_BOOKING_MAX, Order, OrderStatus, Payable, PayableStatus, PaymentError,
        Provider, StoredPayable, StoredShare,
    },
    provider::{self, OrderCreate, ProviderError},
    store,
};

/// An order that can be paid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeOrder {
    pub order: provider::Order,
}

/// Whether the order is there already or is to be asked for.
enum Prepared {
    Ready(provider::Order),
    Ask { order: Order, held_until: Option<Timestamp> },
}

/// What is to be paid, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The whole or the first instalment, by the booking's owner.
    First(Id),
    /// The balance, by the booking's owner.
    Balance(Id),
    /// A share of the balance, by whoever has its key.
    Share(Id),
}

impl Wanted {
    fn share_id(self) -> Option<Id> {
        match self {
            Self::Share(id) => Some(id),
            Self::First(_) | Self::Balance(_) => None,
        }
    }
}

impl App {
    /// The order for what a booking owes first: the whole or the first instalment.
    ///
    /// Steps, and what a crash after each leaves:
    /// 1. An *intent* row with a receipt of its own (transaction). Nothing is lost:
    ///    the next call takes the same row up again.
    /// 2. The provider is asked, outside any transaction. If it was asked before with
    ///    an unknown outcome, it is first asked for an order with that receipt. A crash
    ///    leaves at worst an order that nobody was ever given, so nobody can pay it.
    /// 3. The provider's id is recorded, the session prolonged, booking told
    ///    (transaction). Only now a client learns the id.
    ///
    /// Two at once share the row (a unique index sees to it); if both ask the provider,
    /// the first id recorded is the one that both are given.
    ///
    /// # Errors
    /// Why the booking cannot be paid, and [`PaymentError::ProviderDown`].
    pub async fn create_order(&self, booking_id: Id, caller: Id) -> Result<MadeOrder, PaymentError> {
        self.make_order(booking_id, Wanted::First(caller)).await
    }

    /// The order for the balance; see [`App::create_order`].
    ///
    /// # Errors
    /// Why the balance cannot be paid, and [`PaymentError::ProviderDown`].
    pub async fn create_balance_order(&self, booking_id: Id, caller: Id) -> Result<MadeOrder, PaymentError> {
        self.make_order(booking_id, Wanted::Balance(caller)).await
    }

    /// The order for a share, for who shows its key; see [`App::create_order`].
    ///
    /// # Errors
    /// Why the share cannot be paid, and [`PaymentError::ProviderDown`].
    pub async fn create_share_order(&self, key: &str) -> Result<MadeOrder, PaymentError> {
        let StoredShare { share, .. } = self.share_of_key(key).await?;
        self.make_order(share.booking_id, Wanted::Share(share.id)).await
    }

    async fn make_order(&self, booking_id: Id, wanted: Wanted) -> Result<MadeOrder, PaymentError> {
        let provider = self.providers.current().ok_or(PaymentError::NotConfigured)?.provider();
        let prepare = async |tx: &Tx| self.prepare_order(tx, booking_id, wanted, provider).await;
        let prepared = self.db.transaction(prepare).await?;
        let order = match prepared {
            Prepared::Ready(order) => order,
            Prepared::Ask { order, held_until } => {
                let made = self.ask_for_order(&order, held_until).await?;
                // The inner result may refuse; what the provider made is recorded all the same.
                self.db.transaction(async |tx| self.record_order(tx, &order, &made).await).await??
            }
        };
        self.relay_to_booking(booking_id).await;
        Ok(MadeOrder { order })
    }

    async fn prepare_order(
        &self,
        tx: &Tx,
        booking_id: Id,
        wanted: Wanted,
        provider: Provider,
    ) -> Result<Prepared, PaymentError> {
        let now = self.env.now();
        store::booking_turn(tx, booking_id).await?;
        let stored = store::payable_fetch(tx, booking_id).await?.ok_or(PaymentError::UnknownBooking)?;
        let payable = &stored.payable;
        let mut amount = stored.online();
        let live = match wanted {
            Wanted::Share(id) => {
                let found = store::share_fetch(tx, id).await?.ok_or(PaymentError::UnknownBooking)?;
                found.check(now)?;
                amount = found.share.amount;
                store::order_fetch_live_of_share(tx, id).await?
            }
            Wanted::First(caller) => {
                stored.check_first(caller, now)?;
                store::order_fetch_live(tx, booking_id, payable.kind, amount).await?
            }
            Wanted::Balance(caller) => {
                stored.check_balance(caller, now)?;
                store::order_fetch_live(tx, booking_id, payable.kind, amount).await?
            }
        };
        let order = match live {
            // Payments are made with another provider now.
            Some(order) if order.provider != provider => {
                store::order_set_status(tx, order.id, OrderStatus::Void).await?;
                self.insert_intent(tx, payable, amount, wanted.share_id(), provider).await?
            }
            Some(order) if order.provider_id.is_some() => {
                let snapshot = snapshot(&order)?;
                self.prolong_session(tx, &stored, &order, &snapshot.id).await?;
                return Ok(Prepared::Ready(snapshot));
            }
            Some(order) => order,
            None => self.insert_intent(tx, payable, amount, wanted.share_id(), provider).await?,
        };
        store::order_note_attempt(tx, order.id).await?;
        Ok(Prepared::Ask { order, held_until: payable.expires_at })
    }

    async fn insert_intent(
        &self,
        tx: &Tx,
        payable: &Payable,
        amount: Paise,
        share_id: Option<Id>,
        provider: Provider,
    ) -> Result<Order, PaymentError> {
        let nth = store::order_count(tx, payable.booking_id).await?;
        // Whoever pays a share cannot use up what others need for theirs.
        if store::order_count_for(tx, payable.booking_id, share_id).await? >= ORDERS_PER_BOOKING_MAX {
            return Err(PaymentError::TooManyOrders);
        }
        let plain = domain::receipt(payable.booking_id, payable.kind, nth, false);
        let taken = store::receipt_is_taken(tx, &plain).await?;
        let order = Order {
            id: self.env.id(),
            receipt: domain::receipt(payable.booking_id, payable.kind, nth, taken),
            provider,
            provider_id: None,
            booking_id: payable.booking_id,
            user_id: payable.user_id,
            share_id,
            kind: payable.kind,
            amount,
            status: OrderStatus::Intent,
            attempts: 0,
            snapshot: None,
            created_at: self.env.now(),
        };
        store::order_insert(tx, &order).await?;
        Ok(order)
    }

    /// Finds or makes the order at the provider.
    async fn ask_for_order(
        &self,
        order: &Order,
        held_until: Option<Timestamp>,
    ) -> Result<provider::Order, PaymentError> {
        // Asked before: it may have been made, though nobody told us.
        let mut made = if order.attempts > 0 { self.order_by_receipt(order).await } else { Ok(None) };
        if let Ok(None) = made {
            let create = order_create(order);
            made = match self.providers.ask(order.provider, |adapter| Ok(adapter.order_create(&create))).await {
                // A receipt that is taken is one of ours: an attempt at the same time, or a late one.
                Err(ProviderError::Refused(cause)) => match self.order_by_receipt(order).await {
                    Ok(None) => Err(ProviderError::Refused(cause)),
                    found => found,
                },
                made => made.map(Some),
            };
        }
        let failure = match made {
            Ok(Some(made)) if made.amount == order.amount.0 && made.currency == CURRENCY => return Ok(made),
            Ok(Some(made)) => ProviderError::Refused(format!("order {} has another amount", made.id)),
            Ok(None) => ProviderError::Unknown("neither made nor refused".into()),
            Err(error) => error,
        };
        store::order_note_error(&self.db, order.id, &failure.to_string()).await?;
        Err(match failure {
            ProviderError::Refused(cause) => PaymentError::ProviderRefused(cause),
            ProviderError::Unknown(cause) => PaymentError::ProviderDown { held_until, cause },
        })
    }

    async fn order_by_receipt(&self, order: &Order) -> Result<Option<provider::Order>, ProviderError> {
        let adapter = self.providers.account(order.provider).map(|account| &*account.adapter);
        match adapter.and_then(|adapter| adapter.order_by_receipt(&order.receipt)) {
            Some(call) => self.providers.ask(order.provider, |_| Ok(call)).await,
            None => Ok(None),
        }
    }

    async fn record_order(
        &self,
        tx: &Tx,
        order: &Order,
        made: &provider::Order,
    ) -> Result<Result<provider::Order, PaymentError>, PaymentError> {
        let now = self.env.now();
        store::booking_turn(tx, order.booking_id).await?;
        let text = serde_json::to_string(made).map_err(cairn_shared::Error::internal)?;
        store::order_record(tx, order.id, &made.id, &text, domain::order_check_at(now, now)).await?;
        let recorded = store::order_fetch(tx, order.id).await?.ok_or(PaymentError::UnknownBooking)?;
        match recorded.status {
            OrderStatus::Intent | OrderStatus::Open => {}
            OrderStatus::Paid => return Ok(Err(PaymentError::NotAwaitingPayment)),
            OrderStatus::Void => return Ok(Err(PaymentError::Changed)),
        }
        let stored = store::payable_fetch(tx, order.booking_id).await?.ok_or(PaymentError::UnknownBooking)?;
        let stands = self.order_as_shared(tx, recorded.clone()).await?.status != OrderStatus::Void;
        if stored.status != PayableStatus::Open || !stands {
            return Ok(Err(PaymentError::NotAwaitingPayment));
        }
        let made = snapshot(&recorded)?;
        self.prolong_session(tx, &stored, &recorded, &made.id).await?;
        Ok(Ok(made))
    }

    /// Who is about to pay keeps the seats a while longer.
    async fn prolong_session(
        &self,
        tx: &Tx,
        stored: &StoredPayable,
        order: &Order,
        order_id: &str,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        let payable = &stored.payable;
        let expires_at = stored.session_extended(now);
        if let Some(expires_at) = expires_at.filter(|at| Some(*at) != payable.expires_at) {
            store::payable_set_expiry(tx, payable.booking_id, expires_at, now).await?;
        }
        let news = News::OrderCreated {
            booking_id: payable.booking_id,
            order_id,
            kind: payable.kind,
            amount_paise: order.amount.0,
            session_expires_at: expires_at.map(Timestamp::millis),
        };
        Ok(self.tell(tx, news, true).await?)
    }
}

fn order_create(order: &Order) -> OrderCreate {
    let payment_type = match order.kind {
        Kind::Full => "full",
        Kind::Initial => "initial",
        Kind::Balance => "remaining_balance",
    };
    OrderCreate {
        amount: order.amount.0,
        currency: CURRENCY,
        receipt: order.receipt.clone(),
        notes: json!({ "bookingId": order.booking_id, "userId": order.user_id, "paymentType": payment_type }),
    }
}

fn snapshot(order: &Order) -> Result<provider::Order, PaymentError> {
    let text =
        order.snapshot.as_deref().ok_or_else(|| cairn_shared::Error::internal("an order without its snapshot"))?;
    Ok(serde_json::from_str(text).map_err(cairn_shared::Error::internal)?)
}
