//! `tidegate cache`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, cell, column, table};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Cache {
    /// Show hits and misses by tier and by class
    Stats,
    /// List keys that this process holds in memory
    Keys {
        /// Keys that match, such as schedule:*
        #[arg(long)]
        pattern: Option<String>,
        /// Maximum number of keys, up to 200
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
        /// Cursor of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Drop entries from the caches of all nodes
    Purge(Selection),
    /// Begin to load the hottest keys
    Warm {
        /// Class of the keys; all without it
        #[arg(long)]
        class: Option<String>,
        /// Maximum number of keys
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
    },
}

/// Selection of the entries to drop.
#[derive(Debug, Args)]
#[group(required = true)]
pub(crate) struct Selection {
    /// Key to drop; may be repeated
    #[arg(long = "key", value_name = "KEY", conflicts_with_all = ["tags", "pattern", "class", "all"])]
    keys: Vec<String>,
    /// Tag whose entries are dropped; may be repeated
    #[arg(long = "tag", value_name = "TAG", conflicts_with_all = ["pattern", "class", "all"])]
    tags: Vec<String>,
    /// Pattern of keys to drop, such as schedule:*
    #[arg(long, conflicts_with = "all")]
    pattern: Option<String>,
    /// Class to drop, alone or together with a pattern
    #[arg(long, conflicts_with = "all")]
    class: Option<String>,
    /// Drop everything
    #[arg(long)]
    all: bool,
}

const TIERS: [Column; 8] = [
    column("tier", "/tier", Kind::Text),
    column("entries", "/entries", Kind::Number),
    column("weight", "/weight", Kind::Bytes),
    column("capacity", "/capacity", Kind::Bytes),
    column("hits", "/hits", Kind::Number),
    column("misses", "/misses", Kind::Number),
    column("hit rate", "/hit_rate", Kind::Share),
    column("evictions", "/evictions", Kind::Number),
];

const CLASSES: [Column; 8] = [
    column("class", "/class", Kind::Text),
    column("ttl", "/ttl_seconds", Kind::Seconds),
    column("hits", "/hits", Kind::Number),
    column("stale", "/stale_hits", Kind::Number),
    column("misses", "/misses", Kind::Number),
    column("hit rate", "/hit_rate", Kind::Share),
    column("loads", "/loads", Kind::Number),
    column("failures", "/load_failures", Kind::Number),
];

const KEYS: [Column; 6] = [
    column("key", "/key", Kind::Text),
    column("class", "/class", Kind::Text),
    column("tier", "/tier", Kind::Text),
    column("fresh for", "/fresh_for_ms", Kind::Millis),
    column("stale", "/stale", Kind::Text),
    column("weight", "/weight", Kind::Bytes),
];

const WARM_UP: [Column; 5] = [
    column("warm-up", "/warm_up/state", Kind::Text),
    column("keys", "/warm_up/total", Kind::Number),
    column("loaded", "/warm_up/loaded", Kind::Number),
    column("present", "/warm_up/present", Kind::Number),
    column("failed", "/warm_up/failed", Kind::Number),
];

impl Cache {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Stats => context.show(Call::get(["api", "cache"]), stats).await,
            Self::Keys { pattern, limit, cursor } => {
                let call = Call::get(["api", "cache", "keys"]).query("pattern", pattern);
                context.list(call.query("limit", limit).query("cursor", cursor), &KEYS).await
            }
            Self::Purge(selection) => selection.purge(context).await,
            Self::Warm { class, limit } => {
                let body = object([("type", class.map(Value::from)), ("limit", limit.map(Value::from))]);
                let call = Call::post(["api", "cache"]).query("action", Some("warmup")).body(body);
                context.show(call, |answer| card(answer, &WARM_UP)).await
            }
        }
    }
}

fn stats(cache: &Value) -> String {
    let mut shown = format!("{}\n\n{}", table(&cache["tiers"], &TIERS), table(&cache["classes"], &CLASSES));
    for warning in cache["warnings"].as_array().into_iter().flatten() {
        shown.push_str(&format!("\nwarning: {}", cell(warning, Kind::Text)));
    }
    shown
}

impl Selection {
    async fn purge(self, context: &Context) -> Result<(), Failure> {
        let Self { keys, tags, pattern, class, all } = self;
        let meant = match (&pattern, &class) {
            _ if all => Some("everything".to_owned()),
            (Some(pattern), _) => Some(format!("all keys that match {pattern}")),
            (None, Some(class)) => Some(format!("the whole class {class}")),
            (None, None) => None,
        };
        if let Some(meant) = meant {
            context.confirm(&format!("Drop {meant} from the caches of all nodes?"))?;
        }
        let named = |names: Vec<String>| (!names.is_empty()).then(|| json!(names));
        let body = object([
            ("keys", named(keys)),
            ("tags", named(tags)),
            ("pattern", pattern.map(Value::from)),
            ("type", class.map(Value::from)),
            ("all", all.then_some(true.into())),
        ]);
        context.show(Call::delete(["api", "cache"]).body(body), removed).await
    }
}

fn removed(answer: &Value) -> String {
    match answer["removed"].as_u64() {
        Some(removed) => format!("dropped; {removed} entries were in the memory of this node"),
        None => "dropped".to_owned(),
    }
}
