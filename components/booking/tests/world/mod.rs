//! A booking service with hand-made peers that remember, refuse and stop on demand.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use cairn_booking::{
    app::{
        App, Customer, CustomerError, HoldRequest, Mail, MailError, NewCustomer, OfflineError, Peers, Place,
        RefundError, SeatsError, Unavailable,
    },
    domain::{
        AddOn, Batch, BatchStatus, Booking, CreateError, DiscountType, GatewayType, Gift, GstType, InitialAmount,
        IssuedVoucher, Kind, Offer, OfflineDue, PartialTerms, Payable, Payment, Quote, RefundRequest, Tender, Terms,
        TrekSummary, VoucherTerms,
    },
};
use cairn_shared::{
    BasisPoints, Db, Env, Id, Paise, Sql, Timestamp, async_trait,
    component::{self, Component},
    config::Config,
    http::{Request, Response},
    identity::{CALLER_HEADER, Caller, Group, Identity, Role},
    params,
    time::{DAY, MINUTE},
    upstream::Unreachable,
};
use serde_json::{Value, json};

pub const NOW: i64 = 1_790_000_000_000;

/// A hold: seats, and until when; none: for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub batch: Id,
    pub seats: u32,
    pub until: Option<Timestamp>,
}

/// What the peers know.
pub struct Outside {
    pub clock: Rc<Cell<i64>>,
    pub terms: RefCell<Option<Terms>>,
    pub batches: RefCell<Vec<Batch>>,
    pub holds: RefCell<BTreeMap<Id, Hold>>,
    /// Seats that are kept for a move, by their key.
    pub places: RefCell<BTreeMap<String, Hold>>,
    pub payables: RefCell<BTreeMap<Id, Payable>>,
    pub promo_error: RefCell<Option<CreateError>>,
    /// Refused when the promo use is to be reserved.
    pub open_error: RefCell<Option<CreateError>>,
    /// Whether `open_error` is for one call alone.
    pub refuse_open_once: Cell<bool>,
    pub refunds: RefCell<Vec<(Id, String)>>,
    /// Refunds that were asked for, each once, with their booking.
    pub asked: RefCell<Vec<(Id, RefundRequest)>>,
    /// What payment answers to every refund, for good.
    pub refund_refusal: RefCell<Option<String>>,
    /// Accounts that staff book for.
    pub customers: RefCell<Vec<Customer>>,
    /// Money that payment has booked for staff, by its key, with its booking.
    pub offline: RefCell<BTreeMap<String, (Id, Payment)>>,
    /// Credit by its code, in paise, as far as it is not spent.
    pub vouchers: RefCell<BTreeMap<String, i64>>,
    /// Vouchers that money became, by the key of the refund.
    pub credits: RefCell<BTreeMap<String, IssuedVoucher>>,
    /// Gifts whose money went back.
    pub returned: RefCell<BTreeSet<Id>>,
    /// What vouchers have paid alone, by its key, with its booking.
    pub redeemed: RefCell<BTreeMap<Id, (Id, Payment)>>,
    /// Tax of the bookings whose money is earned.
    pub earned: RefCell<BTreeMap<Id, Paise>>,
    /// Paise that payment has besides.
    pub captured_online: Cell<i64>,
    pub mails: RefCell<Vec<Mail>>,
    pub phones: RefCell<Vec<String>>,
    /// Names of all calls.
    pub calls: RefCell<Vec<&'static str>>,
    /// After so many more calls that change something, nobody answers any more.
    pub stop_after: Cell<Option<u32>>,
    /// Whether the call that stops takes effect although its answer is lost.
    pub lost_answer: Cell<bool>,
}

