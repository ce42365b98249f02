//! Groups and what they lend.

use cairn_shared::Id;

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
        store::group_insert(&self.db, &group).await?;
        Ok(group)
    }

    /// # Errors
    /// There is none of that id, or the new name is taken.
    pub async fn group_change(&self, id: Id, change: GroupChange) -> Result<Group, AccountError> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let group = store::group_fetch(tx, id).await?.ok_or(AccountError::GroupNotFound)?;
                let group = Group {
                    name: change.name.clone().unwrap_or(group.name),
                    description: change.description.clone().unwrap_or(group.description),
                    permissions: change.permissions.clone().unwrap_or(group.permissions),
                    updated_at: now,
                    ..group
                };
                store::group_update(tx, &group).await?;
                Ok(group)
            })
            .await
    }

    /// # Errors
    /// There is none of that id, or somebody is in it.
    pub async fn group_delete(&self, id: Id) -> Result<(), AccountError> {
        self.db
            .transaction(async |tx| {
                store::group_fetch(tx, id).await?.ok_or(AccountError::GroupNotFound)?;
                match store::group_members(tx, id).await? {
                    0 => Ok(store::group_delete(tx, id).await?),
                    members => Err(AccountError::GroupInUse(members)),
                }
            })
            .await
    }
}
