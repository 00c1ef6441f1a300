//! Elements that several parts of the limits page use.

use maud::{Markup, html};
use serde_json::Value;

use crate::pages::here::Here;
use crate::pages::layout::{Button, Frame};
use crate::pages::text;
use tidegate_web::limits::TENANT;

pub(super) fn choice(id: &str, limiters: &[Value], chosen: Option<&str>, with_tenants: bool) -> Markup {
    html! {
        select id=(id) name="limiter" {
            @for name in limiters.iter().filter_map(|limiter| limiter["name"].as_str()).filter(|name| with_tenants || *name != TENANT) {
                option selected[chosen == Some(name)] { (name) }
            }
        }
    }
}

pub(super) fn key_buttons(frame: &Frame, limiter: &str, key: &str, is_blocked: bool) -> Markup {
    let shown = text::visible(key);
    let button = |act: &str, label, asks: Option<&str>| {
        let action = format!("{}/{act}", Here::Limits.path());
        frame.button(&Button { action: &action, label, about: &shown, asks }, &[("limiter", limiter), ("key", key)])
    };
    let asks = format!("Reset the usage, block and strikes of {}?", text::beginning(&shown, 64));
    html! {
        @if is_blocked { (button("unblock", "Unblock", None)) }
        (button("forget", "Reset usage", Some(&asks)))
    }
}
