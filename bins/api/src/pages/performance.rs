//! Slow calls, growing figures, and the backends.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;
use tidegate_perfmon::{CallOutcome, OperationSnapshot, SlowCall};

use super::here::Here;
use super::layout::{Frame, Page};
use super::live::WINDOW;
use super::section::{items, told};
use super::table::{NAME, NUMBER, TEXT, table};
use super::text;
use crate::pages::visitor::Visitor;
use crate::routes::performance::{self, PerformanceQuery};
use tidegate_web::app::App;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

/// Maximum length of a list.
const MOST: usize = 20;

pub(super) async fn show(State(app): State<App>, frame: Frame) -> Response {
    let registry = app.node().telemetry.registry();
    let section = |name| told(&app, name, MOST);
    let (queries, trends, pools, process) =
        (section("slow-queries"), section("trends"), section("pools"), section("process"));
    let mut operations = registry.operations(WINDOW);
    operations.retain(|operation| operation.count > 0);
    let body = html! {
        section.card data-part="process" aria-labelledby="process" { h2 #process { "Process" } (process_figures(&process)) }
        section.card data-part="statements" aria-labelledby="statements" {
            div.head { h2 #statements { "Statements by time" } span.note { "Since the start" } }
            (statements(items(&queries, "top_by_total")))
        }
        section.card data-part="slow-queries" aria-labelledby="slow-queries" {
            h2 #slow-queries { "Slow statements" }
            (slow_statements(items(&queries, "items")))
        }
        section.card data-part="slow-apis" aria-labelledby="slow-apis" {
            h2 #slow-apis { "Slow requests" }
            (slow_calls(&registry.slow_calls(MOST)))
        }
        section.card data-part="operations" aria-labelledby="operations" {
            div.head { h2 #operations { "Operations" } span.note { "Last 5 minutes" } }
            (operations_table(&operations))
        }
        section.card data-part="trends" aria-labelledby="trends" { h2 #trends { "Trends" } (trends_table(items(&trends, "items"))) }
        section.card data-part="pools" aria-labelledby="pools" { h2 #pools { "Connection pools" } (pools_table(items(&pools, "items"))) }
        section.card aria-labelledby="export" {
            h2 #export { "Export" }
            p.note { "All figures and their verdicts, complete." }
            div.buttons {
                a.button href="/dashboard/performance/export?format=csv" { "Download CSV" }
                a.button href="/dashboard/performance/export?format=json" { "Download JSON" }
            }
        }
    };
    Page::of(Here::Performance).show(&frame, &body)
}

/// Exports `/api/performance`, for a visitor with a session and no token.
pub(super) async fn export(
    State(app): State<App>,
    _: Visitor,
    Query(query): Query<PerformanceQuery>,
) -> Result<Response, Problem> {
    performance::export_all(&app, query)
}

fn process_figures(told: &Value) -> Markup {
    let (process, runtime) = (&told["process"], &told["runtime"]);
    let figure = |label: &str, value: String| html! { div { dt { (label) } dd { (value) } } };
    let count = |value: &Value| text::or_none(value.as_u64(), |count| count.to_string());
    html! {
        dl.figures {
            (figure("Resident memory", text::or_none(process["resident_bytes"].as_f64(), text::bytes)))
            (figure("CPU time", text::or_none(process["cpu_seconds"].as_f64(), |seconds| format!("{} s", text::places(seconds)))))
            (figure("File descriptors", count(&process["open_descriptors"])))
            (figure("Threads", count(&process["threads"])))
            (figure("Workers", count(&runtime["workers"])))
            (figure("Tasks", count(&runtime["tasks"])))
        }
    }
}

fn ms(value: &Value) -> Markup {
    let time = value.as_f64().and_then(|ms| std::time::Duration::try_from_secs_f64(ms / 1_000.0).ok());
    html! { (text::or_none(time, text::time)) }
}

fn plain(value: &Value) -> Markup {
    html! { @match value { Value::String(text) => (text), Value::Number(number) => (number), _ => (text::NONE) } }
}

fn number(value: &Value) -> Markup {
    html! { (text::or_none(value.as_f64(), text::places)) }
}

fn when(value: &Value) -> Markup {
    html! { (text::or_none(value.as_u64(), text::moment)) }
}

/// A statement may be as long as a migration. Of a long one the beginning is shown, which can be
/// expanded.
fn statement(value: &Value) -> Markup {
    const SHORT: usize = 160;
    let text = value.as_str().unwrap_or(text::NONE);
    let beginning = &text[..text.floor_char_boundary(SHORT)];
    html! {
        @if beginning.len() == text.len() {
            code { (text) }
        } @else {
            details.long { summary { code { (beginning) "…" } } code { (text) } }
        }
    }
}

fn code(value: &Value) -> Markup {
    html! { code { (plain(value)) } }
}

fn statements(items: &[Value]) -> Markup {
    let columns = [
        ("Statement", TEXT),
        ("Calls", NUMBER),
        ("Slow", NUMBER),
        ("Total", NUMBER),
        ("Mean", NUMBER),
        ("P99", NUMBER),
        ("Share of time", NUMBER),
    ];
    let share = |value: &Value| html! { (text::or_none(value.as_f64(), text::percent)) };
    table(
        "Statements by total time",
        &columns,
        items.iter().map(|item| {
            vec![
                statement(&item["text"]),
                plain(&item["calls"]),
                plain(&item["slow"]),
                ms(&item["total_ms"]),
                ms(&item["mean_ms"]),
                ms(&item["p99_ms"]),
                share(&item["share"]),
            ]
        }),
    )
}

fn slow_statements(items: &[Value]) -> Markup {
    let columns = [("Statement", TEXT), ("Duration", NUMBER), ("Route", TEXT), ("Time, UTC", NUMBER)];
    table(
        "Slow statements, newest first",
        &columns,
        items.iter().map(|item| {
            vec![statement(&item["text"]), ms(&item["elapsed_ms"]), code(&item["route"]), when(&item["at_unix_ms"])]
        }),
    )
}

fn slow_calls(calls: &[SlowCall]) -> Markup {
    let columns =
        [("Endpoint", NAME), ("Duration", NUMBER), ("Status", NUMBER), ("Time, UTC", NUMBER), ("Request", TEXT)];
    let status = |outcome| match outcome {
        CallOutcome::Status(code) => code.to_string(),
        CallOutcome::Failed => "failed".to_owned(),
        CallOutcome::Aborted => "aborted".to_owned(),
    };
    table(
        "Slow requests, newest first",
        &columns,
        calls.iter().map(|call| {
            vec![
                html! { span.method { (call.method) } " " code { (call.route) } },
                html! { (text::time(call.elapsed)) },
                html! { (status(call.outcome)) },
                html! { (text::moment(call.at_unix_ms)) },
                html! { code { (call.request_id.as_deref().unwrap_or(text::NONE)) } },
            ]
        }),
    )
}

fn operations_table(operations: &[OperationSnapshot]) -> Markup {
    let columns = [
        ("Operation", NAME),
        ("Kind", NAME),
        ("Rate", NUMBER),
        ("Failed", NUMBER),
        ("Slow", NUMBER),
        ("P50", NUMBER),
        ("P99", NUMBER),
    ];
    table(
        "Operations and their durations",
        &columns,
        operations.iter().map(|operation| {
            vec![
                html! { code { (operation.operation) } },
                html! { (operation.kind.name()) },
                html! { (text::rate(operation.rate)) },
                html! { (operation.failed) },
                html! { (operation.slow) },
                html! { (text::time_or_none(operation.latency.p50, operation.count)) },
                html! { (text::time_or_none(operation.latency.p99, operation.count)) },
            ]
        }),
    )
}

fn trends_table(items: &[Value]) -> Markup {
    let columns = [
        ("Figure", NAME),
        ("Now", NUMBER),
        ("Per minute", NUMBER),
        ("Forecast 1 h", NUMBER),
        ("Limit", NUMBER),
        ("Time to limit", NUMBER),
    ];
    let minutes =
        |value: &Value| html! { (text::or_none(value.as_f64(), |minutes| format!("{} min", text::places(minutes)))) };
    table(
        "Figures with their trends and forecasts",
        &columns,
        items.iter().map(|item| {
            vec![
                code(&item["name"]),
                number(&item["value"]),
                number(&item["trend"]["slope_per_minute"]),
                number(&item["forecast"]["last"]["high"]),
                number(&item["limit"]),
                minutes(&item["reach"]["expected_minutes"]),
            ]
        }),
    )
}

fn pools_table(items: &[Value]) -> Markup {
    let columns = [
        ("Pool", NAME),
        ("In use", NUMBER),
        ("Open", NUMBER),
        ("Max", NUMBER),
        ("Waiting", NUMBER),
        ("Longest wait", NUMBER),
        ("Failed", NUMBER),
    ];
    table(
        "Connection pools",
        &columns,
        items.iter().map(|item| {
            vec![
                code(&item["name"]),
                plain(&item["in_use"]),
                plain(&item["open"]),
                plain(&item["max"]),
                plain(&item["waiting"]),
                ms(&item["longest_wait_ms"]),
                plain(&item["failed"]),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_statement_opens_and_a_short_one_is_whole() {
        let of = |text: &str| statement(&json!(text)).into_string();
        assert_eq!(of("select ?"), "<code>select ?</code>");
        // The cut is not inside a character.
        let long = "é".repeat(200);
        let shown = of(&long);
        assert!(shown.contains("<summary>") && shown.contains(&format!("<code>{long}</code>")), "{shown}");
    }

    #[test]
    fn a_missing_value_is_a_dash() {
        let empty = [json!({})];
        for shown in [statements(&empty), slow_statements(&empty), trends_table(&empty), pools_table(&empty)] {
            assert!(shown.into_string().contains(text::NONE));
        }
        assert!(process_figures(&Value::Null).into_string().contains(text::NONE));
        assert_eq!(slow_calls(&[]).into_string(), "<p class=\"none\">None.</p>");
    }
}
