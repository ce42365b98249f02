//! The WIT exports and imports of the trek service.

use async_trait::async_trait;
use cairn_shared::{Id, Paise, Timestamp};

use crate::{
    app::Peers,
    domain::{AmountType, Batch, GatewayType, GstType, Terms},
    shell::{
        Exports, app,
        bindings::{
            cairn::batch::{schedule, types::Status},
            exports::cairn::trek::catalogue as wit,
        },
    },
};

fn terms(terms: Terms) -> wit::Terms {
    let add_on = |add_on: crate::domain::AddOn| wit::AddOn {
        name: add_on.name,
        price: add_on.price.0,
        enabled: add_on.is_enabled,
    };
    let field =
        |field: crate::domain::CustomField| wit::CustomField { name: field.field_name, required: field.is_required };
    let partial = terms.partial_payment;
    wit::Terms {
        id: terms.id.to_string(),
        name: terms.name,
        slug: terms.slug,
        region_name: terms.region_name,
        image: terms.image,
        enabled: terms.enabled,
        custom: terms.custom,
        custom_link_expiry: terms.custom_link_expiry.map(Timestamp::millis),
        display_price: terms.display_price.0,
        add_ons: terms.add_ons.into_iter().map(add_on).collect(),
        gst: points(terms.gst.0),
        gst_type: match terms.gst_type {
            GstType::Included => wit::GstType::Included,
            GstType::Excluded => wit::GstType::Excluded,
        },
        gateway: points(terms.gateway.0),
        gateway_type: match terms.gateway_type {
            GatewayType::Customer => wit::GatewayType::Customer,
            GatewayType::Own => wit::GatewayType::Operator,
        },
        partial_payment: wit::PartialPayment {
            enabled: partial.enabled,
            amount: partial.amount.0,
            amount_type: match partial.amount_type {
                AmountType::Fixed => wit::AmountType::Fixed,
                AmountType::Percentage => wit::AmountType::Percentage,
            },
            final_payment_due_days: partial.final_payment_due_days,
            auto_cancel_on_due_date: partial.auto_cancel_on_due_date,
        },
        custom_fields: terms.custom_fields.into_iter().map(field).collect(),
    }
}

/// A stored percentage is between 0 and 100 %.
fn points(hundredths: i64) -> u32 {
    u32::try_from(hundredths.clamp(0, 10_000)).unwrap_or_default()
}

fn unavailable(cause: impl ToString) -> wit::Error {
    wit::Error::Unavailable(cause.to_string())
}

impl wit::Guest for Exports {
    async fn get_terms(id: String) -> Result<wit::Terms, wit::Error> {
        let app = app().await.map_err(unavailable)?;
        let id = id.parse().map_err(|_| wit::Error::NotFound)?;
        app.terms(id).await.map_err(unavailable)?.map(terms).ok_or(wit::Error::NotFound)
    }

    async fn list_summaries(ids: Vec<String>) -> Result<Vec<wit::Summary>, wit::Error> {
        let app = app().await.map_err(unavailable)?;
        let ids: Vec<Id> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let summary = |terms: Terms| wit::Summary {
            id: terms.id.to_string(),
            name: terms.name,
            region_name: terms.region_name,
            image: terms.image,
        };
        Ok(app.terms_of(&ids).await.map_err(unavailable)?.into_iter().map(summary).collect())
    }
}

/// The services this one calls, by WIT.
pub struct Links;

#[async_trait(?Send)]
impl Peers for Links {
    async fn batches(&self, trek_ids: &[Id]) -> Result<Vec<Batch>, String> {
        let ids = trek_ids.iter().map(ToString::to_string).collect();
        let found = schedule::list_of_treks(ids).await.map_err(|error| format!("batch service: {error:?}"))?;
        found.into_iter().map(batch).collect()
    }
}

fn batch(batch: schedule::Batch) -> Result<Batch, String> {
    let id = |text: &str| text.parse::<Id>().map_err(|error| format!("batch service: {text}: {error}"));
    Ok(Batch {
        id: id(&batch.id)?,
        trek_id: id(&batch.trek_id)?,
        start_date: Timestamp::from_millis(batch.start_date),
        end_date: Timestamp::from_millis(batch.end_date),
        price: Paise(batch.price),
        max_participants: batch.max_participants,
        reserved_slots: batch.reserved_slots,
        current_participants: batch.taken,
        actual_current_participants: batch.taken,
        available_spots: batch.max_participants.saturating_sub(batch.taken),
        status: match batch.status {
            Status::Upcoming => "upcoming",
            Status::Ongoing => "ongoing",
            Status::Completed => "completed",
            Status::Cancelled => "cancelled",
        },
    })
}
