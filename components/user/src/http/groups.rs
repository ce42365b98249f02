//! Groups, under the path of today's client and the one before.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Created, Json, Path, Router},
    identity::{Admin, Caller},
    validate::Problems,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error, users,
    view::{GroupDoc, UserDoc},
};
use crate::{
    app::{App, GroupChange},
    domain::Permissions,
    store,
};

const NAME_CHARS_MAX: usize = 100;
const DESCRIPTION_CHARS_MAX: usize = 1000;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/user-groups", list)
        .post("/api/user-groups", create)
        .get("/api/user-groups/{id}", detail)
        .put("/api/user-groups/{id}", change)
        .delete("/api/user-groups/{id}", delete)
        .get("/api/user-groups/{id}/users", members)
        .get("/api/users/groups/all", list_for_staff)
        .post("/api/users/groups", create)
        .get("/api/users/groups/{id}", detail_for_staff)
        .put("/api/users/groups/{id}", change)
        .delete("/api/users/groups/{id}", delete)
}

#[derive(Deserialize)]
struct GroupBody {
    name: Option<String>,
    description: Option<String>,
    permissions: Option<Value>,
}

impl GroupBody {
    fn parse(self) -> Result<GroupChange> {
        let mut problems = Problems::default();
        let name = self.name.and_then(|name| problems.text("name", Some(&name), 1..=NAME_CHARS_MAX));
        let description =
            self.description.and_then(|text| problems.text("description", Some(&text), 0..=DESCRIPTION_CHARS_MAX));
        if self.permissions.as_ref().is_some_and(|permissions| !permissions.is_object()) {
            problems.add("permissions", "permissions has to be an object");
        }
        problems.finish()?;
        Ok(GroupChange { name, description, permissions: self.permissions.as_ref().map(Permissions::from_object) })
    }
}

async fn all(app: &App) -> Result<Json<Vec<GroupDoc>>> {
    Ok(Json(store::group_list(&app.db).await?.into_iter().map(GroupDoc::new).collect()))
}

async fn list(app: Rc<App>, Admin(_): Admin) -> Result<Json<Vec<GroupDoc>>> {
    all(&app).await
}

async fn list_for_staff(app: Rc<App>, caller: Caller) -> Result<Json<Vec<GroupDoc>>> {
    caller.require("actions.manageUsers")?;
    all(&app).await
}

async fn one(app: &App, id: Id) -> Result<Json<GroupDoc>> {
    app.group(id).await.map(GroupDoc::new).map(Json).map_err(error)
}

async fn detail(app: Rc<App>, Admin(_): Admin, Path(id): Path<Id>) -> Result<Json<GroupDoc>> {
    one(&app, id).await
}

async fn detail_for_staff(app: Rc<App>, caller: Caller, Path(id): Path<Id>) -> Result<Json<GroupDoc>> {
    caller.require("actions.manageUsers")?;
    one(&app, id).await
}

async fn create(app: Rc<App>, Admin(_): Admin, Json(body): Json<GroupBody>) -> Result<Created<GroupDoc>> {
    let mut group = body.parse()?;
    let name = group.name.take().ok_or_else(|| Error::bad_request("The group needs a name"))?;
    app.group_create(name, group).await.map(GroupDoc::new).map(Created).map_err(error)
}

async fn change(
    app: Rc<App>,
    Admin(_): Admin,
    Path(id): Path<Id>,
    Json(body): Json<GroupBody>,
) -> Result<Json<GroupDoc>> {
    if body.name.is_none() && body.description.is_none() && body.permissions.is_none() {
        return Err(Error::bad_request("There is nothing to change: give name, description or permissions"));
    }
    app.group_change(id, body.parse()?).await.map(GroupDoc::new).map(Json).map_err(error)
}

async fn delete(app: Rc<App>, Admin(_): Admin, Path(id): Path<Id>) -> Result<Json<Value>> {
    app.group_delete(id).await.map_err(error)?;
    Ok(Json(json!({ "message": "The group was deleted" })))
}

async fn members(app: Rc<App>, Admin(_): Admin, Path(id): Path<Id>) -> Result<Json<Vec<UserDoc>>> {
    app.group(id).await.map_err(error)?;
    Ok(users::docs(store::account_list_of_group(&app.db, id).await?))
}
