//! The door for tests and demos under `/_ctl`: what customers, banks and bad luck do.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::api::refused;
use super::entity::RefundStatus;
use super::faults::Faults;
use super::ledger::{Attempt, Outcome, Refusal};
use crate::doubles::http::{Call, json as respond};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayBody {
    order_id: String,
    status: Outcome,
    amount: Option<i64>,
    currency: Option<String>,
    method: Option<String>,
    #[serde(default)]
    again: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettleBody {
    status: Settled,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Settled {
    Processed,
    Failed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsBody {
    webhook_url: Option<String>,
    webhook_secret: Option<String>,
}

/// Answers a call under `/_ctl`; `segments` is the path behind it.
pub(super) fn answer(shared: &Arc<Shared>, call: &Call, segments: &[&str]) -> Response<Full<Bytes>> {
    match act(shared, call, segments) {
        Ok(Some(body)) => respond(StatusCode::OK, &body),
        Ok(None) => respond(StatusCode::NOT_FOUND, &json!({ "error": { "description": "No such control." } })),
        Err(refusal) => refused(&refusal),
    }
}

/// `None` for an unknown URL.
fn act(shared: &Arc<Shared>, call: &Call, segments: &[&str]) -> Result<Option<Value>, Refusal> {
    let body = match (&call.method, segments) {
        (&Method::POST, ["payments"]) => {
            let ask: PayBody = parse(call)?;
            let default = Attempt::new(ask.status);
            let attempt = Attempt {
                outcome: ask.status,
                amount: ask.amount,
                currency: ask.currency,
                method: ask.method.unwrap_or(default.method),
                again: ask.again,
            };
            json!(shared.pay(&ask.order_id, attempt)?)
        }
        (&Method::POST, ["payments", id, "authorize"]) => shared.authorize_late(id)?,
        (&Method::POST, ["payments", id, "fail"]) => shared.fail_late(id)?,
        (&Method::POST, ["payments", id, "capture"]) => shared.capture_late(id)?,
        (&Method::POST, ["refunds", id]) => {
            let status = match parse::<SettleBody>(call)?.status {
                Settled::Processed => RefundStatus::Processed,
                Settled::Failed => RefundStatus::Failed,
            };
            shared.refund_settle(id, status)?
        }
        (&Method::POST, ["faults"]) => {
            let faults: Faults = parse(call)?;
            shared.account().faults = faults.clone();
            json!(faults)
        }
        (&Method::DELETE, ["faults"]) => {
            shared.account().faults = Faults::default();
            json!(Faults::default())
        }
        (&Method::GET, ["state"]) => shared.account().state(),
        (&Method::POST, ["webhooks", "flush"]) => json!({ "released": shared.flush() }),
        (&Method::POST, ["settings"]) => {
            let ask: SettingsBody = parse(call)?;
            let mut account = shared.account();
            if let Some(url) = ask.webhook_url {
                account.settings.webhook_url = url;
            }
            if let Some(secret) = ask.webhook_secret {
                account.settings.webhook_secret = secret;
            }
            json!({ "webhook_url": account.settings.webhook_url })
        }
        (&Method::POST, ["reset"]) => {
            shared.reset();
            json!({})
        }
        _ => return Ok(None),
    };
    Ok(Some(body))
}

fn parse<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, Refusal> {
    serde_json::from_slice(&call.body).map_err(|error| Refusal::invalid(error.to_string()))
}
