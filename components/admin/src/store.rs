//! All SQL of the admin service.

use cairn_shared::{DbError, Id, Paise, Row, Sql, Timestamp, Tx, db::Value, params};

use crate::domain::{
    BatchChanged, BookingChanged, Count, PaymentCaptured, PaymentRefunded, RecentBooking, RegionChanged, Sale,
    Selection, TrekChanged, UpcomingBatch, UserRegistered,
};

/// Treks that everybody may book.
const PUBLIC_TREK: &str = "t.enabled = 1 AND t.custom = 0 AND t.deleted = 0";

/// Bookings that exist for people: the others are being made, or never were paid.
const PUBLIC_BOOKING: &str = "b.status NOT IN ('creating', 'expired', 'deleted')";

/// Money of a booking: captured minus given back.
const REVENUE: &str = "COALESCE((SELECT SUM(c.amount) FROM captures c WHERE c.booking_id = b.id), 0) \
     - COALESCE((SELECT SUM(r.amount) FROM refunds r WHERE r.booking_id = b.id AND r.status = 'success'), 0)";

/// Bookings that count as sold; a cancelled one does if money came in for it.
const SOLD: &str = "(b.status IN ('payment_completed', 'payment_confirmed_partial', 'confirmed', 'trek_completed') \
     OR (b.status = 'cancelled' AND EXISTS (SELECT 1 FROM captures c WHERE c.booking_id = b.id)))";

pub async fn user_save(tx: &Tx, user: &UserRegistered) -> Result<(), DbError> {
    let insert = "INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
    tx.execute(insert, params![user.user_id, &user.name, user.created_at]).await
}

pub async fn trek_save(tx: &Tx, trek: &TrekChanged) -> Result<(), DbError> {
    let upsert = "INSERT INTO treks (id, name, region_name, season, enabled, custom, deleted, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                  ON CONFLICT (id) DO UPDATE SET name = excluded.name, region_name = excluded.region_name, season = excluded.season, \
                  enabled = excluded.enabled, custom = excluded.custom, deleted = excluded.deleted, version = excluded.version \
                  WHERE treks.version < excluded.version";
    tx.execute(
        upsert,
        params![
            trek.trek_id,
            &trek.name,
            &trek.region_name,
            &trek.season,
            trek.enabled,
            trek.custom,
            trek.deleted,
            trek.version
        ],
    )
    .await
}

pub async fn region_save(tx: &Tx, region: &RegionChanged) -> Result<(), DbError> {
    let upsert = "INSERT INTO regions (id, name, deleted, version) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (id) DO UPDATE SET name = excluded.name, deleted = excluded.deleted, version = excluded.version \
                  WHERE regions.version < excluded.version";
    tx.execute(upsert, params![region.region_id, &region.name, region.deleted, region.version]).await
}

pub async fn batch_save(tx: &Tx, batch: &BatchChanged) -> Result<(), DbError> {
    let upsert = "INSERT INTO batches (id, trek_id, start_date, end_date, cancelled, version) VALUES ($1, $2, $3, $4, $5, $6) \
                  ON CONFLICT (id) DO UPDATE SET trek_id = excluded.trek_id, start_date = excluded.start_date, \
                  end_date = excluded.end_date, cancelled = excluded.cancelled, version = excluded.version \
                  WHERE batches.version < excluded.version";
    tx.execute(
        upsert,
        params![batch.batch_id, batch.trek_id, batch.start_date, batch.end_date, batch.cancelled, batch.version],
    )
    .await
}

pub async fn booking_save(tx: &Tx, booking: &BookingChanged) -> Result<(), DbError> {
    let upsert = "INSERT INTO bookings (id, user_id, user_name, trek_id, trek_name, batch_id, status, number_of_participants, total, \
                  created_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                  ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, user_name = excluded.user_name, trek_id = excluded.trek_id, \
                  trek_name = excluded.trek_name, batch_id = excluded.batch_id, status = excluded.status, \
                  number_of_participants = excluded.number_of_participants, total = excluded.total, created_at = excluded.created_at, \
                  version = excluded.version WHERE bookings.version < excluded.version";
    tx.execute(
        upsert,
        params![
            booking.booking_id,
            booking.user_id,
            &booking.user_name,
            booking.trek_id,
            &booking.trek_name,
            booking.batch_id,
            &booking.status,
            booking.number_of_participants,
            booking.total,
            booking.created_at,
            booking.version
        ],
    )
    .await
}

pub async fn capture_save(tx: &Tx, capture: &PaymentCaptured) -> Result<(), DbError> {
    let insert = "INSERT INTO captures (payment_id, booking_id, amount, captured_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (payment_id) DO NOTHING";
    tx.execute(insert, params![&capture.payment_id, capture.booking_id, capture.amount, capture.captured_at]).await
}

