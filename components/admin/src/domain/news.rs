//! The events that statistics are made of, as far as they matter here.

use cairn_shared::{Id, Paise, Timestamp};
use serde::{Deserialize, Deserializer};

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    i64::deserialize(deserializer).map(Timestamp::from_millis)
}

fn paise<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Paise, D::Error> {
    i64::deserialize(deserializer).map(Paise)
}

/// `user.registered`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRegistered {
    pub user_id: Id,
    pub name: String,
    #[serde(deserialize_with = "millis")]
    pub created_at: Timestamp,
}

/// `trek.changed`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrekChanged {
    pub trek_id: Id,
    pub name: String,
    pub region_name: String,
    pub season: String,
    pub enabled: bool,
    pub custom: bool,
    pub deleted: bool,
    pub version: i64,
}

/// `region.changed`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionChanged {
    pub region_id: Id,
    pub name: String,
    pub deleted: bool,
    pub version: i64,
}

/// `batch.changed`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchChanged {
    pub batch_id: Id,
    pub trek_id: Id,
    #[serde(deserialize_with = "millis")]
    pub start_date: Timestamp,
    #[serde(deserialize_with = "millis")]
    pub end_date: Timestamp,
    pub cancelled: bool,
    pub version: i64,
}

/// `booking.changed`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookingChanged {
    pub booking_id: Id,
    pub user_id: Id,
    pub user_name: String,
    pub trek_id: Id,
    pub trek_name: String,
    #[serde(default)]
    pub batch_id: Option<Id>,
    /// As clients see it, such as `confirmed`.
    pub status: String,
    pub number_of_participants: u32,
    #[serde(rename = "totalPaise", deserialize_with = "paise")]
    pub total: Paise,
    #[serde(deserialize_with = "millis")]
    pub created_at: Timestamp,
    pub version: i64,
}

/// `payment.captured`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCaptured {
    pub booking_id: Id,
    pub payment_id: String,
    #[serde(rename = "amountPaise", deserialize_with = "paise")]
    pub amount: Paise,
    #[serde(deserialize_with = "millis")]
    pub captured_at: Timestamp,
}

/// Where a refund stands. Once the money is back, it stays back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefundStatus {
    Processing,
    Failed,
    Success,
}

impl RefundStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Failed => "failed",
            Self::Success => "success",
        }
    }
}

/// `payment.refunded`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRefunded {
    pub booking_id: Id,
    pub refund_id: String,
    #[serde(rename = "amountPaise", deserialize_with = "paise")]
    pub amount: Paise,
    pub status: RefundStatus,
    #[serde(deserialize_with = "millis")]
    pub at: Timestamp,
}