impl Outside {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.get())
    }

    /// Ok: go on. Err(true): take effect, but answer nothing; Err(false): nothing.
    fn call(&self, name: &'static str) -> Result<(), bool> {
        self.calls.borrow_mut().push(name);
        match self.stop_after.get() {
            None => Ok(()),
            Some(0) => {
                let effect = self.lost_answer.replace(false);
                Err(effect)
            }
            Some(left) => {
                self.stop_after.set(Some(left - 1));
                Ok(())
            }
        }
    }

    pub fn taken(&self, batch: Id) -> u32 {
        let live = |hold: &&Hold| hold.batch == batch && hold.until.is_none_or(|until| until > self.now());
        let (holds, places) = (self.holds.borrow(), self.places.borrow());
        holds.values().chain(places.values()).filter(live).map(|hold| hold.seats).sum()
    }

    /// Paise of a voucher that nobody but this booking has spent or reserved.
    pub fn credit(&self, code: &str, booking: Option<Id>) -> i64 {
        let id = voucher_id(code);
        let payables = self.payables.borrow();
        let others = payables.values().filter(|payable| Some(payable.booking_id) != booking);
        let reserved = others.filter_map(|payable| payable.tender.as_ref()).filter(|tender| tender.voucher == id);
        let reserved: i64 = reserved.map(|tender| tender.amount.0).sum();
        self.vouchers.borrow().get(code).copied().unwrap_or_default() - reserved
    }

    fn code_of(&self, voucher: Id) -> String {
        self.vouchers.borrow().keys().find(|code| voucher_id(code) == voucher).cloned().unwrap_or_default()
    }

    fn view(&self, batch: &Batch) -> Batch {
        Batch { taken: batch.taken + self.taken(batch.id), ..batch.clone() }
    }

    fn free_without(&self, batch: Id, key: Id, use_reserved: bool) -> Option<u32> {
        let own = self
            .holds
            .borrow()
            .get(&key)
            .filter(|hold| hold.until.is_none_or(|until| until > self.now()))
            .map_or(0, |hold| hold.seats);
        let batches = self.batches.borrow();
        let found = batches.iter().find(|b| b.id == batch)?;
        let reserved = if use_reserved { 0 } else { found.reserved_slots };
        Some((found.max_participants + own).saturating_sub(reserved + found.taken + self.taken(batch)))
    }
}

/// The peers as the service calls them.
pub struct Fake(pub Rc<Outside>);

fn silent() -> String {
    "does not answer".into()
}

impl Fake {
    fn seats(&self, name: &'static str, effect: impl FnOnce() -> Result<(), SeatsError>) -> Result<(), SeatsError> {
        match self.0.call(name) {
            Ok(()) => effect(),
            Err(true) => {
                let _lost = effect();
                Err(SeatsError::Unavailable(silent()))
            }
            Err(false) => Err(SeatsError::Unavailable(silent())),
        }
    }

    fn plain(&self, name: &'static str, effect: impl FnOnce()) -> Result<(), Unavailable> {
        let called = self.0.call(name);
        if called != Err(false) {
            effect();
        }
        called.map_err(|_| Unavailable(silent()))
    }
}

#[async_trait(?Send)]
impl Peers for Fake {
    async fn fill_phone(&self, _: Id, phone: &str) -> Result<(), Unavailable> {
        self.0.phones.borrow_mut().push(phone.to_owned());
        Ok(())
    }

    async fn customer(&self, id: Id) -> Result<Option<Customer>, Unavailable> {
        Ok(self.0.customers.borrow().iter().find(|customer| customer.id == id).cloned())
    }

    async fn customer_by_phone(&self, phone: &str) -> Result<Option<Customer>, Unavailable> {
        Ok(self.0.customers.borrow().iter().find(|customer| customer.phone.as_deref() == Some(phone)).cloned())
    }

    async fn customer_create(&self, new: &NewCustomer) -> Result<Customer, CustomerError> {
        let mut customers = self.0.customers.borrow_mut();
        if customers.iter().any(|customer| customer.email == new.email || customer.phone.as_ref() == Some(&new.phone)) {
            return Err(CustomerError::Taken);
        }
        customers.push(Customer {
            id: Id::derive(&["user", &new.email]),
            name: new.name.clone(),
            email: new.email.clone(),
            phone: Some(new.phone.clone()),
            address: new.address.clone(),
            city: new.city.clone(),
            state: new.state.clone(),
            zip_code: new.zip_code.clone(),
            country: new.country.clone(),
            created_by_staff: true,
        });
        Ok(customers[customers.len() - 1].clone())
    }

    async fn trek_terms(&self, id: Id) -> Result<Option<Terms>, Unavailable> {
        Ok(self.0.terms.borrow().clone().filter(|terms| terms.id == id))
    }

