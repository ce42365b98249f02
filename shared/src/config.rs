//! Configuration of a component: the variables that the manifest grants it.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

/// Values by name, and everything that was found wrong with them.
#[derive(Debug, Default)]
pub struct Config {
    values: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Config {
    /// For tests, and wherever there are no variables.
    pub fn of(values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { values, problems: Vec::new() }
    }

    /// Reads these variables of the component's.
    #[cfg(target_family = "wasm")]
    pub async fn read(names: &[&str]) -> Self {
        let mut config = Self::default();
        for name in names {
            match spin_sdk::variables::get(name).await {
                Ok(value) => drop(config.values.insert((*name).to_owned(), value)),
                Err(spin_sdk::variables::Error::Undefined(_)) => {}
                Err(error) => config.problems.push(format!("variable `{name}`: {error}")),
            }
        }
        config
    }

    /// A variable's text; an empty one counts as not set.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.values.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A variable that has to be set.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems
                .push(format!("variable `{name}` is not set: give it as environment variable {}", name.to_uppercase()));
            String::new()
        })
    }

    /// A variable parsed, or the default where it is not set.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> T {
        match self.optional(name).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                self.problems.push(format!("variable `{name}`: {error}"));
                default
            }
        }
    }

    /// Notes something that is wrong with the configuration as a whole.
    pub fn problem(&mut self, message: impl Into<String>) {
        self.problems.push(message.into());
    }

    /// # Errors
    /// One message that names everything that is wrong.
    pub fn finish(self) -> Result<(), String> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems.join("; ")) }
    }
}
