//! What schedules do with bookings, and what they would do.
//!
//! A job finds its bookings, and acts on each by itself: under the booking's version or
//! lease, and only if it still applies. So a job may run twice, on two hosts at once, or
//! die half-way: what is done is not done again, and the next run does the rest. The
//! schedule runs each job several times on its day for that reason.

use std::{cell::RefCell, collections::BTreeMap};

use cairn_shared::{Id, Timestamp, log};
use serde_json::{Value, json};

use super::{Actor, App, BookingError, Unavailable, mails::MailIntent, noting::Deed};
use crate::{
    domain::{
        Booking, Refusal, Status, is_about_to_pay, is_finished, is_overdue, needs_balance_reminder, trip_reminder_span,
    },
    store::{self, JobDay},
};

/// Bookings looked at together.
const PAGE_BOOKINGS: i64 = 200;

/// Bookings that one run acts on; the next run takes the rest.
const RUN_ACTIONS_MAX: usize = 100;

/// Bookings named in a report.
const REPORT_BOOKINGS_MAX: usize = 500;

/// Days of reports that staff see.
const REPORT_DAYS_MAX: i64 = 100;

/// Why an overdue booking is left alone.
const ABOUT_TO_PAY: &str = "the customer asked to pay less than 30 minutes ago";
const NOT_WANTED: &str = "the trek does not cancel overdue bookings by itself";

/// A job that is about bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    Expire,
    BalanceReminder,
    TripReminder,
    AutoCancel,
    Complete,
}

impl Job {
    pub const ALL: [Self; 5] =
        [Self::Expire, Self::BalanceReminder, Self::TripReminder, Self::AutoCancel, Self::Complete];

    /// Its name in addresses and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::BalanceReminder => "partial-reminder",
            Self::TripReminder => "trek-reminder",
            Self::AutoCancel => "auto-cancel",
            Self::Complete => "complete",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.as_str() == text)
    }
}

/// What a job would do now.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Bookings that it acts on.
    pub act: Vec<Booking>,
    /// Bookings that it leaves alone although they are due, with the reason.
    pub skip: Vec<(Booking, &'static str)>,
}

impl App {
    /// What a job would do if it ran now.
    ///
    /// # Errors
    /// The database's, and a service that does not answer.
    pub async fn job_plan(&self, job: Job) -> Result<Plan, BookingError> {
        let now = self.now();
        let everything = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        let mut plan = Plan::default();
        match job {
            Job::Expire => {
                for id in store::booking_ids_overdue(&self.db, now, PAGE_BOOKINGS).await? {
                    plan.act.extend(store::booking_fetch(&self.db, id).await?);
                }
                for id in store::booking_ids_lapsed(&self.db, now, PAGE_BOOKINGS).await? {
                    match store::booking_fetch(&self.db, id).await? {
                        Some(booking) if booking.lapsed(now).is_empty() => plan.skip.push((booking, ABOUT_TO_PAY)),
                        booking => plan.act.extend(booking),
                    }
                }
            }
            Job::BalanceReminder => {
                let due = |booking: &Booking| needs_balance_reminder(booking, now);
                plan.act = self.those(Status::PaymentConfirmedPartial, everything, due).await?;
            }
            Job::TripReminder => {
                let span = trip_reminder_span(self.env.zone, now);
                for booking in self.those(Status::Confirmed, span, |booking| !booking.custom).await? {
                    let about = booking.batch_start;
                    if !store::reminder_is_sent(&self.db, booking.id, Job::TripReminder.as_str(), about).await? {
                        plan.act.push(booking);
                    }
                }
            }
            Job::AutoCancel => {
                let overdue = self.those(Status::PaymentConfirmedPartial, everything, |b| is_overdue(b, now)).await?;
                let wanted = RefCell::new(BTreeMap::new());
                for booking in overdue {
                    match () {
                        () if !self.cancels_by_itself(booking.trek_id, &wanted).await? => {
                            plan.skip.push((booking, NOT_WANTED));
                        }
                        () if is_about_to_pay(&booking, now) => plan.skip.push((booking, ABOUT_TO_PAY)),
                        () => plan.act.push(booking),
                    }
                }
            }
            Job::Complete => {
                let begun = (everything.0, now);
                plan.act = self.those(Status::Confirmed, begun, |b| is_finished(b, self.env.zone, now)).await?;
            }
        }
        Ok(plan)
    }

    /// Bookings in a state that start in a span, as far as a rule is about them.
    async fn those(
        &self,
        status: Status,
        (from, before): (Timestamp, Timestamp),
        rule: impl Fn(&Booking) -> bool,
    ) -> Result<Vec<Booking>, BookingError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store::booking_list_starting(&self.db, status, from, before, after, PAGE_BOOKINGS).await?;
            after = page.last().map(|booking| booking.id);
            let is_last = i64::try_from(page.len()).is_ok_and(|length| length < PAGE_BOOKINGS);
            found.extend(page.into_iter().filter(&rule));
            if is_last || after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Whether a trek wants its overdue bookings cancelled. One that is gone does not.
    async fn cancels_by_itself(&self, trek_id: Id, known: &RefCell<BTreeMap<Id, bool>>) -> Result<bool, Unavailable> {
        if let Some(known) = known.borrow().get(&trek_id) {
            return Ok(*known);
        }
        let terms = self.peers.trek_terms(trek_id).await?;
        let wanted = terms.is_some_and(|terms| terms.partial.auto_cancel);
        known.borrow_mut().insert(trek_id, wanted);
        Ok(wanted)
    }

