//! Vouchers: issued, reserved, spent, given back, over.
//!
//! What is left of a voucher is what the book says, and what is reserved of it is what
//! open payables say. So nothing has to be released: a payable that is closed, replaced or
//! paid reserves nothing any more. Whoever spends or reserves takes the booking's turn
//! first, then the voucher's, and reads both after that.

use cairn_shared::{Id, Paise, Timestamp, Tx, page::Page};

use super::{
    App, News,
    refunding::{Purpose, unheard},
};
use crate::{
    domain::{
        self, CreditRequest, OpenError, Order, Payable, PayableStatus, Payment, PaymentError, Provider,
        REASON_CHARS_MAX, Refund, RefundError, RefundKind, RefundRequest, RefundStatus, StoredPayable, Tender,
        VOUCHER_CODE_BYTES, VOUCHER_RENEWAL, Voided, Voucher, VoucherCode, VoucherKind, VoucherProblem, VoucherState,
    },
    store::{self, Origin, Posted},
};

/// Vouchers that one run of the job takes on; the next run takes the rest.
const RUN_VOUCHERS_MAX: i64 = 200;

/// Vouchers in somebody's list.
const OWNED_MAX: i64 = 200;

/// Entries of a voucher that are shown.
const ENTRIES_MAX: i64 = 500;

/// What a voucher pays of an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub voucher: Voucher,
    pub pays: Paise,
}

/// Credit that staff give away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodwill {
    /// Names it: the same key is the same voucher.
    pub key: String,
    pub amount: Paise,
    pub owner_id: Option<Id>,
    pub expires_at: Timestamp,
    pub reason: String,
    pub actor: Id,
}

fn origin() -> Origin<'static> {
    Origin { learned_from: "voucher", reference: None, received_by: None }
}

impl App {
    /// What a code pays of an amount; reserves nothing. What the booking has reserved
    /// itself is not counted against it.
    ///
    /// # Errors
    /// [`OpenError::Voucher`] with the reason, and the database's.
    pub async fn voucher_offer(&self, code: &str, owed: Paise, booking_id: Option<Id>) -> Result<Offer, OpenError> {
        let unknown = OpenError::Voucher(VoucherProblem::Unknown);
        let Some(code) = VoucherCode::parse(code) else { return Err(unknown) };
        let found = store::voucher_fetch_by_code(&self.db, &code, booking_id).await?;
        let voucher = found.ok_or(unknown)?;
        voucher.check(self.env.now()).map_err(OpenError::Voucher)?;
        let pays = domain::tender_of(owed, voucher.available());
        if pays == Paise::ZERO {
            return Err(OpenError::Voucher(VoucherProblem::Short(voucher.available())));
        }
        Ok(Offer { voucher, pays })
    }

    /// Whether this much of a voucher can be reserved for a booking. What it has reserved
    /// already it keeps, also where the voucher is over by now.
    pub(super) async fn check_tender(
        &self,
        tx: &Tx,
        payable: &Payable,
        tender: Tender,
        before: Option<&StoredPayable>,
    ) -> Result<(), OpenError> {
        let rest = payable.amount - tender.amount;
        if tender.amount <= Paise::ZERO || rest < Paise::ZERO || (rest > Paise::ZERO && rest < domain::AMOUNT_MIN) {
            return Err(OpenError::Invalid("a voucher pays all, or leaves an amount that can be paid".into()));
        }
        store::voucher_turn(tx, tender.voucher_id).await?;
        let found = store::voucher_fetch(tx, tender.voucher_id, Some(payable.booking_id)).await?;
        let voucher = found.ok_or(OpenError::Voucher(VoucherProblem::Unknown))?;
        let kept = before.filter(|before| before.status == PayableStatus::Open).and_then(|before| before.tender);
        let is_kept = kept.is_some_and(|kept| kept.voucher_id == tender.voucher_id && kept.amount >= tender.amount);
        if !is_kept {
            voucher.check(self.env.now()).map_err(OpenError::Voucher)?;
        }
        if tender.amount > voucher.available() {
            return Err(OpenError::Voucher(VoucherProblem::Short(voucher.available())));
        }
        Ok(())
    }

