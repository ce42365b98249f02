//! Asking the provider what nobody told us.

use cairn_shared::time::{DAY, SECOND};

use super::{App, Source};
use crate::{
    domain::{self, Order, OrderStatus, PayableStatus, PaymentError},
    provider::{self, PaymentStatus, ProviderError},
    store,
};

/// Orders of one run of the job.
const ORDERS_PER_RUN_MAX: i64 = 50;

/// A run takes no longer; the next one goes on.
const RUN_MAX: i64 = 20 * SECOND;

/// Deliveries are repeated for a day; remembered much longer.
const DELIVERIES_KEPT: i64 = 90 * DAY;

/// What a run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    pub orders: usize,
    pub unanswered: usize,
    pub refunds: usize,
}

impl App {
    /// Asks about orders that are open, or replaced, and not settled after ten minutes,
    /// then ever more rarely for four days; takes or lets go what is authorised; executes
    /// and follows up refunds. Every step is idempotent: a crash, or two runs at once,
    /// repeat questions.
    ///
    /// # Errors
    /// The database's.
    pub async fn reconcile(&self) -> Result<Reconciled, PaymentError> {
        let started = self.env.now();
        let mut run = Reconciled::default();
        for order in store::order_list_due(&self.db, started, ORDERS_PER_RUN_MAX).await? {
            let now = self.env.now();
            // While the provider does not answer, one question is enough.
            if now.since(started) > RUN_MAX || run.unanswered > 0 {
                break;
            }
            run.orders += 1;
            let next = match self.reconcile_order(&order).await? {
                Ok(()) => domain::order_check_at(order.created_at, now),
                Err(error) => {
                    cairn_shared::log::warn(
                        "an order could not be reconciled",
                        &[("order", &order.id), ("cause", &error)],
                    );
                    match error {
                        ProviderError::Refused(_) => domain::order_check_at(order.created_at, now),
                        ProviderError::Unknown(_) => {
                            run.unanswered += 1;
                            Some(domain::retry_at(1, now))
                        }
                    }
                }
            };
            store::order_set_check(&self.db, order.id, next).await?;
        }
        run.refunds = self.execute_refunds().await?;
        store::webhook_forget(&self.db, started.plus(-DELIVERIES_KEPT)).await?;
        self.env.wake_relay().await;
        Ok(run)
    }

    async fn reconcile_order(&self, order: &Order) -> Result<Result<(), ProviderError>, PaymentError> {
        let Some(provider_id) = &order.provider_id else { return Ok(Ok(())) };
        let payments = match self.providers.ask(order.provider, |adapter| adapter.order_payments(provider_id)).await {
            Ok(payments) => payments,
            Err(error) => return Ok(Err(error)),
        };
        for mut payment in payments {
            // The question was about this order; some answers leave it out.
            payment.order_id.get_or_insert_with(|| provider_id.clone());
            let asked = match payment.status {
                PaymentStatus::Authorized => self.decide_authorised(order, payment).await?,
                _ => Ok(payment),
            };
            let payment = match asked {
                Ok(payment) => payment,
                Err(error) => return Ok(Err(error)),
            };
            let refunds = match payment.amount_refunded {
                0 => Ok(Vec::new()),
                _ => self.providers.ask(order.provider, |adapter| adapter.payment_refunds(&payment.id)).await,
            };
            match refunds {
                Ok(refunds) => self.take_payment(&payment, &refunds).await?,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }

    /// Money that is authorised and that nobody has taken: it is taken if the booking
    /// still waits for exactly this, else let go. What is let go or could not be taken
    /// stays as it was told.
    async fn decide_authorised(
        &self,
        order: &Order,
        payment: provider::Payment,
    ) -> Result<Result<provider::Payment, ProviderError>, PaymentError> {
        let wanted = store::payable_fetch(&self.db, order.booking_id).await?.is_some_and(|stored| {
            let same = (stored.payable.kind, stored.payable.amount) == (order.kind, order.amount);
            same && stored.status == PayableStatus::Open && !stored.is_expired(self.env.now())
        });
        if wanted && order.status == OrderStatus::Open && payment.amount >= order.amount.0 {
            return Ok(self.capture_authorised(order, &payment).await);
        }
        cairn_shared::log::info(
            "an authorised payment is not wanted any more and is let go",
            &[("payment", &payment.id), ("order", &order.id)],
        );
        let adapter = self.providers.account(order.provider).map(|account| &*account.adapter);
        let void = match adapter.map(|adapter| adapter.payment_void(&payment)) {
            Some(Ok(Some(call))) => self.providers.ask(order.provider, |_| Ok(call)).await,
            Some(Err(error)) => Err(error),
            Some(Ok(None)) | None => Ok(()),
        };
        Ok(void.map(|()| payment))
    }

    /// Somebody may have taken it since we were told.
    async fn capture_authorised(
        &self,
        order: &Order,
        payment: &provider::Payment,
    ) -> Result<provider::Payment, ProviderError> {
        let mut taken = self.providers.ask(order.provider, |adapter| adapter.payment_capture(payment)).await;
        if let Err(ProviderError::Refused(_)) = taken {
            taken = self.providers.ask(order.provider, |adapter| adapter.payment_fetch(&payment.id)).await;
        }
        taken.map(|mut taken| {
            taken.order_id.clone_from(&payment.order_id);
            taken
        })
    }

    pub(super) async fn take_payment(
        &self,
        payment: &provider::Payment,
        refunds: &[provider::Refund],
    ) -> Result<(), PaymentError> {
        self.db
            .transaction(async |tx| {
                for refund in refunds {
                    self.take_refund(tx, refund).await?;
                }
                if payment.is_captured() {
                    self.apply_capture(tx, payment, Source::Reconciliation).await.map(drop)
                } else {
                    self.note_attempt(tx, payment, Source::Reconciliation).await
                }
            })
            .await
    }
}
