//! The cache against a map and a manual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_cache::{
    Fill, Key, LoadError, Lookup, ManualClock, Pattern, Source, Tag, TieredCache, Touched, TtlClass, TypedCache,
};

/// With L1 alone nothing is waited for.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

const SHORT: TtlClass = TtlClass::new("short", Duration::from_secs(10)).grace(Duration::from_secs(5));
const LONG: TtlClass = TtlClass::new("long", Duration::from_secs(60)).l1_ttl(Duration::from_secs(40));
const PATTERNS: [&str; 5] = ["k:0:*", "k:*:1", "k:?:?", "*", "k:1"];

#[derive(Debug, Clone)]
enum Op {
    Get(usize, bool),
    Load { key: usize, long: bool, value: Result<u32, u32>, tags: Vec<u8>, ttl: Option<u64> },
    Set { key: usize, long: bool, value: u32, tags: Vec<u8>, ttl: Option<u64> },
    Remove(usize),
    Touch(Vec<usize>, Vec<u8>),
    Pattern(usize),
    Class(bool),
    Clear,
    Sweep,
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (key, tags, ttl) = (0..6usize, vec(0..3u8, 0..3), proptest::option::of(1..30_000u64));
    prop_oneof![
        4 => (key.clone(), any::<bool>()).prop_map(|(key, long)| Op::Get(key, long)),
        6 => (key.clone(), any::<bool>(), any::<Result<u32, u32>>(), tags.clone(), ttl.clone())
            .prop_map(|(key, long, value, tags, ttl)| Op::Load { key, long, value, tags, ttl }),
        3 => (key.clone(), any::<bool>(), any::<u32>(), tags.clone(), ttl)
            .prop_map(|(key, long, value, tags, ttl)| Op::Set { key, long, value, tags, ttl }),
        1 => key.clone().prop_map(Op::Remove),
        1 => (vec(key, 0..3), tags).prop_map(|(keys, tags)| Op::Touch(keys, tags)),
        1 => (0..PATTERNS.len()).prop_map(Op::Pattern),
        1 => any::<bool>().prop_map(Op::Class),
        1 => Just(Op::Clear),
        1 => Just(Op::Sweep),
        4 => prop_oneof![Just(1000), Just(10_000), 0..20_000u64].prop_map(Op::Advance),
    ]
}

fn key(index: usize) -> Key {
    Key::builder("k").part(index / 3).part(index % 3).build().unwrap()
}

fn tag(index: u8) -> Tag {
    Tag::of(["tag", &index.to_string()])
}

fn fill(value: u32, tags: &[u8], ttl: Option<u64>) -> Fill<u32> {
    let fill = Fill::new(value).tags(tags.iter().copied().map(tag));
    ttl.into_iter().fold(fill, |fill, ttl| fill.ttl(Duration::from_millis(ttl)))
}

#[derive(Debug)]
struct Entry {
    value: u32,
    long: bool,
    tags: Vec<u8>,
    fresh_until: u64,
    stale_until: u64,
    refresh_from: u64,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    entries: BTreeMap<usize, Entry>,
}

impl Model {
    fn put(&mut self, key: usize, long: bool, value: u32, tags: &[u8], ttl: Option<u64>) {
        let ttl = if long { ttl.unwrap_or(60_000).min(40_000) } else { ttl.unwrap_or(10_000) };
        let fresh_until = self.now + ttl;
        let stale_until = fresh_until + if long { 0 } else { 5_000 };
        let entry = Entry { value, long, tags: tags.to_vec(), fresh_until, stale_until, refresh_from: fresh_until };
        self.entries.insert(key, entry);
    }

    fn drop_dead(&mut self) {
        let now = self.now;
        self.entries.retain(|_, entry| now < entry.stale_until);
    }

    fn get(&self, key: usize) -> Lookup<u32> {
        match self.entries.get(&key) {
            Some(entry) if self.now < entry.fresh_until => Lookup::Fresh(entry.value.into()),
            Some(entry) => Lookup::Stale(entry.value.into()),
            None => Lookup::Miss,
        }
    }

    fn retain(&mut self, keep: impl Fn(usize, &Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|key, entry| keep(*key, entry));
        before - self.entries.len()
    }

