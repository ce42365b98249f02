//! Instants in milliseconds, and the business's days.

use std::{fmt, str::FromStr};

use jiff::{Timestamp as Instant, civil, tz::Offset};
use serde::{Deserialize, Serialize};

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Text that is neither an ISO 8601 instant nor a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date: give YYYY-MM-DD or an ISO 8601 date and time")]
pub struct InvalidTimestamp;

pub const SECOND: i64 = 1000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The system's clock.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }

    pub const fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this; negative if it is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    fn instant(self) -> Instant {
        Instant::from_millisecond(self.0).unwrap_or(if self.0 < 0 { Instant::MIN } else { Instant::MAX })
    }
}

/// ISO 8601 in UTC with milliseconds: `2026-03-14T00:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = Offset::UTC.to_datetime(self.instant());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

/// An instant, or a day, which stands for its midnight in UTC.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        if let Ok(instant) = text.parse::<Instant>() {
            return Ok(Self(instant.as_millisecond()));
        }
        let day = text.parse::<civil::Date>().map_err(|_| InvalidTimestamp)?;
        let instant = Offset::UTC.to_timestamp(day.to_datetime(civil::Time::midnight()));
        Ok(Self(instant.map_err(|_| InvalidTimestamp)?.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Waits. Nothing that others need may be held meanwhile.
pub async fn sleep(millis: u64) {
    let duration = std::time::Duration::from_millis(millis);
    #[cfg(target_family = "wasm")]
    spin_sdk::time::sleep(duration).await;
    #[cfg(not(target_family = "wasm"))]
    match crate::conduct::conductor() {
        Some(conductor) => conductor.sleep(millis).await,
        None => tokio::time::sleep(duration).await,
    }
}

/// The time zone business days are counted in. India has one offset all year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    offset_minutes: i32,
}

impl Zone {
    /// Asia/Kolkata.
    pub const INDIA: Self = Self { offset_minutes: 330 };

    fn offset(self) -> i64 {
        i64::from(self.offset_minutes) * MINUTE
    }

    fn local(self, at: Timestamp) -> civil::DateTime {
        Offset::UTC.to_datetime(at.plus(self.offset()).instant())
    }

    /// The instant at which the day of `at` began.
    pub fn start_of_day(self, at: Timestamp) -> Timestamp {
        Timestamp((at.0 + self.offset()).div_euclid(DAY) * DAY - self.offset())
    }

    /// The day of `at` as calendars store days: its midnight in UTC.
    pub fn calendar_day(self, at: Timestamp) -> Timestamp {
        self.start_of_day(at).plus(self.offset())
    }

    /// The day of `at` as `DD/MM/YYYY`.
    pub fn day_text(self, at: Timestamp) -> String {
        let t = self.local(at);
        format!("{:02}/{:02}/{:04}", t.day(), t.month(), t.year())
    }

    /// The day of `at` as `YYYY-MM-DD`.
    pub fn iso_day(self, at: Timestamp) -> String {
        let t = self.local(at);
        format!("{:04}-{:02}-{:02}", t.year(), t.month(), t.day())
    }

    /// The first year of the financial year (April to March) that holds `at`.
    pub fn financial_year(self, at: Timestamp) -> i16 {
        let t = self.local(at);
        if t.month() >= 4 { t.year() } else { t.year() - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn instants_are_written_with_milliseconds() {
        assert_eq!(at("2026-03-14").to_string(), "2026-03-14T00:00:00.000Z");
        assert_eq!(at("2026-03-14T05:30:00+05:30").to_string(), "2026-03-14T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_760_600_000_005).to_string(), "2025-10-16T07:33:20.005Z");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "tomorrow", "2026-13-01", "2026-02-30"] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn an_indian_day_begins_at_half_past_six_in_the_evening_utc() {
        let start = Zone::INDIA.start_of_day(at("2026-03-14T19:00:00Z"));
        assert_eq!(start, at("2026-03-14T18:30:00Z"));
        assert_eq!(Zone::INDIA.iso_day(at("2026-03-14T19:00:00Z")), "2026-03-15");
        assert_eq!(Zone::INDIA.start_of_day(at("2026-03-14T18:29:59Z")), at("2026-03-13T18:30:00Z"));
    }

    #[test]
    fn the_financial_year_begins_in_april() {
        assert_eq!(Zone::INDIA.financial_year(at("2026-03-31T18:00:00Z")), 2025);
        assert_eq!(Zone::INDIA.financial_year(at("2026-03-31T19:00:00Z")), 2026);
    }
}