/// Notes where a refund stands. One that succeeded stays so; otherwise the latest word counts.
pub async fn refund_save(tx: &Tx, refund: &PaymentRefunded) -> Result<(), DbError> {
    let upsert = "INSERT INTO refunds (refund_id, booking_id, amount, status, changed_at) VALUES ($1, $2, $3, $4, $5) \
                  ON CONFLICT (refund_id) DO UPDATE SET amount = excluded.amount, status = excluded.status, changed_at = excluded.changed_at \
                  WHERE refunds.status <> 'success' AND (excluded.status = 'success' OR refunds.changed_at <= excluded.changed_at)";
    tx.execute(upsert, params![&refund.refund_id, refund.booking_id, refund.amount, refund.status.as_str(), refund.at])
        .await
}

async fn count(sql: &impl Sql, select: &str, values: Vec<Value>) -> Result<i64, DbError> {
    sql.query_one(select, values).await?.get("n")
}

/// Public treks.
pub async fn trek_count(sql: &impl Sql) -> Result<i64, DbError> {
    count(sql, &format!("SELECT COUNT(*) AS n FROM treks t WHERE {PUBLIC_TREK}"), params![]).await
}

pub async fn user_count(sql: &impl Sql) -> Result<i64, DbError> {
    count(sql, "SELECT COUNT(*) AS n FROM users", params![]).await
}

pub async fn region_count(sql: &impl Sql) -> Result<i64, DbError> {
    count(sql, "SELECT COUNT(*) AS n FROM regions WHERE deleted = 0", params![]).await
}

pub async fn booking_count(sql: &impl Sql) -> Result<i64, DbError> {
    count(sql, &format!("SELECT COUNT(*) AS n FROM bookings b WHERE {PUBLIC_BOOKING}"), params![]).await
}

/// Treks with a batch that is under way today.
pub async fn trek_count_ongoing(sql: &impl Sql, today: Timestamp) -> Result<i64, DbError> {
    let select = "SELECT COUNT(DISTINCT b.trek_id) AS n FROM batches b JOIN treks t ON t.id = b.trek_id \
                  WHERE t.deleted = 0 AND b.cancelled = 0 AND b.start_date <= $1 AND b.end_date >= $2";
    count(sql, select, params![today, today]).await
}

/// All money captured minus all money given back.
pub async fn revenue(sql: &impl Sql) -> Result<Paise, DbError> {
    let select = "SELECT COALESCE((SELECT SUM(amount) FROM captures), 0) \
                  - COALESCE((SELECT SUM(amount) FROM refunds WHERE status = 'success'), 0) AS revenue";
    sql.query_one(select, params![]).await?.get("revenue")
}

/// Public treks by season.
pub async fn season_list(sql: &impl Sql) -> Result<Vec<Count>, DbError> {
    let select = format!(
        "SELECT t.season AS name, COUNT(*) AS n FROM treks t WHERE {PUBLIC_TREK} GROUP BY t.season ORDER BY name"
    );
    counts(sql, &select).await
}

/// Public treks by the name of their region, most first.
pub async fn region_list(sql: &impl Sql) -> Result<Vec<Count>, DbError> {
    let select = format!(
        "SELECT t.region_name AS name, COUNT(*) AS n FROM treks t WHERE {PUBLIC_TREK} AND t.region_name <> '' \
         GROUP BY t.region_name ORDER BY n DESC, name"
    );
    counts(sql, &select).await
}

async fn counts(sql: &impl Sql, select: &str) -> Result<Vec<Count>, DbError> {
    let count = |row: &Row| Ok(Count { name: row.get("name")?, count: row.get("n")? });
    sql.query(select, params![]).await?.iter().map(count).collect()
}

/// The newest bookings.
pub async fn booking_list_newest(sql: &impl Sql, limit: u32) -> Result<Vec<RecentBooking>, DbError> {
    let select = format!(
        "SELECT b.id, b.user_id, b.user_name, b.trek_id, b.trek_name, b.total, b.status, b.number_of_participants, b.created_at \
         FROM bookings b WHERE {PUBLIC_BOOKING} ORDER BY b.created_at DESC, b.id DESC LIMIT $1"
    );
    let booking = |row: &Row| {
        Ok(RecentBooking {
            id: row.get("id")?,
            user_id: row.get("user_id")?,
            user_name: row.get("user_name")?,
            trek_id: row.get("trek_id")?,
            trek_name: row.get("trek_name")?,
            total: row.get("total")?,
            status: row.get("status")?,
            number_of_participants: row.get("number_of_participants")?,
            created_at: row.get("created_at")?,
        })
    };
    sql.query(&select, params![limit]).await?.iter().map(booking).collect()
}

