//! Where the values of variables come from.
//!
//! Everything is resolved once, when the resolver is made; a guest's `get` is a
//! look-up. To change a value, make a new resolver.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use super::{Ctx, Error, name::check_name};
use crate::manifest::{Application, Component, Template, TemplateError, Variable};

type EnvironmentLookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where values are looked for, in this order: given explicitly, environment,
/// variables file. The default in the manifest comes last.
#[derive(Default)]
pub struct Sources {
    explicit: BTreeMap<String, String>,
    environment: Option<EnvironmentLookup>,
    file: BTreeMap<String, String>,
}

impl Sources {
    /// No source at all: only defaults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the environment of this process.
    #[must_use]
    pub fn with_process_environment(self) -> Self {
        self.with_environment(|name| std::env::var(name).ok())
    }

    /// Adds an environment.
    #[must_use]
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.environment = Some(Box::new(lookup));
        self
    }

    /// Adds values that win over every other source.
    #[must_use]
    pub fn with_values(mut self, values: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        self.explicit.extend(values.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Adds a TOML file of `name = value`. Blocks.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no TOML, or holds a value that is neither a
    /// string, a number nor a boolean. No error repeats a value.
    pub fn with_file(mut self, path: &Path) -> Result<Self, FileError> {
        let fail = |reason: String| FileError { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(error.message().to_owned()))?;
        for (name, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    return Err(fail(format!("{name} is neither a string, a number nor a boolean")));
                }
            };
            self.file.insert(name, value);
        }
        Ok(self)
    }

    fn value(&self, name: &str) -> Option<String> {
        self.explicit
            .get(name)
            .cloned()
            .or_else(|| {
                let lookup = self.environment.as_ref()?;
                environment_names(name).iter().find_map(|name| lookup(name))
            })
            .or_else(|| self.file.get(name).cloned())
    }
}

impl fmt::Debug for Sources {
    /// Names only: any value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("explicit", &self.explicit.keys())
            .field("environment", &self.environment.is_some())
            .field("file", &self.file.keys())
            .finish()
    }
}

/// Why a variables file was not taken.
#[derive(Debug, thiserror::Error)]
#[error("variables file {path}: {reason}")]
pub struct FileError {
    path: String,
    reason: String,
}

/// The names under which the environment may set a variable; the first wins.
#[must_use]
pub fn environment_names(name: &str) -> [String; 2] {
    let upper = name.to_ascii_uppercase();
    [format!("SPIN_VARIABLE_{upper}"), upper]
}

