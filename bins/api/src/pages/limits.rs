//! Limits: the decisions of each limiter, the refused keys, one key, one tenant, and a simulation.

pub(super) mod change;
mod key;
mod parts;
mod query;
mod simulate;
mod tenant;

use std::cmp::Reverse;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures_util::future::join_all;
use maud::{Markup, html};
use serde_json::Value;

use self::parts::{choice, key_buttons};
use self::query::{LimitsQuery, address, look_up};
use super::again::Again;
use super::flash::Flash;
use super::here::Here;
use super::layout::{Frame, Page};
use super::section::items;
use super::table::{ACTION, NAME, NUMBER, TEXT, table};
use super::text;
use crate::routes::rate_limit;
use tidegate_web::app::App;
use tidegate_web::limits::TENANT;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

/// Maximum number of most refused keys per limiter in the list.
const MOST_KEYS: usize = 10;

pub(super) async fn show(
    State(app): State<App>,
    Query(query): Query<LimitsQuery>,
    frame: Frame,
) -> Result<Response, Problem> {
    page(&app, &query, &frame, Again::default()).await
}

/// Renders the page, with the form that was refused.
async fn page(app: &App, query: &LimitsQuery, frame: &Frame, mut again: Again) -> Result<Response, Problem> {
    let told = rate_limit::told(app);
    let limiters = items(&told, "limiters");
    let refused = refused(app, limiters).await;
    let (limiter, key) = (query.limiter.as_deref(), query.key.as_deref().filter(|key| !key.is_empty()));
    let found = match limiter.zip(key) {
        Some((limiter, key)) => {
            let typed = [("key", key), ("limiter", limiter)];
            again.catch("key", &typed, key::find(app, limiter, key).await)?
        }
        None => None,
    };
    let tenant = match query.tenant.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => again.catch("tenant", &[("tenant", id)], rate_limit::used_by(app, id).await)?,
        None => None,
    };
    let (cost, apart) = simulate::typed(query);
    let typed = [("simulate", query.simulate.as_deref().unwrap_or_default()), ("cost", cost), ("apart", apart)];
    let outcomes = again.catch("simulate", &typed, simulate::run(app, query).await)?.flatten();
    let body = html! {
        section.card data-part="limiters" aria-labelledby="limiters" {
            div.head { h2 #limiters { "Limiters" } span.note { "Decisions of this process since its start" } }
            (limiters_table(limiters))
        }
        (flagged(items(&told, "flagged")))
        @if frame.may_change() { (quota_form(frame, limiters, &again)) }
        section.card data-part="refused" aria-labelledby="refused" {
            div.head { h2 #refused { "Most refused keys" } span.note { "With the time left of their blocks; look up any other key below" } }
            (refused_table(frame, &refused))
        }
        (key::show(frame, limiters, query, found.as_ref(), &again))
        (tenant::show(app, frame, query.tenant.as_deref(), tenant.as_ref(), &again).await)
        (simulate::show(limiters, query, outcomes.as_deref(), &again))
    };
    let flash = Flash::of(query.said.as_deref(), query.done, query.left);
    Ok(again
        .answer(Page::of(Here::Limits).at(address(query)).saying(flash).refusing(again.untold()).show(frame, &body)))
}

fn limiters_table(limiters: &[Value]) -> Markup {
    let columns = [
        ("Limiter", NAME),
        ("Algorithm", NAME),
        ("Quota", NAME),
        ("Block", NUMBER),
        ("Mode", NAME),
        ("Allowed", NUMBER),
        ("Refused", NUMBER),
        ("Refused %", NUMBER),
        ("Errors", NUMBER),
        ("Keys", NUMBER),
        ("Blocked", NUMBER),
    ];
    let word = |value: &Value| html! { (value.as_str().unwrap_or(text::NONE)) };
    table(
        "Limiters and their decisions",
        &columns,
        limiters.iter().map(|limiter| {
            let stats = &limiter["stats"];
            let count = |name: &str| stats[name].as_u64().unwrap_or(0);
            let (allowed, denied) = (count("allowed"), count("denied"));
            let quota = limiter["quota"].as_str();
            vec![
                html! { b { (word(&limiter["name"])) } },
                html! { code { (word(&limiter["algorithm"])) } },
                html! { (quota.unwrap_or("by tier")) @if quota != limiter["settings_quota"].as_str() { " " span.badge data-state="warn" { "changed" } } @if quota != limiter["applied_quota"].as_str() { " " span.badge data-state="warn" { "lowered to " (word(&limiter["applied_quota"])) } } },
                html! { (text::or_none(limiter["block_seconds"].as_f64().filter(|block| *block > 0.0), |block| text::span(Duration::from_secs_f64(block)))) },
                html! { span data-state=[(limiter["mode"] != "on").then_some("warn")] { (word(&limiter["mode"])) } },
                html! { (allowed) },
                html! { span data-state=[(denied > 0).then_some("warn")] { (denied) } },
                html! { (text::percent_or_none(share(denied, allowed), allowed + denied)) },
                html! { span data-state=[(count("failed") > 0).then_some("bad")] { (count("failed")) } },
                html! { (count("tracked_keys")) },
                html! { (count("blocked_keys")) },
            ]
        }),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn share(part: u64, rest: u64) -> f64 {
    if part == 0 { 0.0 } else { part as f64 / (part + rest) as f64 }
}

/// Renders tenants whose rate is far above their usual one. Empty if there is none.
fn flagged(flagged: &[Value]) -> Markup {
    let columns = [("Tenant", TEXT), ("Since", NAME), ("Requests", NUMBER), ("Usual", NUMBER), ("Interval", NUMBER)];
    html! {
        @if !flagged.is_empty() {
            section.card data-part="flagged" aria-labelledby="flagged" {
                div.head { h2 #flagged { "Unusual rates" } span.note { "Tenants that send this process far more requests than usual" } }
                (table("Tenants with an unusual rate", &columns, flagged.iter().map(|flag| {
                    let tenant = flag["tenant_id"].as_str().unwrap_or_default();
                    let interval = Duration::from_secs_f64(flag["interval_seconds"].as_f64().unwrap_or_default());
                    vec![
                        html! { a href=(look_up(TENANT, tenant)) { code { (tenant) } } },
                        html! { (flag["since"].as_str().unwrap_or(text::NONE)) },
                        html! { span data-state="warn" { (flag["requests"]) } },
                        html! { (format!("{:.1}", flag["usual"].as_f64().unwrap_or_default())) },
                        html! { (text::span(interval)) },
                    ]
                })))
            }
        }
    }
}

fn quota_form(frame: &Frame, limiters: &[Value], again: &Again) -> Markup {
    let limiter = again.typed("quota", "limiter");
    html! {
        section.card aria-labelledby="quota" {
            h2 #quota { "Change quota" }
            form.row method="post" action={ (Here::Limits.path()) "/quota" } data-confirm="Change the quota of this limiter on every node?" {
                (frame.field())
                div { label for="quota-limiter" { "Limiter" } (again.message("quota", "limiter")) (choice("quota-limiter", limiters, limiter, false)) }
                div {
                    label for="quota-text" { "Quota, such as 100/minute; empty for the quota of the settings" }
                    (again.message("quota", "quota"))
                    input #quota-text name="quota" maxlength="64" value=[again.typed("quota", "quota")] autofocus[again.is_at("quota", "quota")] aria-describedby=[again.described_by("quota", "quota")];
                }
                button { "Set quota" }
            }
        }
    }
}

/// A key that was refused often.
struct Refused {
    limiter: String,
    key: String,
    denied: u64,
    blocked_for: Option<Duration>,
}

/// Refused keys of all limiters, blocked ones first.
async fn refused(app: &App, limiters: &[Value]) -> Vec<Refused> {
    let listed = limiters.iter().flat_map(|limiter| {
        let name = limiter["name"].as_str().unwrap_or_default();
        let keys = items(&limiter["stats"], "top_denied").iter().take(MOST_KEYS);
        keys.filter_map(move |pair| Some((name, pair[0].as_str()?, pair[1].as_u64()?)))
    });
    let mut refused = join_all(listed.map(async |(limiter, key, denied)| Refused {
        limiter: limiter.to_owned(),
        key: key.to_owned(),
        denied,
        blocked_for: key::blocked_for(app, limiter, key).await,
    }))
    .await;
    refused.sort_by_key(|refused| Reverse((refused.blocked_for, refused.denied)));
    refused
}

fn refused_table(frame: &Frame, refused: &[Refused]) -> Markup {
    let columns =
        [("Key", TEXT), ("Limiter", NAME), ("Refused", NUMBER), ("Blocked for", NUMBER), ("Unblock or reset", ACTION)];
    table(
        "Most refused keys",
        &columns,
        refused.iter().map(|Refused { limiter, key, denied, blocked_for }| {
            vec![
                html! { a href=(look_up(limiter, key)) { bdi { code { (text::beginning(&text::visible(key), 120)) } } } },
                html! { (limiter) },
                html! { (denied) },
                html! { span data-state=[blocked_for.map(|_| "bad")] { (text::or_none(*blocked_for, text::span)) } },
                html! { @if frame.may_change() { (key_buttons(frame, limiter, key, blocked_for.is_some())) } },
            ]
        }),
    )
}
