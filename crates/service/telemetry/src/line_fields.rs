//! Formats the fields of log lines.

use std::borrow::Cow;
use std::fmt;

use tidegate_perfmon::mask;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// The default format, without fields that are only for exporters, and with secrets masked. Paths,
/// causes and messages of other programs are fields and may contain anything. The message of a line
/// is the program's own text and stays unchanged.
pub(super) struct LineFields;

impl<'writer> FormatFields<'writer> for LineFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut lines = Lines(DefaultVisitor::new(writer, true));
        fields.record(&mut lines);
        lines.0.finish()
    }
}

struct Lines<'a>(DefaultVisitor<'a>);

impl Visit for Lines<'_> {
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        match mask(&value.to_string()) {
            Cow::Owned(masked) => self.0.record_debug(field, &format_args!("{masked}")),
            Cow::Borrowed(_) => self.0.record_error(field, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !is_for_exporters(field) {
            self.0.record_str(field, &mask(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_for_exporters(field) {
            return;
        }
        if field.name() == "message" {
            return self.0.record_debug(field, value);
        }
        match mask(&format!("{value:?}")) {
            Cow::Owned(masked) => self.0.record_debug(field, &format_args!("{masked}")),
            Cow::Borrowed(text) => self.0.record_debug(field, &format_args!("{text}")),
        }
    }
}

fn is_for_exporters(field: &Field) -> bool {
    field.name().starts_with("otel.")
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::Page;

    use super::*;

    /// Returns the line of one event inside the span of a request.
    fn line<F>(fields: F) -> String
    where
        F: for<'writer> FormatFields<'writer> + Send + Sync + 'static,
    {
        let page = Page::default();
        let to = page.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || to.clone());
        tracing::subscriber::with_default(log.fmt_fields(fields).finish(), || {
            let span = tracing::info_span!("request", id = "a", otel.kind = "server", attempt = 2, path = %"/b");
            span.in_scope(|| tracing::info!(answer = ?Some(1), "told"));
        });
        page.text()
    }

    #[test]
    fn fields_for_exporters_are_left_out_of_log_lines() {
        let usual = line(tracing_subscriber::fmt::format::DefaultFields::new());
        assert!(usual.contains("otel.kind=\"server\" "), "{usual}");
        assert_eq!(line(LineFields), usual.replace("otel.kind=\"server\" ", ""));
    }

    #[test]
    fn a_secret_in_a_field_is_in_no_line() {
        let page = Page::default();
        let to = page.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || to.clone());
        tracing::subscriber::with_default(log.fmt_fields(LineFields).finish(), || {
            let error = std::io::Error::other("token=hunter2 is no token");
            let told: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(path = "/of/ada@example.org", cause = %error, error = told, debug = ?error, at = 7, "told");
        });
        let text = page.text();
        assert!(text.contains("/of/****") && text.contains("is no token") && text.contains("at=7"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("ada@"), "{text}");
    }
}
