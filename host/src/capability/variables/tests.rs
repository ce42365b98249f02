use std::sync::Arc;

use super::{Error, Problem, Resolver, Sources};
use crate::manifest::{Application, Component, Variable};

fn application(variables: &[(&str, Option<&str>)], templates: &[(&str, &str)]) -> Application {
    Application {
        variables: variables
            .iter()
            .map(|(name, default)| {
                let variable =
                    Variable { default: default.map(str::to_owned), required: default.is_none(), secret: true };
                ((*name).to_owned(), variable)
            })
            .collect(),
        components: vec![Component {
            id: "one".to_owned(),
            variables: templates.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned())).collect(),
            ..Component::default()
        }],
        ..Application::default()
    }
}

fn get(resolver: &Arc<Resolver>, name: &str) -> Result<String, Error> {
    resolver.ctx("one").get(name)
}

#[test]
fn explicit_values_win_over_environment_over_file_over_default() {
    let names = ["a", "b", "c", "d", "e"];
    let variables = names.map(|name| (name, Some("default")));
    let templates = names.map(|name| (name, format!("{{{{ {name} }}}}")));
    let templates: Vec<_> = templates.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let file = std::env::temp_dir().join(format!("host-variables-{}.toml", std::process::id()));
    std::fs::write(&file, "a = 'file'\nb = 'file'\nc = 'file'\nd = 4\n").unwrap();
    let sources = Sources::none()
        .with_values([("a", "explicit")])
        .with_environment(|name| match name {
            "SPIN_VARIABLE_A" | "SPIN_VARIABLE_B" => Some("spin".to_owned()),
            "A" | "B" | "C" => Some("plain".to_owned()),
            _ => None,
        })
        .with_file(&file)
        .unwrap();
    std::fs::remove_file(file).unwrap();
    let resolver = Resolver::new(&application(&variables, &templates), &sources);
    resolver.validate().unwrap();
    let values = names.map(|name| get(&resolver, name).unwrap());
    assert_eq!(values, ["explicit", "spin", "plain", "4", "default"]);
}

#[test]
fn templates_are_filled_in_from_the_application_and_are_not_nested() {
    let application = application(
        &[("host", Some("db")), ("port", Some("{{ host }}"))],
        &[("url", "postgres://{{ host }}:{{port}}/x"), ("plain", "x")],
    );
    let resolver = Resolver::new(&application, &Sources::none());
    assert_eq!(get(&resolver, "url").unwrap(), "postgres://db:{{ host }}/x");
    assert_eq!(get(&resolver, "plain").unwrap(), "x");
    assert_eq!(resolver.expand("https://{{ host }}").unwrap(), "https://db");
}

#[test]
fn every_problem_is_told_at_once() {
    let application = application(
        &[("Bad", Some("x")), ("jwt_secret", None), ("key", None)],
        &[("open", "{{ key"), ("token", "{{ nothing }}"), ("x__y", "z")],
    );
    let resolver = Resolver::new(&application, &Sources::none());
    let problems = resolver.validate().unwrap_err();
    assert_eq!(problems.len(), 6, "{problems:?}");
    let missing =
        problems.iter().find(|problem| matches!(problem, Problem::Missing { name, .. } if name == "jwt_secret"));
    let text = missing.unwrap().to_string();
    assert!(text.contains("SPIN_VARIABLE_JWT_SECRET or JWT_SECRET"), "{text}");
    let unknown = problems
        .iter()
        .find(|problem| matches!(problem, Problem::UnknownVariable { unknown, .. } if unknown == "nothing"));
    assert!(unknown.is_some());
}

#[test]
fn a_component_gets_only_its_own_variables() {
    let application = application(&[("secret", Some("s")), ("unset", None)], &[("mine", "m"), ("no", "{{ unset }}")]);
    let resolver = Resolver::new(&application, &Sources::none());
    assert!(matches!(get(&resolver, "secret"), Err(Error::Undefined(_))));
    assert!(matches!(get(&resolver, "Not-a-name"), Err(Error::InvalidName(_))));
    assert_eq!(get(&resolver, "no"), Err(Error::NoValue("unset".to_owned())));
    let stranger = resolver.ctx("two").get("mine");
    assert!(matches!(stranger, Err(Error::Undefined(_))));
}

#[test]
fn no_value_appears_in_debug_output() {
    let application = application(&[("password", Some("hunter2"))], &[("p", "{{ password }}")]);
    let sources = Sources::none().with_values([("password", "hunter3")]);
    let resolver = Resolver::new(&application, &sources);
    let debug = format!("{sources:?} {resolver:?}");
    assert!(debug.contains("password") && !debug.contains("hunter"), "{debug}");
}

#[test]
fn a_broken_variables_file_is_reported_without_its_values() {
    let file = std::env::temp_dir().join(format!("host-variables-bad-{}.toml", std::process::id()));
    for text in ["a = \"hunter2\nb", "list = ['hunter2']"] {
        std::fs::write(&file, text).unwrap();
        let error = Sources::none().with_file(&file).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
    std::fs::remove_file(file).unwrap();
}
