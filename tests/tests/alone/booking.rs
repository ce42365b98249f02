//! The booking service, with all five services it calls answered by the test.

use cairn_shared::identity::Role;
use serde_json::{Value, json};
use wasmtime::component::Val;

use crate::{
    stage::{Alone, Answer, BATCH, Stage, TREK, as_caller, caller, now_ms},
    val::{batch, case, done, err, field, none, ok, one_of, record, text, text_of, unavailable},
};

const ACCOUNTS: &str = "cairn:user/accounts";
const CUSTOMERS: &str = "cairn:user/customers";
const CATALOGUE: &str = "cairn:trek/catalogue";
const SCHEDULE: &str = "cairn:batch/schedule";
const SEATS: &str = "cairn:batch/seats";
const PROMOS: &str = "cairn:payment/promos";
const OFFLINE: &str = "cairn:payment/offline";
const CHECKOUT: &str = "cairn:payment/checkout";
const REFUNDS: &str = "cairn:payment/refunds";
const VOUCHERS: &str = "cairn:payment/vouchers";
const SHARES: &str = "cairn:payment/shares";
const EARNINGS: &str = "cairn:payment/earnings";
const CLOSING: &str = "cairn:batch/closing";
const GIFTS: &str = "cairn:notification/gifts";
const MAIL: &str = "cairn:notification/mail";
const NOTICES: &str = "cairn:notification/notices";
const NOTICE_KINDS: [&str; 19] = [
    "booking-confirmed",
    "balance-received",
    "booking-cancelled",
    "seat-cancelled",
    "seat-transferred",
    "declaration-wanted",
    "declaration-received",
    "declaration-decided",
    "dates-changed",
    "request-declined",
    "request-received",
    "unpaid-cancelled",
    "balance-reminder",
    "share-asked",
    "share-paid",
    "details-reminder",
    "trip-reminder",
    "called-off",
    "voucher-issued",
];

const VOUCHER_CALLS: [&str; 7] = ["quote", "open", "redeem", "credit", "gift", "take-back", "get-issued"];

const MONTH_MS: i64 = 30 * 86_400_000;

/// A trek with 5 % of tax on top of its price.
fn terms() -> Val {
    let partial = record([
        ("enabled", Val::Bool(false)),
        ("amount", Val::S64(0)),
        ("amount-type", one_of("fixed")),
        ("final-payment-due-days", Val::U32(0)),
        ("auto-cancel-on-due-date", Val::Bool(false)),
    ]);
    record([
        ("id", text(TREK)),
        ("name", text("Mist Ridge")),
        ("slug", text("mist-ridge")),
        ("region-name", text("Western Ghats")),
        ("image", none()),
        ("enabled", Val::Bool(true)),
        ("custom", Val::Bool(false)),
        ("custom-link-expiry", none()),
        ("display-price", Val::S64(800_000)),
        ("add-ons", Val::List(Vec::new())),
        ("gst", Val::U32(500)),
        ("gst-type", one_of("excluded")),
        ("gateway", Val::U32(0)),
        ("gateway-type", one_of("operator")),
        ("partial-payment", partial),
        ("custom-fields", Val::List(Vec::new())),
    ])
}

fn summaries() -> Val {
    record([
        ("id", text(TREK)),
        ("name", text("Mist Ridge")),
        ("region-name", text("Western Ghats")),
        ("image", none()),
    ])
}

/// Peers that all do what they are asked; what a test answers itself comes after these.
fn agreeable() -> Stage {
    let date = || batch(BATCH, TREK, now_ms() + MONTH_MS, 0);
    let stage = Stage::of("booking")
        .answer(ACCOUNTS, "fill-phone", |_| done())
        .answer(CUSTOMERS, "get", |_| err(Val::Variant("not-found".to_owned(), None)))
        .answer(CUSTOMERS, "find-by-phone", |_| err(Val::Variant("not-found".to_owned(), None)))
        .answer(CUSTOMERS, "create", |_| err(Val::Variant("taken".to_owned(), None)))
        .answer(OFFLINE, "record", |_| unavailable("nobody records here"))
        .answer(CATALOGUE, "get-terms", |_| ok(terms()))
        .answer(CATALOGUE, "list-summaries", |_| ok(Val::List(vec![summaries()])))
        .answer(SCHEDULE, "get", move |_| ok(date()))
        .answer(SCHEDULE, "list-batches", move |_| ok(Val::List(vec![date()])))
        .answer(SCHEDULE, "list-of-treks", move |_| ok(Val::List(vec![date()])))
        .answer(SEATS, "hold", move |_| ok(date()))
        .answer(SEATS, "extend", |_| done())
        .answer(SEATS, "confirm", |_| done())
        .answer(SEATS, "release", |_| done())
        .answer(SEATS, "resize", move |_| ok(date()))
        .answer(SEATS, "move", move |_| ok(date()))
        .answer(PROMOS, "quote", |_| err(Val::Variant("invalid-code".to_owned(), None)))
        .answer(CHECKOUT, "open", |_| done())
        .answer(CHECKOUT, "close", |_| done())
        .answer(CHECKOUT, "list-payments", |_| ok(Val::List(Vec::new())))
        .answer(CHECKOUT, "refund-all", |_| done())
        .answer(REFUNDS, "refund", |_| unavailable("nothing is given back here"))
        .answer(SHARES, "open", |_| done())
        .answer(EARNINGS, "earn", |_| done())
        .answer(EARNINGS, "defer", |_| done())
        .answer(CLOSING, "cancel", |_| done())
        .answer(GIFTS, "gift-voucher", |_| done())
        .answer(MAIL, "enqueue", |_| done());
    let stage = VOUCHER_CALLS
        .iter()
        .fold(stage, |stage, call| stage.answer(VOUCHERS, call, |_| unavailable("there are no vouchers here")));
    NOTICE_KINDS.iter().fold(stage, |stage, kind| stage.answer(NOTICES, kind, |_| done()))
}

