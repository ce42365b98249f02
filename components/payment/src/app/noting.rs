//! What the audit is told of money, of vouchers and of promo codes.

use cairn_shared::{
    DbError, Id, Tx,
    audit::{self, Change},
};
use serde_json::{Value, json};

use super::App;
use crate::domain::{Payment, Promo, Refund, RefundStatus, Voucher};

impl App {
    /// Notes money that came. About the booking that it is for, where there is one.
    pub(super) async fn note_payment(
        &self,
        tx: &Tx,
        payment: &Payment,
        action: &str,
        actor: Option<String>,
    ) -> Result<(), DbError> {
        let after = json!({
            "payment": payment.id,
            "order": payment.order_id,
            "provider": payment.provider.as_str(),
            "kind": payment.kind,
            "amount": payment.amount,
            "surplus": payment.surplus,
            "currency": payment.currency,
            "method": payment.method,
            "problem": payment.problem.map(|problem| problem.as_str()),
        });
        let subject = subject(payment.booking_id, &payment.id);
        self.note(tx, Change::new(action, subject, Value::Null, after), actor).await
    }

    /// Notes how a refund stands that stood otherwise before.
    pub(super) async fn note_refund_change(
        &self,
        tx: &Tx,
        refund: &Refund,
        before: Option<RefundStatus>,
        actor: Option<String>,
    ) -> Result<(), DbError> {
        let told = |status: RefundStatus| {
            json!({
                "refund": refund.id,
                "payment": refund.payment_id,
                "amount": refund.amount,
                "reason": refund.reason,
                "request": refund.request_key,
                "status": status.as_str(),
                "retries": refund.retries,
                "paidOut": refund.paid_out.map(|method| method.as_str()),
            })
        };
        let before = before.map_or(Value::Null, told);
        let action = format!("refund.{}", refund.status.as_str());
        let subject = subject(refund.booking_id, &refund.payment_id);
        self.note(tx, Change::new(action, subject, before, told(refund.status)), actor).await
    }

    /// Notes what became of a voucher; its code is a secret. About the booking whose money
    /// it was, where there is one.
    pub(super) async fn note_voucher(
        &self,
        tx: &Tx,
        action: &str,
        before: Option<&Voucher>,
        after: &Voucher,
        actor: Option<String>,
    ) -> Result<(), DbError> {
        let told = |voucher: &Voucher| {
            json!({
                "voucher": voucher.id,
                "code": voucher.code.hint(),
                "kind": voucher.kind,
                "amount": voucher.amount,
                "bonus": voucher.bonus,
                "owner": voucher.owner_id,
                "reason": voucher.reason,
                "expiresAt": voucher.expires_at,
                "balance": voucher.balance,
                "voided": voucher.voided.as_ref().map(|voided| &voided.reason),
            })
        };
        let subject = subject(after.booking_id, &after.id.to_string());
        let before = before.map_or(Value::Null, told);
        self.note(tx, Change::new(action, subject, before, told(after)), actor).await
    }

    /// Notes what became of a promo code.
    pub(super) async fn note_promo(
        &self,
        tx: &Tx,
        id: Id,
        before: Option<&Promo>,
        after: Option<&Promo>,
    ) -> Result<(), DbError> {
        let action = match (before, after) {
            (None, _) => "promo.create",
            (Some(_), Some(_)) => "promo.change",
            (Some(_), None) => "promo.delete",
        };
        let told = |promo: Option<&Promo>| promo.map_or(Value::Null, promo_value);
        self.note(tx, Change::new(action, id, told(before), told(after)), None).await
    }

    async fn note(&self, tx: &Tx, change: Change, actor: Option<String>) -> Result<(), DbError> {
        let change = match actor {
            Some(actor) => change.by(actor),
            None => change,
        };
        audit::note(tx, &self.env, change).await
    }
}

fn subject(booking_id: Option<Id>, payment_id: &str) -> String {
    booking_id.map_or_else(|| payment_id.to_owned(), |id| id.to_string())
}

fn promo_value(promo: &Promo) -> Value {
    json!({
        "code": promo.code,
        "discountType": promo.discount_type.as_str(),
        "discountValue": promo.discount_value,
        "maxUses": promo.max_uses,
        "maxUsesPerUser": promo.max_uses_per_user,
        "validFrom": promo.valid_from,
        "validUntil": promo.valid_until,
        "minOrderValue": promo.min_order_value,
        "applicableTreks": promo.applicable_treks,
        "isActive": promo.is_active,
    })
}
