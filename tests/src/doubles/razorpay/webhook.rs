//! Sends webhooks: what one act caused goes out in order, what different acts caused side by
//! side, and a refused one is retried with back-off. At least once and unordered, as the real
//! ones.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::Shared;
use super::account::{DeliveryState, Prepared};
use crate::client::Client;

/// How long a receiver may take to answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends what comes in until the sender is gone. Dropping the future stops every delivery.
pub(super) async fn dispatch(shared: Arc<Shared>, mut outbox: UnboundedReceiver<Vec<Prepared>>) {
    let client = Client::new("").with_timeout(ANSWER_TIMEOUT);
    let mut batches = JoinSet::new();
    loop {
        tokio::select! {
            batch = outbox.recv() => match batch {
                Some(batch) => {
                    batches.spawn(batch_deliver(Arc::clone(&shared), client.clone(), batch));
                }
                None => return,
            },
            Some(_) = batches.join_next() => {}
        }
    }
}

async fn batch_deliver(shared: Arc<Shared>, client: Client, batch: Vec<Prepared>) {
    let mut retries = JoinSet::new();
    for webhook in batch {
        tokio::time::sleep_until(webhook.not_before).await;
        let mut accepted = false;
        for _ in 0..webhook.copies {
            accepted |= attempt(&shared, &client, &webhook).await;
        }
        if accepted {
            conclude(&shared, &webhook, DeliveryState::Delivered);
        } else {
            retries.spawn(retry(Arc::clone(&shared), client.clone(), webhook));
        }
    }
    while retries.join_next().await.is_some() {}
}

async fn retry(shared: Arc<Shared>, client: Client, webhook: Prepared) {
    let schedule = shared.account().settings.webhook_retry_after.clone();
    for wait in schedule {
        tokio::time::sleep(wait).await;
        if shared.account().delivery_mut(&webhook.event_id).is_none() {
            return;
        }
        if attempt(&shared, &client, &webhook).await {
            conclude(&shared, &webhook, DeliveryState::Delivered);
            return;
        }
    }
    conclude(&shared, &webhook, DeliveryState::Failed);
}

/// One POST; `true` if the receiver took it.
async fn attempt(shared: &Shared, client: &Client, webhook: &Prepared) -> bool {
    let url = shared.account().settings.webhook_url.clone();
    let reply = client
        .with_header("x-razorpay-signature", &webhook.signature)
        .with_header("x-razorpay-event-id", &webhook.event_id)
        .with_header("user-agent", "Razorpay-Webhook/v1")
        .send(Method::POST, &url, Some("application/json"), webhook.body.clone())
        .await;
    // An unreachable receiver is an ordinary thing for a webhook: it shows as an attempt
    // without a status.
    let status = reply.ok().map(|reply| reply.status);
    if let Some(delivery) = shared.account().delivery_mut(&webhook.event_id) {
        delivery.attempts += 1;
        delivery.last_status = status.map(|status| status.as_u16());
    }
    status.is_some_and(|status| status.is_success())
}

fn conclude(shared: &Shared, webhook: &Prepared, state: DeliveryState) {
    if let Some(delivery) = shared.account().delivery_mut(&webhook.event_id) {
        delivery.state = state;
    }
    shared.settled.notify_waiters();
}
