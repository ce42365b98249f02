//! From method and path to a handler.
//!
//! A handler is an async function of the component and of what it extracts:
//! `async fn detail(app: Rc<App>, caller: Caller, Path(id): Path<Id>) -> Result<Json<Detail>>`.

use std::{collections::HashMap, future::Future, pin::Pin, rc::Rc};

use super::{FromRequest, IntoResponse, Request, Response};
use crate::{
    Db, Env, Error, Result,
    idempotency::{self, Key},
    origin::{self, Origin},
};

type Answer = Pin<Box<dyn Future<Output = Result<Response>>>>;
type Call<A> = Box<dyn Fn(Rc<A>, Request, Params) -> Answer>;

/// Values of `{…}` segments in the order of the route.
#[derive(Debug, Clone, Default)]
pub struct Params(pub(super) Vec<String>);

/// The routes of a component.
pub struct Router<A> {
    paths: matchit::Router<usize>,
    methods: Vec<HashMap<&'static str, Call<A>>>,
    /// Route text to its entry in `methods`.
    known: HashMap<&'static str, usize>,
    /// Where answers to requests with an `Idempotency-Key` are kept, if they are.
    kept_in: Option<fn(&A) -> &Db>,
}

impl<A: 'static> Default for Router<A> {
    fn default() -> Self {
        Self { paths: matchit::Router::new(), methods: Vec::new(), known: HashMap::new(), kept_in: None }
    }
}

impl<A: 'static> Router<A> {
    /// Adds a route, such as `("GET", "/api/things/{id}")`.
    ///
    /// # Panics
    /// When the path contradicts another one: routes are fixed at build time, and
    /// the first test of a component finds it.
    pub fn on<X: 'static>(mut self, method: &'static str, path: &'static str, handler: impl Handler<A, X>) -> Self {
        let at = *self.known.entry(path).or_insert_with(|| {
            self.paths.insert(path, self.methods.len()).expect("routes do not contradict each other");
            self.methods.push(HashMap::new());
            self.methods.len() - 1
        });
        let call: Call<A> = Box::new(move |app, request, params| Box::pin(handler.clone().call(app, request, params)));
        self.methods[at].insert(method, call);
        self
    }

    /// Has every write that carries an `Idempotency-Key` done once for it.
    pub fn once_for_a_key(self, kept_in: fn(&A) -> &Db) -> Self {
        Self { kept_in: Some(kept_in), ..self }
    }

    /// All routes, as method and path.
    pub fn routes(&self) -> Vec<(&'static str, &'static str)> {
        let methods = |at: usize| self.methods.get(at).into_iter().flat_map(HashMap::keys).copied();
        let mut routes: Vec<_> =
            self.known.iter().flat_map(|(path, at)| methods(*at).map(|method| (method, *path))).collect();
        routes.sort_unstable();
        routes
    }

    pub fn get<X: 'static>(self, path: &'static str, handler: impl Handler<A, X>) -> Self {
        self.on("GET", path, handler)
    }

    pub fn post<X: 'static>(self, path: &'static str, handler: impl Handler<A, X>) -> Self {
        self.on("POST", path, handler)
    }

    pub fn put<X: 'static>(self, path: &'static str, handler: impl Handler<A, X>) -> Self {
        self.on("PUT", path, handler)
    }

    pub fn patch<X: 'static>(self, path: &'static str, handler: impl Handler<A, X>) -> Self {
        self.on("PATCH", path, handler)
    }

    pub fn delete<X: 'static>(self, path: &'static str, handler: impl Handler<A, X>) -> Self {
        self.on("DELETE", path, handler)
    }

    /// Answers a request; errors become their response here and nowhere else.
    pub async fn handle(&self, app: Rc<A>, env: &Env, request: Request) -> Response {
        let origin = Origin::of(&request);
        match origin::within(origin, self.once(app, env, request)).await {
            Ok(response) => response,
            Err(error) => error.into_response(env.service, env.now()),
        }
    }

    /// Dispatches a request; one with a key once for it.
    async fn once(&self, app: Rc<A>, env: &Env, mut request: Request) -> Result<Response> {
        let Some(kept_in) = self.kept_in else { return self.dispatch(app, request).await };
        let key = Key::take(&mut request)?;
        let db = kept_in(&app).clone();
        idempotency::once(&db, env, key, async || self.dispatch(app, request).await).await
    }

    async fn dispatch(&self, app: Rc<A>, request: Request) -> Result<Response> {
        if request.target.contains("%00") {
            return Err(Error::bad_request("The address must not have the character U+0000."));
        }
        let path = request.path().to_owned();
        let Ok(found) = self.paths.at(&path) else {
            return Err(Error::not_found("There is nothing at this address."));
        };
        let methods = self.methods.get(*found.value).ok_or_else(|| Error::internal("a route without methods"))?;
        let method = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
        let Some(call) = methods.get(method) else {
            let message = format!("{} is not possible at this address.", request.method);
            return Err(Error::new(405, "METHOD_NOT_ALLOWED", message));
        };
        let params: Result<Vec<_>> = found.params.iter().map(|(_, value)| decode(value)).collect();
        call(app, request, Params(params?)).await
    }
}

