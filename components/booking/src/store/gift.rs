//! Vouchers that are bought for somebody.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, page::Page, params};

use crate::domain::{Gift, GiftStatus};

const GIFT: &str =
    "SELECT id, buyer_id, status, amount, card, deliver_at, mailed_at, payment_id, created_at, pay_until FROM gifts";

fn gift(row: &Row) -> Result<Gift, DbError> {
    let status: String = row.get("status")?;
    let status =
        GiftStatus::parse(&status).ok_or_else(|| DbError::Column { column: "status".into(), problem: status })?;
    Ok(Gift {
        id: row.get("id")?,
        buyer_id: row.get("buyer_id")?,
        status,
        amount: row.get("amount")?,
        card: row.json("card")?,
        deliver_at: row.get("deliver_at")?,
        mailed_at: row.get("mailed_at")?,
        payment_id: row.get("payment_id")?,
        created_at: row.get("created_at")?,
        pay_until: row.get("pay_until")?,
    })
}

pub async fn gift_insert(tx: &Tx, gift: &Gift) -> Result<(), DbError> {
    let insert = "INSERT INTO gifts (id, buyer_id, status, amount, card, deliver_at, created_at, pay_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let card = serde_json::to_string(&gift.card).map_err(|error| DbError::Other(error.to_string()))?;
    let status = gift.status.as_str();
    let values =
        params![gift.id, gift.buyer_id, status, gift.amount, card, gift.deliver_at, gift.created_at, gift.pay_until];
    tx.execute(insert, values).await
}

pub async fn gift_fetch(sql: &impl Sql, id: Id) -> Result<Option<Gift>, DbError> {
    let select = [GIFT, " WHERE id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map(gift).transpose()
}

pub async fn gift_list_of_buyer(sql: &impl Sql, buyer_id: Id, limit: i64) -> Result<Vec<Gift>, DbError> {
    let select = [GIFT, " WHERE buyer_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"].concat();
    sql.query(&select, params![buyer_id, limit]).await?.iter().map(gift).collect()
}

/// Gifts, newest first, and how many there are.
pub async fn gift_page(sql: &impl Sql, page: Page) -> Result<(Vec<Gift>, i64), DbError> {
    let select = [GIFT, " ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2"].concat();
    let found: Result<Vec<_>, DbError> =
        sql.query(&select, params![i64::from(page.limit), page.offset()]).await?.iter().map(gift).collect();
    Ok((found?, sql.query_one("SELECT COUNT(*) AS n FROM gifts", params![]).await?.get("n")?))
}

/// Gifts of which something is to be done now: oldest first.
pub async fn gift_list_due(sql: &impl Sql, now: Timestamp, limit: i64) -> Result<Vec<Gift>, DbError> {
    let select = [
        GIFT,
        " WHERE status = 'paid' OR status = 'returning' OR (status = 'open' AND pay_until <= $1) \
          OR (status = 'issued' AND mailed_at IS NULL AND deliver_at <= $2) ORDER BY created_at, id LIMIT $3",
    ];
    sql.query(&select.concat(), params![now, now, limit]).await?.iter().map(gift).collect()
}

/// Notes that a gift is paid; also one that nobody had paid in time.
pub async fn gift_pay(tx: &Tx, id: Id, payment_id: &str) -> Result<bool, DbError> {
    let update = "UPDATE gifts SET status = 'paid', payment_id = $1 WHERE id = $2 AND status IN ('open', 'expired')";
    Ok(tx.affected(update, params![payment_id, id]).await? == 1)
}

/// Moves a gift on, if it still is where it was.
pub async fn gift_move(sql: &impl Sql, id: Id, from: GiftStatus, to: GiftStatus) -> Result<bool, DbError> {
    let update = "UPDATE gifts SET status = $1 WHERE id = $2 AND status = $3";
    Ok(sql.affected(update, params![to.as_str(), id, from.as_str()]).await? == 1)
}

pub async fn gift_mailed(sql: &impl Sql, id: Id, now: Timestamp) -> Result<(), DbError> {
    sql.execute("UPDATE gifts SET mailed_at = $1 WHERE id = $2 AND mailed_at IS NULL", params![now, id]).await
}
