//! The cache against a map and a manual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_cache::{
    Fill, Key, Known, LoadError, Lookup, ManualClock, Pattern, Read, Source, Tag, TieredCache, Touched, TtlClass,
    TypedCache,
};

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

/// One of each kind: with a grace, capped in L1, refreshed ahead, sliding.
const CLASSES: [TtlClass; 4] = [
    TtlClass::new("short", Duration::from_secs(10)).grace(Duration::from_secs(5)).negative_ttl(Duration::from_secs(3)),
    TtlClass::new("long", Duration::from_secs(60)).l1_ttl(Duration::from_secs(40)),
    TtlClass::new("ahead", Duration::from_secs(20)).refresh_ahead(Duration::from_secs(8)),
    TtlClass::new("sliding", Duration::from_secs(16))
        .sliding(Duration::from_secs(40))
        .refresh_ahead(Duration::from_secs(4))
        .grace(Duration::from_secs(2))
        .negative_ttl(Duration::from_secs(5)),
];
const PATTERNS: [&str; 5] = ["k:0:*", "k:*:1", "k:?:?", "*", "k:1"];

/// Nanoseconds in a millisecond: the model counts as finely as the cache.
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLI;

/// Options of a fill.
#[derive(Debug, Clone)]
struct Said {
    value: u32,
    tags: Vec<u8>,
    ttl: Option<u64>,
    is_negative: bool,
}

/// Result of a batch for one of its keys: a value, nothing, or the loader's error.
type Loaded<T> = Result<Option<T>, u32>;

#[derive(Debug, Clone)]
enum Op {
    Get(usize, usize),
    Ttl(usize, usize),
    Load {
        key: usize,
        class: usize,
        said: Said,
        fails: bool,
    },
    Revalidate {
        key: usize,
        class: usize,
        said: Said,
    },
    Set {
        key: usize,
        class: usize,
        said: Said,
    },
    GetMany(Vec<usize>, usize),
    /// With the keys for which its loader has no value.
    LoadMany {
        keys: Vec<usize>,
        class: usize,
        said: Said,
        absent: Vec<usize>,
        fails: bool,
        revalidates: bool,
    },
    SetMany {
        class: usize,
        said: Vec<(usize, Said)>,
    },
    RemoveMany(Vec<usize>),
    Remove(usize),
    Touch(Vec<usize>, Vec<u8>),
    Pattern(usize),
    Class(usize),
    Clear,
    Sweep,
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (key, class, tags) = (0..6usize, 0..CLASSES.len(), vec(0..3u8, 0..3));
    let many = vec(key.clone(), 0..5);
    let ttl = proptest::option::of(1..30_000u64);
    let said = (any::<u32>(), tags.clone(), ttl, any::<bool>()).prop_map(|(value, tags, ttl, is_negative)| Said {
        value,
        tags,
        ttl,
        is_negative,
    });
    prop_oneof![
        4 => (key.clone(), class.clone()).prop_map(|(key, class)| Op::Get(key, class)),
        2 => (key.clone(), class.clone()).prop_map(|(key, class)| Op::Ttl(key, class)),
        6 => (key.clone(), class.clone(), said.clone(), any::<bool>())
            .prop_map(|(key, class, said, fails)| Op::Load { key, class, said, fails }),
        2 => (key.clone(), class.clone(), said.clone())
            .prop_map(|(key, class, said)| Op::Revalidate { key, class, said }),
        3 => (key.clone(), class.clone(), said.clone()).prop_map(|(key, class, said)| Op::Set { key, class, said }),
        2 => (many.clone(), class.clone()).prop_map(|(keys, class)| Op::GetMany(keys, class)),
        4 => (many.clone(), class.clone(), said.clone(), many.clone(), 0..4u8, any::<bool>()).prop_map(
            |(keys, class, said, absent, fails, revalidates)| {
                Op::LoadMany { keys, class, said, absent, fails: fails == 0, revalidates }
            }
        ),
        1 => (class.clone(), vec((key.clone(), said), 0..4)).prop_map(|(class, said)| Op::SetMany { class, said }),
        1 => many.prop_map(Op::RemoveMany),
        1 => key.clone().prop_map(Op::Remove),
        1 => (vec(key, 0..3), tags).prop_map(|(keys, tags)| Op::Touch(keys, tags)),
        1 => (0..PATTERNS.len()).prop_map(Op::Pattern),
        1 => class.prop_map(Op::Class),
        1 => Just(Op::Clear),
        1 => Just(Op::Sweep),
        6 => prop_oneof![Just(1000), Just(10_000), 0..2_000u64, 0..20_000u64].prop_map(Op::Advance),
    ]
}

