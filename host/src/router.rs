//! Which component serves a request path.
//!
//! A [`Router`] is compiled once from the manifest's triggers. It compares a
//! path segment by segment, as Spin does: a literal segment goes before a
//! `:name`, and that before a final `/...`; of those, the longest wins. Paths
//! are compared as they arrive, without percent-decoding, and private routes
//! are not in it: nothing outside reaches them.

use std::{collections::HashMap, fmt};

use crate::manifest::{Route, Target, Trigger};

/// `:name` segments in one route.
pub const PARAMS_MAX: usize = 8;
/// Segments of one route.
pub const SEGMENTS_MAX: usize = 32;

/// The shape of a public route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
    /// It also takes whatever comes below.
    rest: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Param(Box<str>),
}

/// Why a text is no route, as the end of a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("is empty; write \"/\" for the root, or \"/...\" for everything")]
    Empty,
    #[error("must begin with `/`")]
    NoSlash,
    #[error("holds a `?`, `#` or space; a route covers the path only")]
    NoPath,
    #[error("has an empty segment; remove one `/`")]
    EmptySegment,
    #[error("may have `...` only as its last segment")]
    Rest,
    #[error("has a `*`; write a final `/...` for everything below, or `:name` for one segment")]
    Star,
    #[error("has a `:` without a name of letters, digits and `_`")]
    ParamName,
    #[error("has two `:name` segments of the same name")]
    ParamTwice,
    #[error("has more than {PARAMS_MAX} `:name` segments")]
    TooManyParams,
    #[error("has more than {SEGMENTS_MAX} segments")]
    TooLong,
}

impl Pattern {
    /// Reads a route such as `/`, `/users/:id` or `/files/...`. A final `/*` means `/...`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(route: &str) -> Result<Self, PatternError> {
        if route.is_empty() {
            return Err(PatternError::Empty);
        }
        if route.contains(|c: char| c == '?' || c == '#' || c.is_whitespace()) {
            return Err(PatternError::NoPath);
        }
        let path = route.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let mut parts: Vec<&str> = path.split('/').collect();
        let rest = matches!(parts.last(), Some(&("..." | "*")));
        // `/` and a trailing slash both end in an empty part.
        if rest || parts.last() == Some(&"") {
            parts.pop();
        }
        if parts.len() > SEGMENTS_MAX {
            return Err(PatternError::TooLong);
        }
        let segments: Vec<Segment> = parts.into_iter().map(parse_segment).collect::<Result<_, _>>()?;
        check_params(&segments)?;
        Ok(Self { segments, rest })
    }

    /// A text that two routes share exactly if no path can tell them apart.
    #[must_use]
    pub fn shape(&self) -> String {
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Param(_) => ":",
            });
        }
        shape.push_str(if self.rest { "/..." } else { "" });
        shape
    }

    fn params(&self) -> impl Iterator<Item = &Box<str>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Param(name) => Some(name),
            Segment::Literal(_) => None,
        })
    }
}

fn parse_segment(part: &str) -> Result<Segment, PatternError> {
    if part.is_empty() {
        return Err(PatternError::EmptySegment);
    }
    if part.contains("...") {
        return Err(PatternError::Rest);
    }
    if part.contains('*') {
        return Err(PatternError::Star);
    }
    let Some(name) = part.strip_prefix(':') else {
        return Ok(Segment::Literal(part.into()));
    };
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    valid.then(|| Segment::Param(name.into())).ok_or(PatternError::ParamName)
}

fn check_params(segments: &[Segment]) -> Result<(), PatternError> {
    let mut names: Vec<&str> = Vec::new();
    for segment in segments {
        let Segment::Param(name) = segment else {
            continue;
        };
        if names.contains(&name.as_ref()) {
            return Err(PatternError::ParamTwice);
        }
        names.push(name);
    }
    if names.len() > PARAMS_MAX {
        return Err(PatternError::TooManyParams);
    }
    Ok(())
}

/// Why triggers cannot be compiled. A validated manifest never causes one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    #[error("route \"{route}\" {error}")]
    Pattern { route: String, error: PatternError },
    #[error("route \"{0}\" takes the same paths as another")]
    Ambiguous(String),
}

/// The public routes of an application.
#[derive(Debug, Clone)]
pub struct Router {
    /// A tree; the first node is its root.
    nodes: Vec<Node>,
    entries: Vec<Entry>,
}