    /// Pays all of a payable by voucher: opens it and pays it, in one transaction.
    /// Repeated under the same key, it answers the payment that is there.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is spent.
    pub async fn redeem(
        &self,
        key: &str,
        payable: Payable,
        promo_code: Option<&str>,
        tender: Tender,
    ) -> Result<Payment, OpenError> {
        domain::check_text("key", key).map_err(OpenError::Invalid)?;
        payable.validate()?;
        if tender.amount != payable.amount {
            return Err(OpenError::Invalid("the voucher has to pay all of it".into()));
        }
        let redeemed = self.db.transaction(async |tx| {
            store::booking_turn(tx, payable.booking_id).await?;
            let now = self.env.now();
            let payment = domain::voucher_payment(key, payable.booking_id, payable.kind, tender, now);
            if let Some(known) = store::payment_fetch(tx, &payment.id).await? {
                let what = |payment: &Payment| (payment.booking_id, payment.amount, payment.voucher_id);
                let reused = || OpenError::Invalid("the key names another payment".into());
                return if what(&known) == what(&payment) { Ok(known) } else { Err(reused()) };
            }
            self.open_in_turn(tx, &payable, promo_code, Some(tender)).await?;
            self.spend(tx, &payment).await?;
            // Whoever is at the checkout now gets back what is paid there.
            store::orders_void(tx, payable.booking_id).await?;
            self.settle_payable(tx, payable.booking_id, payable.kind, payable.amount).await?;
            let news = News::captured(payable.booking_id, payable.kind, &payment, None);
            // Who asked knows it already, and has the time until the next relay to note it first.
            self.tell(tx, news, false).await?;
            Ok::<_, OpenError>(payment)
        });
        redeemed.await
    }

    async fn spend(&self, tx: &Tx, payment: &Payment) -> Result<(), PaymentError> {
        if !store::payment_insert(tx, payment, &origin()).await? {
            return Err(PaymentError::Other(cairn_shared::Error::unavailable("the voucher is being spent")));
        }
        self.note_payment(tx, payment, "payment.voucher", None).await?;
        self.book_capture(tx, payment).await
    }

    /// The rest of what an order was made for: its part was paid online, now the voucher
    /// pays its own. None where no voucher was to pay, or it has been spent meanwhile
    /// because the booking had given it back.
    pub(super) async fn spend_reserved(&self, tx: &Tx, order: &Order) -> Result<Option<Payment>, PaymentError> {
        let Some(stored) = store::payable_fetch(tx, order.booking_id).await? else { return Ok(None) };
        let Some(tender) = stored.tender.filter(|_| stored.payable.kind == order.kind) else { return Ok(None) };
        if stored.online() != order.amount {
            return Ok(None);
        }
        store::voucher_turn(tx, tender.voucher_id).await?;
        let now = self.env.now();
        let voucher = store::voucher_fetch(tx, tender.voucher_id, Some(order.booking_id)).await?;
        let reserved = stored.status == PayableStatus::Open;
        let usable = |voucher: &Voucher| {
            let valid = reserved || voucher.check(now).is_ok();
            valid && voucher.available() >= tender.amount
        };
        if !voucher.as_ref().is_some_and(usable) {
            cairn_shared::log::warn(
                "a payment came after the voucher beside it had been given back and spent",
                &[("order", &order.id), ("voucher", &tender.voucher_id)],
            );
            return Ok(None);
        }
        let source = format!("order/{}", order.id);
        let payment = domain::voucher_payment(&source, order.booking_id, order.kind, tender, now);
        self.spend(tx, &payment).await?;
        Ok(Some(payment))
    }

    /// Makes captured money of a booking a voucher, with what is given on top of it. Each
    /// part is a refund that has arrived: at the voucher. Repeated, it answers the voucher
    /// that is there.
    ///
    /// # Errors
    /// [`RefundError`]; then nothing has changed.
    pub async fn credit(&self, request: CreditRequest) -> Result<Voucher, RefundError> {
        self.credit_as(VoucherKind::Credit, request).await
    }

    /// As [`App::credit`], for what was paid to give it to somebody.
    ///
    /// # Errors
    /// [`RefundError`]; then nothing has changed.
    pub async fn gift(&self, request: CreditRequest) -> Result<Voucher, RefundError> {
        self.credit_as(VoucherKind::Gift, request).await
    }

