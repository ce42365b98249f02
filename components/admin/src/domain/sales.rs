//! The sales report: money received minus money given back, by region, trek, batch
//! and period. Amounts are integers; days are those of the business's zone.

use std::collections::BTreeMap;

use cairn_shared::{Error, Id, Paise, Result, Timestamp, Zone, time::DAY};
use jiff::{ToSpan, civil};

/// How a trek without a region is listed.
pub const UNKNOWN_REGION: &str = "Unknown Region";

/// Treks among the top ones.
const TOP_TREKS_MAX: usize = 5;

/// How periods are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// `2025-06-14`
    Day,
    /// `2025-06`
    Month,
    /// `2025-Q2`
    Quarter,
}

impl Period {
    fn label(self, zone: Zone, at: Timestamp) -> String {
        let day = zone.iso_day(at);
        let (year, month) = (day.get(..4).unwrap_or_default(), day.get(5..7).unwrap_or_default());
        match self {
            Self::Day => day,
            Self::Month => format!("{year}-{month}"),
            Self::Quarter => format!("{year}-Q{}", month.parse::<u8>().unwrap_or(1).saturating_sub(1) / 3 + 1),
        }
    }
}

/// When a booking was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub before: Option<Timestamp>,
    pub period: Period,
}

impl Range {
    /// From what a client asks for: two days, which win, or `month`, `quarter`, `year`
    /// or `custom` (the current month); anything else is all time.
    ///
    /// # Errors
    /// 400 for one day without the other, and for days in the wrong order.
    pub fn parse(
        zone: Zone,
        now: Timestamp,
        time_range: Option<&str>,
        days: (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Self> {
        match days {
            (Some(first), Some(last)) if first > last => Err(Error::bad_request("`endDate` is before `startDate`.")),
            (Some(first), Some(last)) => Ok(Self {
                from: Some(zone.start_of_day(first)),
                before: Some(zone.start_of_day(last).plus(DAY)),
                period: Period::Day,
            }),
            (None, None) => Ok(Self::named(zone, now, time_range.unwrap_or_default())),
            _ => Err(Error::bad_request("Give both `startDate` and `endDate`, or neither.")),
        }
    }

    fn named(zone: Zone, now: Timestamp, name: &str) -> Self {
        let since = |months| months_ago(zone, now, months);
        let (from, period) = match name {
            "month" => (since(1), Period::Day),
            "quarter" => (since(3), Period::Month),
            "year" => (since(12), Period::Quarter),
            "custom" => (start_of_month(zone, now), Period::Day),
            _ => (None, Period::Quarter),
        };
        Self { from, before: None, period }
    }
}

fn civil_day(zone: Zone, at: Timestamp) -> Option<civil::Date> {
    zone.iso_day(at).parse().ok()
}

/// The beginning of a day in the zone.
fn beginning(zone: Zone, day: civil::Date) -> Option<Timestamp> {
    day.to_string().parse().ok().map(|midnight| zone.start_of_day(midnight))
}

fn months_ago(zone: Zone, now: Timestamp, months: i64) -> Option<Timestamp> {
    beginning(zone, civil_day(zone, now)?.checked_sub(months.months()).ok()?)
}

fn start_of_month(zone: Zone, now: Timestamp) -> Option<Timestamp> {
    beginning(zone, civil_day(zone, now)?.first_of_month())
}

/// Which bookings a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    pub range: Range,
    pub trek_id: Option<Id>,
    pub batch_id: Option<Id>,
}

/// A booking that counts as sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub trek_id: Id,
    pub trek_name: String,
    /// None when the trek has none, or is not known.
    pub region: Option<String>,
    /// Batch and its start date, if it is known.
    pub batch: Option<(Id, Timestamp)>,
    pub participants: u32,
    /// Captured minus given back.
    pub revenue: Paise,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionRow {
    pub region: String,
    pub amount: Paise,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodAmount {
    pub period: String,
    pub amount: Paise,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodCount {
    pub period: String,
    pub count: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrekRow {
    pub id: Id,
    pub name: String,
    pub region: String,
    pub revenue: Paise,
    pub bookings: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    pub id: Id,
    pub trek_name: String,
    pub start_date: Timestamp,
    pub revenue: Paise,
    pub bookings: i64,
}

/// The sales report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub total_revenue: Paise,
    pub total_bookings: i64,
    pub avg_booking_value: Paise,
    /// Hundredths.
    pub avg_participants: f64,
    /// By money, most first; treks without a region are left out.
    pub by_region: Vec<RegionRow>,
    /// Ascending.
    pub by_period: Vec<PeriodAmount>,
    pub bookings_by_period: Vec<PeriodCount>,
    /// By money, most first.
    pub by_trek: Vec<TrekRow>,
    /// By start date, latest first.
    pub by_batch: Vec<BatchRow>,
}

impl Report {
    /// The report on these sales; all zeros without any.
    pub fn of(sales: &[Sale], zone: Zone, period: Period) -> Self {
        let total_revenue: Paise = sales.iter().map(|sale| sale.revenue).sum();
        let total_bookings = i64::try_from(sales.len()).unwrap_or(i64::MAX);
        let participants: i64 = sales.iter().map(|sale| i64::from(sale.participants)).sum();
        let (by_period, bookings_by_period) = by_period(sales, zone, period);
        Self {
            total_revenue,
            total_bookings,
            avg_booking_value: Paise(rounded_mean(total_revenue.0, total_bookings)),
            avg_participants: rounded_mean(participants.saturating_mul(100), total_bookings) as f64 / 100.0,
            by_region: by_region(sales),
            by_period,
            bookings_by_period,
            by_trek: by_trek(sales),
            by_batch: by_batch(sales),
        }
    }

    pub fn top_treks(&self) -> impl Iterator<Item = &TrekRow> {
        self.by_trek.iter().take(TOP_TREKS_MAX)
    }
}

/// The mean rounded half up; 0 of nothing.
fn rounded_mean(sum: i64, count: i64) -> i64 {
    if count == 0 { 0 } else { sum.saturating_mul(2).saturating_add(count).div_euclid(count.saturating_mul(2)) }
}

fn by_region(sales: &[Sale]) -> Vec<RegionRow> {
    let mut amounts: BTreeMap<&str, Paise> = BTreeMap::new();
    for sale in sales {
        if let Some(region) = &sale.region {
            *amounts.entry(region).or_default() += sale.revenue;
        }
    }
    let mut rows: Vec<_> =
        amounts.into_iter().map(|(region, amount)| RegionRow { region: region.to_owned(), amount }).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.amount));
    rows
}

fn by_period(sales: &[Sale], zone: Zone, period: Period) -> (Vec<PeriodAmount>, Vec<PeriodCount>) {
    let mut periods: BTreeMap<String, (Paise, i64)> = BTreeMap::new();
    for sale in sales {
        let (amount, count) = periods.entry(period.label(zone, sale.created_at)).or_default();
        *amount += sale.revenue;
        *count += 1;
    }
    let amounts = periods.iter().map(|(period, (amount, _))| PeriodAmount { period: period.clone(), amount: *amount });
    let counts = periods.iter().map(|(period, (_, count))| PeriodCount { period: period.clone(), count: *count });
    (amounts.collect(), counts.collect())
}

fn by_trek(sales: &[Sale]) -> Vec<TrekRow> {
    let mut treks: BTreeMap<Id, TrekRow> = BTreeMap::new();
    for sale in sales {
        let row = treks.entry(sale.trek_id).or_insert_with(|| TrekRow {
            id: sale.trek_id,
            name: sale.trek_name.clone(),
            region: sale.region.clone().unwrap_or_else(|| UNKNOWN_REGION.to_owned()),
            revenue: Paise::ZERO,
            bookings: 0,
        });
        row.revenue += sale.revenue;
        row.bookings += 1;
    }
    let mut rows: Vec<_> = treks.into_values().collect();
    rows.sort_by(|a, b| b.revenue.cmp(&a.revenue).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn by_batch(sales: &[Sale]) -> Vec<BatchRow> {
    let mut batches: BTreeMap<Id, BatchRow> = BTreeMap::new();
    for sale in sales {
        let Some((id, start_date)) = sale.batch else { continue };
        let row = batches.entry(id).or_insert_with(|| BatchRow {
            id,
            trek_name: sale.trek_name.clone(),
            start_date,
            revenue: Paise::ZERO,
            bookings: 0,
        });
        row.revenue += sale.revenue;
        row.bookings += 1;
    }
    let mut rows: Vec<_> = batches.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.start_date));
    rows
}

/// A day as people read it: `05 Jul 2025`, with `Sept` for September.
pub fn day_label(zone: Zone, at: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sept", "Oct", "Nov", "Dec"];
    let Some(day) = civil_day(zone, at) else { return zone.iso_day(at) };
    let month = usize::try_from(day.month() - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default();
    format!("{:02} {month} {}", day.day(), day.year())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn range(time_range: Option<&str>, first: Option<&str>, last: Option<&str>) -> Result<Range> {
        Range::parse(Zone::INDIA, at("2026-03-31T20:00:00Z"), time_range, (first.map(at), last.map(at)))
    }

    #[test]
    fn two_days_are_both_included_and_win_over_the_name() {
        let range = range(Some("year"), Some("2026-03-01"), Some("2026-03-02")).unwrap();
        assert_eq!(range.from, Some(at("2026-02-28T18:30:00Z")));
        assert_eq!(range.before, Some(at("2026-03-02T18:30:00Z")));
        assert_eq!(range.period, Period::Day);
    }

    #[test]
    fn one_day_alone_and_days_in_the_wrong_order_are_refused() {
        assert_eq!(range(None, Some("2026-03-01"), None).unwrap_err().status(), 400);
        assert_eq!(range(Some("custom"), None, Some("2026-03-01")).unwrap_err().status(), 400);
        assert_eq!(range(None, Some("2026-03-02"), Some("2026-03-01")).unwrap_err().status(), 400);
    }

    #[test]
    fn named_ranges_begin_with_a_day_of_the_zone() {
        // In India it is the first of April already.
        let from = |name| range(Some(name), None, None).unwrap().from;
        assert_eq!(from("month"), Some(at("2026-02-28T18:30:00Z")));
        assert_eq!(from("quarter"), Some(at("2025-12-31T18:30:00Z")));
        assert_eq!(from("year"), Some(at("2025-03-31T18:30:00Z")));
        assert_eq!(from("custom"), Some(at("2026-03-31T18:30:00Z")));
        assert_eq!(from("always"), None);
    }

    #[test]
    fn periods_are_those_of_the_zone() {
        let label = |period: Period| period.label(Zone::INDIA, at("2026-03-31T20:00:00Z"));
        assert_eq!([Period::Day, Period::Month, Period::Quarter].map(label), ["2026-04-01", "2026-04", "2026-Q2"]);
        assert_eq!(day_label(Zone::INDIA, at("2025-09-05")), "05 Sept 2025");
    }

    #[test]
    fn nothing_sold_is_all_zeros() {
        let report = Report::of(&[], Zone::INDIA, Period::Day);
        assert_eq!(
            (report.total_revenue, report.avg_booking_value, report.avg_participants),
            (Paise::ZERO, Paise::ZERO, 0.0)
        );
        assert!(report.by_trek.is_empty() && report.by_period.is_empty());
    }

    fn sale() -> impl Strategy<Value = Sale> {
        (0..4_u8, 0..3_u8, 1..9_u32, -500_i64..1_000_000, 0..400_i64).prop_map(
            |(trek, batch, participants, revenue, day)| Sale {
                trek_id: Id::derive(&["trek", &trek.to_string()]),
                trek_name: format!("Trek {trek}"),
                region: (trek > 0).then(|| format!("Region {}", trek % 2)),
                batch: (batch > 0).then(|| {
                    (Id::derive(&["b", &trek.to_string(), &batch.to_string()]), Timestamp::from_millis(day * DAY))
                }),
                participants,
                revenue: Paise(revenue),
                created_at: Timestamp::from_millis(1_760_000_000_000 + day * DAY),
            },
        )
    }

    proptest! {
        #[test]
        fn every_breakdown_adds_up_to_the_total(sales in prop::collection::vec(sale(), 0..60)) {
            let report = Report::of(&sales, Zone::INDIA, Period::Month);
            prop_assert_eq!(report.by_trek.iter().map(|row| row.revenue).sum::<Paise>(), report.total_revenue);
            prop_assert_eq!(report.by_period.iter().map(|row| row.amount).sum::<Paise>(), report.total_revenue);
            prop_assert_eq!(report.by_trek.iter().map(|row| row.bookings).sum::<i64>(), report.total_bookings);
            prop_assert_eq!(report.bookings_by_period.iter().map(|row| row.count).sum::<i64>(), report.total_bookings);
            prop_assert!(report.by_period.is_sorted_by_key(|row| row.period.clone()));
            prop_assert!(report.by_trek.is_sorted_by_key(|row| std::cmp::Reverse(row.revenue)));
        }
    }
}
