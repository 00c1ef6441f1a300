//! Operations on the cache, chosen at random.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_cache::{Fill, Key, Tag, TtlClass};

/// One of each kind: with a grace, capped in L1, refreshed ahead, sliding.
pub(crate) const CLASSES: [TtlClass; 4] = [
    TtlClass::new("short", Duration::from_secs(10)).grace(Duration::from_secs(5)).negative_ttl(Duration::from_secs(3)),
    TtlClass::new("long", Duration::from_secs(60)).l1_ttl(Duration::from_secs(40)),
    TtlClass::new("ahead", Duration::from_secs(20)).refresh_ahead(Duration::from_secs(8)),
    TtlClass::new("sliding", Duration::from_secs(16))
        .sliding(Duration::from_secs(40))
        .refresh_ahead(Duration::from_secs(4))
        .grace(Duration::from_secs(2))
        .negative_ttl(Duration::from_secs(5)),
];
pub(crate) const PATTERNS: [&str; 5] = ["k:0:*", "k:*:1", "k:?:?", "*", "k:1"];

/// Options of a fill.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) value: u32,
    pub(crate) tags: Vec<u8>,
    pub(crate) ttl: Option<u64>,
    pub(crate) is_negative: bool,
}

/// Result of a batch for one of its keys: a value, nothing, or the loader's error.
pub(crate) type Loaded<T> = Result<Option<T>, u32>;

#[derive(Debug, Clone)]
pub(crate) enum Op {
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

pub(crate) fn op() -> impl Strategy<Value = Op> {
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

pub(crate) fn key(index: usize) -> Key {
    Key::builder("k").part(index / 3).part(index % 3).build().unwrap()
}

pub(crate) fn tag(index: u8) -> Tag {
    Tag::of(["tag", &index.to_string()])
}

pub(crate) fn fill(said: &Said) -> Fill<u32> {
    let fill = Fill::new(said.value).tags(said.tags.iter().copied().map(tag));
    let fill = said.ttl.into_iter().fold(fill, |fill, ttl| fill.ttl(Duration::from_millis(ttl)));
    if said.is_negative { fill.negative() } else { fill }
}