fn key(index: usize) -> Key {
    Key::builder("k").part(index / 3).part(index % 3).build().unwrap()
}

fn tag(index: u8) -> Tag {
    Tag::of(["tag", &index.to_string()])
}

fn fill(said: &Said) -> Fill<u32> {
    let fill = Fill::new(said.value).tags(said.tags.iter().copied().map(tag));
    let fill = said.ttl.into_iter().fold(fill, |fill, ttl| fill.ttl(Duration::from_millis(ttl)));
    if said.is_negative { fill.negative() } else { fill }
}

#[derive(Debug)]
struct Entry {
    value: u32,
    class: usize,
    tags: Vec<u8>,
    fresh_until: u64,
    /// After `fresh_until`.
    grace: u64,
    ends: u64,
    ahead_from: u64,
    quiet_until: u64,
    /// `None` for values that do not slide.
    idle: Option<u64>,
    slide_from: u64,
}

impl Entry {
    /// A read that finds it fresh.
    fn slide(&mut self, now: u64) {
        let Some(idle) = self.idle else { return };
        let is_time = now >= self.slide_from || now >= self.ahead_from.max(self.quiet_until);
        if is_time && now < self.fresh_until && self.fresh_until < self.ends {
            self.fresh_until = (now + idle).min(self.ends);
            self.slide_from = now + idle / 16;
        }
    }

    fn refreshes(&self, now: u64) -> bool {
        now >= self.quiet_until && (now >= self.fresh_until || now >= self.ahead_from)
    }
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    entries: BTreeMap<usize, Entry>,
}

impl Model {
    fn put(&mut self, key: usize, class: usize, said: &Said) {
        let slides = class == 3 && !said.is_negative;
        let default = if said.is_negative { [3, 60, 20, 5] } else { [10, 60, 20, 16] }[class] * SECOND;
        let own = said.ttl.map_or(default, |millis| millis * MILLI);
        let now = self.now;
        let (fresh, whole) = match class {
            1 => (own.min(40 * SECOND), own.min(40 * SECOND)),
            _ if slides => (own, 40 * SECOND),
            _ => (own, own),
        };
        let ahead = [0, 0, 8, 4][class] * SECOND;
        let ends = now + whole;
        let entry = Entry {
            value: said.value,
            class,
            tags: said.tags.clone(),
            fresh_until: now + fresh,
            // That there is nothing is served stale no longer than it is believed.
            grace: if said.is_negative { own.min([3, 0, 0, 2][class] * SECOND) } else { [5, 0, 0, 2][class] * SECOND },
            ends,
            ahead_from: if ahead == 0 { u64::MAX } else { ends - ahead.min(whole / 2) },
            quiet_until: 0,
            idle: slides.then_some(own),
            slide_from: now + own / 16,
        };
        self.entries.insert(key, entry);
    }

    fn drop_dead(&mut self) {
        let now = self.now;
        self.entries.retain(|_, entry| now < entry.fresh_until + entry.grace);
    }

    fn get(&mut self, key: usize) -> Lookup<u32> {
        let now = self.now;
        match self.entries.get_mut(&key) {
            Some(entry) if now < entry.fresh_until => {
                entry.slide(now);
                Lookup::Fresh(entry.value.into())
            }
            Some(entry) => Lookup::Stale(entry.value.into()),
            None => Lookup::Miss,
        }
    }

    fn ttl(&self, key: usize) -> Option<Duration> {
        Some(Duration::from_nanos(self.entries.get(&key)?.fresh_until.saturating_sub(self.now)))
    }

    fn retain(&mut self, keep: impl Fn(usize, &Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|key, entry| keep(*key, entry));
        before - self.entries.len()
    }

