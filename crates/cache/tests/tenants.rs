//! Tenants: whatever characters their ids contain, nothing that is built with one tenant's id
//! reaches another's.
//!
//! Keys and tags follow the documentation: the tenant's id is a part of its own, right after the
//! prefix.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tidegate_cache::{Key, KeyBuilder, Pattern, Tag};
use tidegate_testkit::scale;

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(u32::try_from(scale(256, 500_000)).unwrap())
}

/// Hostile ids: all characters with a meaning in a key, a pattern, a glob of Redis, a hash tag or a
/// terminal.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab*?\\[\\]{}\\\\:%=#^A3\\-\\n\u{0}\u{85}é]{0,6}",
        2 => any::<String>(),
        1 => "[ab:*%]{1,2}".prop_map(|text| text.repeat(80)),
        1 => "[a-z%3A:*]{100,260}",
    ]
}

/// Two ids that differ, often by little.
fn two_ids() -> impl Strategy<Value = (String, String)> {
    let close = (id(), "[:*?%a=#]{1,3}", any::<bool>()).prop_map(|(short, more, is_first)| {
        let long = format!("{short}{more}");
        if is_first { (short, long) } else { (long, short) }
    });
    prop_oneof![1 => (id(), id()), 2 => close].prop_filter("two tenants", |(one, other)| one != other)
}

type Rest = (Vec<String>, std::collections::BTreeMap<String, String>);

/// The part after the tenant's id.
fn rest() -> impl Strategy<Value = Rest> {
    (vec(id(), 0..3), btree_map(id(), id(), 0..2))
}

fn builder(tenant: &str, (parts, named): &Rest) -> KeyBuilder {
    let builder = parts.iter().fold(Key::builder("schedule").part(tenant), KeyBuilder::part);
    named.iter().fold(builder, |builder, (name, value)| builder.named(name, value))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_key_of_one_tenant_is_a_key_of_another((one, other) in two_ids(), mine in rest(), theirs in rest()) {
        let (mine, theirs) = (builder(&one, &mine).build().unwrap(), builder(&other, &theirs).build().unwrap());
        prop_assert_ne!(mine.as_str(), theirs.as_str());
    }

    #[test]
    fn no_pattern_of_one_tenant_matches_a_key_of_another((one, other) in two_ids(), mine in rest(), theirs in rest()) {
        let key = builder(&other, &theirs).build().unwrap();
        for lead in [Key::builder("schedule").part(&one), builder(&one, &mine)] {
            // Too long for a pattern is an error, not a wider pattern.
            if let Ok(pattern) = lead.below() {
                prop_assert!(!pattern.matches(key.as_str()), "{} matches {}", pattern, key);
            }
        }
    }

    #[test]
    fn no_tag_of_one_tenant_is_a_tag_of_another((one, other) in two_ids(), mine in vec(id(), 0..2), theirs in vec(id(), 0..2)) {
        let tag = |tenant: &String, rest: &[String]| {
            Tag::of([String::from("tenant"), tenant.clone()].iter().chain(rest))
        };
        prop_assert_ne!(tag(&one, &mine), tag(&other, &theirs));
    }

    /// All of one tenant's keys are under its pattern, so that it can be sure to have removed them.
    #[test]
    fn the_pattern_of_a_tenant_matches_all_of_its_keys(tenant in id(), rest in rest(), part in id()) {
        if let Ok(pattern) = Key::builder("schedule").part(&tenant).below() {
            let key = builder(&tenant, &rest).part(part).build().unwrap();
            prop_assert!(pattern.matches(key.as_str()), "{} does not match {}", pattern, key);
        }
    }

    #[test]
    fn building_and_parsing_never_panic_and_agree(prefix in id(), rest in rest(), text in any::<String>()) {
        let builder = rest.0.iter().fold(Key::builder(&prefix), KeyBuilder::part);
        if let Ok(key) = builder.clone().build() {
            prop_assert_eq!(Key::parse(key.as_str()).unwrap(), key);
        }
        if let Ok(pattern) = builder.below() {
            prop_assert_eq!(Pattern::parse(pattern.as_str()).unwrap(), pattern);
        }
        for text in [&text, &prefix] {
            // A text that parses is unchanged; any other text is an error with a reason.
            match Key::parse(text) {
                Ok(key) => prop_assert_eq!(key.as_str(), text.as_str()),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
            if let Ok(pattern) = Pattern::parse(text) {
                prop_assert!(pattern.as_str() == text);
                let is_plain = !text.contains(['[', ']', '{', '}', '\\']);
                prop_assert!(is_plain);
            }
        }
    }
}
