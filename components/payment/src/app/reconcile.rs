//! Asking the provider what nobody told us.

use cairn_shared::time::{DAY, SECOND};

use super::App;
use crate::{
    domain::{self, Order, PaymentError},
    provider::{self, ProviderError},
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
    /// then ever more rarely for four days; executes and follows up refunds; checks the
    /// book. Every step is idempotent: a crash, or two runs at once, repeat questions.
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
            self.relay_to_booking(order.booking_id).await;
        }
        run.refunds = self.execute_refunds().await?;
        store::webhook_forget(&self.db, started.plus(-DELIVERIES_KEPT)).await?;
        self.check_ledger().await?;
        self.env.wake_relay().await;
        Ok(run)
    }

    async fn reconcile_order(&self, order: &Order) -> Result<Result<(), ProviderError>, PaymentError> {
        let Some(provider_id) = &order.provider_id else { return Ok(Ok(())) };
        let payments = match self.provider.order_payments(provider_id).await {
            Ok(payments) => payments,
            Err(error) => return Ok(Err(error)),
        };
        for mut payment in payments {
            // The question was about this order; some answers leave it out.
            payment.order_id.get_or_insert_with(|| provider_id.clone());
            let refunds = match payment.amount_refunded {
                0 => Ok(Vec::new()),
                _ => self.provider.payment_refunds(&payment.id).await,
            };
            let refunds = match refunds {
                Ok(refunds) => refunds,
                Err(error) => return Ok(Err(error)),
            };
            self.take_payment(&payment, &refunds).await?;
        }
        Ok(Ok(()))
    }

    async fn take_payment(
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
                    self.apply_capture(tx, payment, "reconciliation").await.map(drop)
                } else {
                    self.note_attempt(tx, payment).await
                }
            })
            .await
    }

    async fn check_ledger(&self) -> Result<(), PaymentError> {
        let found = store::ledger_check(&self.db).await?;
        if found != store::LedgerCheck::default() {
            let fields: [(&str, &dyn std::fmt::Display); 2] =
                [("unbalanced", &found.unbalanced), ("difference", &found.difference)];
            cairn_shared::log::error("the book of money does not add up", &fields);
        }
        Ok(())
    }
}
