//! The report of schedules.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use tidegate_store::Sum;

use super::tops::Tops;
use super::{Figure, Line, Report, Section, Span};

/// The figures of the schedules so far.
#[derive(Debug, Default)]
pub struct ScheduleSums {
    days: BTreeMap<NaiveDate, Sum>,
    titles: Tops,
    attendees: Tops,
}

impl ScheduleSums {
    /// Adds sums by the day on which schedules start.
    pub fn add_days(&mut self, days: Vec<(NaiveDate, Sum)>) {
        for (day, sum) in days {
            let known = self.days.entry(day).or_default();
            *known = known.and(sum);
        }
    }

    /// Adds sums by title.
    pub fn add_titles(&mut self, titles: Vec<(String, Sum)>) {
        titles.into_iter().for_each(|(title, sum)| self.titles.add(title.clone(), title, sum));
    }

    /// Adds sums by attendee. The comparison ignores case.
    pub fn add_attendees(&mut self, attendees: Vec<(String, Sum)>) {
        attendees.into_iter().for_each(|(name, sum)| self.attendees.add(name.to_lowercase(), name, sum));
    }

    /// Returns the report.
    pub fn report(self, span: &Span) -> Report {
        let total = self.days.values().fold(Sum::default(), |total, sum| total.and(*sum));
        let mut notes = vec![
            "A schedule counts on the day of its start in UTC. One that comes again by a rule counts once, with its first occurrence."
                .to_owned(),
        ];
        if self.titles.has_left_out() || self.attendees.has_left_out() {
            notes.push(
                "There are more names than could be counted: those that came up last are not among the most frequent."
                    .to_owned(),
            );
        }
        let day = |day: NaiveDate| line(day.to_string(), self.days.get(&day).copied().unwrap_or_default());
        let lines = |most: Vec<(String, Sum)>| most.into_iter().map(|(name, sum)| line(name, sum)).collect();
        let days = span.days().map(day).collect();
        Report {
            title: "Schedules",
            notes,
            measures: &["schedules", "recurring", "hours"],
            sections: vec![
                Section { title: "In all", of: "total", lines: vec![line("total".to_owned(), total)] },
                Section { title: "By day", of: "day", lines: days },
                Section { title: "Busiest attendees", of: "attendee", lines: lines(self.attendees.most()) },
                Section { title: "Most frequent titles", of: "title", lines: lines(self.titles.most()) },
            ],
        }
    }
}

fn line(name: String, sum: Sum) -> Line {
    let figures = vec![Figure::Count(sum.schedules), Figure::Count(sum.recurring), Figure::Hours(sum.seconds)];
    Line { name, figures }
}
