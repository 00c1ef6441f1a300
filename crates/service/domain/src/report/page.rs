//! A report as an HTML page without scripts, pictures or other files.

use chrono::SecondsFormat;
use maud::{DOCTYPE, PreEscaped, html};

use super::content::Heading;
use super::{Report, Section};

const STYLE: &str = include_str!("page.css");
/// A saved page must not run or load anything when it is opened.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Returns the whole file.
pub fn page(heading: Heading<'_>, report: &Report) -> String {
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let (from, to) = (time(heading.span.from()), time(heading.span.to()));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (report.title) " · " (heading.tenant) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (report.title) " · " (heading.tenant) }
                p { "From " time datetime=(from) { (from) } " up to " time datetime=(to) { (to) } ". As of " (time(heading.made_at)) "." }
                @for note in &report.notes { p { (note) } }
                @for section in &report.sections { (shown(report, section)) }
            }
        }
    }
    .into_string()
}

fn shown(report: &Report, section: &Section) -> maud::Markup {
    html! {
        h2 { (section.title) }
        @if section.lines.is_empty() {
            p { "None." }
        } @else {
            table {
                thead {
                    tr {
                        th scope="col" { (section.of) }
                        @for measure in report.measures { th scope="col" { (measure.replace('_', " ")) } }
                    }
                }
                tbody {
                    @for line in &section.lines {
                        tr {
                            th scope="row" { (line.name) }
                            @for figure in &line.figures { td { (figure.to_string()) } }
                        }
                    }
                }
            }
        }
    }
}
