//! A user service on a database of its own, with a clock and a letter box to look into.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use cairn_shared::{
    Db, Env, Sql, Timestamp, async_trait, component,
    config::Config,
    http::{Request, Response, Router},
    identity::{CALLER_HEADER, Identity},
    params,
    upstream::Unreachable,
};
use cairn_user::{
    app::{App, Peers},
    domain::{Mail, Message},
};
use serde_json::Value;

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const ADMIN: (&str, &str) = ("admin@example.org", "first admin's password");

#[derive(Default)]
pub struct Post {
    pub mails: RefCell<Vec<Mail>>,
    pub closed: Cell<bool>,
}

struct Links(Rc<Post>);

#[async_trait(?Send)]
impl Peers for Links {
    async fn enqueue(&self, mail: Mail) -> Result<(), String> {
        if self.0.closed.get() {
            return Err("the post office is closed".into());
        }
        self.0.mails.borrow_mut().push(mail);
        Ok(())
    }
}

pub struct World {
    pub app: Rc<App>,
    pub post: Rc<Post>,
    router: Router<App>,
    now: Rc<Cell<Timestamp>>,
}

/// Why a configuration is refused.
pub async fn refusal(config: &[(&str, &str)]) -> String {
    let db = Db::for_test().await.unwrap();
    App::new(Config::of(config), db, Env::for_test("user"), Box::new(Links(Rc::default()))).err().unwrap()
}

pub async fn world() -> World {
    let now = Rc::new(Cell::new("2026-11-22T06:00:00Z".parse().unwrap()));
    let clock = now.clone();
    let env = Env::new("user", Rc::new(move || clock.get()), Rc::new(Unreachable));
    let post = Rc::new(Post::default());
    let config = [("jwt_secret", SECRET), ("cairn_admin_email", ADMIN.0), ("cairn_admin_password", ADMIN.1)];
    let app = App::new(Config::of(&config), Db::for_test().await.unwrap(), env, Box::new(Links(post.clone()))).unwrap();
    component::prepare(&app).await.unwrap();
    World { app: Rc::new(app), post, router: component::router::<App>(), now }
}

pub struct Answer {
    pub status: u16,
    pub body: Value,
    response: Response,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.response.header_value(name).unwrap_or_default()
    }

    pub fn token(&self) -> String {
        self.body["token"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub fn wait(&self, millis: i64) {
        self.now.set(self.now.get().plus(millis));
    }

    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    pub async fn send(&self, request: Request) -> Answer {
        let response = self.router.handle(self.app.clone(), &self.app.env, request).await;
        let body = serde_json::from_slice(&response.body).unwrap_or_default();
        Answer { status: response.status, body, response }
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Request::json("POST", path, &body)).await
    }

    pub async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(token, method, path, body).await).await
    }

    /// As the gateway sends it on for the owner of a token.
    pub async fn request(&self, token: &str, method: &str, path: &str, body: Value) -> Request {
        let identity = match self.app.authenticate(token).await {
            Ok(account) => Identity::Caller(Box::new(cairn_shared::identity::Caller {
                id: account.id,
                name: account.name,
                email: account.email,
                phone: account.contact.phone,
                role: account.role,
                group: account.group.map(|group| cairn_shared::identity::Group {
                    id: group.id,
                    name: group.name,
                    permissions: group.permissions.into_names(),
                }),
            })),
            Err(_) => Identity::InvalidToken,
        };
        let request = Request::json(method, path, &body).with_header(CALLER_HEADER, identity.encode());
        request.with_header("authorization", format!("Bearer {token}"))
    }

    /// The code of the last mail, if it has one.
    pub fn code(&self) -> String {
        match &self.post.mails.borrow().last().unwrap().message {
            Message::RegistrationCode { code, .. } | Message::LoginCode { code, .. } => code.clone(),
            Message::Welcome { .. } => panic!("the last mail is a welcome"),
        }
    }

    pub fn mails(&self) -> usize {
        self.post.mails.borrow().len()
    }

    pub async fn count(&self, table: &str) -> i64 {
        let select = ["SELECT COUNT(*) AS n FROM ", table].concat();
        self.app.db.query_one(&select, params![]).await.unwrap().get("n").unwrap()
    }

    pub async fn admin(&self) -> String {
        self.post("/api/auth/login", serde_json::json!({ "email": ADMIN.0, "password": ADMIN.1 })).await.token()
    }

    /// Registers somebody to the end and gives the session's token.
    pub async fn registered(&self, name: &str) -> String {
        let email = format!("{name}@example.org");
        let form = serde_json::json!({ "username": name, "name": name, "email": email, "password": "secret of mine", "phone": "" });
        assert_eq!(self.post("/api/auth/register", form).await.status, 201);
        let answer =
            self.post("/api/auth/verify-register-otp", serde_json::json!({ "email": email, "otp": self.code() })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.token()
    }

    /// An account as the system before left it: bcrypt, and perhaps not verified.
    pub async fn moved(&self, name: &str, password: &str, verified: bool) {
        let hash = bcrypt::hash_with_salt(password, 4, [5; 16]).unwrap().to_string();
        let insert = "INSERT INTO users (id, name, email, username, password_hash, verified, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0)";
        let email = format!("{name}@example.org");
        self.app.db.execute(insert, params![self.app.env.id(), name, email, name, hash, verified]).await.unwrap();
    }
}
