//! Log lines, one JSON object each, on standard error.
//!
//! The host adds the time, the component and the correlation id.

use std::fmt::Display;

use serde_json::{Map, Value};

/// Something an operator has to look at.
pub fn error(message: &str, fields: &[(&str, &dyn Display)]) {
    line("error", message, fields);
}

/// Something that is odd but was dealt with.
pub fn warn(message: &str, fields: &[(&str, &dyn Display)]) {
    line("warn", message, fields);
}

/// Something worth knowing later.
pub fn info(message: &str, fields: &[(&str, &dyn Display)]) {
    line("info", message, fields);
}

fn line(level: &str, message: &str, fields: &[(&str, &dyn Display)]) {
    let mut object = Map::new();
    object.insert("level".into(), level.into());
    object.insert("message".into(), message.into());
    for (key, value) in fields {
        object.insert((*key).into(), value.to_string().into());
    }
    let line = Value::Object(object);
    #[cfg(not(target_family = "wasm"))]
    if let Some(conductor) = crate::conduct::conductor() {
        return conductor.log(&line.to_string());
    }
    eprintln!("{line}");
}