/// What follows after some segments.
#[derive(Debug, Clone, Default)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    param: Option<usize>,
    /// Entry of a path that ends here.
    end: Option<usize>,
    /// Entry of a path that ends here or goes on.
    rest: Option<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    target: Target,
    route: Box<str>,
    params: Vec<Box<str>>,
    rest: bool,
}

/// Where a path goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Match<'r, 'p> {
    /// What serves it.
    pub target: &'r Target,
    /// The route as the manifest has it.
    pub route: &'r str,
    /// What `...` took: empty, or beginning with `/`.
    pub path_info: &'p str,
    names: &'r [Box<str>],
    values: [&'p str; PARAMS_MAX],
}

impl Router {
    /// Compiles the public triggers.
    ///
    /// # Errors
    ///
    /// If a route cannot be read, or two of them take the same paths.
    pub fn compile(triggers: &[Trigger]) -> Result<Self, RouterError> {
        let mut router = Self { nodes: vec![Node::default()], entries: Vec::new() };
        for trigger in triggers {
            if let Route::Public(route) = &trigger.route {
                router.add(route, &trigger.target)?;
            }
        }
        Ok(router)
    }

    fn add(&mut self, route: &str, target: &Target) -> Result<(), RouterError> {
        let pattern = Pattern::parse(route).map_err(|error| RouterError::Pattern { route: route.to_owned(), error })?;
        let mut at = 0;
        for segment in &pattern.segments {
            at = self.child(at, segment);
        }
        let entry = self.entries.len();
        self.entries.push(Entry {
            target: target.clone(),
            route: route.into(),
            params: pattern.params().cloned().collect(),
            rest: pattern.rest,
        });
        let node = self.nodes.get_mut(at);
        let slot = node.map(|node| if pattern.rest { &mut node.rest } else { &mut node.end });
        match slot {
            Some(slot @ None) => {
                *slot = Some(entry);
                Ok(())
            }
            _ => Err(RouterError::Ambiguous(route.to_owned())),
        }
    }

    /// The node below `at` for `segment`, made where there is none.
    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            return at;
        };
        let child = match segment {
            Segment::Literal(literal) => *node.literals.entry(literal.clone()).or_insert(new),
            Segment::Param(_) => *node.param.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }

    /// The component that serves `path` (without a query), if any. Allocates nothing.
    #[must_use]
    pub fn find<'r, 'p>(&'r self, path: &'p str) -> Option<Match<'r, 'p>> {
        let mut search = Search { router: self, path, values: [""; PARAMS_MAX] };
        let start = usize::from(path.starts_with('/'));
        let (entry, end) = search.descend(0, start, 0)?;
        let entry = self.entries.get(entry)?;
        let below = path.get(end..).filter(|_| entry.rest);
        Some(Match {
            target: &entry.target,
            route: &entry.route,
            path_info: below.unwrap_or_default(),
            names: &entry.params,
            values: search.values,
        })
    }

    /// Every public route with what serves it, in the order of the manifest.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.entries.iter().map(|entry| (entry.route.as_ref(), &entry.target))
    }
}

struct Search<'r, 'p> {
    router: &'r Router,
    path: &'p str,
    values: [&'p str; PARAMS_MAX],
}

impl Search<'_, '_> {
    /// Follows the path from byte `start` on, below `node`, with `params` values
    /// taken. Gives the target and where the segments before its `...` end.
    fn descend(&mut self, node: usize, start: usize, params: usize) -> Option<(usize, usize)> {
        let node = self.router.nodes.get(node)?;
        let rest = self.path.get(start..).unwrap_or_default();
        // The slash before `start` belongs to what `...` takes.
        let before = start.saturating_sub(1);
        if rest.is_empty()
            && let Some(target) = node.end
        {
            return Some((target, before));
        }
        let segment = rest.split('/').next().unwrap_or_default();
        if !segment.is_empty() {
            let next = start + segment.len() + 1;
            if let Some(found) = node.literals.get(segment).and_then(|child| self.descend(*child, next, params)) {
                return Some(found);
            }
            if let (Some(child), Some(value)) = (node.param, self.values.get_mut(params)) {
                *value = self.path.get(start..next - 1).unwrap_or_default();
                if let Some(found) = self.descend(child, next, params + 1) {
                    return Some(found);
                }
            }
        }
        node.rest.map(|target| (target, before))
    }
}

impl<'r, 'p> Match<'r, 'p> {
    /// The `:name` segments with what they took.
    pub fn params(&self) -> impl Iterator<Item = (&'r str, &'p str)> {
        let names = self.names.iter().map(AsRef::as_ref);
        names.zip(self.values)
    }