    async fn trek_summaries(&self, ids: &[Id]) -> Result<Vec<TrekSummary>, Unavailable> {
        let terms = self.0.terms.borrow();
        Ok(terms
            .iter()
            .filter(|t| ids.contains(&t.id))
            .map(|t| TrekSummary { id: t.id, name: t.name.clone(), image: Some("/t.webp".into()) })
            .collect())
    }

    async fn batch(&self, id: Id) -> Result<Option<Batch>, Unavailable> {
        Ok(self.0.batches.borrow().iter().find(|batch| batch.id == id).map(|batch| self.0.view(batch)))
    }

    async fn batches(&self, ids: &[Id]) -> Result<Vec<Batch>, Unavailable> {
        Ok(self
            .0
            .batches
            .borrow()
            .iter()
            .filter(|batch| ids.contains(&batch.id))
            .map(|batch| self.0.view(batch))
            .collect())
    }

    async fn batches_of_treks(&self, ids: &[Id]) -> Result<Vec<Batch>, Unavailable> {
        Ok(self
            .0
            .batches
            .borrow()
            .iter()
            .filter(|batch| ids.contains(&batch.trek_id))
            .map(|batch| self.0.view(batch))
            .collect())
    }

    async fn close_batch(&self, id: Id) -> Result<(), SeatsError> {
        self.seats("close_batch", || {
            let mut batches = self.0.batches.borrow_mut();
            let found = batches.iter_mut().find(|batch| batch.id == id).ok_or(SeatsError::BatchNotFound)?;
            found.status = BatchStatus::Cancelled;
            Ok(())
        })
    }

    async fn hold(&self, request: &HoldRequest) -> Result<(), SeatsError> {
        self.seats("hold", || {
            let free = self
                .0
                .free_without(request.batch_id, request.booking_id, request.use_reserved)
                .ok_or(SeatsError::BatchNotFound)?;
            if request.seats > free {
                return Err(SeatsError::SoldOut);
            }
            let batches = self.0.batches.borrow();
            if batches.iter().any(|batch| batch.id == request.batch_id && batch.status == BatchStatus::Cancelled) {
                return Err(SeatsError::Closed);
            }
            let mut holds = self.0.holds.borrow_mut();
            let confirmed = holds.get(&request.booking_id).is_some_and(|hold| hold.until.is_none());
            let until = (!confirmed).then_some(request.expires_at);
            holds.insert(request.booking_id, Hold { batch: request.batch_id, seats: request.seats, until });
            Ok(())
        })
    }

    async fn extend(&self, id: Id, until: Timestamp) -> Result<(), SeatsError> {
        self.seats("extend", || {
            let mut holds = self.0.holds.borrow_mut();
            let hold = holds.get_mut(&id).ok_or(SeatsError::NoHold)?;
            hold.until = hold.until.map(|_| until);
            Ok(())
        })
    }

    async fn confirm(&self, id: Id) -> Result<(), SeatsError> {
        self.seats("confirm", || {
            let hold = *self.0.holds.borrow().get(&id).ok_or(SeatsError::NoHold)?;
            let counts = hold.until.is_none_or(|until| until > self.0.now());
            if !counts && self.0.free_without(hold.batch, id, false).is_none_or(|free| free < hold.seats) {
                return Err(SeatsError::SoldOut);
            }
            self.0.holds.borrow_mut().insert(id, Hold { until: None, ..hold });
            Ok(())
        })
    }

    async fn release(&self, id: Id) -> Result<(), SeatsError> {
        self.seats("release", || {
            self.0.holds.borrow_mut().remove(&id);
            Ok(())
        })
    }

    async fn resize(&self, id: Id, seats: u32) -> Result<(), SeatsError> {
        self.seats("resize", || {
            let hold = *self.0.holds.borrow().get(&id).ok_or(SeatsError::NoHold)?;
            if self.0.free_without(hold.batch, id, true).is_none_or(|free| free < seats) {
                return Err(SeatsError::SoldOut);
            }
            self.0.holds.borrow_mut().insert(id, Hold { seats, ..hold });
            Ok(())
        })
    }

