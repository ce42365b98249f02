//! The double is as strict as the real one where it matters.

use super::*;
use crate::client::Reply;

struct Shop {
    stripe: Stripe,
    client: Client,
}

impl Shop {
    async fn start() -> Self {
        let stripe = Stripe::start("127.0.0.1:0").await.unwrap();
        stripe.set_faults(Faults { lose_webhooks: Budget::Always, ..Faults::default() });
        let client = Client::new(stripe.base_url()).with_header("authorization", "Bearer sk_test_double");
        Self { stripe, client }
    }

    async fn post(&self, path: &str, key: &str, form: &str) -> Reply {
        let client = self.client.with_header("idempotency-key", key);
        let kind = Some("application/x-www-form-urlencoded");
        client.send(Method::POST, &format!("/v1/{path}"), kind, form.to_owned().into()).await.unwrap()
    }

    async fn intent(&self) -> String {
        let made = self.post("payment_intents", "order_1", "amount=5000&currency=inr&metadata[a]=b").await;
        assert_eq!((made.status.as_u16(), &made.json["metadata"]["a"]), (200, &json!("b")));
        made.json["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_key_has_one_answer_and_one_question() {
    let shop = Shop::start().await;
    let id = shop.intent().await;
    assert_eq!(shop.intent().await, id);
    let other = shop.post("payment_intents", "order_1", "amount=6000&currency=inr").await;
    assert_eq!((other.status.as_u16(), &other.json["error"]["type"]), (400, &json!("idempotency_error")));
    let stranger = Client::new(shop.stripe.base_url());
    assert_eq!(stranger.get("/v1/charges").await.unwrap().status.as_u16(), 401);
}

#[tokio::test]
async fn an_intent_is_paid_once_and_never_refunded_beyond_what_was_taken() {
    let shop = Shop::start().await;
    let id = shop.intent().await;
    shop.stripe.pay(&id, Outcome::Fails).unwrap();
    let charge = shop.stripe.pay(&id, Outcome::Succeeds).unwrap();
    assert!(shop.stripe.pay(&id, Outcome::Succeeds).is_err());
    let listed = shop.client.get(&format!("/v1/charges?payment_intent={id}")).await.unwrap();
    assert_eq!(listed.json["data"].as_array().unwrap().len(), 2);
    assert_eq!(listed.json["data"][0]["captured"], true);
    assert_eq!(shop.post("refunds", "r1", &format!("charge={charge}&amount=3000")).await.status.as_u16(), 200);
    let refused = shop.post("refunds", "r2", &format!("charge={charge}&amount=3000")).await;
    assert_eq!((refused.status.as_u16(), &refused.json["error"]["code"]), (400, &json!("charge_already_refunded")));
}

#[tokio::test]
async fn what_is_authorised_is_taken_or_let_go() {
    let shop = Shop::start().await;
    let id = shop.intent().await;
    shop.stripe.pay(&id, Outcome::Authorises).unwrap();
    let taken = shop.post(&format!("payment_intents/{id}/capture"), "c", "").await;
    assert_eq!((&taken.json["status"], &taken.json["amount_received"]), (&json!("succeeded"), &json!(5000)));
    assert_eq!(shop.post(&format!("payment_intents/{id}/cancel"), "x", "").await.status.as_u16(), 400);
}

#[tokio::test]
async fn lists_go_on_after_their_last_item() {
    let shop = Shop::start().await;
    for nth in 0..3 {
        let made = shop.post("payment_intents", &format!("k{nth}"), "amount=100&currency=inr").await;
        shop.stripe.pay(made.json["id"].as_str().unwrap(), Outcome::Succeeds).unwrap();
    }
    let first = shop.client.get("/v1/charges?limit=2").await.unwrap().json;
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let last = first["data"][1]["id"].as_str().unwrap();
    let second = shop.client.get(&format!("/v1/charges?limit=2&starting_after={last}")).await.unwrap().json;
    assert_eq!((second["data"].as_array().unwrap().len(), &second["has_more"]), (1, &json!(false)));
}
