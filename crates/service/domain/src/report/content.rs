//! What a report says, whatever it is written as.

use chrono::{DateTime, Utc};

use super::Span;

/// A report: sections, all with the same figures.
#[derive(Debug)]
pub struct Report {
    /// What it is called.
    pub title: &'static str,
    /// What has to be known to read it.
    pub notes: Vec<String>,
    /// The names of its figures, as a program reads them.
    pub(crate) measures: &'static [&'static str],
    /// Its parts.
    pub sections: Vec<Section>,
}

/// Lines of one sort.
#[derive(Debug)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// What its lines are, as a program reads it.
    pub of: &'static str,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A name with its figures.
#[derive(Debug)]
pub struct Line {
    /// A day, or somebody's text.
    pub name: String,
    /// As many as the report has measures.
    pub figures: Vec<Figure>,
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// So many.
    Count(u64),
    /// So many seconds, told in hours.
    Hours(u64),
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            // To the hundredth, by whole numbers: no sum is off by how a machine writes fractions.
            Self::Hours(seconds) => {
                let hundredths = seconds.saturating_add(18) / 36;
                write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
            }
        }
    }
}

/// Whose report it is, and of when.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// What it tells of.
    pub span: &'a Span,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}