    async fn credit_as(&self, kind: VoucherKind, mut request: CreditRequest) -> Result<Voucher, RefundError> {
        request.validate(self.env.now()).map_err(RefundError::Invalid)?;
        request.reason = request.reason.chars().take(REASON_CHARS_MAX).collect();
        let voucher = self.db.transaction(async |tx| self.credit_in_turn(tx, kind, &request).await).await?;
        self.env.wake_relay().await;
        Ok(voucher)
    }

    async fn credit_in_turn(
        &self,
        tx: &Tx,
        kind: VoucherKind,
        request: &CreditRequest,
    ) -> Result<Voucher, RefundError> {
        store::booking_turn(tx, request.booking_id).await?;
        let refund = RefundRequest {
            key: request.key.clone(),
            booking_id: request.booking_id,
            participant_id: None,
            payment_id: None,
            amount: request.amount,
            kind: RefundKind::Full,
            reason: request.reason.clone(),
            requested_by: request.requested_by.clone(),
        };
        if let Some(known) = store::request_fetch(tx, &request.key).await? {
            let voucher = store::voucher_fetch_by_key(tx, &request.key).await?;
            return voucher.filter(|_| known.request.is_same(&refund)).ok_or(RefundError::KeyReused);
        }
        let payments = store::payment_list(tx, request.booking_id).await?;
        let unheard = unheard(tx, request.booking_id, &payments).await?;
        let parts = domain::refund_split(&payments, None, &unheard, request.amount).map_err(RefundError::Exceeds)?;
        store::request_insert(tx, &refund, self.env.now()).await?;
        let voucher = Voucher {
            amount: request.amount + request.bonus,
            bonus: request.bonus,
            owner_id: Some(request.owner_id),
            booking_id: Some(request.booking_id),
            reason: request.reason.clone(),
            issued_by: request.requested_by.clone(),
            expires_at: request.expires_at,
            ..self.blank_voucher(kind, &request.key)
        };
        self.insert_voucher(tx, &voucher).await?;
        let purpose = Purpose {
            reason: &request.reason,
            request_key: Some(&request.key),
            surplus: false,
            voucher_id: Some(voucher.id),
        };
        for (payment, amount) in parts {
            self.insert_refund(tx, payment, amount, purpose).await?;
        }
        store::voucher_fetch(tx, voucher.id, None).await?.ok_or(RefundError::Unknown)
    }

    /// Undoes a voucher that money became and that nobody has spent of: it is void, and its
    /// refund goes to where the money came from instead. Repeated, it changes nothing.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], [`RefundError::Exceeds`] where not all of it is there, and
    /// [`RefundError::Invalid`] where somebody else has withdrawn it, or it was given away.
    pub async fn take_back(&self, key: &str, reason: &str) -> Result<(), RefundError> {
        self.db
            .transaction(async |tx| {
                let request = store::request_fetch(tx, key).await?.ok_or(RefundError::Unknown)?.request;
                store::booking_turn(tx, request.booking_id).await?;
                let found = store::voucher_fetch_by_key(tx, key).await?.ok_or(RefundError::Unknown)?;
                store::voucher_turn(tx, found.id).await?;
                let voucher = store::voucher_fetch(tx, found.id, None).await?.ok_or(RefundError::Unknown)?;
                let parts: Vec<_> = store::refund_list_of_request(tx, key).await?;
                let mut parts = parts.into_iter().filter(|part| part.voucher_id == Some(voucher.id)).peekable();
                if parts.peek().is_none() {
                    return Ok(());
                }
                if voucher.voided.is_some() || voucher.bonus > Paise::ZERO {
                    return Err(RefundError::Invalid("the voucher is void, or some of it was given away".into()));
                }
                if voucher.available() != voucher.amount {
                    return Err(RefundError::Exceeds(voucher.available()));
                }
                for part in parts {
                    self.take_part_back(tx, part).await?;
                }
                let by = request.requested_by;
                let voided = Voided { at: self.env.now(), by: by.clone(), reason: reason.to_owned() };
                store::voucher_void(tx, voucher.id, &voided).await?;
                let after = store::voucher_fetch(tx, voucher.id, None).await?.ok_or(RefundError::Unknown)?;
                Ok(self.note_voucher(tx, "voucher.take_back", Some(&voucher), &after, Some(by)).await?)
            })
            .await?;
        self.env.wake_relay().await;
        self.wake_refunds().await;
        Ok(())
    }

