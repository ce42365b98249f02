//! A guest that is called, and misbehaves when told to.
#![cfg(target_family = "wasm")]

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

mod bindings {
    #![allow(unsafe_code, reason = "generated")]
    spin_sdk::wit_bindgen::generate!({
        path: ["../../../../wit/http", "../../../../wit/jobs", "../../../../wit/lifecycle", "../../wit"],
        world: "test:guests/callee",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Guest;
    export!(Guest);
}
use bindings::{
    cairn::http::types::{Request, Response},
    exports::{
        cairn::{http::handler, lifecycle::lifecycle},
        test::guests::echo,
    },
};

struct Guest;

/// Requests that this instance has seen.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

/// What this version is like. A test writes another word in its place in the file, and
/// has another version of the guest.
static VARIANT: [u8; 16] = *b"variant:good    ";

fn variant() -> String {
    let text = std::hint::black_box(VARIANT);
    String::from_utf8_lossy(&text).trim_start_matches("variant:").trim_end().to_owned()
}

impl handler::Guest for Guest {
    async fn handle(request: Request) -> Response {
        let status = match variant().as_str() {
            "trap" => panic!("this version traps"),
            "error" => 500,
            "slow" => {
                std::thread::sleep(Duration::from_millis(60));
                200
            }
            _ => 200,
        };
        if let Some(left) = request.target.strip_prefix("/pieces/") {
            return piece(left);
        }
        let seen = REQUESTS.fetch_add(1, Relaxed) + 1;
        let path = request.target.split('?').next().unwrap_or_default();
        let body = match path {
            "/headers" => request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect(),
            "/body" => request.body.len().to_string(),
            "/count" => seen.to_string(),
            "/environment" => std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect(),
            "/file" => std::fs::read_to_string("/files/greeting.txt").unwrap_or_else(|error| error.to_string()),
            "/write" => {
                std::fs::write("/files/new.txt", "x").map_or_else(|error| error.to_string(), |()| "written".into())
            }
            _ => act(path.trim_start_matches('/')),
        };
        Response { status, headers: vec![("content-type".into(), "text/plain".into())], body: body.into_bytes() }
    }
}

impl echo::Guest for Guest {
    async fn say(text: String) -> Result<String, echo::Error> {
        match text.as_str() {
            "refuse" => Err(echo::Error::Refused),
            other => Ok(act(other)),
        }
    }

    async fn double(number: u32) -> u32 {
        assert!(number < 1_000_000, "too large to double");
        number * 2
    }
}

impl lifecycle::Guest for Guest {
    async fn prepare() -> Result<(), String> {
        match std::env::var("FAIL_PREPARE") {
            Ok(reason) => Err(reason),
            Err(_) => Ok(()),
        }
    }
}

/// One of so many pieces of an answer; the last one fails if there is to be a `trap`.
fn piece(left: &str) -> Response {
    let (number, end) = left.split_once('/').unwrap_or((left, ""));
    let number: u32 = number.parse().unwrap_or_default();
    assert!(number > 0 || end != "trap", "told to");
    let next =
        (number > 0).then(|| ("x-cairn-continues".to_owned(), format!("/pieces/{}/{end}", number.saturating_sub(1))));
    Response { status: 200, headers: next.into_iter().collect(), body: format!("piece {number}\n").into_bytes() }
}

/// Misbehaves if the text says how; otherwise gives it back.
fn act(text: &str) -> String {
    match text {
        "loop" => loop {
            std::hint::spin_loop();
        },
        "grow" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "trap" => panic!("told to"),
        "variant" => variant(),
        "log" => {
            println!("{{\"level\":\"info\",\"message\":\"hello from the guest\"}}");
            "logged".into()
        }
        "sleep" => {
            std::thread::sleep(Duration::from_millis(300));
            "slept".into()
        }
        other => other.to_owned(),
    }
}
