//! Parameters that select a page of a collection.

use std::str::FromStr;

use serde::Deserialize;

use crate::problem::Problem;

/// Items of a page if the request names no number.
pub const DEFAULT: usize = 50;
/// The most items of a page.
pub const MOST: usize = 200;

/// `?limit=&cursor=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

impl PageQuery {
    /// Returns the number of items, from 1 to [`MOST`].
    ///
    /// # Errors
    ///
    /// 422 for any other number.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT);
        if (1..=MOST).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::unprocessable("bad-limit", format!("`limit` is a number from 1 to {MOST}")))
    }

    /// Returns the end of the previous page. `None` for the first page.
    ///
    /// # Errors
    ///
    /// 422 for a text that is no cursor.
    pub fn after<C: FromStr>(&self) -> Result<Option<C>, Problem> {
        let after = self.cursor.as_deref().map(str::parse).transpose();
        after.map_err(|_| {
            let detail = "`cursor`: not a cursor of this list; use `next_cursor` of the previous page";
            Problem::unprocessable("bad-cursor", detail)
        })
    }
}
