//! HTTP of the admin service.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp, Zone,
    events::{self, EVENTS_PATH},
    http::{Body, Json, Query, Response, Router},
    identity::Caller,
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    domain::{
        BatchRow, Count, Dashboard, PeriodAmount, PeriodCount, Range, RecentBooking, RegionRow, Report, Selection,
        TrekRow, UNKNOWN_REGION, Upcoming, View, day_label,
    },
    store::{SoldBatch, SoldTrek},
};

/// The permission that the sales report needs.
const SALES: &str = "actions.salesDashboard";

pub fn routes() -> Router<App> {
    Router::default()
        .get("/api/stats/dashboard", dashboard)
        .get("/api/stats/sales", sales)
        .get("/api/stats/sales/treks", sold_treks)
        .get("/api/stats/sales/batches", sold_batches)
        .get("/api/stats/test", test)
        .post(EVENTS_PATH, take_events)
}

/// A record's id and name.
#[derive(Serialize)]
struct NamedView {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecentBookingView {
    #[serde(rename = "_id")]
    id: Id,
    user: NamedView,
    trek: NamedView,
    total_price: Paise,
    status: String,
    number_of_participants: u32,
    created_at: Timestamp,
}

impl From<RecentBooking> for RecentBookingView {
    fn from(booking: RecentBooking) -> Self {
        Self {
            id: booking.id,
            user: NamedView { id: booking.user_id, name: booking.user_name },
            trek: NamedView { id: booking.trek_id, name: booking.trek_name },
            total_price: booking.total,
            status: booking.status,
            number_of_participants: booking.number_of_participants,
            created_at: booking.created_at,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpcomingBatchView {
    #[serde(rename = "_id")]
    id: Id,
    start_date: Timestamp,
}

#[derive(Serialize)]
struct UpcomingView {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    batches: Vec<UpcomingBatchView>,
}

impl From<Upcoming> for UpcomingView {
    fn from(trek: Upcoming) -> Self {
        let batches =
            trek.batches.into_iter().map(|batch| UpcomingBatchView { id: batch.id, start_date: batch.start_date });
        Self { id: trek.trek_id, name: trek.trek_name, batches: batches.collect() }
    }
}

#[derive(Serialize)]
struct CountView {
    /// The counted name: these are groups, not records.
    #[serde(rename = "_id")]
    name: String,
    count: i64,
}

impl From<Count> for CountView {
    fn from(count: Count) -> Self {
        Self { name: count.name, count: count.count }
    }
}

/// What the viewer may not see is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DashboardView {
    total_treks: Option<i64>,
    total_users: Option<i64>,
    total_bookings: Option<i64>,
    total_sales: Option<Paise>,
    recent_bookings: Option<Vec<RecentBookingView>>,
    upcoming_treks: Option<Vec<UpcomingView>>,
    total_regions: Option<i64>,
    ongoing_treks: Option<i64>,
    seasons: Option<Vec<CountView>>,
    regions: Option<Vec<CountView>>,
}

fn views<T, V: From<T>>(values: Option<Vec<T>>) -> Option<Vec<V>> {
    values.map(|values| values.into_iter().map(V::from).collect())
}

impl From<Dashboard> for DashboardView {
    fn from(board: Dashboard) -> Self {
        Self {
            total_treks: board.total_treks,
            total_users: board.total_users,
            total_bookings: board.total_bookings,
            total_sales: board.total_sales,
            recent_bookings: views(board.recent_bookings),
            upcoming_treks: views(board.upcoming_treks),
            total_regions: board.total_regions,
            ongoing_treks: board.ongoing_treks,
            seasons: views(board.seasons),
            regions: views(board.regions),
        }
    }
}

async fn dashboard(app: Rc<App>, caller: Caller) -> Result<Json<DashboardView>> {
    let Some(view) = View::of(&caller) else {
        let group = caller.group.map_or_else(|| "No group".to_owned(), |group| group.name);
        return Err(Error::forbidden("Access denied. The dashboard is for staff.").with("currentGroup", group));
    };
    Ok(Json(app.dashboard(view).await?.into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SalesQuery {
    time_range: Option<String>,
    trek_id: Option<Id>,
    batch_id: Option<Id>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
}

#[derive(Serialize)]
struct RegionAmountView {
    region: String,
    amount: Paise,
}

impl From<RegionRow> for RegionAmountView {
    fn from(row: RegionRow) -> Self {
        Self { region: row.region, amount: row.amount }
    }
}

#[derive(Serialize)]
struct PeriodAmountView {
    period: String,
    amount: Paise,
}

impl From<PeriodAmount> for PeriodAmountView {
    fn from(row: PeriodAmount) -> Self {
        Self { period: row.period, amount: row.amount }
    }
}

#[derive(Serialize)]
struct PeriodCountView {
    period: String,
    count: i64,
}

impl From<PeriodCount> for PeriodCountView {
    fn from(row: PeriodCount) -> Self {
        Self { period: row.period, count: row.count }
    }
}

#[derive(Serialize)]
struct TrekRevenueView {
    id: Id,
    name: String,
    region: String,
    revenue: Paise,
    bookings: i64,
}

impl From<TrekRow> for TrekRevenueView {
    fn from(row: TrekRow) -> Self {
        Self { id: row.id, name: row.name, region: row.region, revenue: row.revenue, bookings: row.bookings }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchRevenueView {
    id: Id,
    trek_name: String,
    start_date: Timestamp,
    formatted_date: String,
    display_name: String,
    revenue: Paise,
    bookings: i64,
}

impl BatchRevenueView {
    fn new(row: BatchRow, zone: Zone) -> Self {
        let formatted_date = day_label(zone, row.start_date);
        Self {
            id: row.id,
            // Clients show it in a chart, on two lines.
            display_name: format!("{formatted_date}\n{}", row.trek_name),
            trek_name: row.trek_name,
            start_date: row.start_date,
            formatted_date,
            revenue: row.revenue,
            bookings: row.bookings,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportView {
    total_revenue: Paise,
    total_bookings: i64,
    avg_booking_value: Paise,
    avg_participants: f64,
    revenue_by_region: Vec<RegionAmountView>,
    revenue_by_period: Vec<PeriodAmountView>,
    bookings_by_period: Vec<PeriodCountView>,
    top_treks: Vec<TrekRevenueView>,
    revenue_by_trek: Vec<TrekRevenueView>,
    revenue_by_batch: Vec<BatchRevenueView>,
}

impl ReportView {
    fn new(report: Report, zone: Zone) -> Self {
        Self {
            total_revenue: report.total_revenue,
            total_bookings: report.total_bookings,
            avg_booking_value: report.avg_booking_value,
            avg_participants: report.avg_participants,
            top_treks: report.top_treks().cloned().map(Into::into).collect(),
            revenue_by_region: report.by_region.into_iter().map(Into::into).collect(),
            revenue_by_period: report.by_period.into_iter().map(Into::into).collect(),
            bookings_by_period: report.bookings_by_period.into_iter().map(Into::into).collect(),
            revenue_by_trek: report.by_trek.into_iter().map(Into::into).collect(),
            revenue_by_batch: report.by_batch.into_iter().map(|row| BatchRevenueView::new(row, zone)).collect(),
        }
    }
}

/// An admin, or somebody whose group lends the permission.
fn require_sales(caller: &Caller) -> Result<()> {
    caller.require(SALES)
}

async fn sales(app: Rc<App>, caller: Caller, Query(query): Query<SalesQuery>) -> Result<Json<ReportView>> {
    require_sales(&caller)?;
    let zone = app.env.zone;
    let range = Range::parse(zone, app.env.now(), query.time_range.as_deref(), (query.start_date, query.end_date))?;
    let report = app.sales(&Selection { range, trek_id: query.trek_id, batch_id: query.batch_id }).await?;
    Ok(Json(ReportView::new(report, zone)))
}

#[derive(Serialize)]
struct SoldTrekView {
    #[serde(rename = "_id")]
    id: Id,
    name: String,
    region: String,
}

impl From<SoldTrek> for SoldTrekView {
    fn from(trek: SoldTrek) -> Self {
        let region = if trek.region_name.is_empty() { UNKNOWN_REGION.to_owned() } else { trek.region_name };
        Self { id: trek.id, name: trek.name, region }
    }
}

async fn sold_treks(app: Rc<App>, caller: Caller) -> Result<Json<Vec<SoldTrekView>>> {
    require_sales(&caller)?;
    Ok(Json(app.sold_treks().await?.into_iter().map(Into::into).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SoldBatchQuery {
    trek_id: Option<Id>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SoldBatchView {
    id: Id,
    trek_id: Id,
    trek_name: String,
    start_date: Timestamp,
    end_date: Timestamp,
    formatted_date: String,
    display_name: String,
}

impl SoldBatchView {
    fn new(batch: SoldBatch, zone: Zone) -> Self {
        let formatted_date = day_label(zone, batch.start_date);
        Self {
            id: batch.id,
            trek_id: batch.trek_id,
            display_name: format!("{formatted_date} - {}", batch.trek_name),
            trek_name: batch.trek_name,
            start_date: batch.start_date,
            end_date: batch.end_date,
            formatted_date,
        }
    }
}

async fn sold_batches(
    app: Rc<App>,
    caller: Caller,
    Query(query): Query<SoldBatchQuery>,
) -> Result<Json<Vec<SoldBatchView>>> {
    require_sales(&caller)?;
    let batches = app.sold_batches(query.trek_id).await?;
    Ok(Json(batches.into_iter().map(|batch| SoldBatchView::new(batch, app.env.zone)).collect()))
}

#[derive(Serialize)]
struct MessageView {
    message: &'static str,
}

async fn test(_: Rc<App>) -> Result<Json<MessageView>> {
    Ok(Json(MessageView { message: "The statistics are here." }))
}

async fn take_events(app: Rc<App>, body: Body) -> Result<Response> {
    app.take_events(&events::received(&body)?).await?;
    Ok(Response::empty(204))
}