    /// Reads one key, and may load it. `None` if no answer is due yet. Returns whether it loads.
    fn look(&mut self, key: usize) -> (Option<(u32, Source)>, bool) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&key) else { return (None, true) };
        let source = if now < entry.fresh_until { Source::Hit } else { Source::Stale };
        entry.slide(now);
        (Some((entry.value, source)), entry.refreshes(now))
    }

    fn postpone(&mut self, key: usize) {
        let now = self.now;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.quiet_until = now + SECOND;
            if let Some(idle) = entry.idle {
                entry.slide_from = now + idle / 16;
            }
        }
    }

    fn load(&mut self, key: usize, class: usize, loaded: Result<&Said, u32>) -> Result<(u32, Source), u32> {
        let (found, loads) = self.look(key);
        if loads {
            self.postpone(key);
            if let Ok(said) = loaded {
                self.put(key, class, said);
            }
        }
        found.map_or_else(|| loaded.map(|said| (said.value, Source::Loaded)), Ok)
    }

    /// Answer of a loader that compares the value that L1 still holds.
    fn still(&self, key: usize) -> Option<Said> {
        let entry = self.entries.get(&key)?;
        Some(Said { value: entry.value, tags: entry.tags.clone(), ttl: None, is_negative: false })
    }

    fn revalidate(&mut self, key: usize, class: usize, said: &Said) -> (u32, Source) {
        let said = self.still(key).unwrap_or_else(|| said.clone());
        self.load(key, class, Ok(&said)).unwrap()
    }

    fn load_many(
        &mut self,
        keys: &[usize],
        class: usize,
        brings: impl Fn(&Self, usize) -> Loaded<Said>,
    ) -> Vec<Loaded<(u32, Source)>> {
        let found: Vec<_> = keys.iter().map(|key| self.look(*key)).collect();
        let loaded: BTreeSet<usize> =
            keys.iter().zip(&found).filter(|(_, (_, loads))| *loads).map(|(key, _)| *key).collect();
        let mut brought = BTreeMap::new();
        for key in loaded {
            self.postpone(key);
            brought.insert(key, brings(self, key));
            match &brought[&key] {
                Ok(Some(said)) => self.put(key, class, said),
                Ok(None) => drop(self.entries.remove(&key)),
                Err(_) => {}
            }
        }
        let known = found.into_iter().map(|(known, _)| known);
        let new = |key: &usize| brought[key].clone().map(|said| said.map(|said| (said.value, Source::Loaded)));
        keys.iter().zip(known).map(|(key, known)| known.map_or_else(|| new(key), |known| Ok(Some(known)))).collect()
    }
}

struct Subject {
    cache: TieredCache,
    clock: ManualClock,
    runtime: tokio::runtime::Runtime,
    handles: Vec<TypedCache<u32>>,
}

impl Subject {
    fn new() -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).build();
        let handles = CLASSES.iter().map(|class| cache.typed(*class)).collect();
        // Without timers: code without time-outs must not need them.
        Self { cache, clock, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(), handles }
    }

    fn finish(&self, read: impl Future<Output = Result<Read<u32>, LoadError<u32>>>) -> Result<(u32, Source), u32> {
        self.settle(read).map(|read| (*read.value, read.source)).map_err(said)
    }

    fn finish_many(
        &self,
        reads: impl Future<Output = Vec<Result<Option<Read<u32>>, LoadError<u32>>>>,
    ) -> Vec<Loaded<(u32, Source)>> {
        let reads = self.settle(reads).into_iter();
        reads.map(|read| read.map(|read| read.map(|read| (*read.value, read.source))).map_err(said)).collect()
    }

    fn settle<T>(&self, read: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let read = read.await;
            // One thread: a refresh behind the answer ends when its task gets its turn.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            read
        })
    }
}

fn said(error: LoadError<u32>) -> u32 {
    match error {
        LoadError::Loader(error) => *error,
        other => panic!("{other}"),
    }
}

