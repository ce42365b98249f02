//! Articles, their regions, and how a list of them is asked for.

use cairn_shared::{Id, Timestamp};

/// Characters of a search term; what is longer is cut.
pub const SEARCH_CHARS_MAX: usize = 100;

/// Articles of a page, and where nothing is asked for.
pub const LIMIT_MAX: u32 = 100;

/// Pages beyond this one are empty whatever there is.
const PAGE_MAX: u32 = 1_000_000;

/// Words that a reader reads in a minute.
const WORDS_A_MINUTE: usize = 200;

/// Slugs that are addresses of something else.
const RESERVED_SLUGS: &[&str] = &["admin", "region", "related", "upload-image"];

/// A region of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub id: Id,
    pub name: String,
    pub slug: String,
    pub description: String,
    pub image: String,
    pub is_enabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What an article says of its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSummary {
    pub id: Id,
    pub name: String,
    pub slug: String,
    pub image: String,
    pub description: String,
}

/// An author as known when the article was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub id: Id,
    pub name: String,
}

/// Whether an article is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Draft,
    /// Since the instant at which it was first published.
    Published(Timestamp),
}

/// An article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blog {
    pub id: Id,
    pub title: String,
    pub slug: String,
    /// HTML.
    pub content: String,
    pub excerpt: String,
    pub banner_image: Option<String>,
    pub region_id: Id,
    pub meta_title: String,
    pub meta_description: String,
    pub keywords: Vec<String>,
    pub author: Author,
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Blog {
    /// As `4 min read`.
    pub fn reading_time(&self) -> String {
        format!("{} min read", self.content.split_whitespace().count().div_ceil(WORDS_A_MINUTE))
    }

    /// What a search looks at: title, content and keywords, a line each.
    pub fn search_text(&self) -> String {
        let keywords = self.keywords.iter().map(String::as_str);
        let parts: Vec<_> = [self.title.as_str(), &self.content].into_iter().chain(keywords).collect();
        parts.join("\n").to_lowercase()
    }
}

/// An article with the region it belongs to, if that still exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    pub blog: Blog,
    pub region: Option<RegionSummary>,
}

/// The address of a title: lower-case letters and digits, everything else a single dash.
pub fn slug(title: &str) -> String {
    let dashed: String =
        title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The first of `slug`, `slug-1`, `slug-2`, … that is neither reserved nor taken.
pub fn free_slug(slug: &str, taken: impl Fn(&str) -> bool) -> String {
    let free = |candidate: &str| !candidate.is_empty() && !RESERVED_SLUGS.contains(&candidate) && !taken(candidate);
    let numbered = (1_u64..).map(|n| if slug.is_empty() { n.to_string() } else { format!("{slug}-{n}") });
    std::iter::once(slug.to_owned()).chain(numbered).find(|candidate| free(candidate)).unwrap_or_default()
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    #[default]
    PublishedAt,
    Title,
    CreatedAt,
    UpdatedAt,
}

/// The order of a list; the newest first where nothing sensible is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub key: SortKey,
    pub descending: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { key: SortKey::PublishedAt, descending: true }
    }
}

impl Sort {
    /// From `title` or `-title`; anything unknown is the default.
    pub fn parse(text: &str) -> Self {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let key = match name {
            "publishedAt" => SortKey::PublishedAt,
            "title" => SortKey::Title,
            "createdAt" => SortKey::CreatedAt,
            "updatedAt" => SortKey::UpdatedAt,
            _ => return Self::default(),
        };
        Self { key, descending }
    }
}

/// Which public articles are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub page: u32,
    pub limit: u32,
    /// A literal part of title, content or a keyword, in lower case.
    pub search: Option<String>,
    pub region: Option<Id>,
    /// An article that is left out.
    pub except: Option<Id>,
    pub sort: Sort,
}

impl Listing {
    /// A page; what is out of bounds counts as not asked for.
    pub fn page(page: Option<&str>, limit: Option<&str>, limit_default: u32) -> Self {
        Self {
            page: bounded(page, PAGE_MAX).unwrap_or(1),
            limit: bounded(limit, LIMIT_MAX).unwrap_or(limit_default),
            search: None,
            region: None,
            except: None,
            sort: Sort::default(),
        }
    }

    /// Looks for this text, unless it is blank.
    pub fn search(mut self, text: Option<&str>) -> Self {
        let text: String = text.unwrap_or_default().trim().chars().take(SEARCH_CHARS_MAX).collect();
        self.search = (!text.is_empty()).then(|| text.replace(['\r', '\n'], " ").to_lowercase());
        self
    }

    pub fn sort(mut self, text: Option<&str>) -> Self {
        self.sort = text.map(Sort::parse).unwrap_or_default();
        self
    }

    /// Rows before this page.
    pub fn offset(&self) -> i64 {
        i64::from(self.page - 1) * i64::from(self.limit)
    }

    /// Pages that hold `total` rows.
    pub fn pages(&self, total: i64) -> i64 {
        (total + i64::from(self.limit) - 1) / i64::from(self.limit)
    }
}

fn bounded(text: Option<&str>, max: u32) -> Option<u32> {
    text?.parse().ok().filter(|number| (1..=max).contains(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slugs_are_made_of_titles() {
        assert_eq!(slug("  Three Ridges — in one week-end! "), "three-ridges-in-one-week-end");
        assert_eq!(slug("मीरा"), "");
    }

    #[test]
    fn a_slug_that_is_taken_or_reserved_gets_a_number() {
        let taken = |slug: &str| ["ridge", "ridge-1"].contains(&slug);
        assert_eq!(free_slug("ridge", taken), "ridge-2");
        assert_eq!(free_slug("related", taken), "related-1");
        assert_eq!(free_slug("", taken), "1");
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_not_asked_for() {
        let page = |page, limit| {
            let listing = Listing::page(page, limit, 10);
            (listing.page, listing.limit)
        };
        assert_eq!(page(Some("3"), Some("100")), (3, 100));
        for text in ["0", "-1", "x", "1.5", "99999999999", ""] {
            assert_eq!(page(Some(text), Some(text)), (1, 10), "{text}");
        }
        assert_eq!(page(None, Some("101")), (1, 10));
        assert_eq!(Sort::parse("-title"), Sort { key: SortKey::Title, descending: true });
        assert_eq!(Sort::parse("content; DROP TABLE blogs"), Sort::default());
    }

    proptest! {
        #[test]
        fn a_slug_is_its_own_slug(title in any::<String>()) {
            let once = slug(&title);
            prop_assert!(once.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert_eq!(slug(&once), once);
        }
    }
}
