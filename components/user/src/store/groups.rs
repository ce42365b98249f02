//! Groups.

use cairn_shared::{DbError, Id, Row, Sql, Tx, params};

use crate::domain::{Group, Permissions};

const SELECT: &str = "SELECT g.id AS group_id, g.name AS group_name, g.description AS group_description, \
     g.permissions AS group_permissions, g.created_at AS group_created_at, g.updated_at AS group_updated_at FROM user_groups g ";

/// The group of a row that may have none.
pub(super) fn group_of(row: &Row) -> Result<Option<Group>, DbError> {
    let Some(id) = row.get("group_id")? else { return Ok(None) };
    Ok(Some(Group {
        id,
        name: row.get("group_name")?,
        description: row.get("group_description")?,
        permissions: Permissions::of(row.json::<Vec<String>>("group_permissions")?),
        created_at: row.get("group_created_at")?,
        updated_at: row.get("group_updated_at")?,
    }))
}

fn permissions(group: &Group) -> serde_json::Value {
    group.permissions.names().cloned().collect()
}

pub async fn group_fetch(sql: &impl Sql, id: Id) -> Result<Option<Group>, DbError> {
    let select = [SELECT, "WHERE g.id = $1"].concat();
    sql.query_opt(&select, params![id]).await?.as_ref().map_or(Ok(None), group_of)
}

pub async fn group_list(sql: &impl Sql) -> Result<Vec<Group>, DbError> {
    let select = [SELECT, "ORDER BY g.created_at, g.id"].concat();
    let groups: Result<Vec<_>, _> = sql.query(&select, params![]).await?.iter().map(group_of).collect();
    Ok(groups?.into_iter().flatten().collect())
}

pub async fn group_insert(sql: &impl Sql, group: &Group) -> Result<(), DbError> {
    let insert = "INSERT INTO user_groups (id, name, description, permissions, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)";
    sql.execute(
        insert,
        params![group.id, &group.name, &group.description, permissions(group), group.created_at, group.updated_at],
    )
    .await
}

pub async fn group_update(tx: &Tx, group: &Group) -> Result<(), DbError> {
    let update = "UPDATE user_groups SET name = $1, description = $2, permissions = $3, updated_at = $4 WHERE id = $5";
    tx.execute(update, params![&group.name, &group.description, permissions(group), group.updated_at, group.id]).await
}

pub async fn group_delete(tx: &Tx, id: Id) -> Result<(), DbError> {
    tx.execute("DELETE FROM user_groups WHERE id = $1", params![id]).await
}

pub async fn group_members(sql: &impl Sql, id: Id) -> Result<i64, DbError> {
    sql.query_one("SELECT COUNT(*) AS n FROM users WHERE group_id = $1", params![id]).await?.get("n")
}