    /// A refund that went to a voucher goes to where the money came from.
    async fn take_part_back(&self, tx: &Tx, part: Refund) -> Result<(), RefundError> {
        let payment = store::payment_fetch(tx, &part.payment_id).await?.ok_or(RefundError::Unknown)?;
        if let Some(transfer) = domain::take_back_transfer(&part) {
            store::ledger_post(tx, &transfer, self.env.now()).await?;
        }
        let asks_provider = payment.voucher_id.is_none() && payment.provider != Provider::Offline;
        let due = asks_provider.then_some(self.env.now());
        store::refund_redirect(tx, part.id, payment.voucher_id, due).await?;
        let mut redirected = store::refund_fetch(tx, part.id).await?.ok_or(RefundError::Unknown)?;
        redirected.booked = Some(RefundStatus::Failed);
        if payment.voucher_id.is_some() {
            redirected.status = RefundStatus::Success;
        }
        Ok(self.note_refund(tx, redirected).await?)
    }

    /// A voucher of nothing, with a new code.
    fn blank_voucher(&self, kind: VoucherKind, key: &str) -> Voucher {
        let mut bytes = [0; VOUCHER_CODE_BYTES];
        cairn_shared::id::random(&mut bytes);
        let now = self.env.now();
        Voucher {
            id: self.env.id(),
            code: VoucherCode::of(bytes),
            kind,
            issue_key: key.to_owned(),
            amount: Paise::ZERO,
            bonus: Paise::ZERO,
            owner_id: None,
            booking_id: None,
            reason: String::new(),
            issued_by: String::new(),
            issued_at: now,
            expires_at: now,
            voided: None,
            balance: Paise::ZERO,
            reserved: Paise::ZERO,
        }
    }

    /// Stores a new voucher, and books the part of it that is given away.
    async fn insert_voucher(&self, tx: &Tx, voucher: &Voucher) -> Result<(), RefundError> {
        if !store::voucher_insert(tx, voucher).await? {
            return Err(RefundError::KeyReused);
        }
        if let Some(transfer) = domain::bonus_transfer(voucher) {
            store::ledger_post(tx, &transfer, self.env.now()).await?;
        }
        let actor = Some(voucher.issued_by.clone());
        Ok(self.note_voucher(tx, "voucher.issue", None, voucher, actor).await?)
    }

    /// Gives credit away. Repeated, it answers the voucher that is there.
    ///
    /// # Errors
    /// [`RefundError::Invalid`], and [`RefundError::KeyReused`].
    pub async fn give_away(&self, wanted: &Goodwill) -> Result<Voucher, RefundError> {
        domain::check_amount(wanted.amount).map_err(RefundError::Invalid)?;
        domain::check_expiry(wanted.expires_at, self.env.now()).map_err(RefundError::Invalid)?;
        domain::check_text("reason", &wanted.reason).map_err(RefundError::Invalid)?;
        let given = self.db.transaction(async |tx| {
            if let Some(known) = store::voucher_fetch_by_key(tx, &wanted.key).await? {
                let same = (known.amount, known.owner_id) == (wanted.amount, wanted.owner_id);
                return if same { Ok(known) } else { Err(RefundError::KeyReused) };
            }
            let voucher = Voucher {
                amount: wanted.amount,
                bonus: wanted.amount,
                owner_id: wanted.owner_id,
                reason: wanted.reason.clone(),
                issued_by: wanted.actor.to_string(),
                expires_at: wanted.expires_at,
                ..self.blank_voucher(VoucherKind::Goodwill, &wanted.key)
            };
            self.insert_voucher(tx, &voucher).await?;
            store::voucher_fetch(tx, voucher.id, None).await?.ok_or(RefundError::Unknown)
        });
        given.await
    }

    /// The voucher that a key was issued for.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], and the database's.
    pub async fn voucher_of_key(&self, key: &str) -> Result<Voucher, RefundError> {
        store::voucher_fetch_by_key(&self.db, key).await?.ok_or(RefundError::Unknown)
    }

    /// The voucher of a code, for who has it.
    ///
    /// # Errors
    /// [`RefundError::Unknown`] also for what is no code.
    pub async fn voucher_of_code(&self, code: &str) -> Result<Voucher, RefundError> {
        let code = VoucherCode::parse(code).ok_or(RefundError::Unknown)?;
        store::voucher_fetch_by_code(&self.db, &code, None).await?.ok_or(RefundError::Unknown)
    }

