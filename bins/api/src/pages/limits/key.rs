//! One key of one limiter.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::Value;
use tidegate_ratelimit::Decision;

use super::super::again::Again;
use super::super::here::Here;
use super::super::layout::Frame;
use super::super::text;
use super::parts::{choice, key_buttons};
use super::query::LimitsQuery;
use crate::routes::rate_limit::keys::known_tenant;
use tidegate_web::app::App;
use tidegate_web::limits::{TENANT, counted_as, undecided};
use tidegate_web::problem::Problem;

/// Returns the rest of its block. `None` if it is not known.
pub(super) async fn blocked_for(app: &App, limiter: &str, key: &str) -> Option<Duration> {
    if limiter == TENANT {
        let tenant = known_tenant(app, key).await.ok()?;
        return app.limiters().tenants.usage(key, &tenant.plan).await.ok()?.blocked_for;
    }
    app.limiters().named(limiter).ok()?.limiter().peek(key, 1).await.ok()?.blocked_for()
}

/// A key as its limiter counts it, and the limiter's decision now.
pub(super) struct Found {
    limiter: String,
    key: String,
    decision: Decision,
}

pub(super) async fn find(app: &App, limiter: &str, key: &str) -> Result<Found, Problem> {
    let named = app.limiters().named(limiter)?;
    let key = counted_as(limiter, key, app.settings().limits.ipv6_prefix)?;
    let decision = named.limiter().peek(&key, 1).await.map_err(|error| undecided(&error))?;
    Ok(Found { limiter: limiter.to_owned(), key: key.into_owned(), decision })
}

/// The search, and what was found.
pub(super) fn show(
    frame: &Frame,
    limiters: &[Value],
    query: &LimitsQuery,
    found: Option<&Found>,
    again: &Again,
) -> Markup {
    html! {
        section.card aria-labelledby="one-key" {
            h2 #one-key { "Look up a key" }
            form.row method="get" action=(Here::Limits.path()) {
                div { label for="key-limiter" { "Limiter" } (again.message("key", "limiter")) (choice("key-limiter", limiters, query.limiter.as_deref(), false)) }
                div.grow {
                    label for="key" { "Key: an address, or a key as listed above" }
                    (again.message("key", "key"))
                    input #key name="key" maxlength="512" required value=[query.key.as_deref()] aria-describedby=[again.described_by("key", "key")];
                }
                button { "Look up" }
            }
            @if let Some(found) = found { (facts(frame, found, again)) }
        }
    }
}

fn facts(frame: &Frame, Found { limiter, key, decision }: &Found, again: &Again) -> Markup {
    let blocked = decision.blocked_for();
    let fact = |label: &str, value: Markup| html! { div { dt { (label) } dd { (value) } } };
    html! {
        dl.facts {
            (fact("Counted as", html! { bdi { code { (text::beginning(&text::visible(key), 120)) } } }))
            (fact("Remaining", html! { (decision.remaining()) " of " (decision.limit()) }))
            (fact("Full quota in", html! { (text::span(decision.reset_after())) }))
            (fact("Blocked for", html! { span data-state=[blocked.map(|_| "bad")] { (text::or_none(blocked, text::span)) } }))
        }
        @if frame.may_change() {
            div.buttons.below { (key_buttons(frame, limiter, key, blocked.is_some())) }
            form.row.below method="post" action={ (Here::Limits.path()) "/block" } data-confirm={ "Refuse all requests of " (text::beginning(&text::visible(key), 64)) "?" } {
                (frame.field())
                input type="hidden" name="limiter" value=(limiter);
                input type="hidden" name="key" value=(key);
                div {
                    label for="block-seconds" { "Block for, in seconds" }
                    (again.message("block", "seconds"))
                    input #block-seconds type="number" name="seconds" min="1" max="31622400" value=(again.typed("block", "seconds").unwrap_or("900")) required autofocus[again.is_at("block", "seconds")] aria-describedby=[again.described_by("block", "seconds")];
                }
                button.danger { "Block" }
            }
        }
    }
}
