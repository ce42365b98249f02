//! Registration, login, and what people change about themselves.

use std::rc::Rc;

use cairn_shared::{
    Error, Result,
    http::{Created, Header, Json, Response, Router},
    identity::{Caller, SESSION_COOKIE, SessionToken},
    validate::{Email, Problems},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    error,
    view::{AuthUser, Me},
};
use crate::{
    app::{App, LoggedIn, Login, NewRegistration, Profile},
    domain::{self, password::Password},
};

const NAME_CHARS_MAX: usize = 100;
const USERNAME_CHARS_MIN: usize = 3;
const USERNAME_CHARS_MAX: usize = 50;
const TEXT_CHARS_MAX: usize = 500;

pub fn routes(router: Router<App>) -> Router<App> {
    router
        .post("/api/auth/register", register)
        .post("/api/auth/verify-register-otp", verify_register)
        .post("/api/auth/resend-register-otp", resend_register)
        .post("/api/auth/login", login)
        .post("/api/auth/verify-login-otp", verify_login)
        .post("/api/auth/verify-otp", verify_login)
        .post("/api/auth/resend-login-otp", resend_login)
        .post("/api/auth/resend-otp", resend_login)
        .post("/api/auth/logout", logout)
        .get("/api/auth/me", me)
        .put("/api/auth/profile", change_profile)
        .put("/api/auth/updatedetails", change_profile)
        .put("/api/auth/updatepassword", change_password)
        .post("/api/auth/reset-password", reset_password)
        .get("/api/auth/google", google)
        .get("/api/auth/google/callback", google)
}

#[derive(Deserialize)]
struct RegisterBody {
    username: Option<String>,
    name: Option<String>,
    email: Option<String>,
    password: Option<String>,
    phone: Option<String>,
}

impl RegisterBody {
    fn parse(self) -> Result<NewRegistration> {
        let mut problems = Problems::default();
        let name = problems.text("name", self.name.as_deref(), 1..=NAME_CHARS_MAX);
        let username = problems.text("username", self.username.as_deref(), USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX);
        let email = problems.check("email", Email::parse(self.email.as_deref().unwrap_or_default()));
        let password = problems.check("password", Password::parse(self.password.as_deref().unwrap_or_default()));
        let phone = self.phone.filter(|phone| !phone.trim().is_empty());
        let phone = phone.and_then(|phone| problems.check("phone", domain::phone(&phone)));
        problems.finish()?;
        let (Some(name), Some(username), Some(email), Some(password)) = (name, username, email, password) else {
            return Err(Error::internal("a field without a value and without a problem"));
        };
        Ok(NewRegistration { email, name, username, password, phone })
    }
}

async fn register(app: Rc<App>, Json(body): Json<RegisterBody>) -> Result<Created<Value>> {
    let new = body.parse()?;
    let email = new.email.to_string();
    app.register(new).await.map_err(error)?;
    Ok(Created(json!({ "message": "We have sent a code to your e-mail address", "email": email })))
}

#[derive(Deserialize)]
struct EmailBody {
    email: Option<String>,
}

impl EmailBody {
    fn parse(self) -> Result<Email> {
        let mut problems = Problems::default();
        let email = problems.check("email", Email::parse(self.email.as_deref().unwrap_or_default()));
        problems.finish()?;
        email.ok_or_else(|| Error::internal("a field without a value and without a problem"))
    }
}

#[derive(Deserialize)]
struct CodeBody {
    email: Option<String>,
    otp: Option<String>,
}

impl CodeBody {
    fn parse(self) -> Result<(Email, String)> {
        let mut problems = Problems::default();
        let otp = problems.text("otp", self.otp.as_deref(), 1..=20);
        let email = problems.check("email", Email::parse(self.email.as_deref().unwrap_or_default()));
        problems.finish()?;
        email.zip(otp).ok_or_else(|| Error::internal("a field without a value and without a problem"))
    }
}

async fn verify_register(app: Rc<App>, Json(body): Json<CodeBody>) -> Result<Response> {
    let (email, code) = body.parse()?;
    let session = app.register_verify(&email, &code).await.map_err(error)?;
    Ok(begin(&app, session, json!({})))
}

async fn resend_register(app: Rc<App>, Json(body): Json<EmailBody>) -> Result<Json<Value>> {
    app.register_resend(&body.parse()?).await.map_err(error)?;
    Ok(Json(json!({ "message": "If a registration is waiting for this address, a new code is on its way" })))
}

#[derive(Deserialize)]
struct LoginBody {
    email: Option<String>,
    password: Option<String>,
}

async fn login(app: Rc<App>, Json(body): Json<LoginBody>) -> Result<Response> {
    let (Some(email), Some(password)) = (body.email, body.password.filter(|password| !password.is_empty())) else {
        return Err(Error::bad_request("Please give your e-mail address and your password"));
    };
    let email = Email::parse(&email).map_err(Error::bad_request)?;
    Ok(match app.login(&email, &password).await.map_err(error)? {
        Login::Done(session) => begin(&app, *session, json!({ "requiresOtp": false })),
        Login::CodeNeeded(id) => {
            let message = "We have sent a code to your e-mail address";
            Response::json(200, &json!({ "message": message, "userId": id, "requiresOtp": true }))
        }
    })
}