fn decode(segment: &str) -> Result<String> {
    if !segment.contains('%') {
        return Ok(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => (hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l), tail),
            (b'%', _) => (None, tail),
            (byte, tail) => (Some(*byte), tail),
        };
        bytes.push(byte.ok_or_else(|| Error::bad_request("The address is not encoded correctly."))?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| Error::bad_request("The address is not encoded correctly."))
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// An async function that a route can call. Implemented for functions of `Rc<A>`
/// and up to six extractors.
pub trait Handler<A, X>: Clone + 'static {
    fn call(self, app: Rc<A>, request: Request, params: Params) -> impl Future<Output = Result<Response>> + 'static;
}

macro_rules! handler {
    ($($extractor:ident),*) => {
        impl<A, F, R, O, $($extractor),*> Handler<A, ($($extractor,)*)> for F
        where
            A: 'static,
            F: Fn(Rc<A>, $($extractor),*) -> R + Clone + 'static,
            R: Future<Output = Result<O>> + 'static,
            O: IntoResponse + 'static,
            $($extractor: FromRequest + 'static,)*
        {
            #[allow(non_snake_case, unused_mut, unused_variables, reason = "the macro names values as their types, and a handler may extract nothing")]
            async fn call(self, app: Rc<A>, mut request: Request, params: Params) -> Result<Response> {
                $(let $extractor = $extractor::from_request(&mut request, &params)?;)*
                Ok(self(app, $($extractor),*).await?.into_response())
            }
        }
    };
}

handler!();
handler!(X1);
handler!(X1, X2);
handler!(X1, X2, X3);
handler!(X1, X2, X3, X4);
handler!(X1, X2, X3, X4, X5);
handler!(X1, X2, X3, X4, X5, X6);

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Id,
        http::{Json, Path, Query},
    };

    #[derive(Deserialize)]
    struct New {
        name: String,
        #[serde(default)]
        count: Option<u32>,
    }

    #[derive(Deserialize)]
    struct Page {
        page: Option<u32>,
    }

    async fn one(_: Rc<()>, Path(id): Path<Id>) -> Result<Json<Value>> {
        Ok(Json(json!({ "id": id })))
    }

    async fn make(_: Rc<()>, Query(page): Query<Page>, Json(new): Json<New>) -> Result<Json<Value>> {
        Ok(Json(json!({ "name": new.name, "count": new.count, "page": page.page })))
    }

    async fn ask(method: &str, target: &str, body: &str) -> (u16, Value) {
        let router = Router::<()>::default().get("/things/{id}", one).post("/things", make);
        let mut request = Request::new(method, target);
        request.body = body.into();
        let response = router.handle(Rc::new(()), &Env::for_test("test"), request).await;
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    #[tokio::test]
    async fn a_route_extracts_its_parameters() {
        let id = "68f0a1b2c3d4e5f607182930";
        assert_eq!(ask("GET", &format!("/things/{id}"), "").await, (200, json!({ "id": id })));
        let (status, body) = ask("POST", "/things?page=2&other=x", r#"{"name":"a"}"#).await;
        assert_eq!((status, body), (200, json!({ "name": "a", "count": null, "page": 2 })));
    }

    #[tokio::test]
    async fn bad_input_is_told_apart() {
        for (method, target, body, status, says) in [
            ("GET", "/things/xyz", "", 400, "id"),
            ("GET", "/nothing", "", 404, "nothing at this address"),
            ("DELETE", "/things", "", 405, "DELETE"),
            ("POST", "/things", "{", 400, "JSON"),
            ("POST", "/things", "3", 400, "JSON object"),
            ("POST", "/things", r#"{"name":1}"#, 400, "name"),
            ("POST", "/things", r#"{"name":"a","count":-1}"#, 400, "count"),
            ("POST", "/things", "", 400, "name"),
            ("POST", "/things?page=x", r#"{"name":"a"}"#, 400, "page"),
        ] {
            let (got, answer) = ask(method, target, body).await;
            let message = answer["message"].as_str().unwrap();
            assert!(got == status && message.contains(says), "{method} {target} {body}: {got} {message}");
            assert_eq!(answer["success"], false);
        }
    }
}
