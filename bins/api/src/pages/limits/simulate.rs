//! Twenty requests to a copy of a limiter: the same quota, algorithm and block, in memory, on a
//! simulated clock.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::Value;
use tidegate_model::tenant::{Plan, TIERS};
use tidegate_ratelimit::{CheckError, Decision, ManualClock, MemoryTenantLimiter, TenantDecision, TenantLimiter};

use super::super::again::Again;
use super::super::form::number;
use super::super::here::Here;
use super::super::table::{NAME, NUMBER, table};
use super::super::text;
use super::query::LimitsQuery;
use tidegate_web::app::App;
use tidegate_web::limits::TENANT;
use tidegate_web::problem::Problem;

const REQUESTS: u64 = 20;
/// Maximum time between two requests: an hour.
const LONGEST_APART: u64 = 3_600_000;
const KEY: &str = "somebody";

pub(super) struct Outcome {
    at: Duration,
    /// `None` if there is no decision, because the cost can never fit.
    decided: Option<Decided>,
}

struct Decided {
    allowed: bool,
    blocked: bool,
    remaining: u64,
    retry_after: Option<Duration>,
}

/// Returns the typed cost of each request and the typed milliseconds between two requests.
pub(super) fn typed(query: &LimitsQuery) -> (&str, &str) {
    (query.cost.as_deref().unwrap_or("1"), query.apart.as_deref().unwrap_or("0"))
}

/// `None` if the query has no simulation.
pub(super) async fn run(app: &App, query: &LimitsQuery) -> Result<Option<Vec<Outcome>>, Problem> {
    let (cost, apart) = typed(query);
    let (cost, apart) = (number::<u64>("cost", cost)?, number::<u64>("apart", apart)?);
    let bad = |detail: String| Problem::unprocessable("bad-simulation", detail);
    if cost == 0 {
        return Err(bad("`cost` is at least 1".to_owned()));
    }
    if apart > LONGEST_APART {
        return Err(bad(format!("`apart` is at most {LONGEST_APART}, which is an hour")));
    }
    match query.simulate.as_deref() {
        Some(what) => Ok(Some(outcomes_of(app, what, cost, Duration::from_millis(apart)).await?)),
        None => Ok(None),
    }
}

pub(super) fn show(limiters: &[Value], query: &LimitsQuery, outcomes: Option<&[Outcome]>, again: &Again) -> Markup {
    let (cost, apart) = typed(query);
    let names = limiters.iter().filter_map(|limiter| limiter["name"].as_str()).filter(|name| *name != TENANT);
    let chosen = |name: &str| query.simulate.as_deref() == Some(name);
    html! {
        section.card aria-labelledby="try" {
            div.head { h2 #try { "Simulate 20 requests" } span.note { "On a separate limiter in memory: no client is charged" } }
            form.row method="get" action={ (Here::Limits.path()) "#try" } {
                div {
                    label for="simulate" { "Limiter or tier" }
                    (again.message("simulate", "simulate"))
                    select #simulate name="simulate" {
                        @for name in names { option selected[chosen(name)] { (name) } }
                        @for tier in TIERS.iter() { option value=(tier.name()) selected[chosen(tier.name())] { "tier " (tier.name()) } }
                    }
                }
                div { label for="cost" { "Cost" } (again.message("simulate", "cost")) input #cost type="number" name="cost" min="1" value=(cost) required aria-describedby=[again.described_by("simulate", "cost")]; }
                div { label for="apart" { "Interval (ms)" } (again.message("simulate", "apart")) input #apart type="number" name="apart" min="0" max=(LONGEST_APART) value=(apart) required aria-describedby=[again.described_by("simulate", "apart")]; }
                button { "Simulate" }
            }
            @if let Some(outcomes) = outcomes { (shown(outcomes)) }
        }
    }
}

async fn outcomes_of(app: &App, what: &str, cost: u64, apart: Duration) -> Result<Vec<Outcome>, Problem> {
    let clock = ManualClock::new();
    // Not at time zero, where the window before the first would be missing.
    clock.advance(Duration::from_secs(1_000_000));
    let mut outcomes = Vec::new();
    if let Ok(tier) = TIERS.get(what) {
        let (limiter, plan) = (MemoryTenantLimiter::new(clock.clone(), 1), Plan::from(tier));
        for number in 0..REQUESTS {
            let decided = limiter.check(KEY, &plan, cost).await.map(|decision| Decided::of_tenant(&decision));
            outcomes.push(outcome(number, apart, decided)?);
            clock.advance(apart);
        }
        return Ok(outcomes);
    }
    let named = app.limiters().named(what)?;
    let limiter = named.scratch(clock.clone()).map_err(|error| Problem::internal(&error))?;
    for number in 0..REQUESTS {
        // The front limiter counts addresses, but accepts any text as a key.
        let decided = limiter.check(KEY, cost).await.map(|decision| Decided::of(&decision));
        outcomes.push(outcome(number, apart, decided)?);
        clock.advance(apart);
    }
    Ok(outcomes)
}

fn outcome(number: u64, apart: Duration, decided: Result<Decided, CheckError>) -> Result<Outcome, Problem> {
    let decided = match decided {
        Ok(decided) => Some(decided),
        Err(CheckError::CostExceedsLimit { .. }) => None,
        Err(error) => return Err(Problem::internal(&error)),
    };
    Ok(Outcome { at: apart.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)), decided })
}

impl Decided {
    fn of(decision: &Decision) -> Self {
        Self {
            allowed: decision.is_allowed(),
            blocked: decision.blocked_for().is_some(),
            remaining: decision.remaining(),
            retry_after: decision.retry_after(),
        }
    }

    /// `remaining` is that of the binding window.
    fn of_tenant(decision: &TenantDecision) -> Self {
        Self {
            allowed: decision.allowed,
            blocked: decision.blocked_for.is_some(),
            remaining: decision.binding().decision.remaining(),
            retry_after: decision.retry_after(),
        }
    }
}

fn shown(outcomes: &[Outcome]) -> Markup {
    let allowed =
        outcomes.iter().filter(|outcome| outcome.decided.as_ref().is_some_and(|decided| decided.allowed)).count();
    let columns =
        [("Request", NAME), ("At", NUMBER), ("Decision", NAME), ("Remaining", NUMBER), ("Retry after", NUMBER)];
    html! {
        p role="status" { b { (allowed) " of " (outcomes.len()) " allowed" } }
        (table(
            "Decision for each request",
            &columns,
            outcomes.iter().enumerate().map(|(number, Outcome { at, decided })| {
                let decided = decided.as_ref();
                vec![
                    html! { (number + 1) },
                    html! { (text::time(*at)) },
                    match decided {
                        Some(Decided { allowed: true, .. }) => html! { span data-state="ok" { "allowed" } },
                        Some(Decided { blocked: true, .. }) => html! { span data-state="bad" { "refused, blocked" } },
                        Some(_) => html! { span data-state="warn" { "refused" } },
                        None => html! { span data-state="bad" { "costs more than the limit" } },
                    },
                    html! { (text::or_none(decided, |decided| decided.remaining.to_string())) },
                    html! { (text::or_none(decided.and_then(|decided| decided.retry_after), text::span)) },
                ]
            }),
        ))
    }
}
