//! Captured money: the one way in which it is applied.

use cairn_shared::{
    Id, Paise, Tx,
    events::{self, Event},
};

use super::{App, News, refunding::Purpose};
use crate::{
    domain::{self, Capture, Kind, Order, OrderStatus, Payment, PaymentError, Problem},
    provider::{self, PaymentStatus, UnknownOrders},
    store,
};

/// How something about a payment became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client has reported it and waits for the answer.
    Verify,
    Webhook,
    Reconciliation,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Webhook => "webhook",
            Self::Reconciliation => "reconciliation",
        }
    }
}

/// What became of captured money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// It counts for its booking, now or since before.
    Applied,
    /// It belongs to no booking and goes back, or is kept for staff.
    Orphaned(Problem),
}

impl App {
    /// Applies captured money. Called by verify, webhook and reconciliation alike, in
    /// their transaction: all of it happens or nothing.
    ///
    /// Idempotent by payment id. The order is our own row, found by the provider's
    /// order id; notes and client-sent bookings are never looked at. What does not
    /// match is kept as an orphan and its refund queued; what is more than the order's
    /// amount goes back by itself too.
    ///
    /// # Errors
    /// The database's; then nothing has changed and the caller's retry repeats it.
    pub async fn apply_capture(
        &self,
        tx: &Tx,
        captured: &provider::Payment,
        source: Source,
    ) -> Result<Captured, PaymentError> {
        let order = self.order_in_turn(tx, captured.order_id.as_deref()).await?;
        if let Some(known) = store::payment_fetch(tx, &captured.id).await? {
            return Ok(known.problem.map_or(Captured::Applied, Captured::Orphaned));
        }
        let returned = captured.status == PaymentStatus::Refunded;
        let decided = domain::capture_decide(order.as_ref(), Paise(captured.amount), &captured.currency, returned);
        let payment = self.payment(captured, order.as_ref(), decided);
        let origin = store::Origin { learned_from: source.as_str(), reference: None, received_by: None };
        if !store::payment_insert(tx, &payment, &origin).await? {
            return Err(PaymentError::Other(cairn_shared::Error::unavailable("the payment is being applied")));
        }
        // A delivery has nobody behind it but the provider, whose signature it bears.
        let actor = (source == Source::Webhook).then(|| payment.provider.as_str().to_owned());
        self.note_payment(tx, &payment, "payment.capture", actor).await?;
        self.book_capture(tx, &payment).await?;
        self.adopt_refunds(tx, &payment).await?;
        match (decided, order) {
            (Capture::Pays { surplus }, Some(order)) => {
                self.settle_order(tx, &order, &payment, source).await?;
                self.return_surplus(tx, &payment, surplus).await?;
                Ok(Captured::Applied)
            }
            (Capture::Pays { .. }, None) => Ok(Captured::Orphaned(Problem::UnknownOrder)),
            (Capture::Orphan(problem), _) => {
                self.return_orphan(tx, &payment.id, problem).await?;
                Ok(Captured::Orphaned(problem))
            }
        }
    }

