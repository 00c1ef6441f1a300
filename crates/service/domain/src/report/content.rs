//! The content of a report, whatever its format.

use chrono::{DateTime, Utc};

use super::Span;

/// A report: sections that all have the same measures.
#[derive(Debug)]
pub struct Report {
    /// Title of the report.
    pub title: &'static str,
    /// Notes that a reader needs to understand the figures.
    pub notes: Vec<String>,
    /// Names of the measures for programs.
    pub(crate) measures: &'static [&'static str],
    /// Sections of the report.
    pub sections: Vec<Section>,
}

/// Lines of one kind.
#[derive(Debug)]
pub struct Section {
    /// Title of the section.
    pub title: &'static str,
    /// Kind of the lines, as a name for programs.
    pub of: &'static str,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A name with its figures.
#[derive(Debug)]
pub struct Line {
    /// A day, or a text from the tenant.
    pub name: String,
    /// One figure per measure of the report.
    pub figures: Vec<Figure>,
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// A count.
    Count(u64),
    /// A duration in seconds, shown in hours.
    Hours(u64),
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            // Hundredths, computed with integers, so that no sum has a floating-point error.
            Self::Hours(seconds) => {
                let hundredths = seconds.saturating_add(18) / 36;
                write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
            }
        }
    }
}

/// Tenant and time of a report.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The time that the report covers.
    pub span: &'a Span,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}
