//! Accounts and their sessions.

use cairn_shared::{DbError, Id, Row, Sql, Timestamp, Tx, identity::Role, params};

use super::groups::group_of;
use crate::domain::{Account, Contact};

/// Columns of an account with its group.
const COLUMNS: &str = "u.id, u.name, u.email, u.username, u.password_hash, u.role, u.verified, u.active, u.created_by_staff, u.token_version, \
     u.phone, u.address, u.city, u.state, u.zip_code, u.country, u.profile_image, u.created_at, u.updated_at, \
     g.id AS group_id, g.name AS group_name, g.description AS group_description, g.permissions AS group_permissions, \
     g.created_at AS group_created_at, g.updated_at AS group_updated_at ";

const FROM: &str = "FROM users u LEFT JOIN user_groups g ON g.id = u.group_id ";

fn role_text(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Admin => "admin",
    }
}

fn role(row: &Row) -> Result<Role, DbError> {
    // The table allows nothing else.
    Ok(if row.get::<String>("role")? == "admin" { Role::Admin } else { Role::User })
}

fn account(row: &Row) -> Result<Account, DbError> {
    Ok(Account {
        id: row.get("id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        username: row.get("username")?,
        password_hash: row.get("password_hash")?,
        role: role(row)?,
        group: group_of(row)?,
        contact: Contact {
            phone: row.get("phone")?,
            address: row.get("address")?,
            city: row.get("city")?,
            state: row.get("state")?,
            zip_code: row.get("zip_code")?,
            country: row.get("country")?,
            profile_image: row.get("profile_image")?,
        },
        verified: row.get("verified")?,
        active: row.get("active")?,
        created_by_staff: row.get("created_by_staff")?,
        token_version: row.get("token_version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

async fn one(sql: &impl Sql, condition: &str, value: cairn_shared::db::Value) -> Result<Option<Account>, DbError> {
    let select = ["SELECT ", COLUMNS, FROM, condition].concat();
    sql.query_opt(&select, vec![value]).await?.as_ref().map(account).transpose()
}

pub async fn account_fetch(sql: &impl Sql, id: Id) -> Result<Option<Account>, DbError> {
    one(sql, "WHERE u.id = $1", id.into()).await
}

pub async fn account_fetch_by_email(sql: &impl Sql, email: &str) -> Result<Option<Account>, DbError> {
    one(sql, "WHERE u.email = $1", email.into()).await
}

pub async fn account_fetch_by_username(sql: &impl Sql, username: &str) -> Result<Option<Account>, DbError> {
    one(sql, "WHERE u.username = $1", username.into()).await
}

/// The oldest account with a phone number of these last ten digits.
pub async fn account_fetch_by_phone(sql: &impl Sql, digits: &str) -> Result<Option<Account>, DbError> {
    let select = ["SELECT ", COLUMNS, FROM, "WHERE u.phone IN ($1, $2, $3, $4) ORDER BY u.created_at, u.id LIMIT 1"];
    let spellings = ["", "+91", "91", "+"].map(|prefix| cairn_shared::db::Value::from([prefix, digits].concat()));
    sql.query_opt(&select.concat(), spellings.to_vec()).await?.as_ref().map(account).transpose()
}

/// All accounts, oldest first.
pub async fn account_list(sql: &impl Sql) -> Result<Vec<Account>, DbError> {
    let select = ["SELECT ", COLUMNS, FROM, "ORDER BY u.created_at, u.id"].concat();
    sql.query(&select, params![]).await?.iter().map(account).collect()
}

pub async fn account_list_admins(sql: &impl Sql) -> Result<Vec<Account>, DbError> {
    let select = ["SELECT ", COLUMNS, FROM, "WHERE u.role = 'admin' ORDER BY u.created_at, u.id"].concat();
    sql.query(&select, params![]).await?.iter().map(account).collect()
}

pub async fn account_list_of_group(sql: &impl Sql, group_id: Id) -> Result<Vec<Account>, DbError> {
    let select = ["SELECT ", COLUMNS, FROM, "WHERE u.group_id = $1 ORDER BY u.created_at, u.id"].concat();
    sql.query(&select, params![group_id]).await?.iter().map(account).collect()
}

/// Admins who can log in.
pub async fn admin_count(sql: &impl Sql) -> Result<i64, DbError> {
    let select = "SELECT COUNT(*) AS n FROM users WHERE role = 'admin' AND active = 1";
    sql.query_one(select, params![]).await?.get("n")
}

/// A session's account with its group, its token version, and whether the session was revoked.
pub async fn session_fetch(sql: &impl Sql, id: Id, token_hash: &str) -> Result<Option<(Account, bool)>, DbError> {
    const REVOKED: &str = "SELECT CASE WHEN EXISTS (SELECT 1 FROM revoked_sessions r WHERE r.token_hash = $1) THEN 1 ELSE 0 END AS revoked, ";
    let select = [REVOKED, COLUMNS, FROM, "WHERE u.id = $2"].concat();
    let row = sql.query_opt(&select, params![token_hash, id]).await?;
    row.map(|row| Ok((account(&row)?, row.get("revoked")?))).transpose()
}

pub async fn session_revoke(
    sql: &impl Sql,
    token_hash: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    sql.execute("DELETE FROM revoked_sessions WHERE expires_at <= $1", params![now]).await?;
    let insert =
        "INSERT INTO revoked_sessions (token_hash, expires_at) VALUES ($1, $2) ON CONFLICT (token_hash) DO NOTHING";
    sql.execute(insert, params![token_hash, expires_at]).await
}

pub async fn account_insert(tx: &Tx, account: &Account) -> Result<(), DbError> {
    let insert = "INSERT INTO users (id, name, email, username, password_hash, role, group_id, verified, phone, address, city, state, zip_code, \
                  country, created_by_staff, created_at, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    tx.execute(
        insert,
        params![
            account.id,
            &account.name,
            &account.email,
            &account.username,
            &account.password_hash,
            role_text(account.role),
            account.group.as_ref().map(|group| group.id),
            account.verified,
            account.contact.phone.as_ref(),
            account.contact.address.as_ref(),
            account.contact.city.as_ref(),
            account.contact.state.as_ref(),
            account.contact.zip_code.as_ref(),
            account.contact.country.as_ref(),
            account.created_by_staff,
            account.created_at,
            account.updated_at
        ],
    )
    .await
}

/// Notes a login; replaces the password's hash if the old one is still there.
pub async fn account_note_login(
    sql: &impl Sql,
    id: Id,
    now: Timestamp,
    rehashed: Option<(&str, &str)>,
) -> Result<(), DbError> {
    sql.execute("UPDATE users SET login_count = login_count + 1, last_login_at = $1 WHERE id = $2", params![now, id])
        .await?;
    match rehashed {
        None => Ok(()),
        Some((old, new)) => {
            let update = "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3";
            sql.execute(update, params![new, id, old]).await
        }
    }
}

pub async fn account_verify(tx: &Tx, id: Id, now: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE users SET verified = 1, updated_at = $1 WHERE id = $2", params![now, id]).await
}

/// Sets a new password and ends all sessions. Whether the old hash was still the one expected.
pub async fn account_set_password(
    tx: &Tx,
    id: Id,
    expected: &str,
    hash: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let update = "UPDATE users SET password_hash = $1, token_version = token_version + 1, updated_at = $2 \
                  WHERE id = $3 AND password_hash = $4 RETURNING id";
    Ok(tx.query_opt(update, params![hash, now, id, expected]).await?.is_some())
}

/// Sets a role and ends all sessions.
pub async fn account_set_role(tx: &Tx, id: Id, role: Role, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE users SET role = $1, token_version = token_version + 1, updated_at = $2 WHERE id = $3";
    tx.execute(update, params![role_text(role), now, id]).await
}

pub async fn account_set_group(tx: &Tx, id: Id, group_id: Option<Id>, now: Timestamp) -> Result<(), DbError> {
    tx.execute("UPDATE users SET group_id = $1, updated_at = $2 WHERE id = $3", params![group_id, now, id]).await
}

pub async fn account_set_profile(
    tx: &Tx,
    id: Id,
    name: &str,
    contact: &Contact,
    now: Timestamp,
) -> Result<(), DbError> {
    let update = "UPDATE users SET name = $1, phone = $2, address = $3, city = $4, state = $5, zip_code = $6, country = $7, \
                  updated_at = $8 WHERE id = $9";
    tx.execute(
        update,
        params![
            name,
            contact.phone.as_ref(),
            contact.address.as_ref(),
            contact.city.as_ref(),
            contact.state.as_ref(),
            contact.zip_code.as_ref(),
            contact.country.as_ref(),
            now,
            id
        ],
    )
    .await
}

/// Sets the phone number of an account that has none.
pub async fn account_fill_phone(sql: &impl Sql, id: Id, phone: &str, now: Timestamp) -> Result<(), DbError> {
    let update = "UPDATE users SET phone = $1, updated_at = $2 WHERE id = $3 AND phone IS NULL";
    sql.execute(update, params![phone, now, id]).await
}
