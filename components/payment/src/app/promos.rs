//! Promo codes, as staff keep them.

use cairn_shared::{DbError, Error, Id, Paise, Result, identity::Caller};

use super::App;
use crate::{
    domain::{Change, DiscountType, Promo},
    store,
};

/// The longest code.
const CODE_CHARS_MAX: usize = 50;

/// A promo to be made. What is required is there.
#[derive(Debug, Clone)]
pub struct NewPromo {
    pub code: String,
    pub discount_type: DiscountType,
    /// Everything else.
    pub fields: Change,
}

/// Codes are compared trimmed and upper-cased.
pub fn normal_code(code: &str) -> String {
    code.trim().to_uppercase()
}

fn not_found() -> Error {
    Error::not_found("Promo code not found")
}

impl App {
    /// Newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn promos(&self) -> Result<Vec<Promo>> {
        Ok(store::promo_list(&self.db).await?)
    }

    /// # Errors
    /// 400 for a code that exists and for what makes no sense.
    pub async fn promo_create(&self, new: NewPromo, caller: &Caller) -> Result<Promo> {
        let now = self.env.now();
        let code = normal_code(&new.code);
        if code.chars().count() > CODE_CHARS_MAX {
            return Err(Error::bad_request(format!("A promo code may have at most {CODE_CHARS_MAX} characters")));
        }
        let blank = Promo {
            id: self.env.id(),
            code,
            discount_type: new.discount_type,
            discount_value: 0,
            max_uses: None,
            max_uses_per_user: None,
            used: 0,
            valid_from: now,
            valid_until: now,
            min_order_value: Paise::ZERO,
            applicable_treks: Vec::new(),
            is_active: true,
            created_by: caller.id,
            created_by_name: caller.name.clone(),
            created_at: now,
        };
        let promo = blank.changed(new.fields).map_err(Error::bad_request)?;
        let made = self.db.transaction(async |tx| {
            store::promo_insert(tx, &promo).await?;
            self.note_promo(tx, promo.id, None, Some(&promo)).await
        });
        let made = made.await;
        match made {
            Ok(()) => Ok(promo),
            Err(DbError::Unique(_)) => Err(Error::bad_request("Promo code already exists")),
            Err(error) => Err(error.into()),
        }
    }

    /// # Errors
    /// 404, and 400 for what makes no sense.
    pub async fn promo_change(&self, id: Id, change: Change) -> Result<Promo> {
        self.db
            .transaction(async |tx| {
                let before = store::promo_fetch(tx, id).await?.ok_or_else(not_found)?;
                let promo = before.clone().changed(change.clone()).map_err(Error::bad_request)?;
                store::promo_update(tx, &promo).await?;
                self.note_promo(tx, id, Some(&before), Some(&promo)).await?;
                Ok(promo)
            })
            .await
    }

    /// Hides a promo. Bookings that hold or have paid a use of it keep their price.
    ///
    /// # Errors
    /// 404.
    pub async fn promo_delete(&self, id: Id) -> Result<()> {
        let now = self.env.now();
        self.db
            .transaction(async |tx| {
                let before = store::promo_fetch(tx, id).await?.ok_or_else(not_found)?;
                store::promo_delete(tx, id, now).await?;
                Ok(self.note_promo(tx, id, Some(&before), None).await?)
            })
            .await
    }
}
