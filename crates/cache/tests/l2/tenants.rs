//! Patterns and tenants in both tiers, with ids of whatever characters.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tidegate_cache::{Fill, Key, Lookup, Pattern, Tag, Touched};
use tidegate_testkit::scale;
use tokio::runtime::Runtime;

use crate::ground::{Node, heard, server_and_nodes};

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => "[ab*?\\[\\]{}\\\\:%=#^A3\\-\\n\u{0}\u{85}éß]{0,4}",
        1 => any::<String>(),
        1 => "[ab:*%é]{1,2}".prop_map(|text| text.repeat(80)),
    ]
}

fn two_ids() -> impl Strategy<Value = (String, String)> {
    let close = (id(), "[:*?%a=#]{1,3}", any::<bool>()).prop_map(|(short, more, is_first)| {
        let long = format!("{short}{more}");
        if is_first { (short, long) } else { (long, short) }
    });
    prop_oneof![1 => (id(), id()), 2 => close].prop_filter("two tenants", |(one, other)| one != other)
}

fn key(tenant: &str, part: &str) -> Key {
    Key::builder("schedule").part(tenant).part(part).build().unwrap()
}

/// Runs `case` for each input, on two nodes of one server.
fn on_nodes<S: Strategy>(strategy: &S, case: &impl AsyncFn(&Node, &Node, S::Value) -> Result<(), TestCaseError>) {
    let runtime = Runtime::new().unwrap();
    let (_server, [one, other]) = runtime.block_on(server_and_nodes());
    let cases = u32::try_from(scale(100, 20_000)).unwrap();
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    runner.run(strategy, |input| runtime.block_on(case(&one, &other, input))).unwrap();
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?} {:?}", one.listener.0, other.listener.0);
}

async fn stored(node: &Node, keys: &BTreeSet<String>) {
    node.things.put_many(keys.iter().map(|key| (Key::parse(key).unwrap(), 1))).await;
}

/// Returns the keys that are held, in L1, or in L2 if L1 is too old.
async fn held(node: &Node, keys: &BTreeSet<String>) -> BTreeSet<String> {
    let found = node.things.get_many(keys.iter().map(|key| Key::parse(key).unwrap())).await;
    keys.iter().zip(found).filter(|(_, found)| *found != Lookup::Miss).map(|(key, _)| key.clone()).collect()
}

/// A pattern that is often about these keys: one of them with some characters replaced.
fn near(keys: &[String], at: prop::sample::Index, wild: &[(prop::sample::Index, bool)]) -> String {
    let mut characters: Vec<char> = keys[at.index(keys.len())].chars().collect();
    for (at, is_star) in wild {
        let at = at.index(characters.len());
        characters[at] = if *is_star { '*' } else { '?' };
    }
    characters.into_iter().collect()
}

#[test]
fn a_pattern_matches_in_l2_exactly_what_it_matches_in_l1() {
    let wild = vec(any::<(prop::sample::Index, bool)>(), 1..4);
    let free = prop_oneof![2 => Just(None), 1 => "[sched:ab*?%é]{1,8}".prop_map(Some)];
    let input = (vec((id(), id()), 1..8), any::<prop::sample::Index>(), wild, free);
    on_nodes(&input, &async |one, other, (ids, at, wild, free)| {
        let keys: BTreeSet<String> = ids.iter().map(|(tenant, part)| key(tenant, part).as_str().to_owned()).collect();
        let all: Vec<String> = keys.iter().cloned().collect();
        let pattern = Pattern::parse(&free.unwrap_or_else(|| near(&all, at, &wild))).unwrap();
        let rest: BTreeSet<String> = keys.iter().filter(|key| !pattern.matches(key)).cloned().collect();
        stored(one, &keys).await;
        one.cache.invalidate_pattern(&pattern).await.unwrap();
        // L1 may hold fewer, if the notice of an earlier case came late.
        let in_l1: BTreeSet<String> =
            keys.iter().filter(|key| one.things.peek(&Key::parse(key).unwrap()) != Lookup::Miss).cloned().collect();
        prop_assert!(in_l1.is_subset(&rest), "{pattern} left {in_l1:?} of {keys:?} in L1");
        for node in [one, other] {
            node.outlive_l1();
            prop_assert_eq!(&held(node, &keys).await, &rest, "{} in L2", pattern);
        }
        Ok(())
    });
}

#[test]
fn no_tenant_reads_counts_or_invalidates_values_of_another() {
    let input = (two_ids(), vec(id(), 1..4), vec(id(), 1..4));
    on_nodes(&input, &async |one, other, ((mine, theirs), my_parts, their_parts)| {
        let tag = |tenant: &String| Tag::of(["tenant", tenant]);
        let keys = |tenant: &String, parts: &[String]| -> BTreeSet<String> {
            parts.iter().map(|part| key(tenant, part).as_str().to_owned()).collect()
        };
        let (my_keys, their_keys) = (keys(&mine, &my_parts), keys(&theirs, &their_parts));
        let fill = |value, tenant: &String| Fill::new(value).tag(tag(tenant));
        let of = |keys: &BTreeSet<String>| keys.iter().map(|key| Key::parse(key).unwrap()).collect::<Vec<_>>();
        one.things.put_many(of(&their_keys).into_iter().map(|key| (key, fill(2, &theirs)))).await;
        // Word of how the case before ended may still be on its way.
        other.outlive_l1();
        // Reads: with the other's parts under one's own id.
        for part in &their_parts {
            let answer = other.things.get_many([key(&mine, part)]).await.remove(0);
            prop_assert_eq!(answer, Lookup::Miss);
        }
        // Invalidates, in every way in which a tenant's id takes part, and counts.
        for round in 0..3 {
            one.things.put_many(of(&my_keys).into_iter().map(|key| (key, fill(1, &mine)))).await;
            match round {
                0 => one.cache.invalidate_tag(&tag(&mine)).await.unwrap(),
                1 => {
                    let mut touched = Touched::new().tag(&tag(&mine));
                    for key in their_parts.iter().chain(&my_parts).map(|part| key(&mine, part)) {
                        touched = touched.key(&key);
                    }
                    one.cache.invalidate(&touched).await.unwrap();
                }
                _ => {
                    let Ok(pattern) = Key::builder("schedule").part(&mine).below() else { continue };
                    let counted = one.cache.invalidate_pattern(&pattern).await.unwrap();
                    prop_assert!(counted <= my_keys.len(), "{} of {:?}", counted, my_keys);
                }
            }
            heard(other, one).await;
            for node in [one, other] {
                node.outlive_l1();
                prop_assert_eq!(held(node, &my_keys).await, BTreeSet::new());
                let found = node.things.get_many(of(&their_keys)).await;
                prop_assert!(found.into_iter().all(|found| found.into_value().is_some_and(|value| *value == 2)));
            }
        }
        // Clean up for a later case with the same ids.
        one.cache.remove_many(&of(&(&their_keys | &my_keys))).await.unwrap();
        Ok(())
    });
}
