//! Components at a URL.

mod harness;

use std::net::SocketAddr;

use harness::*;
use host::precompiled::{COMPONENT_BYTES_MAX, content_hash};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// A server of one component, by several paths.
async fn server(component: Vec<u8>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
            let ok = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", component.len()).into_bytes();
            let redirect =
                |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes();
            let answer = match path {
                "/component" => [ok, component.clone()].concat(),
                "/half" => [ok, component[..component.len() / 2].to_vec()].concat(),
                "/here" => redirect("/component"),
                "/circle" => redirect("/circle"),
                "/inside" => redirect("https://127.0.0.1:1/component"),
                "/large" => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", COMPONENT_BYTES_MAX + 1).into(),
                "/endless" => [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0; COMPONENT_BYTES_MAX + 1]].concat(),
                _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
            };
            // Who has heard enough goes.
            let _ = stream.write_all(&answer).await;
        }
    });
    (address, serving)
}

fn manifest_of(address: SocketAddr, path: &str, bytes: &[u8]) -> String {
    let hash = content_hash(bytes);
    format!(
        "spin_manifest_version = 2\napplication.name = \"test\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"callee\"\n\
         [component.callee]\nsource = {{ url = \"http://{address}{path}\", digest = \"sha256:{hash}\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_fetched_once_and_then_needs_no_server() {
    let (dir, bytes) = (TestDir::new(), callee("remote"));
    let (address, serving) = server(bytes.clone()).await;
    let text = manifest_of(address, "/here?key=secret", &bytes);
    let running = start(&dir, &text).await;
    assert_eq!(current(&running, "callee"), content_hash(&bytes));
    assert_eq!(get(running.http_addr(), "/hello").await.body, "hello");
    running.stop().await;

    serving.abort();
    let running = start(&dir, &text).await;
    assert_eq!(get(running.http_addr(), "/hello").await.body, "hello");
    // What was put in force since stays so, without the server too.
    let newer = callee("newer");
    swap(&running, "callee", newer.clone()).await.unwrap();
    running.stop().await;
    let running = start(&dir, &text).await;
    assert_eq!(current(&running, "callee"), content_hash(&newer));
    running.stop().await;

    // A copy that is damaged is not run, and cannot be replaced without the server.
    let dir_of_versions = dir.path().join("versions");
    std::fs::remove_file(dir_of_versions.join("versions.json")).unwrap();
    std::fs::write(dir_of_versions.join(format!("{}.wasm", content_hash(&bytes))), b"damaged").unwrap();
    let error = start_error(&dir, &text).await.to_string();
    assert!(error.contains("did not accept a connection") && !error.contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_digest_is_another_deployment() {
    let (dir, first, second) = (TestDir::new(), callee("first"), callee("second"));
    let (address, _serving) = server(first.clone()).await;
    start(&dir, &manifest_of(address, "/component", &first)).await.stop().await;
    let (address, _serving) = server(second.clone()).await;
    let running = start(&dir, &manifest_of(address, "/component", &second)).await;
    assert_eq!(current(&running, "callee"), content_hash(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_component_is_refused_with_the_reason() {
    let bytes = callee("remote");
    let (address, _serving) = server(bytes.clone()).await;
    for (path, content, problem) in [
        ("/missing", &bytes[..], "127.0.0.1 answers 404 Not Found"),
        ("/component", b"other", "its SHA-256 is "),
        ("/half", &bytes, "the connection broke"),
        ("/circle", &bytes, "it redirects more than 5 times"),
        ("/inside", &bytes, "the host is not allowed, or resolves to addresses that are not"),
        ("/large", &bytes, "it has more than 67108864 bytes"),
        ("/endless", &bytes, "it has more than 67108864 bytes"),
    ] {
        let error = start_error(&TestDir::new(), &manifest_of(address, path, content)).await.to_string();
        let whose = format!("component \"callee\": cannot fetch http://{address}{path}: ");
        assert!(error.contains(&whose) && error.contains(problem), "{path}: {error}");
    }
}
