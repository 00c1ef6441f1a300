//! `/api/analytics`: a tenant's usage by day.

pub(super) mod operations;

use axum::extract::State;
use chrono::{Days, NaiveDate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_base::clock;
use tidegate_store::Tally;

use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

const MOST_DAYS: u64 = 400;
/// Number of days up to `to`, if the request has no `from`.
const USUAL_DAYS: u64 = 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    from: Option<String>,
    to: Option<String>,
}

/// Activity of a tenant on each day of a span.
#[derive(Serialize, JsonSchema)]
pub(super) struct Usage {
    from: NaiveDate,
    to: NaiveDate,
    items: Vec<DayOfUsage>,
}

#[derive(Serialize, JsonSchema)]
struct DayOfUsage {
    day: NaiveDate,
    #[serde(flatten)]
    tally: Tally,
}

/// Each day from `from` to `to`, both included, in UTC.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Query(span): Query<Span>,
) -> Result<axum::Json<Usage>, Problem> {
    let (from, to) = days(&span, clock::now().date_naive())?;
    let known = app.node().store.analytics(&caller.tenant.id, from, to).await?;
    let each = from.iter_days().take_while(|day| *day <= to);
    let items = each.map(|day| DayOfUsage { day, tally: known.get(&day).copied().unwrap_or_default() }).collect();
    Ok(axum::Json(Usage { from, to, items }))
}

fn days(span: &Span, today: NaiveDate) -> Result<(NaiveDate, NaiveDate), Problem> {
    let to = span.to.as_deref().map_or(Ok(today), |text| day("to", text))?;
    let usual = to.checked_sub_days(Days::new(USUAL_DAYS - 1)).unwrap_or(to);
    let from = span.from.as_deref().map_or(Ok(usual), |text| day("from", text))?;
    let longest = from.checked_add_days(Days::new(MOST_DAYS - 1)).unwrap_or(NaiveDate::MAX);
    if from > to || to > longest {
        let detail = format!("`to` is not before `from`, and with it at most {MOST_DAYS} days");
        return Err(Problem::unprocessable("bad-span", detail));
    }
    Ok((from, to))
}

fn day(name: &str, text: &str) -> Result<NaiveDate, Problem> {
    // A year of four digits without a sign.
    let has_form = text.len() == 10 && text.starts_with(|first: char| first.is_ascii_digit());
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| has_form);
    day.ok_or_else(|| Problem::unprocessable("bad-span", format!("`{name}` is a day such as 2030-01-31")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_of_days_that_there_are() {
        let today = NaiveDate::from_ymd_opt(2030, 1, 31).unwrap();
        let read = |from: Option<&str>, to: Option<&str>| {
            let span = Span { from: from.map(str::to_owned), to: to.map(str::to_owned) };
            days(&span, today).map(|(from, to)| format!("{from} {to}")).ok()
        };
        assert_eq!(read(None, None).as_deref(), Some("2030-01-02 2030-01-31"));
        assert_eq!(read(Some("2030-01-31"), None).as_deref(), Some("2030-01-31 2030-01-31"));
        assert_eq!(read(None, Some("2029-03-01")).as_deref(), Some("2029-01-31 2029-03-01"));
        assert_eq!(read(Some("2028-01-01"), Some("2029-02-03")).as_deref(), Some("2028-01-01 2029-02-03"));
        for (from, to) in [
            (Some("2030-02-01"), None),
            (Some("2028-01-01"), Some("2029-02-04")),
            (Some("2030-02-30"), Some("2030-03-01")),
            (Some("2030-1-1"), None),
            (Some(""), None),
            (None, Some("+12030-1-1")),
            (None, Some("tomorrow")),
        ] {
            assert_eq!(read(from, to), None, "{from:?} {to:?}");
        }
    }
}