    async fn reserve(&self, place: &Place) -> Result<(), SeatsError> {
        self.seats("reserve", || {
            if self.0.places.borrow().contains_key(&place.key) {
                return Ok(());
            }
            let free = self.0.free_without(place.batch_id, Id::derive(&["nobody"]), true);
            if free.ok_or(SeatsError::BatchNotFound)? < place.seats {
                return Err(SeatsError::SoldOut);
            }
            let hold = Hold { batch: place.batch_id, seats: place.seats, until: None };
            self.0.places.borrow_mut().insert(place.key.clone(), hold);
            Ok(())
        })
    }

    async fn unreserve(&self, key: &str) -> Result<(), SeatsError> {
        self.seats("unreserve", || {
            self.0.places.borrow_mut().remove(key);
            Ok(())
        })
    }

    async fn move_to(&self, id: Id, place: &Place) -> Result<(), SeatsError> {
        self.seats("move_to", || {
            let kept = self.0.places.borrow_mut().remove(&place.key);
            let hold = self.0.holds.borrow().get(&id).copied();
            let until = hold.or(kept).ok_or(SeatsError::NoHold)?.until;
            let there = hold.is_some_and(|hold| hold.batch == place.batch_id);
            assert!(kept.is_some() || there, "a move that could be refused");
            self.0.holds.borrow_mut().insert(id, Hold { batch: place.batch_id, seats: place.seats, until });
            Ok(())
        })
    }

    async fn quote(&self, code: &str, _: Id, value: Paise, _: Option<Id>) -> Result<Quote, CreateError> {
        match self.0.promo_error.borrow().clone() {
            Some(error) => Err(error),
            None => Ok(Quote {
                id: Id::derive(&["promo"]),
                code: code.to_uppercase(),
                discount_type: DiscountType::Percentage,
                discount_value: 1_000,
                discount: value.share(BasisPoints(1_000)),
            }),
        }
    }

    async fn open(&self, payable: &Payable) -> Result<(), CreateError> {
        let refusal = self.0.open_error.borrow().clone();
        if self.0.refuse_open_once.replace(false) {
            *self.0.open_error.borrow_mut() = None;
        }
        let effect = || match refusal.clone() {
            Some(error) => Err(error),
            None => {
                if let Some(tender) = &payable.tender {
                    let left = self.0.credit(&self.0.code_of(tender.voucher), Some(payable.booking_id));
                    if tender.amount.0 > left {
                        return Err(CreateError::VoucherUsedUp);
                    }
                }
                self.0.payables.borrow_mut().insert(payable.booking_id, payable.clone());
                Ok(())
            }
        };
        match self.0.call("open") {
            Ok(()) => effect(),
            Err(lost) => {
                if lost {
                    let _lost = effect();
                }
                Err(CreateError::Unavailable(silent()))
            }
        }
    }

    async fn voucher_offer(&self, code: &str, owed: Paise, booking: Option<Id>) -> Result<Offer, CreateError> {
        if !self.0.vouchers.borrow().contains_key(code) {
            return Err(CreateError::VoucherInvalid);
        }
        let pays = Paise(self.0.credit(code, booking)).min(owed);
        match pays {
            Paise::ZERO => Err(CreateError::VoucherUsedUp),
            pays => Ok(Offer { voucher: voucher_id(code), hint: code.to_owned(), pays }),
        }
    }

    async fn redeem(&self, owed: &Payable, tender: &Tender) -> Result<Payment, CreateError> {
        let effect = || {
            if let Some((_, known)) = self.0.redeemed.borrow().get(&tender.key) {
                return Ok(known.clone());
            }
            let code = self.0.code_of(tender.voucher);
            if tender.amount.0 > self.0.credit(&code, Some(owed.booking_id)) {
                return Err(CreateError::VoucherUsedUp);
            }
            assert_eq!(tender.amount, owed.amount, "it pays all");
            *self.0.vouchers.borrow_mut().get_mut(&code).unwrap() -= tender.amount.0;
            self.0.payables.borrow_mut().remove(&owed.booking_id);
            let payment = Payment {
                id: format!("voucher_{}", tender.key),
                order_id: String::new(),
                kind: owed.kind,
                amount: tender.amount,
                method: "voucher".into(),
                captured_at: self.0.now(),
                share: None,
            };
            self.0.redeemed.borrow_mut().insert(tender.key, (owed.booking_id, payment.clone()));
            Ok(payment)
        };
        match self.0.call("redeem") {
            Ok(()) => effect(),
            Err(lost) => {
                if lost {
                    let _lost = effect();
                }
                Err(CreateError::Unavailable(silent()))
            }
        }
    }

