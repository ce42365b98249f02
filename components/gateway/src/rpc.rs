//! The user service and the key-value store, by their interfaces.

use std::{cell::RefCell, rc::Rc};

use cairn_shared::{
    async_trait,
    identity::{Caller, Group, Role},
};
use spin_sdk::key_value::Store;

use crate::{
    app::{NotAuthenticated, Peers},
    shell::bindings::cairn::user::{identity, types},
};

/// Label of the store that holds the counters.
const LIMITS: &str = "limits";

/// The peers of an instance; its store is opened once.
#[derive(Default)]
pub struct Links {
    store: RefCell<Option<Rc<Store>>>,
}

impl Links {
    async fn store(&self) -> Result<Rc<Store>, String> {
        if let Some(store) = &*self.store.borrow() {
            return Ok(store.clone());
        }
        let store = Rc::new(Store::open(LIMITS).await.map_err(|error| error.to_string())?);
        *self.store.borrow_mut() = Some(store.clone());
        Ok(store)
    }
}

#[async_trait(?Send)]
impl Peers for Links {
    async fn authenticate(&self, token: &str) -> Result<Caller, NotAuthenticated> {
        match identity::authenticate(token.to_owned()).await {
            Ok(account) => caller(account),
            Err(identity::Error::InvalidToken) => Err(NotAuthenticated::InvalidToken),
            Err(identity::Error::NoAccount) => Err(NotAuthenticated::NoAccount),
            Err(identity::Error::Unavailable(cause)) => Err(NotAuthenticated::Unavailable(cause)),
        }
    }

    async fn counter(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        self.store().await?.get(key).await.map_err(|error| error.to_string())
    }

    async fn counter_save(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.store().await?.set(key, value).await.map_err(|error| error.to_string())
    }
}

fn caller(account: types::Account) -> Result<Caller, NotAuthenticated> {
    let malformed = |_| NotAuthenticated::Unavailable("the user service answered an id that is none".into());
    let group = account.group.map(|group| {
        Ok(Group { id: group.id.parse().map_err(malformed)?, name: group.name, permissions: group.permissions })
    });
    Ok(Caller {
        id: account.id.parse().map_err(malformed)?,
        name: account.name,
        email: account.email,
        phone: account.phone,
        role: match account.role {
            types::Role::User => Role::User,
            types::Role::Admin => Role::Admin,
        },
        group: group.transpose()?,
    })
}