impl Alone {
    async fn book(&self, participants: u32, coupon: &str) -> Answer {
        let (_, header) = caller("Meera", Role::User);
        let body = json!({
            "trekId": TREK, "batchId": BATCH, "numberOfParticipants": participants, "addOns": [], "paymentMode": "full",
            "userDetails": { "name": "Meera", "email": "meera@example.org", "phone": "9800000001" },
            "totalPrice": 16_800, "couponCode": coupon,
        });
        self.send("POST", "/api/bookings", &[as_caller(&header)], &body).await
    }

    /// The status under which its owner reads the booking that seats were held for; 0 if no
    /// seats were.
    async fn owners_view(&self) -> u16 {
        let holds = self.calls.to("hold");
        let Some(hold) = holds.last() else { return 0 };
        let (_, header) = caller("Meera", Role::User);
        let target = format!("/api/bookings/{}", text_of(&hold[0], "key"));
        self.send("GET", &target, &[as_caller(&header)], &Value::Null).await.status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_holds_its_seats_then_opens_what_it_owes() {
    let booking = agreeable().start().await;
    let made = booking.book(2, "").await.expect(201);
    assert_eq!(made["totalPrice"], 16_800, "two at 8000 and 5 % of tax: {made}");
    assert_eq!(made["status"], "pending_payment", "{made}");
    let id = made["_id"].as_str().unwrap();

    let [hold] = &booking.calls.to("hold")[..] else { panic!("one hold") };
    assert_eq!((text_of(&hold[0], "key"), text_of(&hold[0], "batch-id")), (id, BATCH));
    assert_eq!(field(&hold[0], "seats"), &Val::U32(2));
    let [open] = &booking.calls.to("open")[..] else { panic!("one payable") };
    assert_eq!(text_of(&open[0], "booking-id"), id);
    assert_eq!(field(&open[0], "amount"), &Val::S64(1_680_000));
    assert!(booking.calls.to("release").is_empty());
    assert_eq!(booking.owners_view().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_are_sold_out_are_refused_and_leave_nothing_behind() {
    let sold_out = |_: &[Val]| err(case("sold-out", Val::U32(1)));
    let booking = agreeable().answer(SEATS, "hold", sold_out).start().await;
    let refused = booking.book(2, "").await.expect(400);
    assert_eq!(refused["message"], "Not enough spots available in this batch");
    let hold = &booking.calls.to("hold")[0][0];
    let released = booking.calls.to("release");
    assert!(released.iter().any(|params| params[0] == text(text_of(hold, "key"))), "{released:?}");
    assert!(booking.calls.to("open").is_empty(), "nothing is owed");
    assert_eq!(booking.owners_view().await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_go_back_when_what_is_owed_cannot_be_opened() {
    let booking = agreeable().answer(CHECKOUT, "open", |_| unavailable("payment does not answer (trap)")).start().await;
    booking.book(2, "").await.expect_unavailable(&["payment does not", "trap"]);
    assert_eq!(booking.calls.to("hold").len(), 1);
    assert!(!booking.calls.to("release").is_empty() && !booking.calls.to("close").is_empty());
    assert_eq!(booking.owners_view().await, 404);
    // Nothing of the failure stands in the way of the next try.
    let again = booking.book(2, "").await;
    again.expect_unavailable(&["trap"]);
    assert_eq!(booking.calls.to("hold").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_answer_is_unavailable_and_no_more() {
    type Peer = (&'static str, &'static str, &'static str);
    let peers: [Peer; 4] =
        [(CATALOGUE, "get-terms", ""), (SCHEDULE, "get", ""), (SEATS, "hold", ""), (PROMOS, "quote", "SUMMIT10")];
    for (interface, function, coupon) in peers {
        let silent = |_: &[Val]| unavailable("the peer does not answer (circuit open)");
        let booking = agreeable().answer(interface, function, silent).start().await;
        booking.book(2, coupon).await.expect_unavailable(&["circuit", "peer", "seats", "quote"]);
        let expected = if function == "hold" { 404 } else { 0 };
        assert_eq!(booking.owners_view().await, expected, "{function}");
        assert!(booking.calls.to("open").is_empty(), "{function}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_user_or_mail_service_costs_no_booking() {
    let stage = agreeable().answer(ACCOUNTS, "fill-phone", |_| unavailable("user"));
    let booking = stage.answer(MAIL, "enqueue", |_| unavailable("notification")).start().await;
    booking.book(1, "").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_payment_refuses_is_told_in_the_contracts_words() {
    let booking = agreeable().start().await;
    let refused = booking.book(2, "NOSUCH").await.expect(400);
    assert_eq!(refused["message"], "Invalid promo code");
    assert!(booking.calls.to("hold").is_empty());
}
