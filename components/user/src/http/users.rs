//! Accounts for staff.

use std::rc::Rc;

use cairn_shared::{
    Error, Id, Result,
    http::{Json, Path, Router},
    identity::{Admin, Caller, Role},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{error, view::UserDoc};
use crate::{
    app::App,
    domain::{Account, AccountError},
    store,
};

const READ: &str = "actions.manageUsers";
const TEAM: &str = "actions.manageTeam";

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .get("/api/auth/users", list)
        .get("/api/users", list)
        .get("/api/users/admins", admins)
        .get("/api/users/{id}", detail)
        .patch("/api/auth/users/{id}/role", change_role)
        .patch("/api/users/{id}/role", change_role_documented)
        .put("/api/users/{id}/group", change_group)
}

pub fn docs(accounts: Vec<Account>) -> Json<Vec<UserDoc>> {
    Json(accounts.into_iter().map(UserDoc::new).collect())
}

async fn list(app: Rc<App>, caller: Caller) -> Result<Json<Vec<UserDoc>>> {
    caller.require(READ)?;
    Ok(docs(store::account_list(&app.db).await?))
}

async fn admins(app: Rc<App>, caller: Caller) -> Result<Json<Vec<UserDoc>>> {
    caller.require(TEAM)?;
    Ok(docs(store::account_list_admins(&app.db).await?))
}

async fn detail(app: Rc<App>, caller: Caller, Path(id): Path<Id>) -> Result<Json<UserDoc>> {
    caller.require(READ)?;
    app.account(id).await.map(UserDoc::new).map(Json).map_err(error)
}

#[derive(Deserialize)]
struct RoleBody {
    role: Option<Value>,
}

impl RoleBody {
    fn parse(self) -> Result<Role> {
        let given = self.role.unwrap_or_default();
        serde_json::from_value(given.clone())
            .map_err(|_| Error::bad_request("The role has to be `user` or `admin`").with("received", given))
    }
}

async fn change_role(
    app: Rc<App>,
    Admin(admin): Admin,
    Path(id): Path<Id>,
    Json(body): Json<RoleBody>,
) -> Result<Json<Value>> {
    let account = app.role_change(admin.id, id, body.parse()?).await.map_err(error)?;
    let is_admin = account.role == Role::Admin;
    Ok(Json(
        json!({ "_id": account.id, "name": account.name, "email": account.email, "isAdmin": is_admin, "role": account.role }),
    ))
}

async fn change_role_documented(
    app: Rc<App>,
    Admin(admin): Admin,
    Path(id): Path<Id>,
    Json(body): Json<RoleBody>,
) -> Result<Json<Value>> {
    let account = app.role_change(admin.id, id, body.parse()?).await.map_err(error)?;
    Ok(Json(json!({ "message": "The role was changed", "user": UserDoc::new(account) })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupBody {
    group_id: Option<String>,
}

async fn change_group(
    app: Rc<App>,
    Admin(_): Admin,
    Path(id): Path<Id>,
    Json(body): Json<GroupBody>,
) -> Result<Json<Value>> {
    let group_id = body.group_id.filter(|id| !id.is_empty());
    let group_id = group_id.map(|id| id.parse::<Id>()).transpose().map_err(|_| error(AccountError::GroupNotFound))?;
    let account = app.group_assign(id, group_id).await.map_err(error)?;
    Ok(Json(json!({ "message": "The group was changed", "user": UserDoc::new(account) })))
}
