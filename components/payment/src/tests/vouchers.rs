//! Credit: issued, reserved, spent beside money and alone, given back, over.

use cairn_shared::time::DAY;
use proptest::prelude::*;

use super::{requests::request, *};
use crate::{
    app::Goodwill,
    domain::{
        CreditRequest, OpenError, RefundError, Tender, VOUCHER_RENEWAL, VOUCHER_VALIDITY, Voucher, VoucherProblem,
        VoucherState,
    },
    provider::PaymentStatus,
};

const PRICE: i64 = 254_200;

/// A voucher that staff give away.
async fn given(world: &World, key: &str, amount: i64) -> Voucher {
    let wanted = Goodwill {
        key: key.into(),
        amount: Paise(amount),
        owner_id: Some(world.user),
        expires_at: world.now().plus(VOUCHER_VALIDITY),
        reason: "The bus was late".into(),
        actor: Id::derive(&["desk"]),
    };
    world.app.give_away(&wanted).await.unwrap()
}

async fn found(world: &World, voucher: &Voucher) -> Voucher {
    world.app.voucher_of_code(voucher.code.as_str()).await.unwrap()
}

async fn available(world: &World, voucher: &Voucher) -> i64 {
    found(world, voucher).await.available().0
}

fn tender(voucher: &Voucher, amount: i64) -> Tender {
    Tender { voucher_id: voucher.id, amount: Paise(amount) }
}

/// A booking that owes 2542 rupees, so much of it by voucher.
async fn open(world: &World, name: &str, by: Tender) -> Result<Id, OpenError> {
    let payable = world.payable(name, Kind::Full, PRICE);
    let id = payable.booking_id;
    world.app.open_with_voucher(payable, None, Some(by)).await.map(|()| id)
}

async fn redeem(world: &World, name: &str, key: &str, voucher: &Voucher) -> Result<crate::domain::Payment, OpenError> {
    world.app.redeem(key, world.payable(name, Kind::Full, PRICE), None, tender(voucher, PRICE)).await
}

fn is_short<T: std::fmt::Debug>(outcome: Result<T, OpenError>, left: i64) -> bool {
    matches!(outcome, Err(OpenError::Voucher(VoucherProblem::Short(Paise(found)))) if found == left)
}

async fn pay(world: &World, booking: Id, payment: &str) -> String {
    let order = world.order(booking).await;
    world.double.pay(&order, payment, PaymentStatus::Captured);
    assert_eq!(world.verify(&order, payment).await.0, 200);
    order
}

/// The book agrees with the records, and no voucher owes more than it was issued for.
async fn check(world: &World) {
    world.check_ledger().await;
    let rows = world.app.db.query("SELECT id FROM vouchers", params![]).await.unwrap();
    let mut owed = 0;
    for row in rows {
        let (voucher, _) = world.app.voucher_detail(row.get("id").unwrap()).await.unwrap();
        assert!((0..=voucher.amount.0).contains(&voucher.balance.0), "{voucher:?}");
        owed += voucher.balance.0;
    }
    assert_eq!(world.balance("vouchers").await, -owed);
}

