//! What a request asks for: raw, then checked.

use serde::Deserialize;

use super::sort::Sort;
use super::span::Span;
use crate::problem::Problem;

/// The type that is everything at once, as a file.
pub(super) const EXPORT: &str = "export";
const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 100;
/// More than any list holds: an export leaves nothing out by itself.
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

/// A request that can be answered, but for its type, which only the sections know.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: Option<String>,
    pub(super) format: Format,
    pub(super) span: Span,
    /// None where the request doesn't say.
    pub(super) sort: Option<Sort>,
    /// Longest that a list may be.
    pub(super) limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
}

impl PerformanceQuery {
    /// The same, but of everything at once.
    pub(super) fn of_everything(self) -> Self {
        Self { what: Some(EXPORT.to_owned()), ..self }
    }

    pub(super) fn check(self) -> Result<Asked, Problem> {
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
        Ok(Asked {
            format: one_of("format", "bad-format", self.format.as_deref(), &formats)?.unwrap_or(Format::Json),
            span: one_of("window", "bad-window", self.window.as_deref(), &Span::KNOWN)?.unwrap_or_default(),
            sort: one_of("sort", "bad-sort", self.sort.as_deref(), &Sort::KNOWN)?,
            what: self.what,
            limit,
        })
    }
}

/// The value that goes by this word; nothing where nothing was asked.
fn one_of<T: Copy>(
    parameter: &str,
    kind: &'static str,
    asked: Option<&str>,
    known: &[(&str, T)],
) -> Result<Option<T>, Problem> {
    let Some(asked) = asked else { return Ok(None) };
    match known.iter().find(|(word, _)| *word == asked) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(unknown(parameter, kind, asked, known.iter().map(|(word, _)| *word))),
    }
}

/// Says which words are known where another was sent.
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
