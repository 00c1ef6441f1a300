//! State after a crash that tears the append-only file within a script: no prefix of its effects
//! undoes an acknowledged invalidation, or mixes two values.
//!
//! The server forgets the script that a crash has torn, but keeps its first effects in the file.
//! They run at the next restart, before all that was acknowledged since.

use std::convert::Infallible;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, Lookup, Pattern, RedisTier, TieredCache, TtlClass, TypedCache};
use tidegate_redis::{Client, Keyspace};
use tidegate_testkit::redis::{Effect, RedisServer, Transaction};
use tidegate_testkit::{free_port, poll_until};

use crate::ground::{SOON, client, key, patient, tag};

const KIND: TtlClass = TtlClass::new("kind", Duration::from_secs(600)).grace(Duration::from_secs(60));

// Values of different lengths, so that a part of one is visible in another.
const BEFORE: &str = "before";
const TORN: &str = "torn, and much longer than any other of the values that these tests keep under the key";
const NEXT: &str = "the next one of them";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Load(&'static str),
    LoadMany(&'static str),
    /// A load whose value is not kept.
    LoadUncached,
    /// A load that returns no value.
    LoadNone,
    Set(&'static str),
    SetMany(&'static str),
    Remove,
    RemoveMany,
    Expire,
    MoveTag,
    MoveClass,
    Clear,
    RemovePattern,
}

use Step::{
    Clear, Expire, Load, LoadMany, LoadNone, LoadUncached, MoveClass, MoveTag, Remove, RemoveMany, RemovePattern, Set,
    SetMany,
};

/// Steps that follow the torn script.
const NEXTS: [Step; 13] = [
    Load(NEXT),
    LoadMany(NEXT),
    LoadUncached,
    LoadNone,
    Set(NEXT),
    SetMany(NEXT),
    Remove,
    RemoveMany,
    Expire,
    MoveTag,
    MoveClass,
    Clear,
    RemovePattern,
];

/// A server with its client; every step is made by a process of its own.
struct World {
    server: RedisServer,
    client: Client,
}

impl World {
    /// One server, alone and as a cluster of one: some scripts are for clusters.
    async fn both() -> [Self; 2] {
        let server = RedisServer::start().await;
        let alone = Self { client: client(&patient(&server.url())).await, server };
        let bus = free_port().to_string();
        let server = RedisServer::builder().set("cluster-enabled", "yes").set("cluster-port", &bus).start().await;
        assert_eq!(server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await, "OK");
        let is_ok = async || server.cli(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok").then_some(());
        poll_until(SOON, is_ok).await.unwrap();
        let url = patient(&format!("redis-cluster://127.0.0.1:{}", server.port()));
        [alone, Self { client: client(&url).await, server }]
    }

    /// The cache of a process that has just started, and waits for no other one's load.
    fn values(&self) -> TypedCache<String> {
        let tier = RedisTier::new(self.client.clone(), &Keyspace::new("tg").unwrap()).wait(Duration::ZERO);
        TieredCache::builder().l2(tier).build().typed_with_codec(KIND, Json::new())
    }

    async fn run(&self, step: Step) {
        let (values, first, both) = (self.values(), key(1), [key(1), key(2)]);
        let fill = |text: &str| Fill::new(text.to_owned()).tag(tag());
        let load = async |fill: Fill<String>| {
            values.fetch(&key(1), async move || Ok::<_, Infallible>(fill)).await.unwrap();
        };
        match step {
            Load(text) => load(fill(text)).await,
            LoadUncached => load(fill("").uncached()).await,
            LoadMany(text) => {
                let load = async move |keys: Vec<Key>| {
                    Ok::<_, Infallible>(keys.into_iter().map(move |key| (key, fill(text))).collect::<Vec<_>>())
                };
                values.fetch_many(&both, load).await;
            }
            LoadNone => {
                let load = async |_: Vec<Key>| Ok::<_, Infallible>(Vec::<(Key, Fill<String>)>::new());
                values.fetch_many(&both, load).await;
            }
            Set(text) => drop(values.put(&first, fill(text)).await),
            SetMany(text) => drop(values.put_many(both.iter().map(|key| (key, fill(text)))).await),
            Remove => drop(values.remove(&first).await.unwrap()),
            RemoveMany => drop(values.cache().remove_many(&both).await.unwrap()),
            Expire => drop(values.expire(&first).await.unwrap()),
            MoveTag => values.cache().invalidate_tag(&tag()).await.unwrap(),
            MoveClass => drop(values.cache().invalidate_class("kind").await.unwrap()),
            Clear => values.cache().clear().await.unwrap(),
            RemovePattern => {
                values.cache().invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await.unwrap();
            }
        }
    }

    /// Runs a step, and returns what its scripts wrote of the cache.
    async fn record(&self, step: Step) -> Vec<Transaction> {
        let before = self.server.append_only_file().transactions().len();
        self.run(step).await;
        let mut written = self.server.append_only_file().transactions()[before..].to_vec();
        // Beside the cache's keys are the epochs of the processes that follow.
        written.retain(|script| script.effects.iter().any(is_of_cache));
        written
    }

    /// Holds a fence under which a load of another process is in progress.
    async fn take_fence(&self) {
        for fence in ["tg:cf:{thing:t1:1}", "tg:cf:{thing:t1:2}"] {
            assert_eq!(self.server.cli(&["SET", fence, "0123456789abcdef", "PX", "120000"]).await, "OK");
        }
    }
}

fn is_of_cache(effect: &Effect) -> bool {
    effect.args().get(1).is_some_and(|key| key.starts_with(b"tg:c"))
}

/// Replays each prefix of each script of the step `torn`, alone and before each other step, which
/// does not know of it. Then checks what a process that starts afterwards finds.
async fn tear(before: &[Step], is_fenced: bool, torn: Step) {
    for world in World::both().await {
        for step in before {
            world.run(*step).await;
        }
        if is_fenced {
            world.take_fence().await;
        }
        let mut base = world.server.append_only_file().effects();
        base.retain(is_of_cache);
        world.server.replay(&base).await;
        let mut torn_scripts = 0;
        for script in world.record(torn).await {
            // A single command is written as a whole or not at all.
            if script.is_wrapped {
                torn_scripts += 1;
                tear_script(&world, &base, &script.effects, torn).await;
            }
            base.extend(script.effects);
        }
        assert!(torn_scripts > 0, "{torn:?} has a script with several effects");
    }
}

async fn tear_script(world: &World, base: &[Effect], lost: &[Effect], torn: Step) {
    let stores = matches!(torn, Load(_) | LoadMany(_) | Set(_) | SetMany(_));
    // A pattern does not find a value that a torn fill brings back, see docs/concepts/torn-aof.md.
    let nexts = NEXTS.into_iter().filter(|next| !(stores && *next == RemovePattern)).map(Some);
    for next in nexts.chain([None]) {
        world.server.replay(base).await;
        let kept: Vec<Effect> = match next {
            Some(next) => world.record(next).await.into_iter().flat_map(|script| script.effects).collect(),
            None => Vec::new(),
        };
        // A load that finds a value writes nothing.
        let writes = kept.iter().any(|effect| effect.args()[1].ends_with(b":{thing:t1:1}"));
        let done = next.filter(|next| writes || !matches!(next, Load(_) | LoadMany(_) | LoadUncached | LoadNone));
        for prefix in 0..=lost.len() {
            world.server.replay(&[base, &lost[..prefix], &kept].concat()).await;
            let found = world.values().get(&key(1)).await;
            let text = match &found {
                Lookup::Fresh(value) | Lookup::Stale(value) => Some(value.as_str()),
                Lookup::Miss => None,
            };
            let is_right = text.is_none_or(|text| [BEFORE, TORN, NEXT].contains(&text))
                && match done {
                    None => true,
                    Some(Load(_) | LoadMany(_) | Set(_) | SetMany(_)) => text.is_none_or(|text| text == NEXT),
                    Some(Expire) => !matches!(found, Lookup::Fresh(_)),
                    Some(_) => found == Lookup::Miss,
                };
            assert!(is_right, "{found:?} after {:?}, then {next:?} with {kept:?}", &lost[..prefix]);
        }
    }
}

/// The epoch and the generation of the tag are there, and no value.
const EMPTY: [Step; 2] = [Set(BEFORE), Remove];

#[tokio::test]
async fn the_first_load_of_all_that_is_torn_undoes_nothing() {
    tear(&[], false, Load(TORN)).await;
}

#[tokio::test]
async fn a_torn_load_undoes_nothing() {
    tear(&EMPTY, false, Load(TORN)).await;
    tear(&EMPTY, false, LoadMany(TORN)).await;
}

#[tokio::test]
async fn a_torn_load_without_a_value_to_store_undoes_nothing() {
    tear(&EMPTY, false, LoadUncached).await;
}

#[tokio::test]
async fn a_torn_store_of_a_value_undoes_nothing() {
    tear(&[Set(BEFORE)], true, Set(TORN)).await;
    tear(&EMPTY, true, SetMany(TORN)).await;
}

#[tokio::test]
async fn a_torn_removal_undoes_nothing() {
    tear(&[Set(BEFORE)], true, Remove).await;
    tear(&[SetMany(BEFORE)], true, RemoveMany).await;
}

#[tokio::test]
async fn a_torn_expiry_undoes_nothing() {
    tear(&[Set(BEFORE)], true, Expire).await;
    tear(&EMPTY, true, Expire).await;
}

#[tokio::test]
async fn a_torn_move_of_a_tag_a_class_or_everything_undoes_nothing() {
    for step in [MoveTag, MoveClass, Clear] {
        tear(&[Set(BEFORE)], false, step).await;
    }
}

#[tokio::test]
async fn a_torn_removal_by_pattern_undoes_nothing() {
    tear(&[Set(BEFORE)], true, RemovePattern).await;
}
