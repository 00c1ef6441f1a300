//! The query of the page of limits, and the addresses that have one.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::pages::here::Here;
use tidegate_web::limits::TENANT;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct LimitsQuery {
    /// With `key`: one key is looked up.
    pub(super) limiter: Option<String>,
    pub(super) key: Option<String>,
    pub(super) tenant: Option<String>,
    /// A limiter or tier to try, with the cost of each request and the milliseconds between two.
    pub(super) simulate: Option<String>,
    pub(super) cost: Option<String>,
    pub(super) apart: Option<String>,
    pub(super) said: Option<String>,
    pub(super) done: Option<u64>,
    pub(super) left: Option<u64>,
}

/// The address that shows the same again.
pub(super) fn address(query: &LimitsQuery) -> String {
    let texts =
        [("limiter", &query.limiter), ("key", &query.key), ("tenant", &query.tenant), ("simulate", &query.simulate)];
    let numbers = [("cost", &query.cost), ("apart", &query.apart)];
    let typed = texts.into_iter().chain(numbers);
    let typed = typed.filter_map(|(name, value)| value.as_deref().map(|value| (name, encoded(value))));
    let pairs: Vec<_> = typed.map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() {
        Here::Limits.path().to_owned()
    } else {
        format!("{}?{}", Here::Limits.path(), pairs.join("&"))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Returns the address that looks up one key or one tenant.
pub(super) fn look_up(limiter: &str, key: &str) -> String {
    if limiter == TENANT {
        return format!("{}?tenant={}", Here::Limits.path(), encoded(key));
    }
    format!("{}?limiter={}&key={}", Here::Limits.path(), encoded(limiter), encoded(key))
}