    async fn close(&self, id: Id) -> Result<(), Unavailable> {
        self.plain("close", || drop(self.0.payables.borrow_mut().remove(&id)))
    }

    async fn refund_all(&self, id: Id, reason: &str) -> Result<(), Unavailable> {
        self.plain("refund_all", || {
            let mut refunds = self.0.refunds.borrow_mut();
            if !refunds.iter().any(|(refunded, _)| *refunded == id) {
                refunds.push((id, reason.to_owned()));
            }
        })
    }

    async fn refund(&self, id: Id, request: &RefundRequest) -> Result<(), RefundError> {
        if let Some(problem) = self.0.refund_refusal.borrow().clone() {
            return Err(RefundError::Refused(problem));
        }
        let effect = || {
            let mut asked = self.0.asked.borrow_mut();
            if !asked.iter().any(|(_, earlier)| earlier.key == request.key) {
                asked.push((id, request.clone()));
            }
        };
        self.plain("refund", effect).map_err(|Unavailable(cause)| RefundError::Unavailable(cause))
    }

    async fn credit(
        &self,
        id: Id,
        owner: Id,
        request: &RefundRequest,
        terms: &VoucherTerms,
    ) -> Result<(), RefundError> {
        assert_eq!(owner, caller("Meera").id);
        let effect = || {
            let issued = IssuedVoucher {
                code: format!("CODE-{}", self.0.credits.borrow().len()),
                amount: request.amount + terms.bonus,
                expires_at: terms.expires_at,
            };
            let mut credits = self.0.credits.borrow_mut();
            if !credits.contains_key(&request.key) {
                credits.insert(request.key.clone(), issued);
                self.0.asked.borrow_mut().push((id, request.clone()));
            }
        };
        self.plain("credit", effect).map_err(|Unavailable(cause)| RefundError::Unavailable(cause))
    }

    async fn gift(&self, gift: &Gift) -> Result<(), RefundError> {
        let effect = || {
            let code = format!("GIFT-{}", self.0.credits.borrow().len());
            let issued = IssuedVoucher { code, amount: gift.amount, expires_at: gift.valid_until() };
            self.0.credits.borrow_mut().entry(gift.key()).or_insert(issued);
        };
        self.plain("gift", effect).map_err(|Unavailable(cause)| RefundError::Unavailable(cause))
    }

    async fn gift_return(&self, gift: &Gift) -> Result<(), RefundError> {
        if let Some(problem) = self.0.refund_refusal.borrow().clone() {
            return Err(RefundError::Refused(problem));
        }
        let effect = || {
            self.0.returned.borrow_mut().insert(gift.id);
        };
        self.plain("gift_return", effect).map_err(|Unavailable(cause)| RefundError::Unavailable(cause))
    }

    async fn voucher(&self, key: &str) -> Result<IssuedVoucher, RefundError> {
        let found = self.0.credits.borrow().get(key).cloned();
        found.ok_or_else(|| RefundError::Refused("unknown".into()))
    }

    async fn record_offline(&self, id: Id, _: Id, due: &OfflineDue) -> Result<Payment, OfflineError> {
        let record = || {
            let mut offline = self.0.offline.borrow_mut();
            let next = format!("off_{}", offline.len() + 1);
            let payment = Payment {
                id: next,
                order_id: String::new(),
                kind: due.kind,
                amount: due.amount,
                method: "offline".into(),
                captured_at: self.0.now(),
                share: None,
            };
            self.0.payables.borrow_mut().remove(&id);
            offline.entry(due.key.clone()).or_insert((id, payment)).1.clone()
        };
        match self.0.call("record_offline") {
            Ok(()) => Ok(record()),
            Err(lost) => {
                if lost {
                    record();
                }
                Err(OfflineError::Unavailable(silent()))
            }
        }
    }