    /// What `:name` took.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'p str> {
        self.params().find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Match<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match")
            .field("target", &self.target)
            .field("route", &self.route)
            .field("path_info", &self.path_info)
            .field("params", &self.params().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn router(routes: &[&str]) -> Router {
        let trigger = |route: &&str| Trigger {
            route: Route::Public((*route).to_owned()),
            target: Target::Component(format!("for {route}")),
        };
        let triggers: Vec<Trigger> = routes.iter().map(trigger).collect();
        Router::compile(&triggers).unwrap()
    }

    /// Each path with the route it takes and its path info, or `-`.
    fn check(routes: &[&str], expected: &[(&str, &str)]) {
        let router = router(routes);
        for (path, wanted) in expected {
            let found = match router.find(path) {
                Some(found) => {
                    assert_eq!(*found.target, Target::Component(format!("for {}", found.route)));
                    format!("{} {}", found.route, found.path_info).trim_end().to_owned()
                }
                None => "-".to_owned(),
            };
            assert_eq!(found, *wanted, "{path}");
        }
    }

    #[test]
    fn an_exact_route_takes_its_path_with_or_without_a_trailing_slash() {
        check(
            &["/", "/a", "/b/c/"],
            &[
                ("/", "/"),
                ("", "/"),
                ("/a", "/a"),
                ("/a/", "/a"),
                ("/b/c", "/b/c/"),
                ("/b", "-"),
                ("/a/b", "-"),
                ("/A", "-"),
            ],
        );
    }

    #[test]
    fn what_comes_below_a_wildcard_is_its_path_info() {
        check(
            &["/a/..."],
            &[
                ("/a", "/a/..."),
                ("/a/", "/a/... /"),
                ("/a/b", "/a/... /b"),
                ("/a/b/", "/a/... /b/"),
                ("/a//b", "/a/... //b"),
                ("/ab", "-"),
                ("/", "-"),
            ],
        );
        check(&["/..."], &[("/", "/... /"), ("/x/y", "/... /x/y"), ("//x", "/... //x"), ("", "/...")]);
    }

    #[test]
    fn exact_goes_before_parameter_before_wildcard() {
        check(
            &["/...", "/users/...", "/users/:id", "/users/me", "/users/:id/posts"],
            &[
                ("/users/me", "/users/me"),
                ("/users/7", "/users/:id"),
                ("/users/7/posts", "/users/:id/posts"),
                ("/users/me/posts", "/users/:id/posts"),
                ("/users/7/photos", "/users/... /7/photos"),
                ("/users", "/users/..."),
                ("/other", "/... /other"),
            ],
        );
    }

    #[test]
    fn the_longest_wildcard_wins() {
        check(&["/...", "/a/...", "/a/b/..."], &[("/a/b/c", "/a/b/... /c"), ("/a/c", "/a/... /c"), ("/c", "/... /c")]);
    }

    #[test]
    fn parameters_take_one_whole_segment_that_is_not_empty() {
        let router = router(&["/users/:id/posts/:post/..."]);
        let found = router.find("/users/7/posts/hello%20you/x").unwrap();
        let params: Vec<_> = found.params().collect();
        assert_eq!(params, [("id", "7"), ("post", "hello%20you")]);
        assert_eq!(found.param("post"), Some("hello%20you"));
        assert_eq!(found.param("none"), None);
        assert_eq!(found.path_info, "/x");
        assert_eq!(router.find("/users//posts/x"), None);
    }

    #[test]
    fn values_of_an_abandoned_branch_do_not_stay() {
        let router = router(&["/:a/:b/x", "/:c/..."]);
        let found = router.find("/1/2/y").unwrap();
        assert_eq!(found.route, "/:c/...");
        assert_eq!(found.params().collect::<Vec<_>>(), [("c", "1")]);
        assert_eq!(found.path_info, "/2/y");
    }

    #[test]
    fn private_routes_are_out_of_reach() {
        let trigger = Trigger { route: Route::Private, target: Target::Component("inner".to_owned()) };
        let router = Router::compile(&[trigger]).unwrap();
        assert_eq!(router.find("/"), None);
        assert_eq!(router.find("/inner"), None);
        assert_eq!(router.routes().count(), 0);
    }

    #[test]
    fn routes_that_take_the_same_paths_are_refused() {
        let trigger =
            |route: &str| Trigger { route: Route::Public(route.to_owned()), target: Target::Component("c".to_owned()) };
        for (left, right) in [("/a", "/a/"), ("/:x", "/:y"), ("/a/...", "/a/*"), ("/", "/")] {
            let error = Router::compile(&[trigger(left), trigger(right)]).unwrap_err();
            assert_eq!(error, RouterError::Ambiguous(right.to_owned()), "{left}");
        }
    }

    #[test]
    fn what_cannot_be_a_route_is_refused_with_its_reason() {
        let long = "/a".repeat(SEGMENTS_MAX + 1);
        let many: String = (0..=PARAMS_MAX).map(|n| format!("/:p{n}")).collect();
        for (route, error) in [
            ("", PatternError::Empty),
            ("a", PatternError::NoSlash),
            ("/a?b", PatternError::NoPath),
            ("/a b", PatternError::NoPath),
            ("/a//b", PatternError::EmptySegment),
            ("/.../a", PatternError::Rest),
            ("/a...", PatternError::Rest),
            ("/*/a", PatternError::Star),
            ("/:", PatternError::ParamName),
            ("/:a-b", PatternError::ParamName),
            ("/:a/:a", PatternError::ParamTwice),
            (long.as_str(), PatternError::TooLong),
            (many.as_str(), PatternError::TooManyParams),
        ] {
            assert_eq!(Pattern::parse(route), Err(error), "{route}");
        }
    }

    #[test]
    fn a_very_long_path_is_searched_no_deeper_than_the_routes() {
        let router = router(&["/:a/:b/...", "/x/:b/c"]);
        let path = "/x".repeat(100_000);
        assert_eq!(router.find(&path).unwrap().route, "/:a/:b/...");
    }

    /// The winner among `routes`, found by comparing each with the path from left to right.
    fn find_slowly<'r>(routes: &'r [String], path: &str) -> Option<&'r str> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut segments: Vec<&str> = path.split('/').collect();
        if segments.last() == Some(&"") {
            segments.pop();
        }
        let rank = |route: &&String| -> Option<Vec<u8>> {
            let pattern = Pattern::parse(route).unwrap();
            let length = pattern.segments.len();
            let fits = segments.len() == length || (segments.len() > length && pattern.rest);
            let ranks = pattern.segments.iter().zip(&segments).map(|pair| match pair {
                (Segment::Literal(literal), segment) => (**literal == **segment).then_some(0),
                (Segment::Param(_), segment) => (!segment.is_empty()).then_some(1),
            });
            let mut ranks: Vec<u8> = ranks.collect::<Option<_>>().filter(|_| fits)?;
            ranks.push(if pattern.rest { 2 } else { 0 });
            Some(ranks)
        };
        let ranked = routes.iter().filter_map(|route| Some((rank(&route)?, route)));
        ranked.min().map(|(_, route)| route.as_str())
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_comparing_every_route_finds(
            routes in vec(vec(select(vec!["a", "b", ":x"]), 0..4), 1..12),
            rests in vec(any::<bool>(), 12),
            paths in vec(vec(select(vec!["a", "b", "c", ""]), 0..5), 20),
        ) {
            let mut shapes = std::collections::HashSet::new();
            let mut distinct = Vec::new();
            for (segments, rest) in routes.iter().zip(rests) {
                let names = segments.iter().enumerate().map(|(index, segment)| match *segment {
                    ":x" => format!("/:p{index}"),
                    literal => format!("/{literal}"),
                });
                let mut route: String = names.collect();
                route.push_str(if rest { "/..." } else { "" });
                let route = if route.is_empty() { "/".to_owned() } else { route };
                if shapes.insert(Pattern::parse(&route).unwrap().shape()) {
                    distinct.push(route);
                }
            }
            let refs: Vec<&str> = distinct.iter().map(String::as_str).collect();
            let router = router(&refs);
            for segments in paths {
                let path = format!("/{}", segments.join("/"));
                let found = router.find(&path).map(|found| found.route);
                prop_assert_eq!(found, find_slowly(&distinct, &path), "{} in {:?}", path, distinct);
            }
        }
    }
}
