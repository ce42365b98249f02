//! The audit by HTTP: for staff to read and to check, for the schedule to seal. Problems
//! are told as RFC 9457 says.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entry, Filter, check, page, seal};
use crate::{
    Component, Error, Id, Result, Timestamp,
    http::{Json, Problem, Query, Response, Router},
    identity::Caller,
    page::PageQuery,
};

/// Seals new entries; for the scheduler.
pub const SEAL_PATH: &str = "/_jobs/seal";

/// Entries of a page where the request does not say.
const ENTRIES_PER_PAGE: u32 = 50;

/// Where a component's audit is read, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    pub list: &'static str,
    pub check: &'static str,
    /// None: admins alone.
    pub permission: Option<&'static str>,
}

pub(crate) fn routes<C: Component>(router: Router<C>) -> Router<C> {
    match C::AUDIT {
        None => router,
        Some(access) => router.get(access.list, list::<C>).get(access.check, checked::<C>).post(SEAL_PATH, sealed::<C>),
    }
}

fn admit<C: Component>(caller: &Caller) -> Result<()> {
    let admitted = match C::AUDIT.and_then(|access| access.permission) {
        Some(permission) => caller.require(permission),
        None => caller.require_admin(),
    };
    admitted.map_err(Error::problem)
}

#[derive(Deserialize)]
struct ListQuery {
    subject: Option<String>,
    actor: Option<String>,
    action: Option<String>,
    /// At or after.
    from: Option<Timestamp>,
    /// Before.
    until: Option<Timestamp>,
    page: Option<u32>,
    limit: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    #[serde(rename = "_id")]
    id: Id,
    at: Timestamp,
    actor: String,
    actor_name: Option<String>,
    address: Option<String>,
    agent: Option<String>,
    request: Option<String>,
    action: String,
    subject: String,
    before: Value,
    after: Value,
    /// Its place in the chain; none until it is sealed.
    seal: Option<i64>,
}

impl EntryView {
    fn new(entry: Entry, seal: Option<i64>) -> Result<Self> {
        let json = |text: Option<String>| {
            text.map_or(Ok(Value::Null), |text| serde_json::from_str(&text)).map_err(Error::internal)
        };
        Ok(Self {
            id: entry.id,
            at: entry.at,
            actor: entry.actor,
            actor_name: entry.name,
            address: entry.address,
            agent: entry.agent,
            request: entry.request,
            action: entry.action,
            subject: entry.subject,
            before: json(entry.before)?,
            after: json(entry.after)?,
            seal,
        })
    }
}

async fn list<C: Component>(
    app: Rc<C>,
    Problem(caller): Problem<Caller>,
    Problem(Query(query)): Problem<Query<ListQuery>>,
) -> Result<Json<Value>> {
    admit::<C>(&caller)?;
    let wanted = PageQuery { page: query.page, limit: query.limit };
    let wanted = wanted.parse(ENTRIES_PER_PAGE).map_err(Error::problem)?;
    let filter = Filter {
        subject: query.subject,
        actor: query.actor,
        action: query.action,
        from: query.from,
        before: query.until,
    };
    let (found, total) = page(app.db(), &filter, wanted).await.map_err(|error| Error::from(error).problem())?;
    let entries: Result<Vec<_>> = found.into_iter().map(|(entry, seal)| EntryView::new(entry, seal)).collect();
    Ok(Json(json!({ "entries": entries.map_err(Error::problem)?, "pagination": wanted.info(total) })))
}

#[derive(Deserialize)]
struct CheckQuery {
    /// The seal after which to begin.
    after: Option<u32>,
}

async fn checked<C: Component>(
    app: Rc<C>,
    Problem(caller): Problem<Caller>,
    Problem(Query(query)): Problem<Query<CheckQuery>>,
) -> Result<Json<Value>> {
    admit::<C>(&caller)?;
    let after = query.after.unwrap_or_default().into();
    let found = check(app.db(), after).await.map_err(|error| Error::from(error).problem())?;
    let flaws = found.flaws.iter().map(|flaw| json!({ "seal": flaw.nth, "problem": flaw.problem }));
    Ok(Json(json!({
        "intact": found.flaws.is_empty(),
        "checked": found.checked,
        "flaws": flaws.collect::<Vec<_>>(),
        "next": found.next,
        "unsealed": found.unsealed,
        "head": { "seal": found.head.nth, "hash": found.head.hash },
    })))
}

async fn sealed<C: Component>(app: Rc<C>) -> Result<Response> {
    seal(app.db(), app.env().now()).await?;
    Ok(Response::empty(204))
}
