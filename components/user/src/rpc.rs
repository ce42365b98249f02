//! The WIT exports of the user service, and the notification service by its interface.

use cairn_shared::{Id, async_trait, identity::Role, validate::Email};

use crate::{
    app::{App, NewCustomer, NotAuthenticated, Peers},
    domain::{self, Account, AccountError, Contact},
    shell::{
        Exports, app,
        bindings::{
            cairn::notification::mail,
            cairn::user::types,
            exports::cairn::user::{accounts, customers, identity},
        },
    },
};

/// The services beside this one.
pub struct Links;

#[async_trait(?Send)]
impl Peers for Links {
    async fn enqueue(&self, mail: domain::Mail) -> Result<(), String> {
        let code = |code, valid_minutes| mail::Code { code, valid_minutes };
        let message = match mail.message {
            domain::Message::RegistrationCode { code: digits, valid_minutes } => {
                mail::Message::RegistrationCode(code(digits, valid_minutes))
            }
            domain::Message::LoginCode { code: digits, valid_minutes } => {
                mail::Message::LoginCode(code(digits, valid_minutes))
            }
            domain::Message::Welcome { username } => mail::Message::Welcome(mail::Welcome { username }),
        };
        let envelope = mail::Envelope {
            key: mail.key,
            to: mail::Recipient { name: mail.name, email: mail.email },
            message,
            attachments: Vec::new(),
        };
        mail::enqueue(envelope).await.map_err(|error| match error {
            mail::Error::Invalid(problem) => format!("the mail was refused: {problem}"),
            mail::Error::Unavailable(cause) => cause,
        })
    }
}

fn described(account: Account) -> types::Account {
    types::Account {
        id: account.id.to_string(),
        name: account.name,
        email: account.email,
        phone: account.contact.phone,
        role: match account.role {
            Role::User => types::Role::User,
            Role::Admin => types::Role::Admin,
        },
        group: account.group.map(|group| types::Group {
            id: group.id.to_string(),
            permissions: group.permissions.into_names(),
            name: group.name,
        }),
    }
}

impl identity::Guest for Exports {
    async fn authenticate(token: String) -> Result<types::Account, identity::Error> {
        let app = app().await.map_err(identity::Error::Unavailable)?;
        app.authenticate(&token).await.map(described).map_err(|error| match error {
            NotAuthenticated::InvalidToken => identity::Error::InvalidToken,
            NotAuthenticated::NoAccount => identity::Error::NoAccount,
            NotAuthenticated::Unavailable(cause) => identity::Error::Unavailable(cause.to_string()),
        })
    }
}

fn accounts_error(error: AccountError) -> accounts::Error {
    match error {
        AccountError::NotFound => accounts::Error::NotFound,
        AccountError::Failed(cause) => accounts::Error::Unavailable(cause.to_string()),
        other => accounts::Error::Unavailable(format!("{other:?}")),
    }
}

async fn parsed(id: &str) -> Result<(std::rc::Rc<App>, Id), accounts::Error> {
    let app = app().await.map_err(accounts::Error::Unavailable)?;
    Ok((app, id.parse().map_err(|_| accounts::Error::NotFound)?))
}

impl accounts::Guest for Exports {
    async fn get(id: String) -> Result<types::Account, accounts::Error> {
        let (app, id) = parsed(&id).await?;
        app.account(id).await.map(described).map_err(accounts_error)
    }

    async fn fill_phone(id: String, phone: String) -> Result<(), accounts::Error> {
        let (app, id) = parsed(&id).await?;
        app.phone_fill(id, &phone).await.map_err(accounts_error)
    }
}

fn customers_error(error: AccountError) -> customers::Error {
    match error {
        AccountError::NotFound => customers::Error::NotFound,
        AccountError::EmailTaken | AccountError::PhoneTaken | AccountError::UsernameTaken => customers::Error::Taken,
        AccountError::Failed(cause) => customers::Error::Unavailable(cause.to_string()),
        other => customers::Error::Unavailable(format!("{other:?}")),
    }
}

fn customer(account: Account) -> customers::Customer {
    let contact = account.contact;
    customers::Customer {
        id: account.id.to_string(),
        name: account.name,
        email: account.email,
        phone: contact.phone,
        address: contact.address,
        city: contact.city,
        state: contact.state,
        zip_code: contact.zip_code,
        country: contact.country,
        created_by_staff: account.created_by_staff,
    }
}

fn new_customer(new: customers::NewCustomer) -> Result<NewCustomer, String> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(NewCustomer {
        name: new.name,
        email: Email::parse(&new.email)?,
        phone: domain::phone(&new.phone)?,
        contact: Contact {
            address: filled(new.address),
            city: filled(new.city),
            state: filled(new.state),
            zip_code: filled(new.zip_code),
            country: filled(new.country),
            ..Contact::default()
        },
    })
}

impl customers::Guest for Exports {
    async fn get(id: String) -> Result<customers::Customer, customers::Error> {
        let app = app().await.map_err(customers::Error::Unavailable)?;
        let id = id.parse().map_err(|_| customers::Error::NotFound)?;
        app.account(id).await.map(customer).map_err(customers_error)
    }

    async fn find_by_phone(phone: String) -> Result<customers::Customer, customers::Error> {
        let app = app().await.map_err(customers::Error::Unavailable)?;
        let found = app.customer_by_phone(&phone).await.map_err(customers_error)?;
        found.map(customer).ok_or(customers::Error::NotFound)
    }

    async fn create(new: customers::NewCustomer) -> Result<customers::Customer, customers::Error> {
        let app = app().await.map_err(customers::Error::Unavailable)?;
        let new = new_customer(new).map_err(customers::Error::Invalid)?;
        app.customer_create(&new).await.map(customer).map_err(customers_error)
    }
}
