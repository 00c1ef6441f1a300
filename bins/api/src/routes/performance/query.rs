//! Parses the parameters of a request.

use serde::Deserialize;

use super::sort::Sort;
use super::span::Span;
use tidegate_web::problem::Problem;

/// The type for an export of everything as a file.
pub(super) const EXPORT: &str = "export";
const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 100;
/// More items than any list has, so that an export is complete.
const WHOLE: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PerformanceQuery {
    #[serde(rename = "type")]
    what: Option<String>,
    format: Option<String>,
    window: Option<String>,
    sort: Option<String>,
    limit: Option<usize>,
}

/// A valid request, except for its type, which only the sections know.
#[derive(Debug)]
pub(super) struct CheckedQuery {
    pub(super) what: Option<String>,
    pub(super) format: Format,
    pub(super) span: Span,
    /// `None` if the request does not say.
    pub(super) sort: Option<Sort>,
    /// Maximum length of a list.
    pub(super) limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

impl PerformanceQuery {
    /// Returns the same request for an export of everything.
    pub(super) fn of_everything(self) -> Self {
        Self { what: Some(EXPORT.to_owned()), ..self }
    }

    pub(super) fn check(self) -> Result<CheckedQuery, Problem> {
        let limit = match self.limit {
            None if self.what.as_deref() == Some(EXPORT) => WHOLE,
            None => DEFAULT_LIMIT,
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                let detail = format!("`limit` is a number from 1 to {MAX_LIMIT}");
                return Err(Problem::unprocessable("bad-limit", detail));
            }
        };
        let formats = [("json", Format::Json), ("csv", Format::Csv)];
        Ok(CheckedQuery {
            format: one_of("format", "bad-format", self.format.as_deref(), &formats)?.unwrap_or(Format::Json),
            span: one_of("window", "bad-window", self.window.as_deref(), &Span::KNOWN)?.unwrap_or_default(),
            sort: one_of("sort", "bad-sort", self.sort.as_deref(), &Sort::KNOWN)?,
            what: self.what,
            limit,
        })
    }
}

/// Returns the value with this name. `None` if the request has none.
fn one_of<T: Copy>(
    parameter: &str,
    kind: &'static str,
    query: Option<&str>,
    known: &[(&str, T)],
) -> Result<Option<T>, Problem> {
    let Some(query) = query else { return Ok(None) };
    match known.iter().find(|(word, _)| *word == query) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(unknown(parameter, kind, query, known.iter().map(|(word, _)| *word))),
    }
}

/// Lists the known names if another one was sent.
pub(super) fn unknown<'a>(
    parameter: &str,
    kind: &'static str,
    sent: &str,
    known: impl Iterator<Item = &'a str>,
) -> Problem {
    let known = known.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let shown: String = sent.chars().take(64).collect();
    Problem::unprocessable(kind, format!("`{parameter}` is one of {known}; not `{shown}`"))
}
