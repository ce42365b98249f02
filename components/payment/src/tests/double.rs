//! A double of the provider's REST interface that keeps its own state.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use cairn_shared::http::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    domain::Provider,
    provider::{Order, Payment, PaymentStatus, Refund, RefundStatus, Transport},
};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing wrong.
    None,
    /// It never arrives.
    Lost,
    /// It takes effect, and the answer is lost.
    LostAnswer,
    /// 500, and nothing happened.
    Failed,
    /// 200 with something that is no answer.
    Garbage,
    /// It takes effect only when another request comes.
    Late,
    /// It waits to be let on before it takes effect.
    Slow,
    /// It takes effect and waits to be let on with the answer.
    SlowAnswer,
}

#[derive(Default)]
pub struct State {
    pub orders: Vec<Order>,
    pub payments: Vec<Payment>,
    /// By idempotency key.
    pub refunds: BTreeMap<String, Refund>,
    /// What new refunds become; none: refused.
    pub refund_status: Option<RefundStatus>,
    /// Whether it lets two orders have a receipt.
    pub receipts_repeat: bool,
    /// Idempotency keys that it was sent.
    pub keys: std::collections::BTreeSet<String>,
    pub faults: VecDeque<Fault>,
    late: Vec<Request>,
    pub requests: Vec<String>,
}

#[derive(Clone)]
pub struct Double(pub Rc<RefCell<State>>, pub Rc<Gate>);

/// Where slow requests wait.
#[derive(Default)]
pub struct Gate {
    pub reached: Notify,
    pub open: Notify,
}

impl Gate {
    async fn pass(&self) {
        self.reached.notify_one();
        self.open.notified().await;
    }
}

impl Default for Double {
    fn default() -> Self {
        let state = State { refund_status: Some(RefundStatus::Processed), ..State::default() };
        Self(Rc::new(RefCell::new(state)), Rc::default())
    }
}

impl Double {
    /// What the next requests meet, in order.
    pub fn fault(&self, faults: &[Fault]) {
        self.0.borrow_mut().faults.extend(faults);
    }

    pub fn requests(&self, what: &str) -> usize {
        self.0.borrow().requests.iter().filter(|request| request.starts_with(what)).count()
    }

    /// A payment on an order, with the order's amount.
    pub fn pay(&self, order_id: &str, payment_id: &str, status: PaymentStatus) {
        let amount =
            self.0.borrow().orders.iter().find(|order| order.id == order_id).map_or(100_000, |order| order.amount);
        self.pay_amount(order_id, payment_id, status, amount);
    }

    pub fn pay_amount(&self, order_id: &str, payment_id: &str, status: PaymentStatus, amount: i64) {
        let failed = status == PaymentStatus::Failed;
        let payment = Payment {
            id: payment_id.into(),
            provider: Provider::Razorpay,
            order_id: Some(order_id.into()),
            amount,
            currency: "INR".into(),
            status,
            method: "upi".into(),
            amount_refunded: 0,
            error_code: failed.then(|| "BAD_REQUEST_ERROR".into()),
            error_description: failed.then(|| "The bank said no".into()),
        };
        let payments = &mut self.0.borrow_mut().payments;
        payments.retain(|known| known.id != payment_id);
        payments.push(payment);
    }

    /// A refund that staff make in the provider's dashboard, as far as there is money for it.
    pub fn refund_by_hand(&self, payment_id: &str, amount: i64) -> Option<Refund> {
        let mut state = self.0.borrow_mut();
        let payment = state.payments.iter_mut().find(|payment| payment.id == payment_id)?;
        if payment.amount_refunded + amount > payment.amount {
            return None;
        }
        payment.amount_refunded += amount;
        let refund = Refund {
            id: format!("rfnd_{}", state.refunds.len() + 1),
            provider: Provider::Razorpay,
            payment_id: payment_id.into(),
            amount,
            status: RefundStatus::Processed,
            notes: json!({}),
        };
        state.refunds.insert(refund.id.clone(), refund.clone());
        Some(refund)
    }

