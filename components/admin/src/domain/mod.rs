//! What is told of other services' records, and what statistics make of it.

mod dashboard;
mod news;
mod sales;

pub use dashboard::{Count, Dashboard, RecentBooking, UPCOMING_DAYS, Upcoming, UpcomingBatch, View};
pub use news::{
    BatchChanged, BookingChanged, PaymentCaptured, PaymentRefunded, RefundStatus, RegionChanged, TrekChanged,
    UserRegistered,
};
pub use sales::{
    BatchRow, Period, PeriodAmount, PeriodCount, Range, RegionRow, Report, Sale, Selection, TrekRow, UNKNOWN_REGION,
    day_label,
};
