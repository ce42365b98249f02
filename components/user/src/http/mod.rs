//! HTTP of the user service.

mod auth;
mod groups;
mod users;
mod view;

use cairn_shared::{Error, http::Router};

use crate::{app::App, domain::AccountError};

pub fn routes() -> Router<App> {
    groups::routes(users::routes(auth::routes(Router::default())))
}

/// Every failure of this service as clients see it.
fn error(error: AccountError) -> Error {
    const SESSION: &str = "INVALID_CREDENTIALS";
    match error {
        AccountError::EmailTaken => {
            Error::bad_request("An account with this e-mail address exists already").with("field", "email")
        }
        AccountError::UsernameTaken => Error::bad_request("This user name is taken").with("field", "username"),
        AccountError::PhoneTaken => {
            Error::bad_request("An account with this phone number exists already").with("field", "phone")
        }
        AccountError::WrongCredentials => Error::new(401, SESSION, "The e-mail address or the password is wrong"),
        AccountError::TooManyFailures(seconds) => {
            let message = "Too many wrong passwords. Please wait a little, or set a new password.";
            Error::new(429, "RATE_LIMIT_EXCEEDED", message).retry_after(seconds)
        }
        AccountError::BadCode => {
            Error::new(400, "INVALID_CODE", "This code is wrong or has expired. Please ask for a new one.")
        }
        AccountError::TooSoon(seconds) => {
            let message =
                format!("A code was sent a moment ago. Please wait {seconds} seconds before asking for another.");
            Error::new(429, "RATE_LIMIT_EXCEEDED", message).retry_after(seconds)
        }
        AccountError::MailUnavailable(cause) => {
            Error::unavailable(cause).message("We cannot send e-mails right now. Please try again in a minute.")
        }
        AccountError::WrongPassword => Error::new(401, SESSION, "The current password is wrong"),
        AccountError::BadResetLink => Error::bad_request("This link is not valid any more. Please ask for a new one."),
        AccountError::EmailChange => {
            Error::bad_request("The e-mail address cannot be changed here. Please contact us.").with("field", "email")
        }
        AccountError::NotFound => Error::not_found("User not found"),
        AccountError::GroupNotFound => Error::not_found("User group not found"),
        AccountError::GroupNameTaken => Error::bad_request("A group of this name exists already").with("field", "name"),
        AccountError::GroupInUse(members) => {
            Error::bad_request(format!("{members} people are in this group. Please move them to another one first."))
        }
        AccountError::OwnRole => Error::bad_request("You cannot change your own role. Please ask another admin."),
        AccountError::LastAdmin => Error::bad_request("There has to be at least one admin"),
        AccountError::Failed(error) => error,
    }
}