    pub fn payment(&self, id: &str) -> Payment {
        self.0.borrow().payments.iter().find(|payment| payment.id == id).unwrap().clone()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let path = request.path().trim_start_matches("http://provider/v1/").to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["orders"]) => self.make_order(&body),
            ("GET", ["orders"]) => {
                let receipt = request.query().trim_start_matches("receipt=");
                let found: Vec<_> =
                    self.orders.iter().filter(|order| order.receipt.as_deref() == Some(receipt)).collect();
                (200, json!({ "items": found }))
            }
            ("GET", ["orders", id, "payments"]) => {
                let found: Vec<_> =
                    self.payments.iter().filter(|payment| payment.order_id.as_deref() == Some(*id)).collect();
                (200, json!({ "items": found }))
            }
            ("GET", ["payments"]) => (200, json!({ "items": self.payments })),
            ("GET", ["refunds"]) => (200, json!({ "items": self.refunds.values().collect::<Vec<_>>() })),
            ("GET", ["payments", id]) => found(self.payments.iter().find(|payment| payment.id == *id)),
            ("GET", ["payments", id, "refunds"]) => {
                let found: Vec<_> = self.refunds.values().filter(|refund| refund.payment_id == *id).collect();
                (200, json!({ "items": found }))
            }
            ("POST", ["payments", id, "capture"]) => self.capture(id, &body),
            ("POST", ["payments", id, "refund"]) => self.make_refund(id, request, &body),
            ("GET", ["refunds", id]) => found(self.refunds.values().find(|refund| refund.id == *id)),
            other => panic!("the provider has no {other:?}"),
        }
    }

    fn make_order(&mut self, body: &Value) -> (u16, Value) {
        let receipt = body["receipt"].as_str().unwrap();
        assert!(receipt.len() <= 40 && body["payment_capture"] == 1);
        if !self.receipts_repeat && self.orders.iter().any(|order| order.receipt.as_deref() == Some(receipt)) {
            return refused("the receipt is taken");
        }
        let amount = body["amount"].as_i64().unwrap();
        let order = Order {
            id: format!("order_{}", self.orders.len() + 1),
            entity: "order".into(),
            amount,
            amount_paid: 0,
            amount_due: amount,
            currency: body["currency"].as_str().unwrap().into(),
            receipt: Some(receipt.into()),
            offer_id: None,
            status: "created".into(),
            attempts: 0,
            notes: body["notes"].clone(),
            created_at: 1_760_600_005,
            client_secret: None,
        };
        self.orders.push(order.clone());
        (200, json!(order))
    }

    fn capture(&mut self, payment_id: &str, body: &Value) -> (u16, Value) {
        let Some(payment) = self.payments.iter_mut().find(|payment| payment.id == payment_id) else {
            return refused("no payment");
        };
        if payment.status != PaymentStatus::Authorized || body["amount"] != payment.amount {
            return refused("not authorised for this amount");
        }
        payment.status = PaymentStatus::Captured;
        (200, json!(payment))
    }

    fn make_refund(&mut self, payment_id: &str, request: &Request, body: &Value) -> (u16, Value) {
        let key = request.header("x-refund-idempotency").unwrap().to_owned();
        assert!(key.len() >= 10);
        self.keys.insert(key.clone());
        if let Some(known) = self.refunds.get(&key) {
            return (200, json!(known));
        }
        let amount = body["amount"].as_i64().unwrap();
        let Some(payment) = self.payments.iter_mut().find(|payment| payment.id == payment_id) else {
            return refused("no payment");
        };
        let Some(status) = self.refund_status else { return refused("no refunds today") };
        if payment.amount_refunded + amount > payment.amount {
            return refused("more than the rest");
        }
        if status != RefundStatus::Failed {
            payment.amount_refunded += amount;
        }
        let refund = Refund {
            id: format!("rfnd_{}", self.refunds.len() + 1),
            provider: Provider::Razorpay,
            payment_id: payment_id.into(),
            amount,
            status,
            notes: body["notes"].clone(),
        };
        self.refunds.insert(key, refund.clone());
        (200, json!(refund))
    }
}

fn found<T: serde::Serialize>(record: Option<&T>) -> (u16, Value) {
    record.map_or_else(|| refused("no such id"), |record| (200, json!(record)))
}

fn refused(description: &str) -> (u16, Value) {
    (400, json!({ "error": { "code": "BAD_REQUEST_ERROR", "description": description } }))
}

#[cairn_shared::async_trait(?Send)]
impl Transport for Double {
    async fn send(&self, request: Request) -> Result<Response, String> {
        // Others may come in between, as on a real network.
        tokio::task::yield_now().await;
        assert_eq!(request.header("authorization"), Some("Basic cnpwX3Rlc3RfMTprZXktc2VjcmV0"));
        let fault = self.0.borrow_mut().note(&request);
        if fault == Fault::Slow {
            self.1.pass().await;
        }
        let answer = self.0.borrow_mut().meet(fault, request);
        if fault == Fault::SlowAnswer {
            self.1.pass().await;
        }
        answer.map(|(status, body)| Response::json(status, &body))
    }
}

impl State {
    fn note(&mut self, request: &Request) -> Fault {
        self.requests.push(format!("{} {}", request.method, request.target.trim_start_matches("http://provider/v1")));
        self.faults.pop_front().unwrap_or(Fault::None)
    }

    fn meet(&mut self, fault: Fault, request: Request) -> Result<(u16, Value), String> {
        let answer = match fault {
            Fault::Lost => Err("connection refused".into()),
            Fault::Late => {
                self.late.push(request);
                return Err("timed out".into());
            }
            Fault::Failed => Ok((500, json!({}))),
            Fault::Garbage => Ok((200, json!("<html>"))),
            Fault::None | Fault::Slow | Fault::SlowAnswer => Ok(self.answer(&request)),
            Fault::LostAnswer => {
                self.answer(&request);
                Err("connection reset".into())
            }
        };
        for late in std::mem::take(&mut self.late) {
            self.answer(&late);
        }
        answer
    }
}
