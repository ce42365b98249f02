//! What people do, as requests, made from what is there at the moment.

mod bookings;
mod call_offs;
mod declarations;
mod desk;
mod payments;
mod shares;
mod vouchers;

use cairn_booking::domain::{Booking, Status};
use cairn_shared::{
    Db, Id, Row, Sql,
    http::Request,
    identity::{CALLER_HEADER, Caller, Identity},
    params,
};
use serde_json::Value;

use crate::{process::Databases, provider::Provider, stage::Stage, world};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Book,
    Order,
    BalanceOrder,
    /// At the provider.
    Pay,
    Verify,
    /// A payment changes at the provider by itself.
    PaymentMoves,
    /// A refund on its way arrives or fails.
    RefundMoves,
    /// Staff give money back in the provider's dashboard.
    RefundByHand,
    GiveDetails,
    Cancel,
    CancelParticipant,
    Restore,
    RestoreParticipant,
    Shift,
    Ask,
    AnswerAsked,
    Complete,
    Delete,
    SetStatus,
    BookManually,
    ReceiveOffline,
    RestoreFailed,
    RetryRefund,
    PayOut,
    GiveVoucher,
    UseVoucher,
    LeaveVoucher,
    VoidVoucher,
    BuyGift,
    OrderGift,
    ReturnGift,
    /// Staff say what has to be declared from now on.
    AskForDeclarations,
    Declare,
    /// Staff decide about a declaration.
    Decide,
    Transfer,
    /// The owner says who comes, to have others pay shares.
    Gather,
    /// The owner has others pay shares, or none any more.
    Split,
    Unsplit,
    /// Somebody else is to pay a share.
    Readdress,
    OrderShare,
    VerifyShare,
    CallOff,
    /// What becomes of the money of a booking that was called off.
    Choose,
    Repeat,
}

/// How often each is done, before a seed's own taste.
pub const DEEDS: [(Deed, u32); 44] = [
    (Deed::Book, 16),
    (Deed::Order, 14),
    (Deed::BalanceOrder, 5),
    (Deed::Pay, 18),
    (Deed::Verify, 9),
    (Deed::PaymentMoves, 4),
    (Deed::RefundMoves, 5),
    (Deed::RefundByHand, 1),
    (Deed::GiveDetails, 12),
    (Deed::Cancel, 5),
    (Deed::CancelParticipant, 4),
    (Deed::Restore, 4),
    (Deed::RestoreParticipant, 3),
    (Deed::Shift, 4),
    (Deed::Ask, 2),
    (Deed::AnswerAsked, 3),
    (Deed::Complete, 1),
    (Deed::Delete, 1),
    (Deed::SetStatus, 3),
    (Deed::BookManually, 3),
    (Deed::ReceiveOffline, 3),
    (Deed::RestoreFailed, 2),
    (Deed::RetryRefund, 4),
    (Deed::PayOut, 2),
    (Deed::GiveVoucher, 2),
    (Deed::UseVoucher, 5),
    (Deed::LeaveVoucher, 1),
    (Deed::VoidVoucher, 1),
    (Deed::BuyGift, 3),
    (Deed::OrderGift, 4),
    (Deed::ReturnGift, 2),
    (Deed::AskForDeclarations, 1),
    (Deed::Declare, 10),
    (Deed::Decide, 9),
    (Deed::Transfer, 4),
    (Deed::Gather, 18),
    (Deed::Split, 8),
    (Deed::Unsplit, 1),
    (Deed::Readdress, 1),
    (Deed::OrderShare, 24),
    (Deed::VerifyShare, 6),
    (Deed::CallOff, 2),
    (Deed::Choose, 8),
    (Deed::Repeat, 5),
];

impl Deed {
    /// What mostly comes next, once it is done. `groups`: where groups pay in shares.
    pub fn leads_to(self, groups: bool) -> Option<Self> {
        Some(match self {
            Self::Book if groups => Self::Gather,
            Self::Verify if groups => Self::OrderShare,
            Self::Gather => Self::Split,
            Self::Book => Self::Order,
            Self::BuyGift => Self::OrderGift,
            Self::Order | Self::OrderGift | Self::BalanceOrder => Self::Pay,
            Self::Pay => Self::Verify,
            Self::Verify => Self::GiveDetails,
            Self::GiveDetails | Self::Transfer => Self::Declare,
            Self::Split => Self::Order,
            Self::OrderShare => Self::Pay,
            Self::Declare => Self::Decide,
            Self::CallOff => Self::Choose,
            Self::GiveVoucher | Self::UseVoucher => Self::UseVoucher,
            _ => return None,
        })
    }
}

/// A request to a service.
#[derive(Debug, Clone)]
pub struct Ask {
    pub who: String,
    pub service: &'static str,
    pub request: Request,
}

/// Who does things: sees what is there, and the provider.
pub struct People<'a> {
    pub stage: &'a Stage,
    pub databases: &'a Databases,
    pub provider: &'a Provider,
    pub trek: Id,
}

fn request(method: &str, path: &str, body: &Value) -> Request {
    match body {
        Value::Null => Request::new(method, path),
        body => Request::json(method, path, body),
    }
}