    async fn captured(&self, id: Id) -> Result<Paise, Unavailable> {
        let offline = self.0.offline.borrow();
        let offline = offline.values().filter(|(booking, _)| *booking == id).map(|(_, payment)| payment.amount);
        let redeemed = self.0.redeemed.borrow();
        let redeemed = redeemed.values().filter(|(booking, _)| *booking == id).map(|(_, payment)| payment.amount);
        Ok(offline.sum::<Paise>() + redeemed.sum::<Paise>() + Paise(self.0.captured_online.get()))
    }

    async fn earn(&self, id: Id, tax: Paise) -> Result<(), Unavailable> {
        self.plain("earn", || {
            self.0.earned.borrow_mut().insert(id, tax);
        })
    }

    async fn defer(&self, id: Id) -> Result<(), Unavailable> {
        self.plain("defer", || {
            self.0.earned.borrow_mut().remove(&id);
        })
    }

    async fn mail(&self, mail: &Mail) -> Result<(), MailError> {
        match self.0.call("mail") {
            Ok(()) => {
                self.0.mails.borrow_mut().push(mail.clone());
                Ok(())
            }
            Err(_) => Err(MailError::Unavailable(silent())),
        }
    }
}

pub fn voucher_id(code: &str) -> Id {
    Id::derive(&["voucher", code])
}

pub fn trek_id() -> Id {
    Id::derive(&["trek"])
}

pub fn batch_id() -> Id {
    Id::derive(&["batch"])
}

/// Somebody whom staff book for.
pub fn customer() -> Customer {
    Customer {
        id: Id::derive(&["user", "Arjun"]),
        name: "Arjun Pai".into(),
        email: "arjun.pai@example.org".into(),
        phone: Some("9800000002".into()),
        address: None,
        city: Some("Mysuru".into()),
        state: None,
        zip_code: None,
        country: None,
        created_by_staff: false,
    }
}

pub fn terms() -> Terms {
    Terms {
        id: trek_id(),
        name: "Kodachadri Weekend".into(),
        enabled: true,
        custom: false,
        custom_link_expiry: None,
        display_price: Paise::rupees(5_000),
        add_ons: vec![
            AddOn { name: "Rental tent".into(), price: Paise::rupees(400), enabled: true },
            AddOn { name: "Porter".into(), price: Paise::rupees(900), enabled: false },
        ],
        gst: BasisPoints(500),
        gst_type: GstType::Excluded,
        gateway: BasisPoints(200),
        gateway_type: GatewayType::Customer,
        partial: PartialTerms {
            enabled: true,
            initial: InitialAmount::Percentage(BasisPoints(3_000)),
            due_days: 5,
            auto_cancel: true,
        },
        custom_fields: vec![],
    }
}

/// Another batch of the trek, ten days later.
pub fn later_batch() -> Batch {
    let (start, end) = (batch().start.plus(10 * DAY), batch().end.plus(10 * DAY));
    Batch { id: Id::derive(&["later batch"]), start, end, max_participants: 6, reserved_slots: 1, ..batch() }
}

pub fn batch() -> Batch {
    Batch {
        id: batch_id(),
        trek_id: trek_id(),
        start: Timestamp::from_millis(NOW + 30 * DAY),
        end: Timestamp::from_millis(NOW + 31 * DAY),
        price: Paise::rupees(4_000),
        max_participants: 20,
        reserved_slots: 2,
        taken: 0,
        status: BatchStatus::Upcoming,
    }
}

pub struct World {
    pub app: Rc<App>,
    pub outside: Rc<Outside>,
    pub clock: Rc<Cell<i64>>,
}

pub fn caller(name: &str) -> Caller {
    Caller {
        id: Id::derive(&["user", name]),
        name: name.into(),
        email: format!("{}@example.org", name.to_lowercase()),
        phone: None,
        role: Role::User,
        group: None,
    }
}

pub fn admin() -> Caller {
    Caller { role: Role::Admin, ..caller("Desk") }
}