/// Something wrong with the variables of an application or with their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "variable {name} has no value: set it in the environment as {} or {}, or in the variables file",
        .environment[0], .environment[1]
    )]
    Missing { name: String, environment: [String; 2] },
    #[error("variable name {name:?} is not valid: {reason}")]
    InvalidName { name: String, reason: &'static str },
    #[error("component {component}, variable name {name:?} is not valid: {reason}")]
    InvalidComponentName { component: String, name: String, reason: &'static str },
    #[error("component {component}, variable {name}: the template is not valid: {reason}")]
    InvalidTemplate { component: String, name: String, reason: TemplateError },
    #[error("component {component}, variable {name}: the application has no variable {unknown:?}")]
    UnknownVariable { component: String, name: String, unknown: String },
}

/// The variables of an application, resolved.
pub struct Resolver {
    /// `None`: nobody gave a value.
    application: BTreeMap<String, Option<String>>,
    components: BTreeMap<String, Arc<ComponentVariables>>,
    problems: Vec<Problem>,
}

/// The variables of one component.
pub(super) struct ComponentVariables {
    id: String,
    values: BTreeMap<String, Result<String, Error>>,
}

impl Resolver {
    /// Looks every variable up, once. Problems are kept for [`Self::validate`].
    #[must_use]
    pub fn new(application: &Application, sources: &Sources) -> Arc<Self> {
        for name in sources.file.keys().chain(sources.explicit.keys()) {
            if !application.variables.contains_key(name) {
                tracing::warn!(name, "a value was given for an unknown variable");
            }
        }
        let mut resolver = Self { application: BTreeMap::new(), components: BTreeMap::new(), problems: Vec::new() };
        for (name, variable) in &application.variables {
            resolver.add_variable(name, variable, sources);
        }
        for component in &application.components {
            resolver.add_component(component);
        }
        Arc::new(resolver)
    }

    /// Tells everything that is wrong, at once.
    ///
    /// # Errors
    ///
    /// All problems, in the order of the manifest's names.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        match self.problems.as_slice() {
            [] => Ok(()),
            problems => Err(problems.to_vec()),
        }
    }

    /// The state of one instance of a component.
    #[must_use]
    pub fn ctx(&self, component: &str) -> Ctx {
        Ctx {
            variables: self
                .components
                .get(component)
                .cloned()
                .unwrap_or_else(|| Arc::new(ComponentVariables { id: component.to_owned(), values: BTreeMap::new() })),
        }
    }

    /// Fills a template over the application's variables in.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTemplate`], [`Error::Undefined`] for an unknown variable,
    /// [`Error::NoValue`] for one that nobody set.
    pub fn expand(&self, template: &str) -> Result<String, Error> {
        Template::parse(template).map_err(Error::InvalidTemplate)?.render(|name| self.value(name).map(str::to_owned))
    }

    fn value(&self, name: &str) -> Result<&str, Error> {
        self.application
            .get(name)
            .ok_or_else(|| Error::Undefined(format!("the application has no variable {name:?}")))?
            .as_deref()
            .ok_or_else(|| Error::NoValue(name.to_owned()))
    }

    fn add_variable(&mut self, name: &str, variable: &Variable, sources: &Sources) {
        if let Err(reason) = check_name(name) {
            self.problems.push(Problem::InvalidName { name: name.to_owned(), reason });
        }
        let value = sources.value(name).or_else(|| variable.default.clone());
        if value.is_none() {
            self.problems.push(Problem::Missing { name: name.to_owned(), environment: environment_names(name) });
        }
        self.application.insert(name.to_owned(), value);
    }

    fn add_component(&mut self, component: &Component) {
        let mut values = BTreeMap::new();
        for (name, template) in &component.variables {
            self.problems.extend(self.problems_of(&component.id, name, template));
            values.insert(name.clone(), self.expand(template));
        }
        self.components.insert(component.id.clone(), Arc::new(ComponentVariables { id: component.id.clone(), values }));
    }

    fn problems_of(&self, component: &str, name: &str, template: &str) -> Vec<Problem> {
        let (component, name) = (component.to_owned(), name.to_owned());
        if let Err(reason) = check_name(&name) {
            return vec![Problem::InvalidComponentName { component, name, reason }];
        }
        let template = match Template::parse(template) {
            Ok(template) => template,
            Err(reason) => {
                return vec![Problem::InvalidTemplate { component, name, reason }];
            }
        };
        template
            .variables()
            .filter(|unknown| !self.application.contains_key(*unknown))
            .map(|unknown| Problem::UnknownVariable {
                component: component.clone(),
                name: name.clone(),
                unknown: unknown.to_owned(),
            })
            .collect()
    }
}

impl fmt::Debug for Resolver {
    /// Names only: any value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("application", &self.application.keys())
            .field("components", &self.components.keys())
            .field("problems", &self.problems)
            .finish()
    }
}

impl ComponentVariables {
    /// Every variable with its value, by name.
    pub(super) fn all(&self) -> Result<Vec<(String, String)>, Error> {
        self.values.iter().map(|(name, value)| Ok((name.clone(), value.clone()?))).collect()
    }

    pub(super) fn get(&self, name: &str) -> Result<String, Error> {
        check_name(name).map_err(|reason| Error::InvalidName(format!("{name:?}: {reason}")))?;
        self.values.get(name).cloned().unwrap_or_else(|| {
            let id = &self.id;
            Err(Error::Undefined(format!("component {id:?} has no variable {name:?}")))
        })
    }
}
