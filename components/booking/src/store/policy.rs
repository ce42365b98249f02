//! Refund policies of treks, version by version.

use cairn_shared::{DbError, Id, Sql, Timestamp, Tx, params};

use crate::domain::{RefundPolicy, Tier};

/// The policy that a trek's next booking is made under; none when it has none of its own.
pub async fn refund_policy_fetch(sql: &impl Sql, trek_id: Id) -> Result<Option<RefundPolicy>, DbError> {
    let select = "SELECT version, tiers FROM refund_policies WHERE trek_id = $1 ORDER BY version DESC LIMIT 1";
    let row = sql.query_opt(select, params![trek_id]).await?;
    row.map(|row| Ok(RefundPolicy { id: trek_id.to_string(), version: row.get("version")?, tiers: row.json("tiers")? }))
        .transpose()
}

/// Stores the next version of a trek's policy.
pub async fn refund_policy_insert(
    tx: &Tx,
    trek_id: Id,
    tiers: &[Tier],
    created_by: Id,
    now: Timestamp,
) -> Result<RefundPolicy, DbError> {
    let before = refund_policy_fetch(tx, trek_id).await?.map_or(0, |policy| policy.version);
    let policy = RefundPolicy { id: trek_id.to_string(), version: before + 1, tiers: tiers.to_vec() };
    let text = serde_json::to_string(tiers).map_err(|error| DbError::Other(error.to_string()))?;
    let insert =
        "INSERT INTO refund_policies (trek_id, version, tiers, created_by, created_at) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(insert, params![trek_id, policy.version, text, created_by, now]).await?;
    Ok(policy)
}
