//! Component types written out as WIT.
//!
//! Two functions have the same type exactly when their texts are equal: every
//! named type is written out in full. The texts are also what an operator reads
//! when a link is refused. This module knows types and no components.

use std::fmt::Write as _;

use wasmtime::component::types::{ComponentFunc, Type};

/// Deepest nesting of types that is followed; WIT types cannot recurse.
const DEPTH_MAX: usize = 64;

/// The type of a function, such as `async func(id: string) -> option<u32>`.
#[must_use]
pub fn signature(function: &ComponentFunc) -> String {
    let mut text = String::new();
    if function.async_() {
        text.push_str("async ");
    }
    text.push_str("func(");
    list(&mut text, function.params(), |text, (name, ty)| {
        field(text, name, &ty, DEPTH_MAX);
    });
    text.push(')');
    for ty in function.results() {
        text.push_str(" -> ");
        write_type(&mut text, &ty, DEPTH_MAX);
    }
    text
}

/// Whether all parameters and results are plain values, which can be copied from
/// one component to another. Resources, streams and futures cannot.
#[must_use]
pub fn is_plain(function: &ComponentFunc) -> bool {
    function.params().all(|(_, ty)| is_plain_type(&ty)) && function.results().all(|ty| is_plain_type(&ty))
}

/// Whether the function returns `result<_, E>` with a variant `E` that has a case
/// `unavailable(string)`, so that a failed call can be told to its caller.
#[must_use]
pub fn can_be_unavailable(function: &ComponentFunc) -> bool {
    let mut results = function.results();
    let (Some(Type::Result(result)), None) = (results.next(), results.next()) else {
        return false;
    };
    let Some(Type::Variant(error)) = result.err() else {
        return false;
    };
    error.cases().any(|case| case.name == "unavailable" && matches!(case.ty, Some(Type::String)))
}

fn is_plain_type(ty: &Type) -> bool {
    match ty {
        Type::List(list) => is_plain_type(&list.ty()),
        Type::FixedLengthList(list) => is_plain_type(&list.ty()),
        Type::Map(map) => is_plain_type(&map.key()) && is_plain_type(&map.value()),
        Type::Record(record) => record.fields().all(|field| is_plain_type(&field.ty)),
        Type::Tuple(tuple) => tuple.types().all(|ty| is_plain_type(&ty)),
        Type::Variant(variant) => variant.cases().all(|case| case.ty.as_ref().is_none_or(is_plain_type)),
        Type::Option(option) => is_plain_type(&option.ty()),
        Type::Result(result) => {
            result.ok().as_ref().is_none_or(is_plain_type) && result.err().as_ref().is_none_or(is_plain_type)
        }
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => false,
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => true,
    }
}

fn write_type(text: &mut String, ty: &Type, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else {
        text.push_str("...");
        return;
    };
    match ty {
        Type::Bool => text.push_str("bool"),
        Type::S8 => text.push_str("s8"),
        Type::U8 => text.push_str("u8"),
        Type::S16 => text.push_str("s16"),
        Type::U16 => text.push_str("u16"),
        Type::S32 => text.push_str("s32"),
        Type::U32 => text.push_str("u32"),
        Type::S64 => text.push_str("s64"),
        Type::U64 => text.push_str("u64"),
        Type::Float32 => text.push_str("f32"),
        Type::Float64 => text.push_str("f64"),
        Type::Char => text.push_str("char"),
        Type::String => text.push_str("string"),
        Type::ErrorContext => text.push_str("error-context"),
        Type::Own(_) => text.push_str("own<resource>"),
        Type::Borrow(_) => text.push_str("borrow<resource>"),
        Type::Future(future) => generic(text, "future", &[future.ty()], depth),
        Type::Stream(stream) => generic(text, "stream", &[stream.ty()], depth),
        Type::List(list) => generic(text, "list", &[Some(list.ty())], depth),
        Type::FixedLengthList(list) => {
            text.push_str("list<");
            write_type(text, &list.ty(), depth);
            // Writing to a string cannot fail.
            let _ = write!(text, ", {}>", list.len());
        }
        Type::Map(map) => generic(text, "map", &[Some(map.key()), Some(map.value())], depth),
        Type::Option(option) => generic(text, "option", &[Some(option.ty())], depth),
        Type::Tuple(tuple) => {
            let types: Vec<_> = tuple.types().map(Some).collect();
            generic(text, "tuple", &types, depth);
        }
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => text.push_str("result"),
            (ok, None) => generic(text, "result", &[ok], depth),
            (ok, err) => generic(text, "result", &[ok, err], depth),
        },
        Type::Record(record) => block(text, "record", record.fields(), |text, member| {
            field(text, member.name, &member.ty, depth);
        }),
        Type::Variant(variant) => block(text, "variant", variant.cases(), |text, case| {
            text.push_str(case.name);
            if let Some(ty) = &case.ty {
                text.push('(');
                write_type(text, ty, depth);
                text.push(')');
            }
        }),
        Type::Enum(names) => block(text, "enum", names.names(), |text, name| text.push_str(name)),
        Type::Flags(names) => block(text, "flags", names.names(), |text, name| text.push_str(name)),
    }
}

fn field(text: &mut String, name: &str, ty: &Type, depth: usize) {
    text.push_str(name);
    text.push_str(": ");
    write_type(text, ty, depth);
}

/// `name<a, b>`, where a missing type is `_`.
fn generic(text: &mut String, name: &str, types: &[Option<Type>], depth: usize) {
    text.push_str(name);
    if types.iter().all(Option::is_none) {
        return;
    }
    text.push('<');
    list(text, types.iter(), |text, ty| match ty {
        Some(ty) => write_type(text, ty, depth),
        None => text.push('_'),
    });
    text.push('>');
}

/// `name { a, b }`.
fn block<T>(text: &mut String, name: &str, members: impl Iterator<Item = T>, write: impl FnMut(&mut String, T)) {
    text.push_str(name);
    text.push_str(" { ");
    list(text, members, write);
    text.push_str(" }");
}

fn list<T>(text: &mut String, members: impl Iterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    for (index, member) in members.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write(text, member);
    }
}
