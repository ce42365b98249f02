//! Treks, regions and sections, and who may see what of them.

use std::collections::BTreeSet;

use cairn_shared::{BasisPoints, DbError, Id, Paise, Timestamp};
use serde::{Deserialize, Serialize};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $text)] $variant),* }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

wire_enum!(
    /// How hard a trek is, from easy to hard.
    Difficulty { Easy = "Easy", Moderate = "Moderate", Challenging = "Challenging", Difficult = "Difficult", Extreme = "Extreme" }
);
wire_enum!(Season {
    Spring = "Spring", Summer = "Summer", Monsoon = "Monsoon", Autumn = "Autumn", Winter = "Winter", YearRound = "Year-round"
});
wire_enum!(Category {
    All = "all-treks", Monsoon = "monsoon-treks", Sunrise = "sunrise-treks", Himalayan = "himalayan-treks",
    Backpacking = "backpacking-trips", LongWeekend = "long-weekend"
});
wire_enum!(GstType { Included = "included", Excluded = "excluded" });
wire_enum!(GatewayType { Customer = "customer", Own = "self" });
wire_enum!(AmountType { Fixed = "fixed", Percentage = "percentage" });
wire_enum!(FieldType { Text = "text", Number = "number", Select = "select", Checkbox = "checkbox" });

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trek {
    #[serde(rename = "_id")]
    pub id: Id,
    pub name: String,
    pub slug: String,
    pub description: String,
    /// The region's id.
    pub region: Id,
    pub region_name: String,
    pub difficulty: Difficulty,
    /// Days.
    pub duration: u32,
    pub season: Season,
    #[serde(default)]
    pub distance: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_altitude: Option<f64>,
    pub display_price: Paise,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub striked_price: Option<Paise>,
    pub images: Vec<String>,
    pub itinerary: Vec<ItineraryDay>,
    pub things_to_pack: Vec<PackingItem>,
    pub includes: Vec<String>,
    pub excludes: Vec<String>,
    pub custom_fields: Vec<CustomField>,
    pub is_enabled: bool,
    pub is_custom: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_link_expiry: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_access_token: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub category: Category,
    pub starting_point: String,
    pub ending_point: String,
    pub is_weekend_getaway: bool,
    pub weekend_highlights: Vec<String>,
    pub transportation: String,
    pub departure_time: String,
    pub return_time: String,
    pub meeting_point: String,
    pub activities: Vec<Activity>,
    pub testimonials: Vec<Testimonial>,
    pub mini_blogs: Vec<MiniBlog>,
    pub gallery: Vec<Picture>,
    pub party_description: String,
    pub party_images: Vec<String>,
    pub party_highlights: Vec<String>,
    pub food_description: String,
    pub food_images: Vec<String>,
    pub accommodation_details: String,
    pub accommodation_images: Vec<String>,
    pub add_ons: Vec<AddOn>,
    pub itinerary_pdf_url: String,
    pub gst_percent: BasisPoints,
    pub gst_type: GstType,
    pub gateway_percent: BasisPoints,
    pub gateway_type: GatewayType,
    pub highlights: Vec<String>,
    pub faqs: Vec<Faq>,
    pub partial_payment: PartialPayment,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItineraryDay {
    #[serde(rename = "_id")]
    pub id: Id,
    pub title: String,
    pub description: String,
    #[serde(default)]
    pub accommodation: String,
    #[serde(default)]
    pub meals: String,
    #[serde(default)]
    pub activities: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackingItem {
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub icon: String,
}

/// A question that every participant answers. Its key is its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomField {
    pub field_name: String,
    pub field_type: FieldType,
    #[serde(default)]
    pub is_required: bool,
    #[serde(default)]
    pub options: Vec<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub placeholder: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    #[serde(rename = "_id")]
    pub id: Id,
    pub name: String,
    pub description: String,
    #[serde(default)]
    pub duration: String,
    #[serde(default)]
    pub image: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Testimonial {
    #[serde(rename = "_id")]
    pub id: Id,
    pub name: String,
    pub date: Timestamp,
    pub content: String,
    pub rating: u8,
    #[serde(default)]
    pub image: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MiniBlog {
    #[serde(rename = "_id")]
    pub id: Id,
    pub title: String,
    pub content: String,
    #[serde(default)]
    pub author: String,
    pub date: Timestamp,
    #[serde(default)]
    pub image: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    #[serde(rename = "_id")]
    pub id: Id,
    pub image: String,
    #[serde(default)]
    pub caption: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

/// Something extra to book. Clients know it by name and position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddOn {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Per participant.
    pub price: Paise,
    pub is_enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faq {
    #[serde(rename = "_id")]
    pub id: Id,
    pub question: String,
    pub answer: String,
}

/// Booking with a part of the price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartialPayment {
    pub enabled: bool,
    /// Rupees per participant, or a percentage of the total: hundredths of either.
    pub amount: Paise,
    pub amount_type: AmountType,
    pub final_payment_due_days: u32,
    pub auto_cancel_on_due_date: bool,
}

/// What a sale depends on, cut out of a trek so that a booking need not read all of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub id: Id,
    pub name: String,
    pub slug: String,
    pub region_name: String,
    pub image: Option<String>,
    pub enabled: bool,
    pub custom: bool,
    pub custom_link_expiry: Option<Timestamp>,
    pub display_price: Paise,
    pub add_ons: Vec<AddOn>,
    pub gst: BasisPoints,
    pub gst_type: GstType,
    pub gateway: BasisPoints,
    pub gateway_type: GatewayType,
    pub partial_payment: PartialPayment,
    pub custom_fields: Vec<CustomField>,
}

impl Trek {
    pub fn terms(&self) -> Terms {
        Terms {
            id: self.id,
            name: self.name.clone(),
            slug: self.slug.clone(),
            region_name: self.region_name.clone(),
            image: self.images.first().cloned(),
            enabled: self.is_enabled,
            custom: self.is_custom,
            custom_link_expiry: self.custom_link_expiry,
            display_price: self.display_price,
            add_ons: self.add_ons.clone(),
            gst: self.gst_percent,
            gst_type: self.gst_type,
            gateway: self.gateway_percent,
            gateway_type: self.gateway_type,
            partial_payment: self.partial_payment.clone(),
            custom_fields: self.custom_fields.clone(),
        }
    }

    /// What everybody may see: no secrets of custom treks.
    pub fn public_view(&self) -> Self {
        Self { custom_access_token: None, custom_link_expiry: None, ..self.clone() }
    }

    /// What searches look through.
    pub fn search_text(&self) -> String {
        [&*self.name, &*self.description, &*self.region_name].join("\n").to_lowercase()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    #[serde(rename = "_id")]
    pub id: Id,
    pub name: String,
    pub slug: String,
    #[serde(default)]
    pub trek_section_title: String,
    #[serde(default)]
    pub welcome_message: String,
    #[serde(default)]
    pub detailed_description: String,
    pub location: String,
    pub description: String,
    #[serde(default)]
    pub best_season: String,
    #[serde(default)]
    pub avg_trek_duration: f64,
    #[serde(default)]
    pub cover_image: String,
    #[serde(default)]
    pub images: Vec<String>,
    #[serde(default)]
    pub description_images: Vec<String>,
    #[serde(default)]
    pub videos: Vec<String>,
    pub is_enabled: bool,
    #[serde(default)]
    pub related_regions: Vec<Id>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A section of the home page, with its treks in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub id: Id,
    pub title: String,
    pub active: bool,
    pub display_order: i64,
    pub treks: Vec<Id>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A date of a trek, as the batch service has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    #[serde(rename = "_id")]
    pub id: Id,
    #[serde(skip)]
    pub trek_id: Id,
    pub start_date: Timestamp,
    pub end_date: Timestamp,
    pub price: Paise,
    pub max_participants: u32,
    pub reserved_slots: u32,
    pub current_participants: u32,
    /// The same number, under the name the admin list reads.
    pub actual_current_participants: u32,
    pub available_spots: u32,
    pub status: &'static str,
}

impl Batch {
    /// Whether a trekker can still book it: from tomorrow on, with a free seat.
    /// `tomorrow` is the UTC midnight of the business's next day.
    pub fn bookable(&self, tomorrow: Timestamp) -> bool {
        self.status != "cancelled" && self.start_date >= tomorrow && self.available_spots > self.reserved_slots
    }
}

/// Lower-case; only a–z, 0–9 and single hyphens between them. Clients compute the same.
pub fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c.is_whitespace() || *c == '-');
    let hyphened: String = kept.map(|c| if c.is_whitespace() { '-' } else { c }).collect();
    hyphened.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// The first free one of `slug`, `slug-1`, `slug-2`, …
pub fn free_slug(slug: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (1..).map(|n| format!("{slug}-{n}"));
    std::iter::once(slug.to_owned()).chain(numbered).find(|slug| !taken.contains(slug)).unwrap_or_default()
}

/// Why a trek could not be shown.
#[derive(Debug)]
pub enum CatalogueError {
    TrekNotFound,
    RegionNotFound,
    /// The link of a custom trek has expired.
    LinkExpired,
    /// The batch service did not answer.
    NoBatches(String),
    Database(DbError),
}

impl From<DbError> for CatalogueError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slugs_are_what_clients_compute() {
        for (name, expected) in [
            ("Cloudfern Ridge", "cloudfern-ridge"),
            ("  Kang -- Tsering (5,200 m)! ", "kang-tsering-5200-m"),
            ("Hampta\tPass", "hampta-pass"),
            ("Été à pied", "t-pied"),
        ] {
            assert_eq!(slug(name), expected);
        }
    }

    #[test]
    fn a_taken_slug_gets_a_number() {
        let taken = ["a".to_owned(), "a-1".to_owned()].into();
        assert_eq!(free_slug("a", &taken), "a-2");
        assert_eq!(free_slug("b", &taken), "b");
    }

    proptest! {
        #[test]
        fn a_slug_is_its_own_slug(name in "\\PC{0,40}") {
            prop_assert_eq!(slug(&slug(&name)), slug(&name));
        }
    }
}
