//! Tables as CSV, for spreadsheets.

use std::borrow::Cow;

use ::csv::{Terminator, WriterBuilder};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tidegate_telemetry::Table;

use tidegate_web::problem::Problem;

/// One table, under its columns.
pub(super) fn answer(table: &Table) -> Result<Response, Problem> {
    let header = table.columns.iter().copied().map(Cow::Borrowed).collect();
    let rows = table.rows.iter().map(|row| row.iter().map(|cell| Cow::Borrowed(cell.as_str())).collect());
    respond(std::iter::once(header).chain(rows))
}

/// Many tables in one: each cell is a row of `section`, `row` (from 1), `column` and `value`.
pub(super) fn answer_long(tables: impl Iterator<Item = (&'static str, Table)>) -> Result<Response, Problem> {
    let mut rows = vec![["section", "row", "column", "value"].map(Cow::Borrowed).to_vec()];
    for (section, table) in tables {
        for (at, row) in (1_usize..).zip(table.rows) {
            for (column, value) in table.columns.iter().zip(row) {
                let at = Cow::Owned(at.to_string());
                rows.push(vec![Cow::Borrowed(section), at, Cow::Borrowed(*column), Cow::Owned(value)]);
            }
        }
    }
    respond(rows.into_iter())
}

fn respond<'a>(rows: impl Iterator<Item = Vec<Cow<'a, str>>>) -> Result<Response, Problem> {
    let text = write(rows).map_err(|error| Problem::internal(&error))?;
    let kind = HeaderValue::from_static("text/csv; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn write<'a>(rows: impl Iterator<Item = Vec<Cow<'a, str>>>) -> Result<Vec<u8>, ::csv::Error> {
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(&mut text);
    for row in rows {
        writer.write_record(row.iter().map(|cell| harmless(cell).into_owned()))?;
    }
    writer.flush()?;
    drop(writer);
    Ok(text)
}

/// Protects a cell that a spreadsheet would take for a formula with a leading apostrophe. Numbers
/// keep their sign.
fn harmless(cell: &str) -> Cow<'_, str> {
    let is_number = || cell.parse::<f64>().is_ok_and(f64::is_finite);
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number() {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_as_a_formula_gets_an_apostrophe() {
        for formula in ["=1+1", "+cmd|' /C calc'!A0", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "-inf", "+NaN", "-", "="] {
            assert_eq!(harmless(formula), format!("'{formula}"), "{formula}");
        }
        for other in ["-1", "+2.5", "-1e-9", "", "'=1", " =1", "GET", "a=b", "1+1", "2026-11-22"] {
            assert_eq!(harmless(other), other);
        }
    }

    #[test]
    fn quotes_commas_and_line_ends_stay_within_their_cells() {
        let hostile = ["a,b", "\"q\"", "two\r\nlines", "=x,\"y\""];
        let row = || hostile.iter().copied().map(Cow::Borrowed).collect::<Vec<_>>();
        let text = write([row(), row()].into_iter()).unwrap();
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
        let read: Vec<Vec<String>> = reader.deserialize().map(Result::unwrap).collect();
        assert_eq!(read, vec![["a,b", "\"q\"", "two\r\nlines", "'=x,\"y\""]; 2]);
    }
}
