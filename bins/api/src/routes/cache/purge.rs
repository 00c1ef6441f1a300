//! `DELETE /api/cache`: purges entries from the cache on every node.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tidegate_cache::{ClassStats, Key, Pattern, Tag, TtlClass};
use tidegate_model::cache_classes;
use tidegate_store::Purge;

use super::bad;
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::problem::Problem;

/// Maximum number of keys or tags per request. Each is a row of a transaction that blocks all other
/// writes.
const MOST_NAMED: usize = 1_000;
/// Classes that are known even if this node has not used them, because another may have.
const STANDARD: [TtlClass; 5] =
    [cache_classes::SCHEDULE, TtlClass::SESSION, TtlClass::COMPUTATION, TtlClass::API, cache_classes::PREFERENCES];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selection {
    #[serde(default, deserialize_with = "given")]
    pattern: Option<String>,
    #[serde(default, deserialize_with = "given")]
    keys: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    all: Option<bool>,
    #[serde(default, rename = "type", deserialize_with = "given")]
    class: Option<String>,
}

/// A field that is present has a value. A `null` read as absent would make the purge a wider one.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Drops what the body selects from the caches of all nodes.
pub(in crate::routes) async fn drop_selected(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    Json(selection): Json<Selection>,
) -> Result<axum::Json<Value>, Problem> {
    // A client that narrows the purge in the query means less than the body alone would drop.
    if query.is_some_and(|query| !query.is_empty()) {
        let detail = "the body says what is dropped: a query string has nothing to say here";
        return Err(Problem::bad_request("bad-query", detail));
    }
    let removed = drop_from(&app, selection).await?;
    Ok(axum::Json(json!({"removed": removed})))
}

/// Drops it from all nodes' caches. Returns the number of entries dropped here; `None` if not
/// counted.
pub(crate) async fn drop_from(app: &App, selection: Selection) -> Result<Option<usize>, Problem> {
    selection.check_class(&app.node().cache.stats().classes)?;
    let purge = selection.check()?;
    Ok(app.node().store.purge(&purge).await?)
}

/// All that match a pattern in this process's memory, at most `most`.
pub(crate) fn matching(app: &App, pattern: &str, most: usize) -> Result<Vec<Key>, Problem> {
    let pattern = Pattern::parse(pattern).map_err(|error| bad("pattern", &error))?;
    Ok(app.node().cache.inspect_matching(&pattern, None, most).into_iter().map(|entry| entry.key).collect())
}

impl Selection {
    pub(crate) fn of_pattern(pattern: String) -> Self {
        Self { pattern: Some(pattern), ..Self::nothing() }
    }

    /// A whole class; `all` is everything.
    pub(crate) fn of_class(class: String) -> Self {
        Self { class: Some(class), ..Self::nothing() }
    }

    const fn nothing() -> Self {
        Self { pattern: None, keys: None, tags: None, all: None, class: None }
    }

    /// Refuses an unknown class: its purge would succeed, and the intended entries would stay.
    fn check_class(&self, used: &[ClassStats]) -> Result<(), Problem> {
        let Some(class) = self.class.as_deref().filter(|class| *class != "all") else { return Ok(()) };
        let mut known: Vec<_> = STANDARD.iter().map(TtlClass::name).collect();
        known.extend(
            used.iter().map(|used| used.class).filter(|used| !STANDARD.iter().any(|class| class.name() == *used)),
        );
        if known.contains(&class) {
            return Ok(());
        }
        let shown: String = class.chars().take(64).collect();
        let detail = format!("`type`: there is no class `{shown}`; there are {} and all", known.join(", "));
        Err(Problem::unprocessable("bad-selection", detail))
    }

