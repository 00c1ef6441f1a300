//! The log as JSON, one object in each line, for log collectors.

use std::fmt;

use serde_json::{Map, Value, json};
use tidegate_perfmon::mask;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Writes `timestamp`, `level`, `target`, `message`, `fields` and `spans`, in that order.
///
/// `spans` begins with the outermost span. Each has its `name` and its fields.
pub(super) struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_else(|| "".into());
        write!(writer, "{{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(
            writer,
            "\",\"level\":\"{}\",\"target\":{},\"message\":{message},\"fields\":{},\"spans\":[",
            metadata.level(),
            json!(metadata.target()),
            Value::from(fields.0),
        )?;
        let spans = context.event_scope().into_iter().flat_map(Scope::from_root);
        for (place, span) in spans.enumerate() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.map_or("", |fields| fields.fields.as_str());
            let comma = if place == 0 { "" } else { "," };
            let between = if fields.is_empty() { "" } else { "," };
            write!(writer, "{comma}{{\"name\":{}{between}{fields}}}", json!(span.name()))?;
        }
        writeln!(writer, "]}}")
    }
}

/// Writes the fields of a span as the inside of a JSON object.
///
/// They are masked as [`LineFields`](super::line_fields::LineFields) masks them.
pub(super) struct JsonFields;

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut recorded = Fields::default();
        fields.record(&mut recorded);
        write_inside(writer, recorded.0)
    }

    /// A field that is recorded again gets the new value.
    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let before = format!("{{{}}}", current.fields);
        let mut recorded = Fields(serde_json::from_str(&before).map_err(|_| fmt::Error)?);
        fields.record(&mut recorded);
        current.fields.clear();
        write_inside(current.as_writer(), recorded.0)
    }
}

fn write_inside(mut writer: Writer<'_>, fields: Map<String, Value>) -> fmt::Result {
    let object = Value::from(fields).to_string();
    writer.write_str(object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default())
}

/// Fields by name. Numbers and booleans keep their types. Everything else becomes masked text.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        // Those are for exporters, or contain the source location of a record of the facade `log`.
        if !field.name().starts_with("otel.") && !field.name().starts_with("log.") {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, mask(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, mask(&value.to_string()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        // The message is the program's own text. Only field values are masked.
        let text = if field.name() == "message" { text.into() } else { mask(&text) };
        self.add(field, text);
    }
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::Page;

    use super::*;

    fn lines(tell: impl FnOnce()) -> Vec<Value> {
        let page = Page::default();
        let to = page.clone();
        let log = tracing_subscriber::fmt().with_writer(move || to.clone());
        let log = log.fmt_fields(JsonFields).event_format(JsonLines).finish();
        tracing::subscriber::with_default(log, tell);
        page.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_line_has_its_message_its_fields_and_those_of_its_spans() {
        let told = lines(|| {
            let outer = tracing::info_span!("request", id = "a", otel.kind = "server", status = tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("status", 200);
            outer.record("status", 404);
            let inner = tracing::info_span!("load");
            inner.in_scope(|| {
                tracing::warn!(answer = ?Some(1), n = 7_u64, ok = true, share = f64::NAN, "line\n\"two\"");
            });
        });
        assert_eq!(told.len(), 1);
        let mut line = told[0].clone();
        let time = line["timestamp"].take();
        let time = time.as_str().and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok());
        assert!(time.is_some(), "{told:?}");
        let expected = json!({
            "timestamp": null,
            "level": "WARN",
            "target": module_path!(),
            "message": "line\n\"two\"",
            "fields": {"answer": "Some(1)", "n": 7, "ok": true, "share": null},
            "spans": [{"name": "request", "id": "a", "status": 404}, {"name": "load"}],
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_secret_in_a_field_or_span_is_in_no_line() {
        let told = lines(|| {
            let span = tracing::info_span!("job", key = "token=hunter2", at = 7);
            let _span = span.enter();
            let error = std::io::Error::other("token=hunter2 is no token");
            let cause: &(dyn std::error::Error + 'static) = &error;
            tracing::info!(path = "/of/ada@example.org", error = cause, shown = %error, "told");
        });
        let text = json!(told).to_string();
        assert!(text.contains("/of/****") && text.contains("is no token"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("ada@"), "{text}");
    }

    #[test]
    fn lines_from_the_log_facade_keep_their_target() {
        let told = lines(|| {
            let record = log::Record::builder();
            let words = format_args!("words");
            let record = { record }.args(words).target("elsewhere").level(log::Level::Warn).build();
            tracing_log::format_trace(&record).expect("told");
        });
        assert_eq!((&told[0]["target"], &told[0]["message"]), (&json!("elsewhere"), &json!("words")));
        assert_eq!(told[0]["fields"], json!({}));
    }
}
