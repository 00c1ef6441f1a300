//! Schedules as a file that an import takes: CSV or NDJSON.
//!
//! What is exported can be imported, and is the same then. A cell of the CSV form that a spreadsheet would take for a formula gets
//! an apostrophe in front, which spreadsheets read as "this is text"; the import takes it away again. So that nothing is lost
//! where a title itself begins so, every run of apostrophes before such a sign gets one more, and loses one. Where lists are separated by
//! semicolons, as in much of Europe, a spreadsheet takes each attendee for a cell, and each is guarded.

use chrono::SecondsFormat;
use serde::Serialize;
use tidegate_store::Schedule;

use crate::csv;
use crate::import::{COLUMNS, Format, guarded};

/// What stands before the first schedule.
pub fn beginning(format: Format) -> String {
    match format {
        Format::Csv => format!("{}\n", COLUMNS.join(",")),
        Format::Ndjson => String::new(),
    }
}

/// These schedules, one after the other.
pub fn lines(format: Format, schedules: &[Schedule]) -> String {
    let mut text = String::new();
    for schedule in schedules {
        match format {
            Format::Csv => csv_line(&mut text, schedule),
            Format::Ndjson => ndjson(&mut text, schedule),
        }
        text.push('\n');
    }
    text
}

/// The media type of such a file.
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
    }
}

/// The ending of its name.
pub fn extension(format: Format) -> &'static str {
    match format {
        Format::Csv => "csv",
        Format::Ndjson => "ndjson",
    }
}

fn csv_line(text: &mut String, schedule: &Schedule) {
    let attendees = schedule.attendees.iter().map(|attendee| guarded(attendee)).collect::<Vec<_>>().join(";");
    let (starts_at, ends_at) = (time(schedule.starts_at), time(schedule.ends_at));
    let recurrence = schedule.recurrence.as_deref().unwrap_or_default();
    let cells = [&guarded(&schedule.title), starts_at.as_str(), &ends_at, recurrence, &attendees];
    csv::push_line(text, cells);
}

fn ndjson(text: &mut String, schedule: &Schedule) {
    #[derive(Serialize)]
    struct Line<'a> {
        title: &'a str,
        starts_at: String,
        ends_at: String,
        recurrence: Option<&'a str>,
        attendees: &'a [String],
    }
    let line = Line {
        title: &schedule.title,
        starts_at: time(schedule.starts_at),
        ends_at: time(schedule.ends_at),
        recurrence: schedule.recurrence.as_deref(),
        attendees: &schedule.attendees,
    };
    text.push_str(&serde_json::to_string(&line).expect("texts and lists of texts are JSON"));
}

/// Whole milliseconds, as they are kept.
fn time(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests;
