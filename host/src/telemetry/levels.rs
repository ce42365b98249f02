//! Which events are logged, and for which component more or less of them.
//!
//! The levels that the host started with hold for everything. A component may get a
//! level of its own while the host runs: then it decides about every event that has
//! the component in its field `component`, be it the component's own or the host's.
//! Without any such level this costs nothing.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use arc_swap::ArcSwap;
use tracing::{
    Event, Level, Metadata,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    filter::{ParseError, Targets},
    layer::{Context, Filter},
};

/// The target of what components print.
const GUEST: &str = "guest";
/// The field that says which component an event is about.
const COMPONENT: &str = "component";

/// The levels in force. Clones share them.
#[derive(Clone)]
pub struct LogLevels(Arc<ArcSwap<Levels>>);

#[derive(Clone)]
struct Levels {
    base: Targets,
    components: BTreeMap<String, LevelFilter>,
}

impl LogLevels {
    /// Starts with levels as in [`super::LOG_VARIABLE`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(filter: &str) -> Result<Self, ParseError> {
        let levels = Levels { base: filter.parse()?, components: BTreeMap::new() };
        Ok(Self(Arc::new(ArcSwap::from_pointee(levels))))
    }

    /// Gives a component a level of its own, or with `None` takes it away.
    pub fn set(&self, component: &str, level: Option<LevelFilter>) {
        self.0.rcu(|levels| {
            let mut levels = Levels::clone(levels);
            match level {
                Some(level) => levels.components.insert(component.to_owned(), level),
                None => levels.components.remove(component),
            };
            levels
        });
        // What was found out about events holds no longer.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Up to which level a component's lines are logged, and whether that is its own.
    #[must_use]
    pub fn of(&self, component: &str) -> (LevelFilter, bool) {
        let levels = self.0.load();
        match levels.components.get(component) {
            Some(level) => (*level, true),
            None => (levels.base_of_guests(), false),
        }
    }
}

impl Levels {
    fn base_of_guests(&self) -> LevelFilter {
        let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
        let most = levels.into_iter().find(|level| self.base.would_enable(GUEST, level));
        most.map_or(LevelFilter::OFF, LevelFilter::from_level)
    }

    /// The most that any component logs by a level of its own.
    fn most_of_components(&self) -> LevelFilter {
        self.components.values().copied().max().unwrap_or(LevelFilter::OFF)
    }

    fn base_enables(&self, metadata: &Metadata<'_>) -> bool {
        self.base.would_enable(metadata.target(), metadata.level())
    }

    /// Whether an event could be logged, whatever its component.
    fn could_enable(&self, metadata: &Metadata<'_>) -> bool {
        self.base_enables(metadata) || (metadata.is_event() && *metadata.level() <= self.most_of_components())
    }
}

impl<S> Filter<S> for LogLevels {
    fn enabled(&self, metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.0.load().could_enable(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let levels = self.0.load();
        match levels.could_enable(metadata) {
            false => Interest::never(),
            true if levels.components.is_empty() => Interest::always(),
            true => Interest::sometimes(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let levels = self.0.load();
        if levels.components.is_empty() {
            return true;
        }
        let metadata = event.metadata();
        let mut about = About::default();
        event.record(&mut about);
        match about.0.and_then(|component| levels.components.get(&component)) {
            Some(level) => metadata.level() <= level,
            None => levels.base_enables(metadata),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = self.0.load();
        let base = Filter::<S>::max_level_hint(&levels.base)?;
        Some(base.max(levels.most_of_components()))
    }
}

/// The component that an event is about.
#[derive(Default)]
struct About(Option<String>);

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == COMPONENT {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == COMPONENT {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

    use super::*;
    use crate::telemetry::{guest::Stream, guest_line, logs::Logs};

    /// The messages that are logged of what `act` logs.
    fn logged(levels: &LogLevels, act: impl FnOnce()) -> Vec<String> {
        let logs = Logs::default();
        let subscriber = tracing_subscriber::registry().with(logs.layer().with_filter(levels.clone()));
        tracing::subscriber::with_default(subscriber, act);
        let lines = logs.after(0).0;
        let message = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap()["message"].clone();
        lines.iter().map(|line| message(&line.json).as_str().unwrap().to_owned()).collect()
    }

    fn log_some() {
        for component in ["web", "store"] {
            let id: std::sync::Arc<str> = component.into();
            guest_line(component, Stream::Out, None, br#"{"level":"debug","message":"guest debug"}"#);
            tracing::debug!(target: "host", component = %id, "host debug");
            tracing::info!(target: "host", component, "host info");
        }
        tracing::debug!(target: "host", "of nobody");
    }

    #[test]
    fn a_level_of_its_own_decides_about_all_events_of_a_component_and_no_other() {
        let levels = LogLevels::new("info").unwrap();
        assert_eq!(logged(&levels, log_some), ["host info", "host info"]);
        levels.set("web", Some(LevelFilter::DEBUG));
        assert_eq!(logged(&levels, log_some), ["guest debug", "host debug", "host info", "host info"]);
        levels.set("store", Some(LevelFilter::ERROR));
        assert_eq!(logged(&levels, log_some), ["guest debug", "host debug", "host info"]);
        levels.set("web", None);
        levels.set("store", None);
        assert_eq!(logged(&levels, log_some), ["host info", "host info"]);
    }

    #[test]
    fn the_level_in_force_is_told_and_whose_it_is() {
        let levels = LogLevels::new("warn,guest=info").unwrap();
        assert_eq!(levels.of("web"), (LevelFilter::INFO, false));
        levels.set("web", Some(LevelFilter::TRACE));
        assert_eq!(levels.of("web"), (LevelFilter::TRACE, true));
        assert_eq!(levels.of("store"), (LevelFilter::INFO, false));
    }
}
