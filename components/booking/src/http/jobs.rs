//! Scheduled jobs: for the scheduler to run, for admins to look at.

use std::rc::Rc;

use cairn_shared::{
    Error, Paise, Result,
    http::{Json, Path, Response, Router},
    identity::Admin,
};
use serde_json::{Value, json};

use super::{run, view};
use crate::{
    app::{App, Job},
    domain::Booking,
};

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/bookings/jobs", list)
        .get("/api/bookings/jobs/{name}/preview", preview)
        .post("/_jobs/partial-reminder", async |app: Rc<App>| run_job(app, Job::BalanceReminder).await)
        .post("/_jobs/trek-reminder", async |app: Rc<App>| run_job(app, Job::TripReminder).await)
        .post("/_jobs/auto-cancel", async |app: Rc<App>| run_job(app, Job::AutoCancel).await)
        .post("/_jobs/complete", async |app: Rc<App>| run_job(app, Job::Complete).await)
}

async fn run_job(app: Rc<App>, job: Job) -> Result<Response> {
    run(app.job_run(job).await?)
}

/// What the jobs did on the last days. Not of the contract.
async fn list(app: Rc<App>, Admin(_): Admin) -> Result<Json<Value>> {
    let days = app.job_days().await?;
    let days = days.iter().map(|day| {
        json!({
            "job": day.job,
            "day": day.day,
            "firstRunAt": day.first_at,
            "lastRunAt": day.last_at,
            "runs": day.runs,
            "report": day.report,
        })
    });
    Ok(Json(json!({ "jobs": Job::ALL.map(Job::as_str), "days": days.collect::<Vec<_>>() })))
}

/// What a job would do if it ran now; nothing is done. Not of the contract.
async fn preview(app: Rc<App>, Admin(_): Admin, Path(name): Path<String>) -> Result<Json<Value>> {
    let job = Job::parse(&name).ok_or_else(|| Error::not_found("There is no such job"))?;
    let plan = app.job_plan(job).await?;
    let skipped = plan.skip.iter().map(|(booking, reason)| {
        let mut object = brief(booking);
        object["reason"] = json!(reason);
        object
    });
    Ok(Json(json!({
        "job": job.as_str(),
        "at": app.env.now(),
        "wouldAct": plan.act.iter().map(brief).collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
    })))
}

fn brief(booking: &Booking) -> Value {
    let partial = booking.partial.as_ref();
    json!({
        "_id": booking.id,
        "bookingId": booking.code(),
        "status": booking.status,
        "user": view::user(booking),
        "trek": { "_id": booking.trek_id, "name": booking.trek_name },
        "startDate": booking.batch_start,
        "endDate": booking.batch_end,
        "remainingAmount": partial.map_or(Paise::ZERO, |partial| partial.remaining),
        "finalPaymentDueDate": partial.map(|partial| partial.due),
    })
}
