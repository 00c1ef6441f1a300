//! The report of a tenant's usage.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use tidegate_store::Tally;

use super::{Figure, Line, Report, Section, Span};

/// Returns the report of these days. A missing day had no usage.
pub fn usage(span: &Span, days: &BTreeMap<NaiveDate, Tally>) -> Report {
    let total = days.values().fold(Tally::default(), |total, day| total.and(*day));
    let each = span.days().map(|day| line(day.to_string(), days.get(&day).copied().unwrap_or_default()));
    Report {
        title: "Usage",
        notes: vec!["What was done on each day in UTC.".to_owned()],
        measures: &["created", "updated", "imported", "reminders_sent", "views"],
        sections: vec![
            Section { title: "In all", of: "total", lines: vec![line("total".to_owned(), total)] },
            Section { title: "By day", of: "day", lines: each.collect() },
        ],
    }
}

fn line(name: String, tally: Tally) -> Line {
    let counts = [tally.created, tally.updated, tally.imported, tally.reminders_sent, tally.views];
    Line { name, figures: counts.map(Figure::Count).to_vec() }
}
