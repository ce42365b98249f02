//! Texts with `{{ variable }}` in them.

use std::fmt;

/// A text made of literal parts and names of application variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(String),
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{{{` has no `}}}}`; close it, as in `{{{{ name }}}}`")]
    Unclosed,
    #[error("`{{{{ }}}}` names no variable; write its name, as in `{{{{ name }}}}`")]
    Empty,
}

impl Template {
    /// Splits `text` at its braces.
    ///
    /// # Errors
    ///
    /// If braces do not close, or hold no name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once("{{") {
            let (name, tail) = tail.split_once("}}").ok_or(TemplateError::Unclosed)?;
            let name = name.trim();
            if name.is_empty() {
                return Err(TemplateError::Empty);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The variables it names, in order; a name may come twice.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text with every variable replaced by what `value` gives.
    ///
    /// # Errors
    ///
    /// The first error that `value` gives.
    pub fn render<E>(&self, value: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(literal) => f.write_str(literal),
            Part::Variable(name) => write!(f, "{{{{ {name} }}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, TemplateError> {
        let template = Template::parse(text)?;
        template.render(|name| Ok(format!("<{name}>")))
    }

    #[test]
    fn variables_are_replaced_wherever_they_stand() {
        assert_eq!(render("{{ a }}-{{b}}."), Ok("<a>-<b>.".to_owned()));
        assert_eq!(render("plain } text"), Ok("plain } text".to_owned()));
        assert_eq!(render(""), Ok(String::new()));
    }

    #[test]
    fn broken_braces_are_refused() {
        assert_eq!(render("a {{ b"), Err(TemplateError::Unclosed));
        assert_eq!(render("a {{ }}"), Err(TemplateError::Empty));
    }

    #[test]
    fn a_value_that_is_missing_fails_the_whole_text() {
        let template = Template::parse("{{ a }}").unwrap();
        assert_eq!(template.render(|name| Err(name.to_owned())), Err("a".to_owned()));
    }
}