fn index_of(key: &Key) -> usize {
    (0..6).find(|index| self::key(*index) == *key).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn behaves_as_a_map_with_expiry(ops in vec(op(), 1..60)) {
        let subject = Subject::new();
        let mut model = Model::default();
        for op in ops {
            match op.clone() {
                Op::Get(at, class) => prop_assert_eq!(subject.handles[class].get_local(&key(at)), model.get(at), "{:?}", op),
                Op::Ttl(at, class) => {
                    prop_assert_eq!(subject.handles[class].ttl(&key(at)), model.ttl(at), "{:?}", op);
                    prop_assert_eq!(subject.handles[class].contains(&key(at)), model.ttl(at).is_some());
                }
                Op::Load { key: at, class, said, fails } => {
                    let loaded = if fails { Err(said.value) } else { Ok(fill(&said)) };
                    let (at_key, expected) = (key(at), model.load(at, class, if fails { Err(said.value) } else { Ok(&said) }));
                    let read = subject.handles[class].get_or_load(&at_key, async move || loaded);
                    prop_assert_eq!(subject.finish(read), expected, "{:?}", op);
                }
                Op::Revalidate { key: at, class, said } => {
                    let (at_key, expected) = (key(at), model.revalidate(at, class, &said));
                    let new = fill(&said);
                    let load = async move |known: Option<Known<u32>>| Ok(known.map_or(new, Known::still_holds));
                    let read = subject.handles[class].get_or_revalidate(&at_key, load);
                    prop_assert_eq!(subject.finish(read), Ok(expected), "{:?}", op);
                }
                Op::Set { key: at, class, said } => {
                    prop_assert!(now(subject.handles[class].set(&key(at), fill(&said))));
                    model.put(at, class, &said);
                }
                Op::GetMany(keys, class) => {
                    let expected: Vec<_> = keys.iter().map(|at| model.get(*at)).collect();
                    let wanted: Vec<Key> = keys.into_iter().map(key).collect();
                    prop_assert_eq!(now(subject.handles[class].get_many(&wanted)), expected, "{:?}", op);
                }
                Op::LoadMany { keys, class, said, absent, fails, revalidates } => {
                    let own = |at: usize| Said { value: said.value.wrapping_add(u32::try_from(at).unwrap()), ..said.clone() };
                    let expected = model.load_many(&keys, class, |model, at| match model.still(at) {
                        _ if fails => Err(said.value),
                        _ if absent.contains(&at) => Ok(None),
                        Some(still) if revalidates => Ok(Some(still)),
                        _ => Ok(Some(own(at))),
                    });
                    let brings: BTreeMap<usize, Fill<u32>> =
                        (0..6).filter(|at| !absent.contains(at)).map(|at| (at, fill(&own(at)))).collect();
                    let error = said.value;
                    let bring = move |missing: Vec<(Key, Option<Known<u32>>)>| {
                        let one = |(key, known): (Key, Option<Known<u32>>)| {
                            let new = brings.get(&index_of(&key))?.clone();
                            Some((key, known.filter(|_| revalidates).map_or(new, Known::still_holds)))
                        };
                        if fails { Err(error) } else { Ok(missing.into_iter().filter_map(one).collect::<Vec<_>>()) }
                    };
                    let wanted: Vec<Key> = keys.into_iter().map(key).collect();
                    let handle = &subject.handles[class];
                    let reads = if revalidates {
                        subject.finish_many(handle.get_or_revalidate_many(&wanted, async move |missing| bring(missing)))
                    } else {
                        let load = async move |missing: Vec<Key>| bring(missing.into_iter().map(|key| (key, None)).collect());
                        subject.finish_many(handle.get_or_load_many(&wanted, load))
                    };
                    prop_assert_eq!(reads, expected, "{:?}", op);
                }
                Op::SetMany { class, said } => {
                    let last: BTreeMap<usize, usize> = said.iter().enumerate().map(|(index, (at, _))| (*at, index)).collect();
                    let expected: Vec<bool> = said.iter().enumerate().map(|(index, (at, _))| last[at] == index).collect();
                    let values = said.iter().map(|(at, said)| (key(*at), fill(said)));
                    prop_assert_eq!(now(subject.handles[class].set_many(values)), expected);
                    last.values().for_each(|index| model.put(said[*index].0, class, &said[*index].1));
                }
                Op::RemoveMany(keys) => {
                    let wanted: Vec<Key> = keys.iter().copied().map(key).collect();
                    let removed = now(subject.cache.invalidate_keys(&wanted)).unwrap();
                    prop_assert_eq!(removed, model.retain(|at, _| !keys.contains(&at)));
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
                Op::Class(class) => {
                    prop_assert!(now(subject.cache.invalidate_class(CLASSES[class].name())).unwrap());
                    model.retain(|_, entry| entry.class != class);
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
                    model.now += by * MILLI;
                }
            }
            model.drop_dead();
        }
        for at in 0..6 {
            prop_assert_eq!(subject.handles[0].get_local(&key(at)), model.get(at));
        }
    }
}
