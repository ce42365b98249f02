//! The search language of the mail API: words that must all occur, `"quoted ones"`, fields
//! (`to:`, `from:`, `subject:` …) and `-` for "not".

use super::message::Address;
use super::store::Entry;

/// Terms of a query; further ones are ignored.
const TERMS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Anywhere,
    From,
    To,
    Cc,
    Bcc,
    Addressed,
    Subject,
    MessageId,
    Is,
    Has,
}

#[derive(Debug)]
struct Term {
    field: Field,
    /// Lower case.
    text: String,
    negated: bool,
}

/// A parsed query.
#[derive(Debug)]
pub(super) struct Query(Vec<Term>);

impl Query {
    pub fn parse(query: &str) -> Self {
        Self(words(query).into_iter().take(TERMS_MAX).map(|word| Term::parse(&word)).collect())
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        self.0.iter().all(|term| term.matches(entry) != term.negated)
    }
}

/// Splits at blanks outside of quotes, and drops the quotes.
fn words(query: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in query.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

impl Term {
    fn parse(word: &str) -> Self {
        let (negated, word) = match word.strip_prefix(['-', '!']) {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let word = word.to_lowercase();
        let (field, text) = match word.split_once(':') {
            Some(("from", text)) => (Field::From, text),
            Some(("to", text)) => (Field::To, text),
            Some(("cc", text)) => (Field::Cc, text),
            Some(("bcc", text)) => (Field::Bcc, text),
            Some(("addressed", text)) => (Field::Addressed, text),
            Some(("subject", text)) => (Field::Subject, text),
            Some(("message-id", text)) => (Field::MessageId, text),
            Some(("is", text)) => (Field::Is, text),
            Some(("has", text)) => (Field::Has, text),
            _ => (Field::Anywhere, word.as_str()),
        };
        Self { field, text: text.to_owned(), negated }
    }

    fn matches(&self, entry: &Entry) -> bool {
        let mail = &entry.message;
        let text = |text: &str| text.to_lowercase().contains(&self.text);
        let any = |list: &[Address]| list.iter().any(|address| text(&address.to_string()));
        let from = || mail.from.iter().any(|address| text(&address.to_string()));
        match self.field {
            Field::From => from(),
            Field::To => any(&mail.to),
            Field::Cc => any(&mail.cc),
            Field::Bcc => any(&mail.bcc),
            Field::Addressed => from() || mail.recipients().any(|address| text(&address.to_string())),
            Field::Subject => text(&mail.subject),
            Field::MessageId => text(&mail.message_id),
            Field::Is => match self.text.as_str() {
                "read" => entry.read,
                "unread" => !entry.read,
                _ => false,
            },
            Field::Has => self.text.starts_with("attachment") && !mail.attachments.is_empty(),
            Field::Anywhere => {
                text(&mail.subject)
                    || text(&mail.text)
                    || from()
                    || mail.recipients().any(|address| text(&address.to_string()))
                    || mail.attachments.iter().any(|attachment| text(&attachment.file_name))
            }
        }
    }
}
