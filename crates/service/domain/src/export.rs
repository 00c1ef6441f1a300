//! Exports schedules as a file that an import reads: CSV or NDJSON.
//!
//! An exported file can be imported again, and gives the same schedules. A spreadsheet would run
//! some cells of the CSV form as formulas. Such a cell gets a leading apostrophe, which marks it as
//! text for spreadsheets. The import removes it. If a title itself begins with apostrophes before
//! such a sign, the export adds one more and the import removes one, so that nothing is lost. In
//! much of Europe lists are separated by semicolons, and a spreadsheet splits the attendees into
//! cells. So each attendee is guarded on its own.

use chrono::SecondsFormat;
use serde::Serialize;
use tidegate_store::Schedule;

use crate::csv;
use crate::import::{COLUMNS, Format, guarded};

/// Returns the text before the first schedule.
pub fn beginning(format: Format) -> String {
    match format {
        Format::Csv => format!("{}\n", COLUMNS.join(",")),
        Format::Ndjson => String::new(),
    }
}

/// Returns these schedules, one after the other.
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

/// Returns the media type of a file in this format.
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
    }
}

/// Returns the extension of a file in this format.
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

/// Whole milliseconds, the precision of the tables.
fn time(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests;