    fn check(self) -> Result<Purge, Problem> {
        let Self { pattern, keys, tags, all, class } = self;
        // `"type": "all"` says the same as no type, and alone the same as `"all": true`.
        let is_every_class = class.as_deref() == Some("all");
        let class = class.filter(|_| !is_every_class).map(Arc::from);
        match (pattern, keys, tags, class, all) {
            (Some(pattern), None, None, class, None | Some(false)) => {
                let pattern = Pattern::parse(&pattern).map_err(|error| bad("pattern", &error))?;
                Ok(Purge::Pattern(pattern, class))
            }
            (None, Some(keys), None, None, None | Some(false)) => {
                few("keys", keys.len())?;
                let keys = keys.iter().map(|key| Key::parse(key)).collect::<Result<_, _>>();
                keys.map(Purge::Keys).map_err(|error| bad("keys", &error))
            }
            (None, None, Some(tags), None, None | Some(false)) => {
                few("tags", tags.len())?;
                let tags = tags.iter().map(|tag| Tag::parse(tag)).collect::<Result<_, _>>();
                tags.map(Purge::Tags).map_err(|error| bad("tags", &error))
            }
            (None, Some(_), None, Some(_), None | Some(false)) | (None, None, Some(_), Some(_), None | Some(false)) => {
                Err(Problem::unprocessable(
                    "bad-selection",
                    "`type` narrows a `pattern` only: `keys` and `tags` say by themselves which entries are meant",
                ))
            }
            (None, None, None, Some(class), None | Some(false)) => Ok(Purge::Class(class)),
            (None, None, None, None, Some(true)) => Ok(Purge::All),
            (None, None, None, None, None) if is_every_class => Ok(Purge::All),
            (None, None, None, None, Some(false)) if is_every_class => Err(Problem::unprocessable(
                "bad-selection",
                "`type` says that everything is meant and `all` that it is not: leave one of them out",
            )),
            _ => Err(Problem::unprocessable(
                "bad-selection",
                "name exactly one of `pattern`, `keys`, `tags`, `all`: true or `type`; `type` may narrow a `pattern`",
            )),
        }
    }
}

fn few(field: &str, count: usize) -> Result<(), Problem> {
    if count <= MOST_NAMED {
        return Ok(());
    }
    let detail = format!(
        "`{field}`: {count} are too many for one request, of which each takes {MOST_NAMED}; a tag or a pattern drops any number"
    );
    Err(Problem::unprocessable("bad-selection", detail).with("limit", MOST_NAMED))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the fields that select can be combined.
    fn is_clear(fields: &Value) -> bool {
        let has = |name: &str| fields.get(name).is_some();
        let named = ["pattern", "keys", "tags"].into_iter().filter(|name| has(name)).count();
        let class = fields.get("type").and_then(Value::as_str);
        match fields.get("all").and_then(Value::as_bool) {
            Some(true) => named == 0 && class != Some("schedule"),
            _ if named == 0 => class == Some("schedule") || (class == Some("all") && !has("all")),
            _ => named == 1 && (class != Some("schedule") || has("pattern")),
        }
    }

    #[test]
    fn every_combination_of_fields_is_clear_or_refused() {
        let choices = [
            ("pattern", vec![json!("user:*")]),
            ("keys", vec![json!(["user:1"])]),
            ("tags", vec![json!(["users"])]),
            ("all", vec![json!(true), json!(false)]),
            ("type", vec![json!("all"), json!("schedule")]),
        ];
        let mut all = vec![json!({})];
        for (field, values) in choices {
            let with = all.iter().flat_map(|fields| {
                values.iter().map(move |value| {
                    let mut fields = fields.clone();
                    fields[field] = value.clone();
                    fields
                })
            });
            let with: Vec<_> = with.collect();
            all.extend(with);
        }
        assert_eq!(all.len(), 2 * 2 * 2 * 3 * 3);
        for fields in &all {
            let selection: Selection = serde_json::from_value(fields.clone()).unwrap();
            let purge = selection.check();
            assert_eq!(purge.is_ok(), is_clear(fields), "{fields}: {purge:?}");
            if let Ok(purge) = purge {
                let is_everything = matches!(purge, Purge::All);
                let says_so = fields == &json!({"type": "all"}) || fields["all"] == true;
                assert_eq!(is_everything, says_so, "{fields}: {purge:?}");
            }
        }
    }
}
