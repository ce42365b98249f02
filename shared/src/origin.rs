//! Who is behind what is being done, and from where.
//!
//! The origin of a request is known to everything that happens while it is handled. It is
//! not handed from function to function, so that no change can forget to say it. It
//! belongs to the future that handles the request and not to the thread: the futures of
//! several requests take turns on one thread, and each sees its own.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use crate::{http::Request, identity};

/// Carries the address of the client, as the gateway found it out. Never accepted from outside.
pub const CLIENT_HEADER: &str = "x-cairn-client";

/// Who acts where no person does: schedules, and what one service asks of another.
pub const SYSTEM: &str = "system";

/// Who acts where nobody has said who they are.
pub const NOBODY: &str = "nobody";

/// Longest text that is kept of what a client says about itself, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// Who is behind something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// An account's id, [`SYSTEM`] or [`NOBODY`].
    pub actor: String,
    /// The account's name at that time.
    pub name: Option<String>,
    /// Of the client.
    pub address: Option<String>,
    /// What the client says that it is.
    pub agent: Option<String>,
    /// Method and path.
    pub request: Option<String>,
}

impl Origin {
    /// The system by itself.
    pub fn system() -> Self {
        Self { actor: SYSTEM.into(), ..Self::default() }
    }

    /// The origin of a request from inside, as the gateway passes it on.
    pub fn of(request: &Request) -> Self {
        let text = |name| request.header(name).map(cut).filter(|text| !text.is_empty());
        let caller = identity::caller_of(request);
        let actor = match &caller {
            Some(caller) => caller.id.to_string(),
            None if request.path().starts_with("/_") => SYSTEM.into(),
            None => NOBODY.into(),
        };
        Self {
            actor,
            name: caller.map(|caller| caller.name),
            address: text(CLIENT_HEADER),
            agent: text("user-agent"),
            request: Some(cut(&format!("{} {}", request.method, request.path()))),
        }
    }
}

/// No database takes the character U+0000.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Origin>>> = const { RefCell::new(None) };
}

/// The origin of what is being done; the system's where no request is being handled.
pub fn current() -> Rc<Origin> {
    CURRENT.with_borrow(Clone::clone).unwrap_or_else(|| Rc::new(Origin::system()))
}

/// Does work on behalf of an origin.
pub fn within<F: Future>(origin: Origin, work: F) -> Within<F> {
    Within { origin: Rc::new(origin), work: Box::pin(work) }
}

/// Work on behalf of an origin.
pub struct Within<F> {
    origin: Rc<Origin>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let outer = CURRENT.replace(Some(self.origin.clone()));
        let outcome = self.work.as_mut().poll(context);
        CURRENT.set(outer);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Id,
        identity::{CALLER_HEADER, Caller, Identity, Role},
    };

    #[tokio::test]
    async fn requests_that_take_turns_see_their_own_origin() {
        let work = |actor: &str| {
            within(Origin { actor: actor.into(), ..Origin::default() }, async {
                let first = current().actor.clone();
                tokio::task::yield_now().await;
                (first, current().actor.clone())
            })
        };
        let pair = |actor: &str| (actor.to_owned(), actor.to_owned());
        assert_eq!(futures::future::join(work("a"), work("b")).await, (pair("a"), pair("b")));
        assert_eq!(current().actor, SYSTEM);
    }

    #[test]
    fn an_origin_is_a_person_the_system_or_nobody() {
        let id = Id::derive(&["x"]);
        let caller = Caller {
            id,
            name: "Asha".into(),
            email: "a@example.org".into(),
            phone: None,
            role: Role::User,
            group: None,
        };
        let asked = Request::new("PUT", "/api/things/1?x=y")
            .with_header(CALLER_HEADER, Identity::Caller(Box::new(caller)).encode())
            .with_header(CLIENT_HEADER, "203.0.113.7")
            .with_header("user-agent", "curl\u{0}/8".to_owned() + &"x".repeat(900));
        let origin = Origin::of(&asked);
        assert_eq!((origin.actor, origin.name.as_deref()), (id.to_string(), Some("Asha")));
        assert_eq!(origin.address.as_deref(), Some("203.0.113.7"));
        assert_eq!(origin.request.as_deref(), Some("PUT /api/things/1"));
        let agent = origin.agent.unwrap();
        assert!(agent.starts_with("curl/8x") && agent.len() == TEXT_CHARS_MAX);
        assert_eq!(Origin::of(&Request::new("POST", "/_jobs/x")).actor, SYSTEM);
        assert_eq!(Origin::of(&Request::new("POST", "/api/things")).actor, NOBODY);
    }
}