    /// Somebody's vouchers, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn vouchers_of(&self, owner_id: Id) -> Result<Vec<Voucher>, RefundError> {
        Ok(store::voucher_list_of_owner(&self.db, owner_id, OWNED_MAX).await?)
    }

    /// Vouchers for staff, newest first, and how many there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn voucher_page(
        &self,
        state: Option<VoucherState>,
        page: Page,
    ) -> Result<(Vec<Voucher>, i64), RefundError> {
        Ok(store::voucher_page(&self.db, state, self.env.now(), page.limit.into(), page.offset()).await?)
    }

    /// One voucher, with what the book says of it.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], and the database's.
    pub async fn voucher_detail(&self, id: Id) -> Result<(Voucher, Vec<Posted>), RefundError> {
        let voucher = store::voucher_fetch(&self.db, id, None).await?.ok_or(RefundError::Unknown)?;
        Ok((voucher, store::ledger_list_of_voucher(&self.db, id, ENTRIES_MAX).await?))
    }

    /// Withdraws a voucher: nobody can use it any more, and what is left of it is earned.
    /// What a booking has reserved it may still spend. Repeated, it books what has come
    /// back since.
    ///
    /// # Errors
    /// [`RefundError::Unknown`], and [`RefundError::Invalid`] without a reason.
    pub async fn void_voucher(&self, id: Id, reason: &str, actor: Id) -> Result<Voucher, RefundError> {
        domain::check_text("reason", reason).map_err(RefundError::Invalid)?;
        let voided = self.db.transaction(async |tx| {
            store::voucher_turn(tx, id).await?;
            let voucher = store::voucher_fetch(tx, id, None).await?.ok_or(RefundError::Unknown)?;
            let voided = Voided { at: self.env.now(), by: actor.to_string(), reason: reason.to_owned() };
            store::voucher_void(tx, id, &voided).await?;
            self.book_breakage(tx, &voucher).await?;
            let after = store::voucher_fetch(tx, id, None).await?.ok_or(RefundError::Unknown)?;
            self.note_voucher(tx, "voucher.void", Some(&voucher), &after, None).await?;
            Ok(after)
        });
        voided.await
    }

    async fn book_breakage(&self, tx: &Tx, voucher: &Voucher) -> Result<(), RefundError> {
        let nth = store::voucher_breakages(tx, voucher.id).await?;
        if let Some(transfer) = domain::breakage_transfer(voucher, nth) {
            store::ledger_post(tx, &transfer, self.env.now()).await?;
        }
        Ok(())
    }

    /// The job: what is left of vouchers that are over is earned. Each is a transaction of
    /// its own, so a run that dies has done what it has done. Answers how many there were.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_vouchers(&self) -> Result<usize, RefundError> {
        let over = store::voucher_ids_over(&self.db, self.env.now(), RUN_VOUCHERS_MAX).await?;
        for id in &over {
            self.db
                .transaction(async |tx| {
                    store::voucher_turn(tx, *id).await?;
                    let now = self.env.now();
                    let found = store::voucher_fetch(tx, *id, None).await?;
                    let over = |voucher: &Voucher| voucher.expires_at <= now && voucher.reserved == Paise::ZERO;
                    // Money may have come back, or been reserved, since it was listed.
                    let Some(voucher) = found.filter(over) else { return Ok(()) };
                    self.book_breakage(tx, &voucher).await?;
                    store::voucher_expire(tx, *id, now).await?;
                    let after = Voucher { balance: Paise::ZERO, ..voucher.clone() };
                    Ok::<_, RefundError>(self.note_voucher(tx, "voucher.expire", Some(&voucher), &after, None).await?)
                })
                .await?;
        }
        Ok(over.len())
    }

    /// Money that goes back to a voucher makes it valid for a while at least.
    pub(super) async fn renew_voucher(&self, tx: &Tx, id: Id) -> Result<(), PaymentError> {
        store::voucher_turn(tx, id).await?;
        Ok(store::voucher_renew(tx, id, self.env.now().plus(VOUCHER_RENEWAL)).await?)
    }
}

impl From<PaymentError> for OpenError {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::Other(other) => Self::Unavailable(other.to_string()),
            other => Self::Unavailable(format!("{other:?}")),
        }
    }
}

impl From<cairn_shared::Error> for OpenError {
    fn from(error: cairn_shared::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
