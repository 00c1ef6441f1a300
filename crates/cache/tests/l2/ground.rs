//! A Redis of one's own, and nodes on it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{
    Event, Fill, Json, Key, Lookup, ManualClock, Observer, Read, RedisTier, Tag, TierStats, TieredCache, TtlClass,
    TypedCache,
};
use tidegate_redis::{Client, Command, Config, Keyspace, Role, Value};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

/// No test waits longer for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const CLASS: TtlClass = TtlClass::new("things", Duration::from_secs(600));

pub(crate) fn key(index: u32) -> Key {
    Key::builder("thing").part("t1").part(index).build().unwrap()
}

pub(crate) fn tag() -> Tag {
    Tag::of(["tenant", "t1"])
}

pub(crate) async fn client(url: &str) -> Client {
    Client::connect(&Config::parse(url).unwrap(), Role::Cache).await.unwrap()
}

/// URL of a server from which no quick answers are expected while other tests run.
pub(crate) fn patient(url: &str) -> String {
    format!("{url}?timeout=5s")
}

/// Whether a proof runs at full size, on a machine that does nothing else.
pub(crate) fn is_full() -> bool {
    tidegate_testkit::scale(0, 1) == 1
}

/// The time that this part of them did not exceed.
pub(crate) fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let index = (times.len() as f64 * part).ceil() as usize;
    times[index.clamp(1, times.len()) - 1]
}

/// Hears of failures, for tests that must see them.
#[derive(Default)]
pub(crate) struct Listener(pub(crate) Mutex<Vec<String>>);

impl Observer for Listener {
    fn on(&self, event: &Event<'_>) {
        if matches!(event, Event::TierFailed { .. } | Event::CodecFailed { .. }) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }
}

/// A process, as far as the cache is concerned.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) cache: TieredCache,
    pub(crate) things: TypedCache<u32>,
    pub(crate) clock: ManualClock,
    pub(crate) listener: Arc<Listener>,
}

impl Node {
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_in(url, "tg", |tier| tier).await
    }

    /// On an installation of this name, with settings of the tier.
    pub(crate) async fn start_in(url: &str, name: &str, set: impl FnOnce(RedisTier) -> RedisTier) -> Self {
        let client = client(url).await;
        let (clock, listener) = (ManualClock::new(), Arc::new(Listener::default()));
        let cache = TieredCache::builder()
            .clock(clock.clone())
            .observer(listener.clone())
            .l2(set(RedisTier::new(client.clone(), &Keyspace::new(name).unwrap())))
            .build();
        let node = Self { client, things: cache.typed_with_codec(CLASS, Json::new()), cache, clock, listener };
        node.until(|l2| l2.is_followed).await;
        node
    }

    pub(crate) fn l2(&self) -> TierStats {
        self.cache.stats().tiers.remove(1)
    }

    pub(crate) async fn until(&self, condition: impl Fn(&TierStats) -> bool) {
        let met = poll_until(SOON, async || condition(&self.l2()).then_some(())).await;
        met.unwrap_or_else(|error| panic!("{error}: {:?}, {:?}", self.l2(), self.listener.0));
    }

    /// Reads a thing from a store.
    pub(crate) async fn read(&self, index: u32, store: &Store) -> Read<u32> {
        let store = store.clone();
        let load = async move || Ok::<_, Infallible>(Fill::new(store.read().await).tag(tag()));
        self.things.fetch(&key(index), load).await.unwrap()
    }

    /// Whether L1 has it.
    pub(crate) async fn until_gone(&self, index: u32) {
        poll_until(SOON, async || (!self.has(index)).then_some(())).await.unwrap();
    }

    /// Changes the row and clears the cache, repeatedly until Redis accepts it: after a failover
    /// the first tries may fail.
    pub(crate) async fn clear_at_last(&self, store: &Store) {
        poll_until(SOON, async || {
            store.row.fetch_add(1, Ordering::SeqCst);
            self.cache.clear().await.is_ok().then_some(())
        })
        .await
        .unwrap();
    }

    pub(crate) fn has(&self, index: u32) -> bool {
        self.things.peek(&key(index)).into_value().is_some()
    }

    /// Makes everything in L1 too old, so that the next read queries L2.
    pub(crate) fn outlive_l1(&self) {
        self.clock.advance(Duration::from_secs(61));
    }
}

/// Outlives every jump of the clock that tests make, if only as stale.
const CANARIES: TtlClass =
    TtlClass::new("canaries", Duration::from_secs(60)).grace(Duration::from_secs(365 * 24 * 3600));

/// Returns when `node` has the notices of all that `writer` did before. The notice of a tag, a
/// class or everything may arrive after the call that sent it.
pub(crate) async fn heard(node: &Node, writer: &Node) {
    let canaries = node.cache.typed_with_codec::<u32>(CANARIES, Json::new());
    let canary = Key::builder("canary").build().unwrap();
    // Word of everything that comes meanwhile refuses it.
    poll_until(SOON, async || canaries.put(&canary, 0).await.then_some(())).await.unwrap();
    // Words come in order: once this one has come, the others have too.
    writer.cache.remove(&canary).await.unwrap();
    poll_until(SOON, async || (canaries.peek(&canary) == Lookup::Miss).then_some(())).await.unwrap();
}

pub(crate) async fn server_and_nodes<const N: usize>() -> (RedisServer, [Node; N]) {
    let server = RedisServer::start().await;
    let nodes = nodes_on(&patient(&server.url())).await;
    (server, nodes)
}

pub(crate) async fn nodes_on<const N: usize>(url: &str) -> [Node; N] {
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(Node::start(url).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("as many as asked for"))
}

/// The rows behind the cache: one number, read in some time, with the reads counted.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) row: Arc<AtomicU32>,
    pub(crate) reads: Arc<AtomicU32>,
    pub(crate) takes: Duration,
}

impl Store {
    pub(crate) fn slow(takes: Duration) -> Self {
        Self { takes, ..Self::default() }
    }

    pub(crate) async fn read(&self) -> u32 {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let value = self.row.load(Ordering::SeqCst);
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        value
    }

    pub(crate) fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }
}

/// Runs a command as another program.
pub(crate) async fn foreign(client: &Client, words: &[&str]) -> Value {
    let name = match words[0] {
        "SET" => "SET",
        "DEL" => "DEL",
        "FLUSHALL" => "FLUSHALL",
        "KEYS" => "KEYS",
        "PTTL" => "PTTL",
        "PEXPIRE" => "PEXPIRE",
        "STRLEN" => "STRLEN",
        "GETRANGE" => "GETRANGE",
        "SETRANGE" => "SETRANGE",
        other => panic!("{other} is not used here"),
    };
    let command = match words.get(1) {
        Some(first) if name != "KEYS" => Command::new(name).key(*first),
        Some(first) => Command::new(name).arg(*first),
        None => Command::new(name),
    };
    client.execute(words.iter().skip(2).fold(command, |command, word| command.arg(*word))).await.unwrap()
}

/// The cache's keys.
pub(crate) async fn keys(client: &Client) -> Vec<String> {
    let keys = foreign(client, &["KEYS", "*"]).await.into_array().unwrap();
    keys.into_iter().map(|key| key.into_text().unwrap()).filter(|key| key.starts_with("tg:c")).collect()
}
