//! A letter of a few kinds of blocks, written as plain text and as HTML.
//!
//! Wording is written once for both. Every text passes through [`escape`] on its way
//! into HTML, so what people typed cannot become markup.

use std::fmt::Write;

/// The page around a letter. Placeholders: `{subject}`, `{site}`, `{body}`, `{footer}`.
const PAGE: &str = include_str!("../templates/letter.html");

/// A part of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Paragraph(String),
    /// Something to be copied, on a line of its own.
    Code(String),
    /// Names and values.
    Facts(Vec<(&'static str, String)>),
    List(Vec<String>),
    Link {
        label: &'static str,
        url: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line.
    pub subject: String,
    pub blocks: Vec<Block>,
    /// Lines under the letter.
    pub footer: Vec<String>,
}

impl Letter {
    /// As plain text.
    pub fn text(&self) -> String {
        let blocks: Vec<_> = self.blocks.iter().map(Block::text).collect();
        format!("{}\n\n-- \n{}\n", blocks.join("\n\n"), self.footer.join("\n"))
    }

    /// As an HTML page under the name of the site.
    pub fn html(&self, site: &str) -> String {
        let body: Vec<_> = self.blocks.iter().map(Block::html).collect();
        let footer: Vec<_> = self.footer.iter().map(|line| escape(line)).collect();
        page(&escape(&self.subject), &escape(site), &body.join("\n"), &footer.join("<br>\n"))
    }
}

/// Fills the page in one pass: a value that looks like a placeholder stays as it is.
fn page(subject: &str, site: &str, body: &str, footer: &str) -> String {
    let mut filled = String::with_capacity(PAGE.len() + body.len() + footer.len() + 200);
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match name {
            "subject" => filled.push_str(subject),
            "site" => filled.push_str(site),
            "body" => filled.push_str(body),
            "footer" => filled.push_str(footer),
            other => {
                filled.push('{');
                filled.push_str(other);
                filled.push('}');
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

impl Block {
    fn text(&self) -> String {
        match self {
            Self::Paragraph(text) | Self::Code(text) => text.clone(),
            Self::Facts(facts) => {
                facts.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
            }
            Self::List(entries) => entries.iter().map(|entry| format!("- {entry}")).collect::<Vec<_>>().join("\n"),
            Self::Link { label, url } => format!("{label}: {url}"),
        }
    }

    fn html(&self) -> String {
        match self {
            Self::Paragraph(text) => format!("<p>{}</p>", escape(text).replace('\n', "<br>\n")),
            Self::Code(code) => format!(
                "<p style=\"font-size:28px;letter-spacing:6px;font-weight:bold;text-align:center\">{}</p>",
                escape(code)
            ),
            Self::Facts(facts) => {
                let mut table = "<table style=\"border-collapse:collapse;font-size:14px\">".to_owned();
                for (name, value) in facts {
                    // Writing to a string cannot fail.
                    let _ = write!(
                        table,
                        "<tr><td style=\"padding:3px 16px 3px 0;color:#66736b;vertical-align:top\">{}</td><td style=\"padding:3px 0\">{}</td></tr>",
                        escape(name),
                        escape(value)
                    );
                }
                table + "</table>"
            }
            Self::List(entries) => {
                let entries: String = entries.iter().map(|entry| format!("<li>{}</li>", escape(entry))).collect();
                format!("<ul>{entries}</ul>")
            }
            Self::Link { label, url } => format!(
                "<p><a href=\"{}\" style=\"display:inline-block;padding:10px 18px;background:#2f5d46;color:#ffffff;border-radius:6px;text-decoration:none\">{}</a></p>",
                escape(url),
                escape(label)
            ),
        }
    }
}

/// Text as it may stand in HTML, also within quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(text: &str) -> Letter {
        Letter {
            subject: text.into(),
            blocks: vec![
                Block::Paragraph(text.into()),
                Block::Facts(vec![("Name", text.into())]),
                Block::List(vec![text.into()]),
                Block::Link { label: "Pay", url: text.into() },
                Block::Code(text.into()),
            ],
            footer: vec![text.into()],
        }
    }

    #[test]
    fn the_page_has_no_placeholder_left() {
        let html = letter("x").html("Site");
        assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
        assert!(!html.contains('{'), "{html}");
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_stays_as_it_is() {
        let html = letter("{site}").html("SECRET");
        assert_eq!(html.matches("SECRET").count(), 1);
        assert_eq!(html.matches("{site}").count(), 7);
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in "[a-z<>\"'&/ =]{0,40}") {
            let marks = |html: &str| html.chars().filter(|c| "<>\"'".contains(*c)).count();
            prop_assert_eq!(marks(&letter(&text).html(&text)), marks(&letter("x").html("x")));
        }
    }
}