/// Batches of public treks that start within these days, by start date.
pub async fn batch_list_upcoming(
    sql: &impl Sql,
    first: Timestamp,
    last: Timestamp,
    limit: u32,
) -> Result<Vec<UpcomingBatch>, DbError> {
    let select = format!(
        "SELECT b.id, b.trek_id, t.name, b.start_date FROM batches b JOIN treks t ON t.id = b.trek_id \
         WHERE {PUBLIC_TREK} AND b.cancelled = 0 AND b.start_date >= $1 AND b.start_date <= $2 ORDER BY b.start_date, b.id LIMIT $3"
    );
    let batch = |row: &Row| {
        Ok(UpcomingBatch {
            id: row.get("id")?,
            trek_id: row.get("trek_id")?,
            trek_name: row.get("name")?,
            start_date: row.get("start_date")?,
        })
    };
    sql.query(&select, params![first, last, limit]).await?.iter().map(batch).collect()
}

/// Bookings of a selection that count as sold, oldest first.
pub async fn sale_list(sql: &impl Sql, selection: &Selection) -> Result<Vec<Sale>, DbError> {
    let (mut condition, mut values) = (SOLD.to_owned(), Vec::new());
    let mut and = |text: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            condition.push_str(&format!(" AND {text} ${}", values.len()));
        }
    };
    and("b.created_at >=", selection.range.from.map(Into::into));
    and("b.created_at <", selection.range.before.map(Into::into));
    and("b.trek_id =", selection.trek_id.map(Into::into));
    and("b.batch_id =", selection.batch_id.map(Into::into));
    let select = format!(
        "SELECT b.trek_id, COALESCE(t.name, b.trek_name) AS trek_name, t.region_name, d.id AS batch_id, d.start_date, \
         b.number_of_participants, b.created_at, {REVENUE} AS revenue \
         FROM bookings b LEFT JOIN treks t ON t.id = b.trek_id LEFT JOIN batches d ON d.id = b.batch_id \
         WHERE {condition} ORDER BY b.created_at, b.id"
    );
    sql.query(&select, values).await?.iter().map(sale).collect()
}

fn sale(row: &Row) -> Result<Sale, DbError> {
    let batch_id: Option<Id> = row.get("batch_id")?;
    Ok(Sale {
        trek_id: row.get("trek_id")?,
        trek_name: row.get("trek_name")?,
        region: row.get::<Option<String>>("region_name")?.filter(|name| !name.is_empty()),
        batch: batch_id.zip(row.get("start_date")?),
        participants: row.get("number_of_participants")?,
        revenue: row.get("revenue")?,
        created_at: row.get("created_at")?,
    })
}

/// A trek by which sales can be selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldTrek {
    pub id: Id,
    pub name: String,
    pub region_name: String,
}

/// Enabled treks by name.
pub async fn trek_list_enabled(sql: &impl Sql) -> Result<Vec<SoldTrek>, DbError> {
    let select = "SELECT id, name, region_name FROM treks WHERE enabled = 1 AND deleted = 0 ORDER BY name, id";
    let trek =
        |row: &Row| Ok(SoldTrek { id: row.get("id")?, name: row.get("name")?, region_name: row.get("region_name")? });
    sql.query(select, params![]).await?.iter().map(trek).collect()
}

/// A batch by which sales can be selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldBatch {
    pub id: Id,
    pub trek_id: Id,
    pub trek_name: String,
    pub start_date: Timestamp,
    pub end_date: Timestamp,
}

/// Batches, of one trek or of all, the latest first.
pub async fn batch_list(sql: &impl Sql, trek_id: Option<Id>, limit: u32) -> Result<Vec<SoldBatch>, DbError> {
    let select = |condition, limit_at| {
        format!(
            "SELECT b.id, b.trek_id, COALESCE(t.name, '') AS trek_name, b.start_date, b.end_date \
             FROM batches b LEFT JOIN treks t ON t.id = b.trek_id {condition} ORDER BY b.start_date DESC, b.id LIMIT ${limit_at}"
        )
    };
    let rows = match trek_id {
        Some(trek_id) => sql.query(&select("WHERE b.trek_id = $1", 2), params![trek_id, limit]).await?,
        None => sql.query(&select("", 1), params![limit]).await?,
    };
    let batch = |row: &Row| {
        Ok(SoldBatch {
            id: row.get("id")?,
            trek_id: row.get("trek_id")?,
            trek_name: row.get("trek_name")?,
            start_date: row.get("start_date")?,
            end_date: row.get("end_date")?,
        })
    };
    rows.iter().map(batch).collect()
}
