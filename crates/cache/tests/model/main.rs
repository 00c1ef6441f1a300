//! The cache against a map and a manual clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

mod expected;
mod operation;
mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_cache::{Fill, Key, Known, Pattern, Touched};

use self::expected::{MILLI, Model};
use self::operation::{CLASSES, Op, PATTERNS, Said, fill, key, op, tag};
use self::subject::Subject;

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

fn index_of(key: &Key) -> usize {
    (0..6).find(|index| operation::key(*index) == *key).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn behaves_as_a_map_with_expiry(ops in vec(op(), 1..60)) {
        let subject = Subject::new();
        let mut model = Model::default();
        for op in ops {
            match op.clone() {
                Op::Get(at, class) => prop_assert_eq!(subject.handles[class].peek(&key(at)), model.get(at), "{:?}", op),
                Op::Ttl(at, class) => {
                    prop_assert_eq!(subject.handles[class].ttl(&key(at)), model.ttl(at), "{:?}", op);
                    prop_assert_eq!(subject.handles[class].contains(&key(at)), model.ttl(at).is_some());
                }
                Op::Load { key: at, class, said, fails } => {
                    let loaded = if fails { Err(said.value) } else { Ok(fill(&said)) };
                    let (at_key, expected) = (key(at), model.load(at, class, if fails { Err(said.value) } else { Ok(&said) }));
                    let read = subject.handles[class].fetch(&at_key, async move || loaded);
                    prop_assert_eq!(subject.finish(read), expected, "{:?}", op);
                }
                Op::Revalidate { key: at, class, said } => {
                    let (at_key, expected) = (key(at), model.revalidate(at, class, &said));
                    let new = fill(&said);
                    let load = async move |known: Option<Known<u32>>| Ok(known.map_or(new, Known::still_holds));
                    let read = subject.handles[class].fetch_or_revalidate(&at_key, load);
                    prop_assert_eq!(subject.finish(read), Ok(expected), "{:?}", op);
                }
                Op::Set { key: at, class, said } => {
                    prop_assert!(now(subject.handles[class].put(&key(at), fill(&said))));
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
                        subject.finish_many(handle.fetch_or_revalidate_many(&wanted, async move |missing| bring(missing)))
                    } else {
                        let load = async move |missing: Vec<Key>| bring(missing.into_iter().map(|key| (key, None)).collect());
                        subject.finish_many(handle.fetch_many(&wanted, load))
                    };
                    prop_assert_eq!(reads, expected, "{:?}", op);
                }
                Op::SetMany { class, said } => {
                    let last: BTreeMap<usize, usize> = said.iter().enumerate().map(|(index, (at, _))| (*at, index)).collect();
                    let expected: Vec<bool> = said.iter().enumerate().map(|(index, (at, _))| last[at] == index).collect();
                    let values = said.iter().map(|(at, said)| (key(*at), fill(said)));
                    prop_assert_eq!(now(subject.handles[class].put_many(values)), expected);
                    last.values().for_each(|index| model.put(said[*index].0, class, &said[*index].1));
                }
                Op::RemoveMany(keys) => {
                    let wanted: Vec<Key> = keys.iter().copied().map(key).collect();
                    let removed = now(subject.cache.remove_many(&wanted)).unwrap();
                    prop_assert_eq!(removed, model.retain(|at, _| !keys.contains(&at)));
                }
                Op::Remove(at) => {
                    prop_assert_eq!(now(subject.cache.remove(&key(at))).unwrap(), model.entries.remove(&at).is_some());
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
            prop_assert_eq!(subject.handles[0].peek(&key(at)), model.get(at));
        }
    }
}
