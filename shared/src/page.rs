//! Pages of long lists.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A page number and size, within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: u32,
    pub limit: u32,
}

/// Largest page that can be asked for.
pub const PAGE_LIMIT_MAX: u32 = 100;

/// `page` and `limit` of a query string.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct PageQuery {
    pub page: Option<u32>,
    pub limit: Option<u32>,
}

impl PageQuery {
    /// The page asked for; `limit` rows where the request does not say.
    ///
    /// # Errors
    /// 400 for page 0 and for a limit outside 1 to 100.
    pub fn parse(self, limit: u32) -> Result<Page> {
        let page = Page { number: self.page.unwrap_or(1), limit: self.limit.unwrap_or(limit) };
        if page.number == 0 {
            return Err(Error::bad_request("`page` has to be 1 or more."));
        }
        if page.limit == 0 || page.limit > PAGE_LIMIT_MAX {
            return Err(Error::bad_request(format!("`limit` has to be between 1 and {PAGE_LIMIT_MAX}.")));
        }
        Ok(page)
    }
}

impl Page {
    /// Rows before this page.
    pub fn offset(self) -> i64 {
        i64::from(self.number - 1) * i64::from(self.limit)
    }

    /// Pages that hold `total` rows.
    pub fn pages(self, total: i64) -> i64 {
        (total + i64::from(self.limit) - 1) / i64::from(self.limit)
    }

    pub fn info(self, total: i64) -> PageInfo {
        PageInfo { total, page: self.number, pages: self.pages(total), limit: self.limit }
    }
}

/// The `pagination` object of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageInfo {
    pub total: i64,
    pub page: u32,
    pub pages: i64,
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded() {
        let ask = |page, limit| PageQuery { page, limit }.parse(10);
        assert_eq!(ask(None, None).unwrap(), Page { number: 1, limit: 10 });
        assert_eq!(ask(Some(3), Some(20)).unwrap().offset(), 40);
        assert!(ask(Some(0), None).is_err() && ask(None, Some(101)).is_err() && ask(None, Some(0)).is_err());
    }

    #[test]
    fn the_last_page_may_be_short() {
        let page = Page { number: 1, limit: 10 };
        assert_eq!([page.pages(0), page.pages(10), page.pages(11)], [0, 1, 2]);
    }
}
