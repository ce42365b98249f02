//! The daily comparison: the providers' records, ours, the book, and what bookings owe.

use std::collections::BTreeSet;

use cairn_shared::{
    Id, Paise, Timestamp,
    page::Page as ListPage,
    time::{DAY, HOUR, SECOND},
};

use super::App;
use crate::{
    domain::{self, Mismatch, MismatchKind, PaymentError, Provider, Report, Theirs},
    provider::{self, Page, ProviderError, RefundStatus, Window},
    store,
};

/// Days of the scheduled report. Its windows are about when payments were begun, and one
/// that failed may still be authorised three days later.
const REPORT_DAYS: i64 = 5;

/// Days to which the scheduled report reaches back at most, where those before it could not
/// ask everything.
const REPORT_DAYS_MAX: i64 = 31;

/// The longest window that a report can be asked for.
pub const WINDOW_MAX: i64 = 92 * DAY;

/// A report asks no provider for longer; what is left is said to be incomplete.
const RUN_MAX: i64 = 20 * SECOND;

/// Mismatches of one kind that a report names.
const NAMED_MAX: i64 = 1_000;

/// Recorded payments of a window that are looked for at the provider.
const RECORDED_MAX: i64 = 100_000;

/// Payments that the provider's list did not have and that are asked about one by one.
const ASKED_MAX: usize = 100;

/// Money younger than this may still be on its way to being counted.
const SETTLED_AFTER: i64 = HOUR;

/// A refund takes a week at most.
const SLOW_AFTER: i64 = 7 * DAY;

/// What a report is to do.
#[derive(Debug, Clone)]
pub struct ReportRequest {
    pub from: Timestamp,
    /// Excluded.
    pub until: Timestamp,
    /// `schedule`, or the id of who asks.
    pub made_by: String,
    /// Only compares: changes and stores nothing.
    pub dry_run: bool,
}

/// A report in the making.
struct Making<'a> {
    app: &'a App,
    request: &'a ReportRequest,
    report: Report,
}

impl App {
    /// The scheduled report: the last whole days in the business's zone, counted from the
    /// last one that was complete, so that no outage leaves a day out.
    ///
    /// # Errors
    /// The database's.
    pub async fn report_days(&self) -> Result<Report, PaymentError> {
        let until = self.env.zone.start_of_day(self.env.now());
        let covered = store::report_covered(&self.db).await?.unwrap_or(until).min(until);
        let from = covered.plus(-REPORT_DAYS * DAY).max(until.plus(-REPORT_DAYS_MAX * DAY));
        self.report(&ReportRequest { from, until, made_by: "schedule".into(), dry_run: false }).await
    }

    /// Compares everything and names what does not agree. What the provider knows better
    /// is applied as if it had been told of, and the book is brought to the records.
    /// Done twice, it finds nothing new.
    ///
    /// # Errors
    /// The database's; a provider that does not answer makes the report incomplete.
    pub async fn report(&self, request: &ReportRequest) -> Result<Report, PaymentError> {
        let report = Report {
            id: self.env.id(),
            from: request.from,
            until: request.until,
            complete: true,
            payments: 0,
            refunds: 0,
            made_by: request.made_by.clone(),
            made_at: self.env.now(),
            mismatches: Vec::new(),
        };
        let mut making = Making { app: self, request, report };
        making.compare_providers().await?;
        making.compare_book().await?;
        making.compare_bookings().await?;
        let report = making.report;
        if !request.dry_run {
            self.db.transaction(async |tx| store::report_insert(tx, &report).await).await?;
            self.env.wake_relay().await;
            self.wake_refunds().await;
        }
        if !report.mismatches.is_empty() || !report.complete {
            let fields: [(&str, &dyn std::fmt::Display); 3] =
                [("report", &report.id), ("mismatches", &report.mismatches.len()), ("complete", &report.complete)];
            cairn_shared::log::error("the books do not agree: staff have to look at the report", &fields);
        }
        Ok(report)
    }

    /// Reports without their mismatches, newest first, and how many there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn report_page(&self, page: ListPage) -> cairn_shared::Result<(Vec<(Report, i64)>, i64)> {
        Ok(store::report_page(&self.db, page.limit.into(), page.offset()).await?)
    }

    /// # Errors
    /// The database's.
    pub async fn report_fetch(&self, id: Id) -> cairn_shared::Result<Option<Report>> {
        Ok(store::report_fetch(&self.db, id).await?)
    }
}

