//! One key of one limiter.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::Value;

use super::super::layout::{Frame, Here};
use super::super::text;
use super::{choice, key_buttons};
use crate::app::App;
use crate::limits::{TENANT, counted_as, undecided};
use crate::problem::Problem;
use crate::routes::rate_limit::keys::known_tenant;

/// What is left of its block; none where nobody can say.
pub(super) async fn blocked_for(app: &App, limiter: &str, key: &str) -> Option<Duration> {
    if limiter == TENANT {
        let tenant = known_tenant(app, key).await.ok()?;
        return app.limiters().tenants.usage(key, &tenant.plan).await.ok()?.blocked_for;
    }
    app.limiters().named(limiter).ok()?.limiter().peek(key, 1).await.ok()?.blocked_for()
}

/// The search, and what was found.
pub(super) async fn show(
    app: &App,
    frame: &Frame,
    limiters: &[Value],
    limiter: Option<&str>,
    key: Option<&str>,
) -> Result<Markup, Problem> {
    let found = match (limiter, key.filter(|key| !key.is_empty())) {
        (Some(limiter), Some(key)) => Some(found(app, frame, limiter, key).await?),
        _ => None,
    };
    Ok(html! {
        section.card aria-labelledby="one-key" {
            h2 #one-key { "One key" }
            form.row method="get" action=(Here::Limits.path()) {
                div { label for="key-limiter" { "Limiter" } (choice("key-limiter", limiters, limiter, false)) }
                div.grow { label for="key" { "Key: an address, or as it is listed above" } input #key name="key" maxlength="512" required value=[key]; }
                button { "Look up" }
            }
            @if let Some(found) = found { (found) }
        }
    })
}

async fn found(app: &App, frame: &Frame, limiter: &str, key: &str) -> Result<Markup, Problem> {
    let named = app.limiters().named(limiter)?;
    let key = counted_as(limiter, key, app.settings().limits.ipv6_prefix)?;
    let decision = named.limiter().peek(&key, 1).await.map_err(|error| undecided(&error))?;
    let blocked = decision.blocked_for();
    let fact = |label: &str, value: Markup| html! { div { dt { (label) } dd { (value) } } };
    Ok(html! {
        dl.facts {
            (fact("Counted as", html! { bdi { code { (text::beginning(&text::visible(&key), 120)) } } }))
            (fact("Left", html! { (decision.remaining()) " of " (decision.limit()) }))
            (fact("All is left again in", html! { (text::span(decision.reset_after())) }))
            (fact("Blocked for", html! { span data-state=[blocked.map(|_| "bad")] { (text::or_none(blocked, text::span)) } }))
        }
        @if frame.may_change() {
            div.buttons.below { (key_buttons(frame, limiter, &key, blocked.is_some())) }
            form.row.below method="post" action={ (Here::Limits.path()) "/block" } data-confirm={ "Refuse everything from " (text::beginning(&text::visible(&key), 64)) "?" } {
                (frame.field())
                input type="hidden" name="limiter" value=(limiter);
                input type="hidden" name="key" value=(key);
                div { label for="block-seconds" { "Seconds" } input #block-seconds type="number" name="seconds" min="1" max="31622400" value="900" required; }
                button.danger { "Block" }
            }
        }
    })
}
