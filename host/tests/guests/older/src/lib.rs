//! A guest as it was made for Spin 2 and 3: `wasi:http` 0.2 and the interfaces of then.
#![cfg(target_family = "wasm")]

mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package test:older@1.0.0;
            world older {
                import fermyon:spin/key-value@2.0.0;
                import fermyon:spin/postgres@2.0.0;
                import fermyon:spin/sqlite@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import spin:postgres/postgres@3.0.0;
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        path: [
            "../../../../wit/deps/fermyon-spin@2.0.0",
            "../../../../wit/deps/spin-postgres@3.0.0",
            "../../../../wit/deps/wasi-keyvalue@0.2.0-draft2",
            "../../../../wit/deps/wasi-config@0.2.0-draft-2024-09-27",
        ],
        world: "test:older/older",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

use std::io::{Read as _, Write as _};

use bindings::{
    fermyon::spin::{
        key_value::Store,
        postgres as postgres2, rdbms_types,
        sqlite::{Connection, Value},
        variables,
    },
    spin::postgres::postgres as postgres3,
    wasi::{
        config::store as config,
        keyvalue::{
            atomics::{self, Cas},
            batch, store,
        },
    },
};
use wasip2::http::{
    outgoing_handler,
    types::{
        Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
        Scheme,
    },
};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (first, rest) =
            target.trim_start_matches('/').split_once('/').unwrap_or((target.trim_start_matches('/'), ""));
        let text = match first {
            "headers" => headers(&request),
            "body" => read(request.consume().expect("the body is there")).len().to_string(),
            "key-value" => key_value(rest).unwrap_or_else(|error| format!("{error:?}")),
            "atomics" => change().unwrap_or_else(|error| format!("{error:?}")),
            "sqlite" => sqlite(rest).unwrap_or_else(|error| format!("{error:?}")),
            "postgres2" => with_postgres2(rest).unwrap_or_else(|error| format!("{error:?}")),
            "postgres3" => with_postgres3(rest).unwrap_or_else(|error| format!("{error:?}")),
            "variable" => variables::get(rest).unwrap_or_else(|error| format!("{error:?}")),
            "config" => format!("{:?} {:?}", config::get(rest), config::get_all()),
            "file" => std::fs::read_to_string(format!("/{rest}")).unwrap_or_else(|error| error.to_string()),
            "get" => get(rest).unwrap_or_else(|error| format!("{error:?}")),
            "own" => get(&format!("self.alt/{rest}")).unwrap_or_else(|error| format!("{error:?}")),
            "relative" => get(&format!("/{rest}")).unwrap_or_else(|error| format!("{error:?}")),
            "large" => "x".repeat(rest.parse().unwrap_or_default()),
            "trap" => panic!("told to"),
            other => other.to_owned(),
        };
        respond(out, text.as_bytes());
    }
}

fn respond(out: ResponseOutparam, bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the body is new");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the stream is new");
    stream.write_all(bytes).expect("somebody reads");
    stream.flush().expect("somebody reads");
    drop(stream);
    OutgoingBody::finish(body, None).expect("the body is whole");
}

fn headers(request: &IncomingRequest) -> String {
    let entries = request.headers().entries();
    entries.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))).collect()
}

fn read(body: IncomingBody) -> Vec<u8> {
    let mut stream = body.stream().expect("the stream is new");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the body is whole");
    bytes
}

fn key_value(label: &str) -> Result<String, bindings::fermyon::spin::key_value::Error> {
    let store = Store::open(label)?;
    store.set("b", b"2")?;
    store.set("a", b"1")?;
    store.delete("b")?;
    Ok(format!("{:?} {:?} {} {:?}", store.get("a")?, store.get("b")?, store.exists("a")?, store.get_keys()?))
}

/// Everything that `wasi:keyvalue` has.
fn change() -> Result<String, store::Error> {
    let bucket = store::open("default")?;
    batch::set_many(&bucket, &[("x".to_owned(), vec![1]), ("y".to_owned(), vec![2])])?;
    batch::delete_many(&bucket, &["y".to_owned()])?;
    let found = batch::get_many(&bucket, &["x".to_owned(), "y".to_owned()])?;
    bucket.delete("n")?;
    let sums = [atomics::increment(&bucket, "n", 3)?, atomics::increment(&bucket, "n", -5)?];
    let stale = Cas::new(&bucket, "x")?;
    bucket.set("x", &[9])?;
    let latest = match atomics::swap(stale, &[7]) {
        Err(atomics::CasError::CasFailed(latest)) => latest,
        other => return Ok(format!("{other:?}")),
    };
    let seen = latest.current()?;
    let swapped = atomics::swap(latest, &[8]).is_ok();
    let keys = bucket.list_keys(None)?.keys;
    Ok(format!("{found:?} {sums:?} {seen:?} {swapped} {:?} {keys:?}", bucket.get("x")?))
}

fn sqlite(database: &str) -> Result<String, bindings::fermyon::spin::sqlite::Error> {
    let connection = Connection::open(database)?;
    connection.execute("CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, name TEXT, size REAL)", &[])?;
    connection.execute(
        "INSERT INTO thing (name, size) VALUES (?, ?)",
        &[Value::Text("stone".to_owned()), Value::Real(1.5)],
    )?;
    let result = connection.execute("SELECT id, name, size, NULL AS owner FROM thing", &[])?;
    let rows: Vec<_> = result.rows.iter().map(|row| &row.values).collect();
    Ok(format!("{:?} {rows:?}", result.columns))
}

const SELECT: &str = "SELECT $1::int8 AS n, 'x'::text AS t, NULL::text AS nothing, '2026-01-02'::date AS d";

fn with_postgres2(address: &str) -> Result<String, rdbms_types::Error> {
    let connection = postgres2::Connection::open(address)?;
    let rows = connection.query(SELECT, &[rdbms_types::ParameterValue::Int64(5)])?;
    let refused = connection.query(SELECT, &[rdbms_types::ParameterValue::Uint64(5)]).unwrap_err();
    let changed = connection.execute("CREATE TEMPORARY TABLE n AS SELECT generate_series(1, 3)", &[])?;
    let types: Vec<_> = rows.columns.iter().map(|column| (&column.name, column.data_type)).collect();
    Ok(format!("{types:?} {:?} {refused:?} {changed}", rows.rows))
}

fn with_postgres3(address: &str) -> Result<String, postgres3::Error> {
    let connection = postgres3::Connection::open(address)?;
    let rows = connection.query(SELECT, &[postgres3::ParameterValue::Int64(5)])?;
    let wrong = connection.query("SELECT nothing", &[]).unwrap_err();
    let types: Vec<_> = rows.columns.iter().map(|column| column.data_type).collect();
    Ok(format!("{types:?} {:?} {wrong:?}", rows.rows))
}

/// Asks `host/path` over HTTP, or `/path` of the application itself.
fn get(address: &str) -> Result<String, wasip2::http::types::ErrorCode> {
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("the scheme is known");
    request.set_authority((!host.is_empty()).then_some(host)).expect("the host is one");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("the path is one");
    let answer = outgoing_handler::handle(request, None)?;
    answer.subscribe().block();
    let response = answer.get().expect("it is ready").expect("it is taken once")?;
    let body = read(response.consume().expect("the body is there"));
    Ok(format!("{} {}", response.status(), String::from_utf8_lossy(&body)))
}