async fn verify_login(app: Rc<App>, Json(body): Json<CodeBody>) -> Result<Response> {
    let (email, code) = body.parse()?;
    let session = app.login_verify(&email, &code).await.map_err(error)?;
    Ok(begin(&app, session, json!({})))
}

async fn resend_login(app: Rc<App>, Json(body): Json<EmailBody>) -> Result<Json<Value>> {
    app.login_resend(&body.parse()?).await.map_err(error)?;
    Ok(Json(json!({ "message": "If a login is waiting for its code, a new one is on its way" })))
}

async fn logout(app: Rc<App>, headers: Header) -> Result<Response> {
    if let Some(token) = SessionToken::of(&headers.0) {
        app.logout(token.text()).await.map_err(error)?;
    }
    let expired = format!("{SESSION_COOKIE}=; {}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT", attributes(&app));
    Ok(Response::json(200, &json!({ "message": "Logged out" })).header("set-cookie", expired))
}

async fn me(app: Rc<App>, caller: Caller) -> Result<Json<Me>> {
    app.account(caller.id).await.map(Me::new).map(Json).map_err(error)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileBody {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    address: Option<String>,
    city: Option<String>,
    state: Option<String>,
    zip_code: Option<String>,
    country: Option<String>,
}

impl ProfileBody {
    fn parse(self) -> Result<Profile> {
        let mut problems = Problems::default();
        let mut text = |field: &str, value: Option<String>, chars_max: usize| {
            value.and_then(|value| problems.text(field, Some(&value), 0..=chars_max))
        };
        let name = text("name", self.name, NAME_CHARS_MAX);
        let address = text("address", self.address, TEXT_CHARS_MAX);
        let city = text("city", self.city, TEXT_CHARS_MAX);
        let state = text("state", self.state, TEXT_CHARS_MAX);
        let zip_code = text("zipCode", self.zip_code, TEXT_CHARS_MAX);
        let country = text("country", self.country, TEXT_CHARS_MAX);
        let phone = match self.phone {
            Some(phone) if !phone.trim().is_empty() => problems.check("phone", domain::phone(&phone)),
            other => other.map(|_| String::new()),
        };
        let email = self.email.filter(|email| !email.trim().is_empty());
        let email = email.and_then(|email| problems.check("email", Email::parse(&email)));
        problems.finish()?;
        Ok(Profile { name, email, phone, address, city, state, zip_code, country })
    }
}

async fn change_profile(app: Rc<App>, caller: Caller, Json(body): Json<ProfileBody>) -> Result<Json<Me>> {
    app.profile_change(caller.id, body.parse()?).await.map(Me::new).map(Json).map_err(error)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PasswordBody {
    current_password: Option<String>,
    new_password: Option<String>,
}

async fn change_password(app: Rc<App>, caller: Caller, Json(body): Json<PasswordBody>) -> Result<Response> {
    let (Some(current), Some(new)) = (body.current_password, body.new_password) else {
        return Err(Error::bad_request("Please give your current password and a new one"));
    };
    let new = Password::parse(&new).map_err(Error::bad_request)?;
    let session = app.password_change(caller.id, &current, &new).await.map_err(error)?;
    Ok(begin(&app, session, json!({ "message": "The password was changed. Other sessions have ended." })))
}

#[derive(Deserialize)]
struct ResetBody {
    token: Option<String>,
    password: Option<String>,
}

/// A weak password is 422 here: clients take 400 for a dead link.
async fn reset_password(app: Rc<App>, Json(body): Json<ResetBody>) -> Result<Response> {
    let token =
        body.token.filter(|token| !token.is_empty()).ok_or_else(|| Error::bad_request("This link is not complete"))?;
    let password = Password::parse(body.password.as_deref().unwrap_or_default());
    let password = password.map_err(|problem| Error::new(422, "WEAK_PASSWORD", problem))?;
    let session = app.password_reset(&token, &password).await.map_err(error)?;
    Ok(begin(&app, session, json!({})))
}

async fn google(_: Rc<App>) -> Result<Response> {
    Err(Error::new(501, "NOT_CONFIGURED", "Signing in with Google is not set up here. Please use your e-mail address."))
}

/// The answer that begins a session: token and user in the body, token in the cookie.
fn begin(app: &App, session: LoggedIn, mut body: Value) -> Response {
    let cookie =
        format!("{SESSION_COOKIE}={}; {}; Max-Age={}", session.token, attributes(app), app.sessions.lifetime.seconds);
    body["token"] = session.token.into();
    // An account is plain text and booleans, which are always JSON.
    body["user"] = serde_json::to_value(AuthUser::new(session.account)).unwrap_or_default();
    Response::json(200, &body).header("set-cookie", cookie)
}

fn attributes(app: &App) -> &'static str {
    if app.production { "Path=/; HttpOnly; Secure; SameSite=None" } else { "Path=/; HttpOnly; SameSite=Lax" }
}
