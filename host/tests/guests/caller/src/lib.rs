//! A guest that calls others.
#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    spin_sdk::wit_bindgen::generate!({
        path: ["../../../../wit/http", "../../../../wit/jobs", "../../../../wit/lifecycle", "../../wit"],
        world: "test:guests/caller",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Guest;
    export!(Guest);
}
use bindings::{
    cairn::{
        http::{
            types::{Request, Response},
            upstream,
        },
        jobs::wake,
    },
    exports::cairn::http::handler,
    test::guests::echo,
};

use spin_sdk::sqlite::Connection;

struct Guest;

impl handler::Guest for Guest {
    async fn handle(request: Request) -> Response {
        let (first, rest) = request.target.trim_start_matches('/').split_once('/').unwrap_or_default();
        let body = match first {
            "say" => match echo::say(rest.to_owned()).await {
                Ok(text) => text,
                Err(error) => format!("{error:?}"),
            },
            "double" => echo::double(rest.parse().unwrap_or_default()).await.to_string(),
            "pair" => pair().await,
            "many" => many(rest.parse().unwrap_or_default()).await,
            "wake" => {
                wake::wake("caller".to_owned(), format!("/{rest}")).await;
                "woken".to_owned()
            }
            "wake-other" => {
                wake::wake("callee".to_owned(), format!("/{rest}")).await;
                "woken".to_owned()
            }
            "postgres" => postgres(&String::from_utf8_lossy(&request.body)).await,
            "insert" => insert(rest).await,
            "rows" => rows().await,
            "leak" => leak().await,
            "flood" => flood(rest).await,
            "variable" => spin_sdk::variables::get(rest).await.unwrap_or_else(|error| format!("{error:?}")),
            "get" => get(rest).await,
            "tcp" => {
                std::net::TcpStream::connect(rest).map_or_else(|error| error.to_string(), |_| "connected".to_owned())
            }
            "hoard" => hoard(rest),
            "set" => set(rest).await,
            service => return forward(service, rest, request.headers).await,
        };
        Response { status: 200, headers: vec![("content-type".into(), "text/plain".into())], body: body.into_bytes() }
    }
}

/// Asks another component what it is like, and after a while again.
async fn pair() -> String {
    let mut answers = Vec::new();
    for text in ["variant", "sleep", "variant"] {
        answers.push(echo::say(text.to_owned()).await.unwrap_or_else(|error| format!("{error:?}")));
    }
    answers.join(" ")
}

/// Calls another component again and again, to be measured.
async fn many(count: u32) -> String {
    let mut sum = 0_u64;
    for number in 0..count {
        sum += u64::from(echo::double(number % 1000).await);
    }
    sum.to_string()
}

async fn insert(database: &str) -> String {
    let connection = match Connection::open(database).await {
        Ok(connection) => connection,
        Err(error) => return format!("{error:?}"),
    };
    for statement in ["CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY)", "INSERT INTO visits DEFAULT VALUES"]
    {
        if let Err(error) = connection.execute(statement, []).await {
            return format!("{error:?}");
        }
    }
    "inserted".to_owned()
}

async fn rows() -> String {
    let connection = Connection::open("default").await.expect("the database opens");
    let mut rows = connection.execute("SELECT count(*) FROM visits", []).await.expect("the table is there");
    let row = rows.next().await.expect("there is a row");
    row.get::<i64>(0).expect("it is a number").to_string()
}

/// Asks for so many rows at once.
async fn flood(count: &str) -> String {
    let connection = Connection::open("default").await.expect("the database opens");
    let statement =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n");
    match connection.execute(statement, []).await {
        Ok(_) => "flooded".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// Ends a request inside of a transaction.
async fn leak() -> String {
    let connection = Connection::open("default").await.expect("the database opens");
    connection.execute("BEGIN IMMEDIATE", []).await.expect("a transaction begins");
    std::mem::forget(connection);
    "leaked".to_owned()
}

/// Runs statements, one a line, on one connection to the database of its own, or to the
/// address that the first line is. Gives the first value of the last statement; ends
/// inside of a transaction if they do.
async fn postgres(lines: &str) -> String {
    let own = std::env::var("CAIRN_POSTGRES").unwrap_or_default();
    let (address, statements) = match lines.split_once('\n') {
        Some((address, rest)) if address.starts_with("postgres://") => (address, rest),
        _ => (own.as_str(), lines),
    };
    let connection = match spin_sdk::pg::Connection::open(address).await {
        Ok(connection) => connection,
        Err(error) => return format!("{error:?}"),
    };
    let mut answer = String::new();
    for statement in statements.lines() {
        let rows = match connection.query(statement, []).await {
            Ok(result) => result.collect().await,
            Err(error) => return format!("{error:?}"),
        };
        answer = match rows {
            Ok(rows) => rows.first().and_then(|row| row.get::<i64>("n")).map(|n| n.to_string()).unwrap_or_default(),
            Err(error) => return format!("{error:?}"),
        };
    }
    if statements.ends_with("BEGIN") {
        std::mem::forget(connection);
        return "leaked".to_owned();
    }
    answer
}

/// Makes connections until one is refused. Gives how many there were, and why not more.
fn hoard(address: &str) -> String {
    let mut hoarded = Vec::new();
    loop {
        match std::net::TcpStream::connect(address) {
            Ok(connection) => hoarded.push(connection),
            Err(error) => return format!("{} {:?}", hoarded.len(), error.raw_os_error()),
        }
    }
}

/// Sets an entry whose key and value are so many bytes long.
async fn set(lengths: &str) -> String {
    let (key, value) = lengths.split_once('/').unwrap_or_default();
    let length = |text: &str| text.parse().unwrap_or_default();
    let store = spin_sdk::key_value::Store::open_default().await.expect("the store opens");
    match store.set("k".repeat(length(key)), vec![0; length(value)]).await {
        Ok(()) => "set".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn forward(service: &str, rest: &str, headers: Vec<(String, String)>) -> Response {
    let request = Request { method: "GET".into(), target: format!("/{rest}"), headers, body: Vec::new() };
    match upstream::send(service.to_owned(), request).await {
        Ok(mut response) => {
            for (name, value) in &mut response.headers {
                if name == "x-cairn-continues" {
                    *value = format!("{service} {value}");
                }
            }
            response
        }
        Err(error) => Response { status: 502, headers: Vec::new(), body: format!("{error:?}").into_bytes() },
    }
}

async fn get(url: &str) -> String {
    let request = match http::Request::get(url).body(spin_sdk::http::EmptyBody::new()) {
        Ok(request) => request,
        Err(error) => return error.to_string(),
    };
    let response = match spin_sdk::http::send(request).await {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    match http_body_util::BodyExt::collect(response.into_body()).await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(error) => format!("{error:?}"),
    }
}
