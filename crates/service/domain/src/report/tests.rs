use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use tidegate_base::clock;
use tidegate_store::{Sum, Tally};

use super::*;

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn span(from: &str, to: &str) -> Span {
    Span::read(ReportKind::Schedules, from, to).unwrap()
}

fn refused(kind: ReportKind, from: &str, to: &str) -> Vec<(&'static str, SpanError)> {
    Span::read(kind, from, to).map_or_else(|errors| errors.iter().cloned().collect(), |_| Vec::new())
}

#[test]
fn a_span_is_of_days_or_times_and_bounded() {
    let time = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc);
    let read = span("2030-01-31", "2030-02-01T01:00:00+01:00");
    assert_eq!(read.range(), time("2030-01-31T00:00:00Z")..time("2030-02-01T00:00:00Z"));
    assert_eq!(read.days().collect::<Vec<_>>(), [day("2030-01-31")]);
    assert_eq!(span("2030-01-31T23:00:00Z", "2030-02-01T00:00:00.001Z").days().count(), 2);
    assert_eq!(span("2028-01-01", "2029-01-01").days().count(), 366);

    let schedules = |from: &str, to: &str| refused(ReportKind::Schedules, from, to);
    assert_eq!(schedules("2028-01-01", "2029-01-01T00:00:00.001Z"), [("to", SpanError::TooLong)]);
    assert_eq!(schedules("2030-01-01", "2030-01-01"), [("to", SpanError::NotAfter)]);
    assert_eq!(schedules("2030-01-02", "2030-01-01"), [("to", SpanError::NotAfter)]);
    for bad in ["", "today", "2030-02-30", "2030-1-1", "+12030-1-1", "1969-12-31", "2030-01-01T00:00:00", "01.01.2030"]
    {
        assert_eq!(schedules(bad, "2030-01-01"), [("from", SpanError::NotATime)], "{bad}");
        assert_eq!(schedules("2030-01-01", bad), [("to", SpanError::NotATime)], "{bad}");
        assert_eq!(schedules(bad, bad).len(), 2, "each is named");
    }
    let usage = |from: &str, to: &str| refused(ReportKind::Usage, from, to);
    assert_eq!(usage("2030-01-01T01:00:00+01:00", "2030-01-02"), []);
    assert_eq!(usage("2030-01-01T00:00:00+01:00", "2030-01-02"), [("from", SpanError::WithinDay)]);
}

fn report() -> (Span, Report) {
    let sum = |schedules, recurring, seconds| Sum { schedules, recurring, seconds };
    let mut sums = ScheduleSums::default();
    sums.add_days(vec![(day("2030-01-01"), sum(2, 1, 5400)), (day("2030-01-03"), sum(1, 0, 60))]);
    sums.add_days(vec![(day("2030-01-01"), sum(1, 0, 1800))]);
    sums.add_titles(vec![
        ("<script>alert(1)</script>".to_owned(), sum(2, 0, 60)),
        ("=1+1".to_owned(), sum(1, 0, 7200)),
    ]);
    sums.add_attendees(vec![("=cmd(\"x\"),1".to_owned(), sum(1, 0, 60)), ("Ann".to_owned(), sum(1, 0, 60))]);
    sums.add_attendees(vec![("ANN".to_owned(), sum(1, 1, 60))]);
    let span = span("2030-01-01", "2030-01-04");
    let report = sums.report(&span);
    (span, report)
}

#[test]
fn a_table_has_every_day_and_no_cell_that_a_spreadsheet_runs() {
    let (_, report) = report();
    assert_eq!(
        table(&report),
        "section,name,schedules,recurring,hours\n\
         total,total,4,1,2.02\n\
         day,2030-01-01,3,1,2.00\n\
         day,2030-01-02,0,0,0.00\n\
         day,2030-01-03,1,0,0.02\n\
         attendee,Ann,2,1,0.03\n\
         attendee,\"'=cmd(\"\"x\"\"),1\",1,0,0.02\n\
         title,<script>alert(1)</script>,2,0,0.02\n\
         title,'=1+1,1,0,2.00\n"
    );
}

#[test]
fn a_page_runs_nothing_and_asks_for_nothing() {
    let (span, report) = report();
    let text = page(Heading { tenant: "A & <b>", span: &span, made_at: clock::now() }, &report);
    assert!(text.contains("A &amp; &lt;b&gt;") && text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{text}");
    for forbidden in ["<script", "<b>", "http://", "https://", "<link", "<img", " src=", "url(", "@import"] {
        assert!(!text.contains(forbidden), "{forbidden} in {text}");
    }
    for part in ["<!DOCTYPE html>", "default-src 'none'", "prefers-color-scheme: dark", "@media print", "2030-01-02"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn usage_has_every_day_of_the_span() {
    let known = Tally { created: 2, updated: 1, imported: 40, reminders_sent: 3, views: 9 };
    let days =
        BTreeMap::from([(day("2030-01-01"), known), (day("2030-01-02"), Tally { created: 1, ..Tally::default() })]);
    assert_eq!(
        table(&usage(&span("2030-01-01", "2030-01-04"), &days)),
        "section,name,created,updated,imported,reminders_sent,views\n\
         total,total,3,1,40,3,9\n\
         day,2030-01-01,2,1,40,3,9\n\
         day,2030-01-02,1,0,0,0,0\n\
         day,2030-01-03,0,0,0,0,0\n"
    );
}

#[test]
fn hours_are_told_to_the_hundredth() {
    for (seconds, told) in [(0, "0.00"), (17, "0.00"), (18, "0.01"), (3600, "1.00"), (3599, "1.00"), (5400, "1.50")] {
        assert_eq!(Figure::Hours(seconds).to_string(), told);
    }
    assert_eq!(Figure::Hours(u64::MAX).to_string(), "5124095576030431.00");
}
