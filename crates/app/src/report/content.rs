//! What a report says, whatever it is written as.

use chrono::{DateTime, Utc};

use super::Span;

/// A report: sections, all with the same figures.
#[derive(Debug)]
pub(crate) struct Report {
    /// What it is called.
    pub(crate) title: &'static str,
    /// What has to be known to read it.
    pub(crate) notes: Vec<String>,
    /// The names of its figures, as a program reads them.
    pub(crate) measures: &'static [&'static str],
    /// Its parts.
    pub(crate) sections: Vec<Section>,
}

/// Lines of one sort.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its title.
    pub(crate) title: &'static str,
    /// What its lines are, as a program reads it.
    pub(crate) of: &'static str,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// A name with its figures.
#[derive(Debug)]
pub(crate) struct Line {
    /// A day, or somebody's text.
    pub(crate) name: String,
    /// As many as the report has measures.
    pub(crate) figures: Vec<Figure>,
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
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
pub(crate) struct Heading<'a> {
    /// The tenant's name.
    pub(crate) tenant: &'a str,
    /// What it tells of.
    pub(crate) span: &'a Span,
    /// When it was made.
    pub(crate) made_at: DateTime<Utc>,
}