impl Making<'_> {
    fn window(&self) -> Window {
        Window { from: self.request.from, until: self.request.until }
    }

    fn is_late(&self) -> bool {
        self.app.env.now().since(self.report.made_at) > RUN_MAX
    }

    fn incomplete(&mut self, provider: Provider, cause: &dyn std::fmt::Display) {
        self.report.complete = false;
        cairn_shared::log::warn(
            "a report could not ask everything",
            &[("provider", &provider.as_str()), ("cause", cause)],
        );
    }

    async fn compare_providers(&mut self) -> Result<(), PaymentError> {
        let providers: Vec<_> = self.app.providers.all().map(|adapter| adapter.provider()).collect();
        for provider in providers {
            match self.compare_provider(provider).await? {
                Ok(()) => {}
                Err(error) => self.incomplete(provider, &error),
            }
        }
        Ok(())
    }

    async fn compare_provider(&mut self, provider: Provider) -> Result<Result<(), ProviderError>, PaymentError> {
        let (app, window) = (self.app, self.window());
        let (mut seen, mut after) = (BTreeSet::new(), None::<String>);
        loop {
            let ask = |adapter: &dyn provider::Adapter| Ok(adapter.payments_between(window, after.as_deref()));
            let Page { items, next } = match app.providers.ask(provider, ask).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            for payment in items {
                self.report.payments += 1;
                seen.insert(payment.id.clone());
                if payment.is_captured()
                    && let Err(error) = self.compare_payment(&payment).await?
                {
                    return Ok(Err(error));
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
            if self.is_late() {
                return Ok(Err(ProviderError::Unknown("there are too many payments for one report".into())));
            }
        }
        if let Err(error) = self.compare_refunds(provider).await? {
            return Ok(Err(error));
        }
        self.look_for_recorded(provider, &seen).await
    }

    async fn compare_payment(
        &mut self,
        payment: &provider::Payment,
    ) -> Result<Result<(), ProviderError>, PaymentError> {
        let theirs =
            Theirs { id: &payment.id, amount: Paise(payment.amount), refunded: Paise(payment.amount_refunded) };
        let Some(mut mismatch) = self.compared(&theirs).await? else { return Ok(Ok(())) };
        if !self.request.dry_run {
            let refunds =
                self.app.providers.ask(payment.provider, |adapter| adapter.payment_refunds(&payment.id)).await;
            match refunds {
                Ok(refunds) => self.app.take_payment(payment, &refunds).await?,
                Err(error) => {
                    self.report.mismatches.push(mismatch);
                    return Ok(Err(error));
                }
            }
            mismatch.repaired = self.compared(&theirs).await?.is_none();
        }
        if mismatch.kind == MismatchKind::UnknownPayment && payment.order_id.is_none() {
            mismatch.detail = "captured by the provider without an order".into();
        }
        self.report.mismatches.push(mismatch);
        Ok(Ok(()))
    }

    async fn compared(&self, theirs: &Theirs<'_>) -> Result<Option<Mismatch>, PaymentError> {
        let ours = store::payment_fetch(&self.app.db, theirs.id).await?;
        let back = store::given_back(&self.app.db, theirs.id).await?;
        Ok(domain::compare(theirs, ours.as_ref().map(|payment| (payment, back))))
    }

    async fn compare_refunds(&mut self, provider: Provider) -> Result<Result<(), ProviderError>, PaymentError> {
        let (app, window) = (self.app, self.window());
        let mut after = None::<String>;
        loop {
            let ask = |adapter: &dyn provider::Adapter| Ok(adapter.refunds_between(window, after.as_deref()));
            let Page { items, next } = match app.providers.ask(provider, ask).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            for refund in items {
                self.report.refunds += 1;
                self.compare_refund(&refund).await?;
            }
            after = next;
            if after.is_none() {
                return Ok(Ok(()));
            }
            if self.is_late() {
                return Ok(Err(ProviderError::Unknown("there are too many refunds for one report".into())));
            }
        }
    }

    async fn compare_refund(&mut self, refund: &provider::Refund) -> Result<(), PaymentError> {
        let Some(mut mismatch) = self.refund_mismatch(refund).await? else { return Ok(()) };
        if !self.request.dry_run {
            self.app.db.transaction(async |tx| self.app.take_refund(tx, refund).await).await?;
            mismatch.repaired = self.refund_mismatch(refund).await?.is_none();
        }
        self.report.mismatches.push(mismatch);
        Ok(())
    }

    /// Whether a refund of the provider's stands otherwise here. One that failed and is
    /// tried again, or was paid out by hand, agrees.
    async fn refund_mismatch(&self, refund: &provider::Refund) -> Result<Option<Mismatch>, PaymentError> {
        let db = &self.app.db;
        let ours = store::refund_fetch_by_provider_id(db, &refund.id).await?;
        let failed = refund.status == RefundStatus::Failed;
        if ours.is_none() && failed {
            return Ok(None);
        }
        let theirs = domain::RefundStatus::from(refund.status);
        let agrees = ours.as_ref().is_some_and(|known| known.status == theirs || (failed && known.paid_out.is_some()));
        // What we ask about next is no mismatch yet.
        let is_open = theirs == domain::RefundStatus::Processing
            || ours.as_ref().is_some_and(|known| known.status == domain::RefundStatus::Processing);
        if agrees || (is_open && ours.is_some() && theirs != domain::RefundStatus::Success) {
            return Ok(None);
        }
        let (kind, detail) = match &ours {
            None => (MismatchKind::UnknownRefund, "made at the provider and not known here".to_owned()),
            Some(known) => {
                let words = format!("{} here, {} at the provider", known.status.as_str(), theirs.as_str());
                (MismatchKind::RefundStatus, words)
            }
        };
        Ok(Some(Mismatch {
            kind,
            subject: refund.id.clone(),
            booking_id: ours.as_ref().and_then(|known| known.booking_id),
            ours: ours.map_or(Paise::ZERO, |known| known.amount),
            theirs: Paise(refund.amount),
            detail,
            repaired: false,
        }))
    }

    /// Payments that we recorded in the window and the list did not have: asked about one
    /// by one, since at the edges the provider's day is another than ours.
    async fn look_for_recorded(
        &mut self,
        provider: Provider,
        seen: &BTreeSet<String>,
    ) -> Result<Result<(), ProviderError>, PaymentError> {
        let window = (self.request.from, self.request.until);
        let recorded = store::payment_ids_between(&self.app.db, provider, window, RECORDED_MAX).await?;
        let unseen: Vec<_> = recorded.into_iter().filter(|id| !seen.contains(id)).collect();
        for id in unseen.iter().take(ASKED_MAX) {
            match self.app.providers.ask(provider, |adapter| adapter.payment_fetch(id)).await {
                Ok(payment) if payment.is_captured() => {
                    if let Err(error) = self.compare_payment(&payment).await? {
                        return Ok(Err(error));
                    }
                }
                Ok(_) | Err(ProviderError::Refused(_)) => self.name_missing(id).await?,
                Err(error) => return Ok(Err(error)),
            }
        }
        if unseen.len() > ASKED_MAX || self.is_late() {
            return Ok(Err(ProviderError::Unknown("too many payments are not in the provider's list".into())));
        }
        Ok(Ok(()))
    }

    async fn name_missing(&mut self, id: &str) -> Result<(), PaymentError> {
        let Some(payment) = store::payment_fetch(&self.app.db, id).await? else { return Ok(()) };
        self.report.mismatches.push(Mismatch {
            kind: MismatchKind::MissingPayment,
            subject: payment.id,
            booking_id: payment.booking_id,
            ours: payment.amount,
            theirs: Paise::ZERO,
            detail: "recorded here and not captured by the provider".into(),
            repaired: false,
        });
        Ok(())
    }

    /// The book against the records, all of it.
    async fn compare_book(&mut self) -> Result<(), PaymentError> {
        let app = self.app;
        for found in store::ledger_differences(&app.db, NAMED_MAX).await? {
            let mut mismatch = Mismatch {
                kind: MismatchKind::Book,
                subject: found.payment_id,
                booking_id: found.booking_id,
                ours: found.recorded,
                theirs: found.booked,
                detail: "recorded, and shown by the book".into(),
                repaired: false,
            };
            if !self.request.dry_run {
                app.rebook(&mismatch.subject).await?;
                let left = store::ledger_differences(&app.db, NAMED_MAX).await?;
                mismatch.repaired = left.iter().all(|left| left.payment_id != mismatch.subject);
            }
            self.report.mismatches.push(mismatch);
        }
        Ok(())
    }

    async fn compare_bookings(&mut self) -> Result<(), PaymentError> {
        let (db, now) = (&self.app.db, self.app.env.now());
        let settled = now.plus(-SETTLED_AFTER);
        self.report.mismatches.extend(store::payable_mismatches(db, settled, NAMED_MAX).await?);
        self.report.mismatches.extend(store::held_payments(db, settled, NAMED_MAX).await?);
        let slow = now.plus(-SLOW_AFTER);
        self.report.mismatches.extend(store::refund_mismatches(db, slow, NAMED_MAX).await?);
        Ok(())
    }
}

impl App {
    /// Posts what the book lacks of a payment and its refunds.
    async fn rebook(&self, payment_id: &str) -> Result<(), PaymentError> {
        self.db
            .transaction(async |tx| {
                let Some(payment) = store::payment_fetch(tx, payment_id).await? else { return Ok(()) };
                if let Some(booking_id) = payment.booking_id {
                    store::booking_turn(tx, booking_id).await?;
                }
                self.book_capture(tx, &payment).await?;
                for refund in store::refund_list(tx, payment_id).await? {
                    self.note_refund(tx, refund).await?;
                }
                Ok(())
            })
            .await
    }
}
