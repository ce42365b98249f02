//! Pages for people: the list of orders, and a checkout with two buttons. Plain HTML, nothing
//! is loaded from elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::Shared;
use super::entity::{Order, OrderStatus};
use super::ledger::{Attempt, Outcome};
use crate::doubles::http::{Call, escape, html};

/// Orders shown in the list, the newest ones.
const ORDERS_SHOWN_MAX: usize = 200;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccc}\
button{font:inherit;padding:.5rem 1.2rem;margin-right:.6rem}pre{background:#f3f3f3;padding:1rem;overflow:auto}";

/// `GET /`.
pub(super) fn orders(shared: &Shared) -> Response<Full<Bytes>> {
    let rows: String = shared.account().ledger.orders().iter().rev().take(ORDERS_SHOWN_MAX).map(row).collect();
    let body = format!(
        "<h1>Payment provider (double)</h1><p>Nothing here costs money.</p>\
         <table><tr><th>Order</th><th>Receipt</th><th>Amount</th><th>Status</th></tr>{rows}</table>"
    );
    page(StatusCode::OK, "Orders", &body)
}

fn row(order: &Order) -> String {
    format!(
        "<tr><td><a href=\"/pay/{id}\">{id}</a></td><td>{receipt}</td><td>{amount}</td><td>{status}</td></tr>",
        id = escape(&order.id),
        receipt = escape(order.receipt.as_deref().unwrap_or("")),
        amount = money(order),
        status = status_text(order.status),
    )
}

/// `GET /pay/:order_id` shows the checkout, `POST` with `outcome=captured|failed` pays or fails.
pub(super) fn checkout(shared: &Arc<Shared>, call: &Call, order_id: &str) -> Response<Full<Bytes>> {
    let Ok(order) = shared.account().ledger.order(order_id).cloned() else {
        return page(
            StatusCode::NOT_FOUND,
            "Unknown order",
            "<h1>Unknown order</h1><p><a href=\"/\">All orders</a></p>",
        );
    };
    if call.method != Method::POST {
        return page(StatusCode::OK, "Checkout", &checkout_form(&order));
    }
    let outcome = form_urlencoded::parse(&call.body).find(|(name, _)| name == "outcome").and_then(|(_, value)| {
        match value.as_ref() {
            "captured" => Some(Outcome::Captured),
            "failed" => Some(Outcome::Failed),
            _ => None,
        }
    });
    let Some(outcome) = outcome else {
        return page(StatusCode::BAD_REQUEST, "Checkout", "<h1>Pay or fail?</h1>");
    };
    match shared.pay(order_id, Attempt::new(outcome)) {
        Err(refusal) => {
            let text = escape(&format!("{refusal:?}"));
            page(StatusCode::BAD_REQUEST, "Refused", &format!("<h1>Refused</h1><p>{text}</p>"))
        }
        Ok(_) if outcome == Outcome::Failed => page(
            StatusCode::OK,
            "Failed",
            &format!("<h1>Payment failed</h1><p><a href=\"/pay/{order_id}\">Try again</a></p>"),
        ),
        Ok(paid) => {
            // Built by hand so that a person sees the fields in the order of the documentation.
            let fields = format!(
                "{{\n  \"razorpay_order_id\": \"{}\",\n  \"razorpay_payment_id\": \"{}\",\n  \"razorpay_signature\": \"{}\"\n}}",
                paid.order_id, paid.payment_id, paid.signature
            );
            let body = format!(
                "<h1>Paid {}</h1><p>This is what the checkout hands to the client, which posts it to \
                 <code>/payments/verify</code>. The webhook is on its way.</p><pre>{}</pre><p><a href=\"/\">All orders</a></p>",
                money(&order),
                escape(&fields)
            );
            page(StatusCode::OK, "Paid", &body)
        }
    }
}

fn checkout_form(order: &Order) -> String {
    let head = format!(
        "<h1>{}</h1><p>Order <code>{}</code>, receipt <code>{}</code>: {}.</p>",
        money(order),
        escape(&order.id),
        escape(order.receipt.as_deref().unwrap_or("none")),
        status_text(order.status),
    );
    if order.status == OrderStatus::Paid {
        return head;
    }
    format!(
        "{head}<form method=\"post\"><button name=\"outcome\" value=\"captured\">Pay</button>\
         <button name=\"outcome\" value=\"failed\">Fail</button></form>"
    )
}

fn status_text(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Created => "created",
        OrderStatus::Attempted => "attempted",
        OrderStatus::Paid => "paid",
    }
}

fn money(order: &Order) -> String {
    format!("{} {}.{:02}", escape(&order.currency), order.amount / 100, order.amount % 100)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Full<Bytes>> {
    html(
        status,
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>{body}</html>"
        ),
    )
}