fn asked(who: &Caller, service: &'static str, method: &str, path: &str, body: &Value) -> Ask {
    let identity = Identity::Caller(Box::new(who.clone())).encode();
    let request = request(method, path, body).with_header(CALLER_HEADER, identity);
    Ask { who: who.name.clone(), service, request }
}

/// What staff ask of the booking service.
fn staff(method: &str, path: String, body: &Value) -> Option<Ask> {
    Some(asked(&world::admin(), "booking", method, &path, body))
}

impl People<'_> {
    fn person(&self) -> Caller {
        world::person(self.stage.below(world::PEOPLE))
    }

    fn one<'b, T>(&self, of: &'b [T]) -> Option<&'b T> {
        self.stage.chance.borrow_mut().one(of)
    }

    /// All bookings as they are stored.
    ///
    /// # Panics
    /// The database does not answer.
    pub async fn bookings(&self) -> Vec<Booking> {
        let select = "SELECT document FROM bookings ORDER BY id";
        let rows = self.databases.booking.query(select, params![]).await.expect("the bookings are there");
        rows.iter().map(|row| row.json("document").expect("a booking is stored as one")).collect()
    }

    /// One of those that fit, mostly one whose session is not over.
    async fn booking(&self, which: impl Fn(&Booking) -> bool) -> Option<Booking> {
        let (any, now) = (self.stage.hits(1_000), self.stage.now());
        let fits = |booking: &Booking| which(booking) && (any || booking.is_visible(now));
        let found: Vec<_> = self.bookings().await.into_iter().filter(fits).collect();
        self.one(&found).cloned()
    }

    /// Who has this account; staff own what they made for somebody.
    fn account(&self, id: Id) -> Caller {
        let people = (0..world::PEOPLE).map(world::person);
        people.into_iter().find(|person| person.id == id).unwrap_or_else(world::admin)
    }

    fn owner(&self, booking: &Booking) -> Caller {
        self.account(booking.user.id)
    }

    /// The owner, so many times in ten thousand; else staff.
    fn owner_or_staff(&self, booking: &Booking, times: u32) -> Caller {
        if self.stage.hits(times) { self.owner(booking) } else { world::admin() }
    }

    async fn row_of(&self, db: &Db, select: &str) -> Option<Row> {
        let rows = db.query(select, params![]).await.expect("the tables are there");
        self.one(&rows).cloned()
    }

    async fn row(&self, select: &str) -> Option<Row> {
        self.row_of(&self.databases.payment, select).await
    }

    /// Does something, as far as it can be done now. A request is still to be sent.
    ///
    /// # Panics
    /// A database does not answer.
    pub async fn act(&self, deed: Deed) -> Option<Ask> {
        match deed {
            Deed::Book => Some(self.book()),
            Deed::Order => self.order(Status::PendingPayment, "create-order").await,
            Deed::BalanceOrder => self.order(Status::PaymentConfirmedPartial, "create-remaining-balance-order").await,
            Deed::Pay => self.pay(),
            Deed::Verify => self.verify().await,
            Deed::PaymentMoves => self.payment_moves(),
            Deed::RefundMoves => self.refund_moves(),
            Deed::RefundByHand => self.refund_by_hand().await,
            Deed::GiveDetails => self.give_details().await,
            Deed::Cancel => self.cancel().await,
            Deed::CancelParticipant => self.cancel_participant().await,
            Deed::Restore => self.restore().await,
            Deed::RestoreParticipant => self.restore_participant().await,
            Deed::Shift => self.shift().await,
            Deed::Ask => self.ask().await,
            Deed::AnswerAsked => self.answer_asked().await,
            Deed::Complete => self.complete().await,
            Deed::Delete => self.delete().await,
            Deed::SetStatus => self.set_status().await,
            Deed::BookManually => Some(self.book_manually()),
            Deed::ReceiveOffline => self.receive_offline().await,
            Deed::RestoreFailed => self.restore_failed().await,
            Deed::RetryRefund => self.retry_refund().await,
            Deed::PayOut => self.pay_out().await,
            Deed::GiveVoucher => Some(self.give_voucher()),
            Deed::UseVoucher => self.use_voucher().await,
            Deed::LeaveVoucher => self.leave_voucher().await,
            Deed::VoidVoucher => self.void_voucher().await,
            Deed::BuyGift => Some(self.buy_gift()),
            Deed::OrderGift => self.order_gift().await,
            Deed::ReturnGift => self.return_gift().await,
            Deed::AskForDeclarations => Some(self.ask_for_declarations()),
            Deed::Declare => self.declare().await,
            Deed::Decide => self.decide().await,
            Deed::Transfer => self.transfer().await,
            Deed::Gather => self.gather().await,
            Deed::Split => self.split().await,
            Deed::Unsplit => self.unsplit().await,
            Deed::Readdress => self.readdress().await,
            Deed::OrderShare => self.order_share().await,
            Deed::VerifyShare => self.verify_share().await,
            Deed::CallOff => self.call_off().await,
            Deed::Choose => self.choose().await,
            // Whoever keeps the requests repeats one.
            Deed::Repeat => None,
        }
    }
}
