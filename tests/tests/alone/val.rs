//! Values of WIT, made and read.

use wasmtime::component::Val;

pub fn text(text: impl Into<String>) -> Val {
    Val::String(text.into())
}

pub fn record<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub fn case(name: &str, value: Val) -> Val {
    Val::Variant(name.to_owned(), Some(Box::new(value)))
}

pub fn one_of(name: &str) -> Val {
    Val::Enum(name.to_owned())
}

pub fn some(value: Val) -> Val {
    Val::Option(Some(Box::new(value)))
}

pub fn none() -> Val {
    Val::Option(None)
}

pub fn ok(value: Val) -> Val {
    Val::Result(Ok(Some(Box::new(value))))
}

/// The success of a function that has nothing to say.
pub fn done() -> Val {
    Val::Result(Ok(None))
}

pub fn err(value: Val) -> Val {
    Val::Result(Err(Some(Box::new(value))))
}

/// What the host tells a caller of a component that does not answer.
pub fn unavailable(cause: &str) -> Val {
    err(case("unavailable", text(cause)))
}

/// The value of a success.
#[track_caller]
pub fn success(result: Val) -> Val {
    match result {
        Val::Result(Ok(Some(value))) => *value,
        other => panic!("{other:?} is no success with a value"),
    }
}

/// The case of an error.
#[track_caller]
pub fn failure(result: &Val) -> &str {
    match result {
        Val::Result(Err(Some(error))) => match &**error {
            Val::Variant(name, _) => name,
            other => panic!("{other:?} is no variant"),
        },
        other => panic!("{other:?} is no error"),
    }
}

#[track_caller]
pub fn field<'a>(record: &'a Val, name: &str) -> &'a Val {
    let Val::Record(fields) = record else { panic!("{record:?} is no record") };
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_else(|| panic!("{name} in {record:?}"))
}

#[track_caller]
pub fn text_of<'a>(record: &'a Val, name: &str) -> &'a str {
    match field(record, name) {
        Val::String(text) => text,
        other => panic!("{name} is {other:?}"),
    }
}

/// Headers of a request.
#[track_caller]
pub fn headers(request: &Val) -> Vec<(String, String)> {
    let Val::List(headers) = field(request, "headers") else { panic!("{request:?}") };
    let pair = |header: &Val| match header {
        Val::Tuple(pair) => match &pair[..] {
            [Val::String(name), Val::String(value)] => (name.clone(), value.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    headers.iter().map(pair).collect()
}

/// Body of a request.
#[track_caller]
pub fn bytes(request: &Val) -> Vec<u8> {
    let Val::List(bytes) = field(request, "body") else { panic!("{request:?}") };
    let byte = |byte: &Val| match byte {
        Val::U8(byte) => *byte,
        other => panic!("{other:?}"),
    };
    bytes.iter().map(byte).collect()
}

/// What `cairn:http/upstream` answers.
pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Val {
    let header = |(name, value): &(&str, &str)| Val::Tuple(vec![text(*name), text(*value)]);
    ok(record([
        ("status", Val::U16(status)),
        ("headers", Val::List(headers.iter().map(header).collect())),
        ("body", Val::List(body.bytes().map(Val::U8).collect())),
    ]))
}

/// A batch as the batch service tells of it.
pub fn batch(id: &str, trek: &str, start_ms: i64, taken: u32) -> Val {
    const DAY_MS: i64 = 86_400_000;
    record([
        ("id", text(id)),
        ("trek-id", text(trek)),
        ("start-date", Val::S64(start_ms)),
        ("end-date", Val::S64(start_ms + 4 * DAY_MS)),
        ("price", Val::S64(800_000)),
        ("max-participants", Val::U32(20)),
        ("reserved-slots", Val::U32(0)),
        ("taken", Val::U32(taken)),
        ("status", one_of("upcoming")),
    ])
}