pub fn desk(permission: &str) -> Caller {
    let group = Group { id: Id::derive(&["group"]), name: "Desk".into(), permissions: vec![permission.into()] };
    Caller { group: Some(group), ..caller("Clerk") }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Db::for_test().await.unwrap()).await
    }

    pub async fn with(db: Db) -> Self {
        let clock = Rc::new(Cell::new(NOW));
        let outside = Rc::new(Outside {
            clock: clock.clone(),
            terms: RefCell::new(Some(terms())),
            batches: RefCell::new(vec![batch(), later_batch()]),
            holds: RefCell::default(),
            places: RefCell::default(),
            payables: RefCell::default(),
            promo_error: RefCell::default(),
            open_error: RefCell::default(),
            refuse_open_once: Cell::default(),
            refunds: RefCell::default(),
            asked: RefCell::default(),
            refund_refusal: RefCell::default(),
            customers: RefCell::new(vec![customer()]),
            offline: RefCell::default(),
            vouchers: RefCell::default(),
            credits: RefCell::default(),
            returned: RefCell::default(),
            redeemed: RefCell::default(),
            earned: RefCell::default(),
            captured_online: Cell::default(),
            mails: RefCell::default(),
            phones: RefCell::default(),
            calls: RefCell::default(),
            stop_after: Cell::default(),
            lost_answer: Cell::default(),
        });
        let time = clock.clone();
        let env = Env::new("booking", Rc::new(move || Timestamp::from_millis(time.get())), Rc::new(Unreachable));
        let config = Config::of(&[
            ("site_name", "Cairn Treks"),
            ("seller_legal_name", "Cairn Adventures Private Limited"),
            ("seller_gstin", "29ABCDE1234F1ZW"),
            ("seller_address", "14 Residency Road, Ashok Nagar\nBengaluru 560025, Karnataka"),
            ("seller_phone", "+91 98000 00000"),
            ("seller_email", "accounts@example.org"),
            ("seller_tagline", "Small groups, quiet trails"),
            ("api_url", "https://api.example.org/"),
        ]);
        let app = App::new(config, db, env, Box::new(Fake(outside.clone()))).unwrap();
        component::prepare(&app).await.unwrap();
        Self { app: Rc::new(app), outside, clock }
    }

    pub fn advance(&self, millis: i64) {
        self.clock.set(self.clock.get() + millis);
    }

    pub async fn send(&self, request: Request) -> Response {
        component::router::<App>().handle(self.app.clone(), self.app.env(), request).await
    }

    pub async fn ask(&self, who: Option<&Caller>, method: &str, target: &str, body: Value) -> (u16, Value) {
        let mut request =
            if body.is_null() { Request::new(method, target) } else { Request::json(method, target, &body) };
        if let Some(caller) = who {
            request = request.with_header(CALLER_HEADER, Identity::Caller(Box::new(caller.clone())).encode());
        }
        let response = self.send(request).await;
        (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
    }

    pub async fn get(&self, who: &Caller, target: &str) -> (u16, Value) {
        self.ask(Some(who), "GET", target, Value::Null).await
    }

    /// Books for `Meera`, with these fields changed.
    pub async fn book(&self, changes: Value) -> (u16, Value) {
        self.book_as(&caller("Meera"), changes).await
    }

    pub async fn book_as(&self, who: &Caller, changes: Value) -> (u16, Value) {
        let mut body = json!({
            "trekId": trek_id(), "batchId": batch_id(), "numberOfParticipants": 2,
            "userDetails": { "name": who.name, "email": who.email, "phone": "9800000001" },
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.ask(Some(who), "POST", "/api/bookings", body).await
    }

    /// The id of a booking that was made without trouble.
    pub async fn booked(&self, changes: Value) -> Id {
        let (status, body) = self.book(changes).await;
        assert_eq!(status, 201, "{body}");
        body["_id"].as_str().unwrap().parse().unwrap()
    }

    pub async fn event(&self, kind: &str, data: Value) -> u16 {
        self.event_with(Id::generate(self.app.env().now()), kind, data).await
    }

    pub async fn event_with(&self, id: Id, kind: &str, data: Value) -> u16 {
        let event = json!({ "specversion": "1.0", "id": id, "source": "/payment", "type": kind, "subject": "x",
            "time": self.app.env().now(), "datacontenttype": "application/json", "data": data });
        self.ask(None, "POST", "/_events", json!([event])).await.0
    }

    pub async fn captured(&self, booking: Id, payment: &str, kind: Kind, rupees: i64) -> u16 {
        self.captured_paise(booking, payment, kind, Paise::rupees(rupees)).await
    }

    pub async fn captured_paise(&self, booking: Id, payment: &str, kind: Kind, amount: Paise) -> u16 {
        let data = json!({ "bookingId": booking, "paymentId": payment, "orderId": format!("order_{payment}"), "kind": kind,
            "amountPaise": amount.0, "method": "upi", "capturedAt": self.clock.get() });
        let status = self.event("payment.captured", data).await;
        // The service has itself woken for this.
        self.job("settle").await;
        status
    }

    /// A paid booking of so many people, whose details are in.
    pub async fn confirmed(&self, count: u32) -> Id {
        let id = self.booked(json!({ "numberOfParticipants": count })).await;
        self.captured_paise(id, &format!("pay_{id}"), Kind::Full, self.total(id).await).await;
        let path = format!("/api/bookings/{id}/participants");
        let count = usize::try_from(count).unwrap();
        let (status, body) = self.ask(Some(&caller("Meera")), "PUT", &path, people(count)).await;
        assert_eq!((status, body["booking"]["status"].as_str()), (200, Some("confirmed")), "{body}");
        id
    }

    /// A booking on the other batch.
    pub async fn confirmed_elsewhere(&self) -> Id {
        self.booked(json!({ "batchId": later_batch().id, "numberOfParticipants": 1 })).await
    }

    pub async fn total(&self, id: Id) -> Paise {
        self.stored(id).await.price.total
    }

    /// The booking as it is stored.
    pub async fn stored(&self, id: Id) -> Booking {
        let row = self.app.db().query_one("SELECT document FROM bookings WHERE id = $1", params![id]).await.unwrap();
        row.json("document").unwrap()
    }

    /// Payment tells of a refund that it was asked for.
    pub async fn refund_told(&self, request: &RefundRequest, booking: Id, status: &str) -> u16 {
        let data = json!({
            "bookingId": booking, "paymentId": "pay", "refundId": Id::derive(&[&request.key]), "key": request.key,
            "participantId": request.participant, "kind": request.kind, "amountPaise": request.amount.0,
            "status": status, "at": self.clock.get(),
        });
        self.event("payment.refunded", data).await
    }

    /// States of all commands, oldest first, as `cancel done`.
    pub async fn commands(&self) -> Vec<String> {
        let select = "SELECT kind || ' ' || state AS command FROM commands ORDER BY begun_at, id";
        let rows = self.app.db().query(select, params![]).await.unwrap();
        rows.iter().map(|row| row.get("command").unwrap()).collect()
    }

    pub async fn job(&self, name: &str) -> u16 {
        self.ask(None, "POST", &format!("/_jobs/{name}"), Value::Null).await.0
    }

    /// The status in the table; none without a row.
    pub async fn status(&self, booking: Id) -> Option<String> {
        let row = self.app.db().query_opt("SELECT status FROM bookings WHERE id = $1", params![booking]).await.unwrap();
        row.map(|row| row.get("status").unwrap())
    }

    pub async fn count(&self, select: &str) -> i64 {
        self.app.db().query_one(select, params![]).await.unwrap().get("n").unwrap()
    }

    /// Nobody works on any booking, and none is left half-done.
    pub async fn is_settled(&self) -> bool {
        self.count("SELECT COUNT(*) AS n FROM bookings WHERE lease IS NOT NULL OR status = 'creating'").await == 0
    }

    /// Lets a dead request's lease run out and the job run.
    pub async fn recover(&self) {
        self.outside.stop_after.set(None);
        self.advance(MINUTE + 1);
        assert_eq!(self.job("expire").await, 204);
    }
}

pub fn people(count: usize) -> Value {
    let people = (0..count).map(|n| json!({ "name": format!("Person {n}"), "email": format!("p{n}@example.org"), "phone": "9800000001", "age": "31", "gender": "Female" }));
    json!({ "participants": people.collect::<Vec<_>>(), "emergencyContact": { "name": "Asha", "phone": "9811111111", "relation": "Parent" }, "additionalRequests": "" })
}
