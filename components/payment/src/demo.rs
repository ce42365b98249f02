//! The demo's promo codes, with dates around today.

use cairn_shared::{Id, Paise, Timestamp, time::DAY};
use serde::Deserialize;

use crate::{
    app::App,
    domain::{DiscountType, Promo, day},
    store,
};

/// Where the manifest mounts the demo's files.
const FILE: &str = "/demo/payment/promos.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemoPromo {
    #[serde(rename = "_id")]
    id: Id,
    code: String,
    discount_type: String,
    /// Percent or rupees; hundredths of either are stored.
    discount_value: Paise,
    max_uses: Option<u32>,
    used_count: i64,
    valid_from_days: i64,
    valid_until_days: i64,
    min_order_value: Paise,
    applicable_treks: Vec<Id>,
    is_active: bool,
    created_by: Id,
    created_days_ago: i64,
}

/// Fills an empty database.
///
/// # Errors
/// The file is missing or not as it should be, or the database refuses it.
pub async fn load(app: &App) -> Result<(), String> {
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    insert(app, &text).await
}

pub(crate) async fn insert(app: &App, text: &str) -> Result<(), String> {
    let now = app.env.now();
    let demos: Vec<DemoPromo> = serde_json::from_str(text).map_err(|error| format!("{FILE}: {error}"))?;
    let promos: Result<Vec<_>, _> = demos.into_iter().map(|demo| demo.promo(now)).collect();
    let promos = promos?;
    let loaded = app.db.transaction(async |tx| {
        if store::promo_count(tx).await? > 0 {
            return Ok(());
        }
        for promo in &promos {
            store::promo_insert(tx, promo).await?;
        }
        Ok::<_, cairn_shared::DbError>(())
    });
    loaded.await.map_err(|error| error.to_string())
}

impl DemoPromo {
    fn promo(self, now: Timestamp) -> Result<Promo, String> {
        let discount_type = DiscountType::parse(&self.discount_type);
        let promo = Promo {
            id: self.id,
            discount_type: discount_type.ok_or_else(|| format!("{FILE}: {} has another discountType", self.code))?,
            code: self.code,
            discount_value: self.discount_value.0,
            max_uses: self.max_uses,
            max_uses_per_user: None,
            used: self.used_count,
            valid_from: day(now.plus(self.valid_from_days * DAY)),
            valid_until: day(now.plus(self.valid_until_days * DAY)),
            min_order_value: self.min_order_value,
            applicable_treks: self.applicable_treks,
            is_active: self.is_active,
            created_by: self.created_by,
            created_by_name: "Demo".into(),
            created_at: now.plus(-self.created_days_ago * DAY),
        };
        promo.validate().map_err(|problem| format!("{FILE}: {}: {problem}", promo.code))?;
        Ok(promo)
    }
}
