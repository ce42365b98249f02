//! Pages behind links in mails, for people without an account: one column, no assets of
//! others, no trace in caches and referrers.

use cairn_shared::http::Response;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;padding:0 1rem;color:#222}\
    button{display:block;width:100%;margin:.5rem 0;padding:.8rem;font:inherit;border:1px solid #2f6b3c;border-radius:.4rem;\
    background:#fff;text-align:left;cursor:pointer}[hidden]{display:none}button:hover{background:#eef6ef}";

/// What a page without scripts may load.
pub const NO_SCRIPTS: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";

/// A page. The title is plain text, the body HTML; `policy` says what it may load.
pub fn page(status: u16, title: &str, body: &str, policy: &str) -> Response {
    let html = [
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>",
        title,
        "</title><style>",
        STYLE,
        "</style></head><body><h1>",
        title,
        "</h1>",
        body,
        "</body></html>",
    ];
    Response::text(status, "text/html; charset=utf-8", html.concat()).header("content-security-policy", policy)
}

/// Text that people wrote, as HTML shows it.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            letter => html.push(letter),
        }
    }
    html
}

/// The address is a secret: it is neither kept nor passed on.
pub fn private(response: Response) -> Response {
    response.header("cache-control", "no-store").header("referrer-policy", "no-referrer")
}