    /// Our order with this id of the provider's. From here on nobody else changes what
    /// its booking owes and has paid until the transaction ends.
    pub(super) async fn order_in_turn(
        &self,
        tx: &Tx,
        provider_id: Option<&str>,
    ) -> Result<Option<Order>, PaymentError> {
        let Some(provider_id) = provider_id else { return Ok(None) };
        let Some(order) = store::order_fetch_by_provider_id(tx, provider_id).await? else { return Ok(None) };
        store::booking_turn(tx, order.booking_id).await?;
        match store::order_fetch(tx, order.id).await? {
            Some(order) => Ok(Some(self.order_as_shared(tx, order).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn book_capture(&self, tx: &Tx, payment: &Payment) -> Result<(), PaymentError> {
        for transfer in domain::capture_transfers(payment) {
            store::ledger_post(tx, &transfer, self.env.now()).await?;
        }
        Ok(())
    }

    fn payment(&self, captured: &provider::Payment, order: Option<&Order>, decided: Capture) -> Payment {
        let (problem, surplus) = match decided {
            Capture::Pays { surplus } => (None, surplus),
            Capture::Orphan(problem) => (Some(problem), Paise::ZERO),
        };
        Payment {
            id: captured.id.clone(),
            order_id: captured.order_id.clone().unwrap_or_default(),
            booking_id: order.map(|order| order.booking_id),
            provider: captured.provider,
            kind: order.map(|order| order.kind),
            amount: Paise(captured.amount),
            surplus,
            currency: captured.currency.clone(),
            method: captured.method.clone(),
            problem,
            captured_at: self.env.now(),
            refunded: Paise::ZERO,
            surplus_refunded: Paise::ZERO,
            voucher_id: None,
            share_id: order.and_then(|order| order.share_id),
        }
    }

    /// The order is paid, and with it what the booking owed; a voucher pays its part of
    /// that, and the promo use counts.
    async fn settle_order(
        &self,
        tx: &Tx,
        order: &Order,
        payment: &Payment,
        source: Source,
    ) -> Result<(), PaymentError> {
        store::order_set_status(tx, order.id, OrderStatus::Paid).await?;
        let voucher = match order.share_id {
            Some(share_id) => {
                self.settle_share(tx, order.booking_id, share_id, order.amount).await?;
                None
            }
            None => {
                let voucher = self.spend_reserved(tx, order).await?;
                let amount = order.amount + voucher.as_ref().map_or(Paise::ZERO, |voucher| voucher.amount);
                self.settle_payable(tx, order.booking_id, order.kind, amount).await?;
                voucher
            }
        };
        let waits = source == Source::Verify;
        let news = News::captured(order.booking_id, order.kind, payment, voucher.as_ref());
        self.tell(tx, news, waits).await?;
        match &voucher {
            // Booking hears of both together, admin of each.
            Some(voucher) => {
                let news = News::captured(order.booking_id, order.kind, voucher, None);
                let event = Event::new(&self.env, "payment.captured", order.booking_id, &news)?;
                Ok(events::emit(tx, &event, &["admin"]).await?)
            }
            None => Ok(()),
        }
    }

    /// What a booking owed is paid by an amount of this kind, and its promo use counts.
    pub(super) async fn settle_payable(
        &self,
        tx: &Tx,
        booking_id: Id,
        kind: Kind,
        amount: Paise,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        let Some(stored) = store::payable_fetch(tx, booking_id).await? else { return Ok(()) };
        if stored.payable.kind == kind && amount >= stored.payable.amount {
            store::payable_pay(tx, booking_id, now).await?;
        }
        // Also after the use was given back: the price paid had the discount in it.
        if let Some(promo_id) = stored.promo_id.filter(|_| kind != Kind::Balance) {
            store::promo_use_pay(tx, booking_id, promo_id, now).await?;
        }
        Ok(())
    }

    /// Refunds that were heard of before their payment.
    async fn adopt_refunds(&self, tx: &Tx, payment: &Payment) -> Result<(), PaymentError> {
        for mut refund in store::refund_list(tx, &payment.id).await? {
            refund.booking_id = payment.booking_id;
            self.note_refund(tx, refund).await?;
        }
        Ok(())
    }

    /// What was paid beyond the order's amount goes back by itself; nobody else is told.
    async fn return_surplus(&self, tx: &Tx, payment: &Payment, surplus: Paise) -> Result<(), PaymentError> {
        if surplus == Paise::ZERO {
            return Ok(());
        }
        cairn_shared::log::warn(
            "more was paid than was asked for: the rest is being refunded",
            &[("payment", &payment.id), ("surplus", &surplus)],
        );
        let purpose = Purpose { reason: "surplus", request_key: None, surplus: true, voucher_id: None };
        self.insert_refund(tx, payment, surplus, purpose).await
    }

    /// Money that belongs to no booking goes back by itself; staff read of it in the log.
    async fn return_orphan(&self, tx: &Tx, payment_id: &str, problem: Problem) -> Result<(), PaymentError> {
        let Some(payment) = store::payment_fetch(tx, payment_id).await? else { return Ok(()) };
        let unknown_orders = self.providers.account(payment.provider).map(|account| account.unknown_orders);
        let (goes_back, outcome) = match problem {
            Problem::UnknownOrder if unknown_orders == Some(UnknownOrders::Hold) => {
                (false, "it is kept for staff to look at")
            }
            // The provider tells of its refunds as well.
            Problem::Returned => (false, "it has been given back"),
            _ => (true, "it is being refunded"),
        };
        cairn_shared::log::error(
            "captured money belongs to no booking",
            &[("payment", &payment_id), ("problem", &problem.as_str()), ("outcome", &outcome)],
        );
        if goes_back && payment.refundable() > Paise::ZERO {
            let purpose = Purpose { reason: problem.as_str(), request_key: None, surplus: false, voucher_id: None };
            self.insert_refund(tx, &payment, payment.refundable(), purpose).await?;
        }
        Ok(())
    }

    /// Notes a payment that failed or was authorised. It changes nothing about what is
    /// owed; booking is told of a failure while nothing has been paid.
    pub(super) async fn note_attempt(
        &self,
        tx: &Tx,
        payment: &provider::Payment,
        source: Source,
    ) -> Result<(), PaymentError> {
        let now = self.env.now();
        let Some(order_id) = payment.order_id.as_deref() else { return Ok(()) };
        let failed = payment.status == PaymentStatus::Failed;
        let attempt = store::Attempt {
            payment_id: &payment.id,
            order_id,
            failed,
            code: payment.error_code.as_deref().filter(|_| failed),
            description: payment.error_description.as_deref().filter(|_| failed),
        };
        if !store::attempt_save(tx, &attempt, now).await? {
            return Ok(());
        }
        let order = self.order_in_turn(tx, Some(order_id)).await?;
        if let Some(order) = order.as_ref().filter(|_| payment.status == PaymentStatus::Authorized) {
            store::order_check_soon(tx, order.id, now.plus(domain::AUTHORISED_CHECK)).await?;
        }
        if !failed {
            return Ok(());
        }
        let unpaid = matches!(order, Some(Order { status: OrderStatus::Open, .. }));
        let (Some(order), true) = (order, unpaid) else { return Ok(()) };
        let news = News::Failed {
            booking_id: order.booking_id,
            order_id,
            code: attempt.code.unwrap_or("UNKNOWN"),
            description: attempt.description.unwrap_or("The payment failed"),
            failed_at: now.millis(),
        };
        Ok(self.tell(tx, news, source == Source::Verify).await?)
    }
}