#[tokio::test]
async fn a_voucher_beside_an_order_pays_when_the_order_is_paid() {
    let world = World::new().await;
    let voucher = given(&world, "a", 100_000).await;
    let booking = open(&world, "a", tender(&voucher, 100_000)).await.unwrap();
    assert_eq!((available(&world, &voucher).await, found(&world, &voucher).await.balance), (0, Paise(100_000)));
    let order = pay(&world, booking, "pay_1").await;
    assert_eq!(world.double.0.borrow().orders[0].amount, PRICE - 100_000, "the rest alone is asked of the provider");
    for _ in 0..2 {
        world.payment_event("payment.captured", "pay_1").await;
    }
    let told = world.told("booking", "payment.captured").await;
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&told["amountPaise"], &told["orderId"]), (&json!(PRICE - 100_000), &json!(order)));
    assert_eq!(told["voucher"]["amountPaise"], json!(100_000));
    let payments = world.app.payments(booking).await.unwrap();
    assert_eq!(payments.iter().map(|payment| payment.amount.0).sum::<i64>(), PRICE);
    assert_eq!(found(&world, &voucher).await.balance, Paise::ZERO);
    assert_eq!((world.balance("unearned").await, world.balance("goodwill").await), (-PRICE, 100_000));
    assert_eq!(message(&world.create_order(booking).await), (400, "This booking is not awaiting payment"));
    check(&world).await;
    let report = world.job("/_jobs/report").await;
    assert_eq!((&report["mismatches"], &report["complete"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn what_goes_back_is_money_first_and_the_credit_is_valid_again() {
    let world = World::new().await;
    let voucher = given(&world, "a", 100_000).await;
    let booking = open(&world, "a", tender(&voucher, 100_000)).await.unwrap();
    pay(&world, booking, "pay_1").await;
    world.wait(VOUCHER_VALIDITY + DAY);
    world.job("/_jobs/vouchers").await;
    assert_eq!(found(&world, &voucher).await.state(world.now()), VoucherState::Expired);
    world.app.refund(request(booking, "part", 154_200)).await.unwrap();
    assert_eq!(found(&world, &voucher).await.balance, Paise::ZERO, "so much was paid with money");
    for _ in 0..2 {
        world.app.refund(request(booking, "rest", 100_000)).await.unwrap();
    }
    let back = found(&world, &voucher).await;
    assert_eq!((back.balance, back.expires_at), (Paise(100_000), world.now().plus(VOUCHER_RENEWAL)));
    assert_eq!(back.state(world.now()), VoucherState::Valid);
    world.job("/_jobs/refunds").await;
    let told = world.told("booking", "payment.refunded").await;
    let arrived: i64 =
        told.iter().filter(|told| told["status"] == "success").map(|told| told["amountPaise"].as_i64().unwrap()).sum();
    assert_eq!(arrived, PRICE);
    check(&world).await;
    world.wait(VOUCHER_RENEWAL);
    for _ in 0..2 {
        world.job("/_jobs/vouchers").await;
    }
    assert_eq!((found(&world, &voucher).await.balance, world.balance("revenue").await), (Paise::ZERO, -100_000));
    check(&world).await;
}

#[tokio::test]
async fn a_voucher_pays_all_of_a_booking_once_for_its_key() {
    let world = World::new().await;
    let voucher = given(&world, "a", 300_000).await;
    let booking = open(&world, "a", tender(&voucher, PRICE)).await.unwrap();
    assert_eq!(message(&world.create_order(booking).await), (400, "This booking is not awaiting payment"));
    let first = redeem(&world, "a", "key", &voucher).await.unwrap();
    assert_eq!((first.amount.0, first.method.as_str(), first.order_id.as_str()), (PRICE, "voucher", ""));
    for _ in 0..2 {
        assert_eq!(redeem(&world, "a", "key", &voucher).await.unwrap().id, first.id);
    }
    assert!(matches!(redeem(&world, "b", "key", &voucher).await, Err(OpenError::Invalid(_))), "another booking");
    assert!(matches!(redeem(&world, "a", "other", &voucher).await, Err(OpenError::Invalid(_))), "paid already");
    assert_eq!(available(&world, &voucher).await, 300_000 - PRICE);
    let told = world.told("booking", "payment.captured").await;
    assert_eq!((told.len(), &told[0]["offline"], &told[0]["method"]), (1, &json!(true), &json!("voucher")));
    check(&world).await;
}

#[tokio::test]
async fn two_who_want_the_same_credit_do_not_both_get_it() {
    for alone in [true, false] {
        let world = World::on(database_file("vouchers").await, &VARIABLES).await;
        let voucher = given(&world, "a", 300_000).await;
        let (a, b) = if alone {
            let (a, b) = tokio::join!(redeem(&world, "a", "key a", &voucher), redeem(&world, "b", "key b", &voucher));
            (a.map(|payment| payment.amount), b.map(|payment| payment.amount))
        } else {
            let (a, b) = tokio::join!(
                open(&world, "a", tender(&voucher, 200_000)),
                open(&world, "b", tender(&voucher, 200_000))
            );
            (a.map(|_| Paise(200_000)), b.map(|_| Paise(200_000)))
        };
        let had: Vec<_> = [&a, &b].into_iter().flatten().copied().collect();
        let [had] = had[..] else { panic!("{a:?} {b:?}") };
        assert_eq!(available(&world, &voucher).await, 300_000 - had.0);
        assert!(is_short(a, 300_000 - had.0) || is_short(b, 300_000 - had.0));
        check(&world).await;
    }
}

#[tokio::test]
async fn what_a_booking_gives_back_others_can_have() {
    let world = World::new().await;
    let voucher = given(&world, "a", PRICE).await;
    let a = open(&world, "a", tender(&voucher, PRICE)).await.unwrap();
    assert!(is_short(open(&world, "b", tender(&voucher, 1_000)).await, 0));
    open(&world, "a", tender(&voucher, 200_000)).await.unwrap();
    open(&world, "b", tender(&voucher, 54_200)).await.unwrap();
    world.app.close(a).await.unwrap();
    assert_eq!(available(&world, &voucher).await, 200_000);
    world.app.open(world.payable("b", Kind::Full, PRICE), None).await.unwrap();
    assert_eq!(available(&world, &voucher).await, PRICE, "opened without it");
    for bad in [-1, 0, PRICE + 1, PRICE - 1] {
        let outcome = open(&world, "c", tender(&voucher, bad)).await;
        assert!(matches!(outcome, Err(OpenError::Invalid(_))), "{bad}: {outcome:?}");
    }
    check(&world).await;
}

#[tokio::test]
async fn a_payment_that_comes_after_its_voucher_went_elsewhere_is_told_alone() {
    let world = World::new().await;
    let voucher = given(&world, "a", PRICE).await;
    for (name, spent_elsewhere) in [("a", false), ("b", true)] {
        let booking = open(&world, name, tender(&voucher, 100_000)).await.unwrap();
        let order = world.order(booking).await;
        world.app.close(booking).await.unwrap();
        if spent_elsewhere {
            open(&world, "elsewhere", tender(&voucher, 154_200)).await.unwrap();
        }
        let payment = format!("pay_{name}");
        world.double.pay(&order, &payment, PaymentStatus::Captured);
        world.payment_event("payment.captured", &payment).await;
        let told = world.told("booking", "payment.captured").await.pop().unwrap();
        assert_eq!((&told["bookingId"], &told["amountPaise"]), (&json!(booking), &json!(154_200)));
        assert_eq!(told.get("voucher").is_none(), spent_elsewhere, "{told}");
        check(&world).await;
    }
    assert_eq!(available(&world, &voucher).await, 0);
}

fn credit(world: &World, booking_id: Id, key: &str, amount: i64) -> CreditRequest {
    CreditRequest {
        key: key.into(),
        booking_id,
        owner_id: world.user,
        amount: Paise(amount),
        bonus: Paise(amount / 10),
        expires_at: world.now().plus(VOUCHER_VALIDITY),
        reason: "The trek does not take place".into(),
        requested_by: "system".into(),
    }
}

#[tokio::test]
async fn money_of_a_booking_becomes_a_voucher_once_and_no_more_of_it_than_is_there() {
    let world = World::new().await;
    let booking = requests::paid(&world).await;
    let first = world.app.credit(credit(&world, booking, "k", 250_000)).await.unwrap();
    assert_eq!((first.amount, first.balance, first.bonus), (Paise(275_000), Paise(275_000), Paise(25_000)));
    assert_eq!(world.app.credit(credit(&world, booking, "k", 250_000)).await.unwrap().id, first.id);
    let reused = world.app.credit(credit(&world, booking, "k", 240_000)).await;
    assert!(matches!(reused, Err(RefundError::KeyReused)), "{reused:?}");
    let above = world.app.credit(credit(&world, booking, "l", 50_001)).await;
    assert!(matches!(above, Err(RefundError::Exceeds(Paise(50_000)))), "{above:?}");
    assert_eq!(world.app.voucher_of_key("k").await.unwrap().code, first.code);
    world.app.refund(request(booking, "rest", 50_000)).await.unwrap();
    world.job("/_jobs/refunds").await;
    assert_eq!(world.double.0.borrow().refunds.len(), 1, "credit asks nothing of the provider");
    assert_eq!((world.balance("provider").await, world.balance("unearned").await), (250_000, 0));
    assert_eq!((world.balance("vouchers").await, world.balance("goodwill").await), (-275_000, 25_000));
    let told = world.told("booking", "payment.refunded").await;
    let of_key: i64 = told
        .iter()
        .filter(|told| told["key"] == "k")
        .map(|told| {
            assert_eq!(told["status"], "success");
            told["amountPaise"].as_i64().unwrap()
        })
        .sum();
    assert_eq!(of_key, 250_000);
    check(&world).await;
    let report = world.job("/_jobs/report").await;
    assert_eq!(report["mismatches"], json!(0), "{report}");
}

#[tokio::test]
async fn a_gift_that_nobody_spent_of_goes_back_to_who_has_paid_it() {
    let world = World::new().await;
    let gift = world.booking("gift").await;
    pay(&world, gift, "pay_1").await;
    let request = || CreditRequest { bonus: Paise::ZERO, ..credit(&world, gift, "gift/1", PRICE) };
    let voucher = world.app.gift(request()).await.unwrap();
    assert_eq!((voucher.kind.as_str(), voucher.balance), ("gift", Paise(PRICE)));
    assert_eq!((world.balance("unearned").await, world.balance("vouchers").await), (0, -PRICE));
    open(&world, "a", tender(&voucher, 100_000)).await.unwrap();
    let reserved = world.app.take_back("gift/1", "changed their mind").await;
    assert!(matches!(reserved, Err(RefundError::Exceeds(Paise(154_200)))), "{reserved:?}");
    world.app.open(world.payable("a", Kind::Full, PRICE), None).await.unwrap();
    for _ in 0..2 {
        world.app.take_back("gift/1", "changed their mind").await.unwrap();
        world.job("/_jobs/refunds").await;
        check(&world).await;
    }
    assert_eq!(world.double.0.borrow().refunds.values().map(|refund| refund.amount).sum::<i64>(), PRICE);
    assert_eq!(found(&world, &voucher).await.state(world.now()), VoucherState::Void);
    assert_eq!((world.balance("provider").await, world.balance("vouchers").await), (0, 0));
    assert_eq!(world.app.gift(request()).await.unwrap().id, voucher.id, "its key names it still");
    let spent = world.booking("other").await;
    pay(&world, spent, "pay_2").await;
    let request = CreditRequest { bonus: Paise::ZERO, ..credit(&world, spent, "gift/2", PRICE) };
    let voucher = world.app.gift(request).await.unwrap();
    redeem(&world, "b", "key", &voucher).await.unwrap();
    let refused = world.app.take_back("gift/2", "too late").await;
    assert!(matches!(refused, Err(RefundError::Exceeds(Paise::ZERO))), "{refused:?}");
    assert!(matches!(world.app.take_back("gift/3", "x").await, Err(RefundError::Unknown)));
    check(&world).await;
    let report = world.job("/_jobs/report").await;
    assert_eq!(report["mismatches"], json!(0), "{report}");
}

#[tokio::test]
async fn a_voucher_is_void_for_all_but_who_has_reserved_it() {
    let world = World::new().await;
    let voucher = given(&world, "a", PRICE).await;
    let booking = open(&world, "a", tender(&voucher, 100_000)).await.unwrap();
    world.wait(1_000);
    let path = format!("/api/payments/vouchers/{}/void", voucher.id);
    assert_eq!(world.admin("POST", &path, json!({})).await.0, 400, "without a reason");
    for _ in 0..2 {
        let (status, body) = world.admin("POST", &path, json!({ "reason": "stolen" })).await;
        assert_eq!((status, &body["state"], &body["reserved"]), (200, &json!("void"), &json!(1000)), "{body}");
    }
    assert_eq!(world.balance("revenue").await, -(PRICE - 100_000));
    let refused = open(&world, "b", tender(&voucher, 100_000)).await;
    assert!(matches!(refused, Err(OpenError::Voucher(VoucherProblem::Void))));
    pay(&world, booking, "pay_1").await;
    assert_eq!(found(&world, &voucher).await.balance, Paise::ZERO);
    check(&world).await;
    let (_, noted) = world.admin("GET", &format!("/api/payments/audit?subject={}", voucher.id), json!({})).await;
    let actions: Vec<_> = noted["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["voucher.void", "voucher.issue"], "once each: {noted}");
    assert!(!noted.to_string().contains(voucher.code.as_str()));
}

#[tokio::test]
async fn a_voucher_that_is_over_pays_only_what_was_reserved_before() {
    let world = World::new().await;
    let voucher = given(&world, "a", PRICE).await;
    open(&world, "a", tender(&voucher, 100_000)).await.unwrap();
    world.wait(VOUCHER_VALIDITY);
    let offer = world.app.voucher_offer(voucher.code.as_str(), Paise(PRICE), None).await;
    assert!(matches!(offer, Err(OpenError::Voucher(VoucherProblem::Expired))), "{offer:?}");
    world.job("/_jobs/vouchers").await;
    assert_eq!(found(&world, &voucher).await.balance, Paise(PRICE), "it waits for whom it is reserved for");
    open(&world, "a", tender(&voucher, 100_000)).await.unwrap();
    let more = open(&world, "a", tender(&voucher, 100_001)).await;
    assert!(matches!(more, Err(OpenError::Voucher(VoucherProblem::Expired))), "{more:?}");
    let booking = open(&world, "a", tender(&voucher, 90_000)).await.unwrap();
    pay(&world, booking, "pay_1").await;
    world.job("/_jobs/vouchers").await;
    assert_eq!((found(&world, &voucher).await.balance, world.balance("revenue").await), (Paise::ZERO, 90_000 - PRICE));
    check(&world).await;
}

#[tokio::test]
async fn who_has_the_code_knows_what_is_left_and_staff_see_no_code() {
    let world = World::new().await;
    let body =
        json!({ "amount": 1500, "ownerId": world.user, "reason": "The bus was late", "validDays": 60, "key": "bus" });
    let ask = || {
        Request::json("POST", "/api/payments/vouchers", &body)
            .with_header("idempotency-key", "key-1")
            .with_header(CALLER_HEADER, world.caller(world.user, Role::Admin))
    };
    let (status, made) = world.send(ask()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(world.send(ask()).await.1, made);
    let again = world.admin("POST", "/api/payments/vouchers", body.clone()).await;
    assert_eq!((again.0, &again.1["code"]), (201, &made["code"]), "its own key names it, too");
    let code = made["code"].as_str().unwrap().to_lowercase();
    let read = async |code: &str| {
        world.send(Request::json("POST", "/api/payments/vouchers/balance", &json!({ "code": code }))).await
    };
    let (status, body) = read(&code).await;
    assert_eq!((status, &body["available"], &body["state"]), (200, &json!(1500), &json!("valid")), "{body}");
    assert_eq!(body["expiresAt"], json!(world.now().plus(60 * DAY)));
    assert_eq!(body.get("code"), None);
    for wrong in ["0000-0000-0000-0000", "nonsense"] {
        assert_eq!(read(wrong).await.0, 404, "{wrong}");
    }
    assert_eq!(read(" ").await.0, 400);
    let mine = |id: Id| {
        let request = Request::new("GET", "/api/payments/vouchers/mine");
        world.send(request.with_header(CALLER_HEADER, world.caller(id, Role::User)))
    };
    assert_eq!(mine(world.user).await.1["vouchers"][0]["code"], made["code"]);
    assert_eq!(mine(Id::derive(&["stranger"])).await.1, json!({ "vouchers": [] }));
    for (state, count) in [("", 1), ("?state=valid", 1), ("?state=void", 0), ("?state=expired", 0)] {
        let (status, listed) = world.admin("GET", &format!("/api/payments/vouchers{state}"), json!({})).await;
        assert_eq!((status, listed["vouchers"].as_array().unwrap().len()), (200, count), "{listed}");
        assert!(!listed.to_string().to_lowercase().contains(&code), "{listed}");
    }
    assert_eq!(world.admin("GET", "/api/payments/vouchers?state=spent", json!({})).await.0, 400);
    let id = made["voucher"]["id"].as_str().unwrap();
    let (_, detail) = world.admin("GET", &format!("/api/payments/vouchers/{id}"), json!({})).await;
    assert_eq!((&detail["entries"][0]["debit"], &detail["entries"][0]["amount"]), (&json!("goodwill"), &json!(1500)));
    assert_eq!(world.count("vouchers").await, 1);
    for bad in [json!({}), json!({ "amount": 0 }), json!({ "amount": 2_000_000, "reason": "x" })] {
        assert_eq!(world.admin("POST", "/api/payments/vouchers", bad.clone()).await.0, 400, "{bad}");
    }
    let long = json!({ "amount": 10, "reason": "x", "validDays": 4_000_000_000_u32 });
    assert_eq!(world.admin("POST", "/api/payments/vouchers", long).await.0, 400);
}

#[tokio::test]
async fn staff_s_routes_of_vouchers_are_for_admins() {
    let world = World::new().await;
    let id = world.user;
    for (method, path) in [
        ("GET", "/api/payments/vouchers".to_owned()),
        ("POST", "/api/payments/vouchers".into()),
        ("GET", format!("/api/payments/vouchers/{id}")),
        ("POST", format!("/api/payments/vouchers/{id}/void")),
    ] {
        let request = Request::json(method, &path, &json!({ "reason": "x" }));
        assert_eq!(world.send(request.clone()).await.0, 401, "{method} {path}");
        let request = request.with_header(CALLER_HEADER, world.caller(id, Role::User));
        assert_eq!(world.send(request).await.0, 403, "{method} {path}");
    }
    assert_eq!(world.send(Request::new("GET", "/api/payments/vouchers/mine")).await.0, 401);
    for (method, path) in [("GET", ""), ("POST", "/void")] {
        let path = format!("/api/payments/vouchers/{id}{path}");
        assert_eq!(world.admin(method, &path, json!({ "reason": "x" })).await.0, 404, "{method} {path}");
    }
}

/// Anything that happens to two vouchers and three bookings.
#[derive(Debug, Clone)]
enum Step {
    Open { booking: u8, voucher: u8, amount: i64 },
    OpenPlain(u8),
    Redeem { booking: u8, voucher: u8 },
    Pay(u8),
    Close(u8),
    Refund { booking: u8, amount: i64 },
    Credit { booking: u8, amount: i64 },
    Void(u8),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let (booking, voucher, amount) = (0_u8..3, 0_u8..2, 1_i64..300_000);
    prop_oneof![
        4 => (booking.clone(), voucher.clone(), amount.clone())
            .prop_map(|(booking, voucher, amount)| Step::Open { booking, voucher, amount }),
        1 => booking.clone().prop_map(Step::OpenPlain),
        2 => (booking.clone(), voucher.clone()).prop_map(|(booking, voucher)| Step::Redeem { booking, voucher }),
        4 => booking.clone().prop_map(Step::Pay),
        1 => booking.clone().prop_map(Step::Close),
        3 => (booking.clone(), amount.clone()).prop_map(|(booking, amount)| Step::Refund { booking, amount }),
        2 => (booking, amount).prop_map(|(booking, amount)| Step::Credit { booking, amount }),
        1 => voucher.prop_map(Step::Void),
        1 => Just(Step::Expire),
    ]
}

/// Refusals are allowed, anything that loses or makes money is not.
async fn run(steps: &[Step]) {
    let world = World::new().await;
    let vouchers = [given(&world, "a", 300_000).await, given(&world, "b", 120_000).await];
    let name = |booking: u8| format!("booking {booking}");
    let id = |booking: u8| world.payable(&name(booking), Kind::Full, PRICE).booking_id;
    for (nth, step) in steps.iter().enumerate() {
        match step {
            Step::Open { booking, voucher, amount } => {
                let by = tender(&vouchers[usize::from(*voucher)], *amount);
                drop(open(&world, &name(*booking), by).await);
            }
            Step::OpenPlain(booking) => {
                drop(world.app.open(world.payable(&name(*booking), Kind::Full, PRICE), None).await);
            }
            Step::Redeem { booking, voucher } => {
                let key = format!("key {booking} {nth}");
                drop(redeem(&world, &name(*booking), &key, &vouchers[usize::from(*voucher)]).await);
            }
            Step::Pay(booking) => {
                let (status, body) = world.create_order(id(*booking)).await;
                if status == 200 {
                    let order = body["order"]["id"].as_str().unwrap().to_owned();
                    let payment = format!("pay_{nth}");
                    world.double.pay(&order, &payment, PaymentStatus::Captured);
                    world.payment_event("payment.captured", &payment).await;
                }
            }
            Step::Close(booking) => world.app.close(id(*booking)).await.unwrap(),
            Step::Refund { booking, amount } => {
                drop(world.app.refund(request(id(*booking), &format!("refund {nth}"), *amount)).await);
                world.job("/_jobs/refunds").await;
            }
            Step::Credit { booking, amount } => {
                drop(world.app.credit(credit(&world, id(*booking), &format!("credit {nth}"), *amount)).await);
            }
            Step::Void(voucher) => {
                let voucher = vouchers[usize::from(*voucher)].id;
                world.app.void_voucher(voucher, "void", world.user).await.unwrap();
            }
            Step::Expire => {
                world.wait(VOUCHER_VALIDITY / 2);
                world.job("/_jobs/vouchers").await;
            }
        }
        check(&world).await;
        let select = "SELECT CAST(COALESCE(MAX(n), 0) AS BIGINT) AS n FROM (SELECT SUM(p.amount) \
             - COALESCE((SELECT SUM(r.amount) FROM refunds r JOIN payments q ON q.id = r.payment_id WHERE q.booking_id = p.booking_id AND q.problem IS NULL AND r.status <> 'failed'), 0) AS n \
             FROM payments p WHERE p.problem IS NULL GROUP BY p.booking_id) x";
        let most: i64 = world.app.db.query_one(select, params![]).await.unwrap().get("n").unwrap();
        assert!(most <= PRICE, "a booking has been paid {most} after {step:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn credit_is_neither_lost_nor_made_whatever_happens(steps in proptest::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&steps));
    }
}