    /// Runs a job. Answers how many bookings are left for the next run.
    ///
    /// The job that cancels has never done so before: on the first day it ever runs it
    /// only reports what it would have done.
    ///
    /// # Errors
    /// The database's, and a service that does not answer.
    pub async fn job_run(&self, job: Job) -> Result<usize, BookingError> {
        if job == Job::Expire {
            return self.expire().await;
        }
        let now = self.now();
        let day = self.env.zone.start_of_day(now);
        let is_first_day = self.db.transaction(async |tx| store::job_begin(tx, job.as_str(), day, now).await).await?;
        let plan = self.job_plan(job).await?;
        let report_only = job == Job::AutoCancel && is_first_day;
        let (mut done, mut left) = (Vec::new(), 0);
        if !report_only {
            left = plan.act.len().saturating_sub(RUN_ACTIONS_MAX);
            for booking in plan.act.iter().take(RUN_ACTIONS_MAX) {
                match self.act(job, booking.id).await {
                    Ok(true) => done.push(booking.id),
                    Ok(false) => {}
                    Err(error) => {
                        let fields: [(&str, &dyn std::fmt::Display); 3] =
                            [("job", &job.as_str()), ("booking", &booking.id), ("cause", &format!("{error:?}"))];
                        log::warn("a job could not act on a booking and leaves it for later", &fields);
                        left += 1;
                    }
                }
            }
        }
        if !plan.act.is_empty() || !plan.skip.is_empty() {
            let would = plan.act.iter().filter(|_| report_only).map(|booking| booking.id);
            let earlier = store::job_report_fetch(&self.db, job.as_str(), day).await?;
            let earlier = earlier["done"].as_array().cloned().unwrap_or_default();
            let done = earlier.into_iter().chain(done.iter().map(|id| json!(id)));
            let report = json!({
                "at": now,
                "reportOnly": report_only,
                "done": done.take(REPORT_BOOKINGS_MAX).collect::<Vec<_>>(),
                "wouldAct": would.take(REPORT_BOOKINGS_MAX).collect::<Vec<_>>(),
                "skipped": plan.skip.iter().take(REPORT_BOOKINGS_MAX).map(skipped).collect::<Vec<_>>(),
                "left": left,
            });
            store::job_report(&self.db, job.as_str(), day, &report).await?;
        }
        self.wake().await;
        Ok(left)
    }

    /// The last days of all jobs, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn job_days(&self) -> Result<Vec<JobDay>, BookingError> {
        Ok(store::job_list(&self.db, REPORT_DAYS_MAX).await?)
    }

    /// Acts on one booking, if the job still applies to it. Whether it did.
    async fn act(&self, job: Job, id: Id) -> Result<bool, BookingError> {
        match job {
            // Sessions end in `App::expire`.
            Job::Expire => Ok(false),
            Job::BalanceReminder => self.remind_of_balance(id).await,
            Job::TripReminder => self.remind_of_trip(id).await,
            Job::AutoCancel => done(self.auto_cancel(id).await),
            Job::Complete => done(self.complete(Actor::SYSTEM, id).await),
        }
    }

    async fn remind_of_balance(&self, id: Id) -> Result<bool, BookingError> {
        let now = self.now();
        self.db
            .transaction(async |tx| {
                let mut booking = self.visible(tx, id).await?;
                let due = needs_balance_reminder(&booking, now);
                let Some(partial) = booking.partial.as_mut().filter(|_| due) else { return Ok(false) };
                partial.reminder_sent_at = Some(now);
                let occasion = partial.due.millis().to_string();
                self.save_as(tx, &mut booking, None, Deed::of("remind")).await?;
                self.queue(tx, &booking, &MailIntent::BalanceReminder, &occasion).await?;
                self.queue_share_requests(tx, &booking, &occasion).await?;
                Ok(true)
            })
            .await
    }

    async fn remind_of_trip(&self, id: Id) -> Result<bool, BookingError> {
        let now = self.now();
        let (from, before) = trip_reminder_span(self.env.zone, now);
        self.db
            .transaction(async |tx| {
                let booking = self.visible(tx, id).await?;
                let about = booking.batch_start;
                let due = booking.status == Status::Confirmed && (from..before).contains(&about);
                if !due || !store::reminder_insert(tx, id, Job::TripReminder.as_str(), about, now).await? {
                    return Ok(false);
                }
                self.queue(tx, &booking, &MailIntent::TripReminder, &about.millis().to_string()).await?;
                Ok(true)
            })
            .await
    }
}

/// Whether a command was carried out; one that no longer applies is no failure.
fn done(outcome: Result<Booking, BookingError>) -> Result<bool, BookingError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(BookingError::NotFound | BookingError::Refused(Refusal::NotOverdue | Refusal::NotConfirmed)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn skipped((booking, reason): &(Booking, &'static str)) -> Value {
    json!({ "booking": booking.id, "reason": reason })
}
