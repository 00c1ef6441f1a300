//! `GET /api/cache/keys`: the keys that this process holds in memory, and their lifetimes. Never a
//! value.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_cache::{Inspected, Key, Pattern};

use super::bad;
use tidegate_web::app::App;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct KeysQuery {
    key: Option<String>,
    pattern: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Returns one key by `key`, or a page of those that match `pattern`.
pub(in crate::routes) async fn list(
    State(app): State<App>,
    Query(query): Query<KeysQuery>,
) -> Result<axum::Json<Value>, Problem> {
    let cache = &app.node().cache;
    let KeysQuery { key, pattern, limit, cursor } = query;
    if let Some(key) = key {
        if pattern.is_some() || limit.is_some() || cursor.is_some() {
            let detail = "`key` names one entry: `pattern`, `limit` and `cursor` have nothing to say beside it";
            return Err(Problem::unprocessable("bad-selection", detail));
        }
        let key = Key::parse(&key).map_err(|error| bad("key", &error))?;
        let entry = cache.inspect(&key);
        return entry
            .map(|entry| axum::Json(shown(&entry)))
            .ok_or_else(|| Problem::not_found("the memory of this process holds no such key; the shared tier may"));
    }
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::unprocessable("bad-limit", format!("`limit` is a number from 1 to {MAX_LIMIT}")));
    }
    let pattern = Pattern::parse(pattern.as_deref().unwrap_or("*")).map_err(|error| bad("pattern", &error))?;
    let after = cursor.map(|cursor| Key::parse(&cursor)).transpose().map_err(|error| bad("cursor", &error))?;
    // One more than is shown, to see whether there are more.
    let mut entries = cache.inspect_matching(&pattern, after.as_ref(), limit + 1);
    let is_last = entries.len() <= limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| !is_last).map(|entry| entry.key.as_str());
    Ok(axum::Json(json!({"items": entries.iter().map(shown).collect::<Vec<_>>(), "next_cursor": next})))
}

fn shown(entry: &Inspected) -> Value {
    json!({
        "key": entry.key.as_str(),
        "class": entry.class,
        "tier": "l1",
        "fresh_for_ms": entry.fresh_for.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        "stale": entry.fresh_for.is_none(),
        "weight": entry.weight,
    })
}
