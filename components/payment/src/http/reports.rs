//! Comparisons of the providers' records, ours, the book and what bookings owe, for staff.
//! Problems are told as RFC 9457 says.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Paise, Result, Timestamp,
    http::{Created, Json, Path, Problem, Query, Router},
    identity::Admin,
    page::{PageInfo, PageQuery},
    time::DAY,
};
use serde::{Deserialize, Serialize};

use crate::{
    app::{App, ReportRequest, WINDOW_MAX},
    domain::{Mismatch, MismatchKind, PaymentError, Report},
};

/// Reports of a page where the request does not say.
const REPORTS_PER_PAGE: u32 = 30;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/payments/reports", reports)
        .post("/api/payments/reports", report_make)
        .get("/api/payments/reports/{id}", report)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MismatchView {
    kind: MismatchKind,
    subject: String,
    booking_id: Option<Id>,
    ours: Paise,
    theirs: Paise,
    detail: String,
    repaired: bool,
}

impl From<Mismatch> for MismatchView {
    fn from(mismatch: Mismatch) -> Self {
        Self {
            kind: mismatch.kind,
            subject: mismatch.subject,
            booking_id: mismatch.booking_id,
            ours: mismatch.ours,
            theirs: mismatch.theirs,
            detail: mismatch.detail,
            repaired: mismatch.repaired,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportView {
    id: Id,
    from: Timestamp,
    until: Timestamp,
    complete: bool,
    payments: i64,
    refunds: i64,
    made_by: String,
    made_at: Timestamp,
    mismatch_count: i64,
    /// Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatches: Option<Vec<MismatchView>>,
}

impl ReportView {
    fn short(report: Report, mismatch_count: i64) -> Self {
        Self {
            id: report.id,
            from: report.from,
            until: report.until,
            complete: report.complete,
            payments: report.payments,
            refunds: report.refunds,
            made_by: report.made_by,
            made_at: report.made_at,
            mismatch_count,
            mismatches: None,
        }
    }

    fn whole(mut report: Report) -> Self {
        let mismatches: Vec<MismatchView> =
            std::mem::take(&mut report.mismatches).into_iter().map(Into::into).collect();
        let count = i64::try_from(mismatches.len()).unwrap_or(i64::MAX);
        Self { mismatches: Some(mismatches), ..Self::short(report, count) }
    }
}

#[derive(Serialize)]
struct ReportPage {
    reports: Vec<ReportView>,
    pagination: PageInfo,
}

async fn reports(
    app: Rc<App>,
    _: Problem<Admin>,
    Problem(Query(query)): Problem<Query<PageQuery>>,
) -> Result<Json<ReportPage>> {
    let page = query.parse(REPORTS_PER_PAGE).map_err(Error::problem)?;
    let (found, total) = app.report_page(page).await.map_err(Error::problem)?;
    let reports = found.into_iter().map(|(report, count)| ReportView::short(report, count)).collect();
    Ok(Json(ReportPage { reports, pagination: page.info(total) }))
}

async fn report(app: Rc<App>, _: Problem<Admin>, Problem(Path(id)): Problem<Path<Id>>) -> Result<Json<ReportView>> {
    let found = app.report_fetch(id).await.map_err(Error::problem)?;
    let found = found.ok_or_else(|| Error::not_found("There is no such report.").problem())?;
    Ok(Json(ReportView::whole(found)))
}

/// Days of the business's zone, both included.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportBody {
    from: Option<String>,
    to: Option<String>,
    /// Only compares: changes and stores nothing.
    #[serde(default)]
    dry_run: bool,
}

impl ReportBody {
    fn request(self, app: &App, made_by: Id) -> Result<ReportRequest> {
        let day = |name: &str, text: Option<String>| {
            let text = text.ok_or_else(|| Error::bad_request(format!("{name} has to be a day, such as 2026-01-31")))?;
            let at: Timestamp = text.parse().map_err(|cause| Error::bad_request(format!("{name}: {cause}")))?;
            Ok::<_, Error>(app.env.zone.start_of_day(at))
        };
        let (from, until) = (day("from", self.from)?, day("to", self.to)?.plus(DAY));
        let length = until.since(from);
        if !(DAY..=WINDOW_MAX).contains(&length) {
            let days = WINDOW_MAX / DAY;
            return Err(Error::bad_request(format!("from has to be before to, and both at most {days} days apart")));
        }
        Ok(ReportRequest { from, until, made_by: made_by.to_string(), dry_run: self.dry_run })
    }
}

async fn report_make(
    app: Rc<App>,
    Problem(Admin(caller)): Problem<Admin>,
    Problem(Json(body)): Problem<Json<ReportBody>>,
) -> Result<Created<ReportView>> {
    let request = body.request(&app, caller.id).map_err(Error::problem)?;
    let made = app.report(&request).await.map_err(|error| match error {
        PaymentError::Other(other) => other.problem(),
        other => Error::internal(format!("{other:?}")).problem(),
    })?;
    Ok(Created(ReportView::whole(made)))
}