    fn load(
        &mut self,
        key: usize,
        long: bool,
        loaded: Result<u32, u32>,
        tags: &[u8],
        ttl: Option<u64>,
    ) -> Result<(u32, Source), u32> {
        let now = self.now;
        let answer = match self.entries.get_mut(&key) {
            Some(entry) if now < entry.fresh_until => return Ok((entry.value, Source::Hit)),
            Some(entry) if now < entry.refresh_from => return Ok((entry.value, Source::Stale)),
            Some(entry) => {
                if loaded.is_err() {
                    entry.refresh_from = now + 1000;
                }
                Ok((entry.value, Source::Stale))
            }
            None => loaded.map(|value| (value, Source::Loaded)),
        };
        if let Ok(value) = loaded {
            self.put(key, long, value, tags, ttl);
        }
        answer
    }
}

struct Subject {
    cache: TieredCache,
    clock: ManualClock,
    runtime: tokio::runtime::Runtime,
    short: TypedCache<u32>,
    long: TypedCache<u32>,
}

impl Subject {
    fn new() -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).build();
        let (short, long) = (cache.typed(SHORT), cache.typed(LONG));
        Self { cache, clock, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(), short, long }
    }

    fn handle(&self, long: bool) -> &TypedCache<u32> {
        if long { &self.long } else { &self.short }
    }

    fn load(&self, at: usize, long: bool, value: Result<u32, u32>, fill: Fill<u32>) -> Result<(u32, Source), u32> {
        self.runtime.block_on(async {
            let read = self.handle(long).get_or_load(&key(at), async move || value.map(|_| fill)).await;
            // One thread: a refresh behind the answer ends when its task gets its turn.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            match read {
                Ok(read) => Ok((*read.value, read.source)),
                Err(LoadError::Loader(error)) => Err(*error),
                Err(other) => panic!("{other}"),
            }
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn behaves_as_a_map_with_expiry(ops in vec(op(), 1..60)) {
        let subject = Subject::new();
        let mut model = Model::default();
        for op in ops {
            match op.clone() {
                Op::Get(at, long) => prop_assert_eq!(subject.handle(long).get(&key(at)), model.get(at)),
                Op::Load { key, long, value, tags, ttl } => {
                    let fill = fill(value.unwrap_or(0), &tags, ttl);
                    let expected = model.load(key, long, value, &tags, ttl);
                    prop_assert_eq!(subject.load(key, long, value, fill), expected, "{:?}", op);
                }
                Op::Set { key: at, long, value, tags, ttl } => {
                    prop_assert!(now(subject.handle(long).set(&key(at), fill(value, &tags, ttl))));
                    model.put(at, long, value, &tags, ttl);
                }
                Op::Remove(at) => {
                    prop_assert_eq!(now(subject.cache.invalidate_key(&key(at))).unwrap(), model.entries.remove(&at).is_some());
                }
                Op::Touch(keys, tags) => {
                    let touched = keys.iter().fold(Touched::new(), |touched, at| touched.key(&key(*at)));
                    now(subject.cache.invalidate(&tags.iter().fold(touched, |touched, at| touched.tag(&tag(*at))))).unwrap();
                    model.retain(|at, entry| !keys.contains(&at) && !entry.tags.iter().any(|tag| tags.contains(tag)));
                }
                Op::Pattern(at) => {
                    let pattern = Pattern::parse(PATTERNS[at]).unwrap();
                    let expected = model.retain(|at, _| !pattern.matches(key(at).as_str()));
                    prop_assert_eq!(now(subject.cache.invalidate_pattern(&pattern)).unwrap(), expected);
                }
                Op::Class(long) => {
                    let name = subject.handle(long).class().name();
                    prop_assert!(now(subject.cache.invalidate_class(name)).unwrap());
                    model.retain(|_, entry| entry.long != long);
                }
                Op::Clear => {
                    now(subject.cache.clear()).unwrap();
                    model.entries.clear();
                }
                Op::Sweep => {
                    subject.cache.sweep();
                    prop_assert_eq!(subject.cache.stats().tiers[0].entries, Some(model.entries.len() as u64));
                }
                Op::Advance(by) => {
                    subject.clock.advance(Duration::from_millis(by));
                    model.now += by;
                }
            }
            model.drop_dead();
        }
        for at in 0..6 {
            prop_assert_eq!(subject.short.get(&key(at)), model.get(at));
        }
    }
}
