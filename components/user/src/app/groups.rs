//! Groups and what they lend.

use cairn_shared::Id;
use serde_json::{Value, json};

use super::App;
use crate::{
    domain::{AccountError, Group, Permissions},
    store,
};

/// What is to be of a group; absent stays.
#[derive(Debug, Default)]
pub struct GroupChange {
    pub name: Option<String>,
    pub description: Option<String>,
    /// All of them: what is not named is not held.
    pub permissions: Option<Permissions>,
}

impl App {
    /// # Errors
    /// There is none of that id.
    pub async fn group(&self, id: Id) -> Result<Group, AccountError> {
        store::group_fetch(&self.db, id).await?.ok_or(AccountError::GroupNotFound)
    }

    /// # Errors
    /// The name is taken.
    pub async fn group_create(&self, name: String, change: GroupChange) -> Result<Group, AccountError> {
        let now = self.env.now();
        let group = Group {
            id: self.env.id(),
            name,
            description: change.description.unwrap_or_default(),
            permissions: change.permissions.unwrap_or_default(),
            created_at: now,
            updated_at: now,
        };
        self.db
            .transaction(async |tx| {
                store::group_insert(tx, &group).await?;
                self.note(tx, "group.create", group.id, Value::Null, told(&group)).await
            })
            .await?;
        Ok(group)
    }

    /// # Errors
    /// There is none of that id, or the new name is taken.
    pub async fn group_change(&self, id: Id, change: GroupChange) -> Result<Group, AccountError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let before = store::group_fetch(tx, id).await?.ok_or(AccountError::GroupNotFound)?;
                let was = told(&before);
                let group = Group {
                    name: change.name.clone().unwrap_or(before.name),
                    description: change.description.clone().unwrap_or(before.description),
                    permissions: change.permissions.clone().unwrap_or(before.permissions),
                    updated_at: now,
                    ..before
                };
                store::group_update(tx, &group).await?;
                self.note(tx, "group.change", id, was, told(&group)).await?;
                Ok(group)
            })
            .await
    }

    /// # Errors
    /// There is none of that id, or somebody is in it.
    pub async fn group_delete(&self, id: Id) -> Result<(), AccountError> {
        self.db
            .transaction(async |tx| {
                let group = store::group_fetch(tx, id).await?.ok_or(AccountError::GroupNotFound)?;
                let members = store::group_members(tx, id).await?;
                if members > 0 {
                    return Err(AccountError::GroupInUse(members));
                }
                store::group_delete(tx, id).await?;
                self.note(tx, "group.delete", id, told(&group), Value::Null).await
            })
            .await
    }
}

/// A group, for the audit.
fn told(group: &Group) -> Value {
    let permissions = group.permissions.to_object();
    json!({ "name": group.name, "description": group.description, "permissions": permissions })
}
