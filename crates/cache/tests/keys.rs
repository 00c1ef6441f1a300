//! Keys, tags and patterns: no two inputs share a key, and hashing keeps the parts that patterns
//! need.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tidegate_cache::{Key, KeyBuilder, KeyError, Pattern, PatternError, Tag};

type Input = (String, Vec<String>, BTreeMap<String, String>);

fn build((prefix, parts, named): &Input) -> Key {
    let mut builder = Key::builder(prefix);
    // Interleaved and in reverse: neither may matter.
    let mut named = named.iter().rev();
    for part in parts {
        if let Some((name, value)) = named.next() {
            builder = builder.named(name, value);
        }
        builder = builder.part(part);
    }
    for (name, value) in named {
        builder = builder.named(name, value);
    }
    builder.build().unwrap()
}

/// Few characters, all of them with a meaning somewhere, so that near collisions are common.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[ab:=%#3A*?\\n\u{85}é]{0,3}",
        1 => "[ab:]{1,2}".prop_map(|text| text.repeat(90)),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    ("[ab:=%#]{1,3}", vec(tricky(), 0..4), btree_map(tricky(), tricky(), 0..3))
}

/// Two inputs that differ in little: one character moves from one part to the next.
fn neighbours() -> impl Strategy<Value = (Input, Input)> {
    (input(), any::<prop::sample::Index>()).prop_map(|((prefix, mut parts, named), at)| {
        parts.extend([String::from("a:b"), String::from("c")]);
        let mut moved = parts.clone();
        let at = at.index(parts.len() - 1);
        if let Some(last) = moved[at].pop() {
            moved[at + 1].insert(0, last);
        }
        ((prefix.clone(), parts, named.clone()), (prefix, moved, named))
    })
}

proptest! {
    #[test]
    fn keys_are_equal_only_when_inputs_are(left in input(), right in input()) {
        prop_assert_eq!(build(&left) == build(&right), left == right);
    }

    #[test]
    fn moving_a_character_to_the_next_part_changes_the_key((left, right) in neighbours()) {
        prop_assert_eq!(build(&left).as_str() == build(&right).as_str(), left == right);
    }

    #[test]
    fn keys_are_bounded_harmless_and_read_back(input in input()) {
        let key = build(&input);
        prop_assert!(key.as_str().chars().count() <= 200);
        let harmful = |c: char| c.is_control() || "*?[]\\{}".contains(c);
        prop_assert_eq!(key.as_str().find(harmful), None);
        let read = Key::parse(key.as_str()).unwrap();
        prop_assert_eq!(&read, &key);
        prop_assert_eq!(read.as_str(), key.as_str());
    }

    #[test]
    fn hashing_keeps_prefix_and_leading_parts(first in "[a-z:]{1,20}", second in "[a-z]{1,20}", tail in "[a-z]{200,300}") {
        let lead = Key::builder("schedule").part(&first).part(&second);
        let key = lead.clone().part(&tail).named("limit", 50).build().unwrap();
        let lead_text = lead.clone().build().unwrap();
        prop_assert_eq!(key.as_str().chars().count(), lead_text.as_str().chars().count() + 66);
        prop_assert!(lead.below().unwrap().matches(key.as_str()));
        prop_assert!(Key::builder("schedule").below().unwrap().matches(key.as_str()));
    }

    #[test]
    fn parts_that_patterns_can_name_survive_hashing(parts in vec("[a-zé]{0,60}", 0..5)) {
        let lead = parts.iter().fold(Key::builder("p"), KeyBuilder::part);
        if let Ok(pattern) = lead.clone().below() {
            let key = lead.part("x".repeat(200)).build().unwrap();
            prop_assert!(pattern.matches(key.as_str()), "{} {}", pattern, key);
        }
    }

    #[test]
    fn tags_are_equal_only_when_parts_are(left in vec(tricky(), 1..4), right in vec(tricky(), 1..4)) {
        prop_assert_eq!(Tag::of(&left) == Tag::of(&right), left == right);
        let tag = Tag::of(&left);
        let expected = if tag.as_str().is_empty() { Err(KeyError::EmptyTag) } else { Ok(tag.clone()) };
        prop_assert_eq!(Tag::parse(tag.as_str()), expected);
    }

    #[test]
    fn patterns_match_as_the_definition_says(pattern in "[ab:é*?]{1,8}", text in "[ab:é]{0,8}") {
        let pattern_chars: Vec<char> = pattern.chars().collect();
        let text_chars: Vec<char> = text.chars().collect();
        let expected = defined(&pattern_chars, &text_chars);
        prop_assert_eq!(Pattern::parse(&pattern).unwrap().matches(&text), expected);
    }

    #[test]
    fn reading_any_text_never_panics(text in any::<String>()) {
        let _ = (Key::parse(&text), Tag::parse(&text), Pattern::parse(&text).map(|pattern| pattern.matches(&text)));
    }
}

/// The definition of a glob, in the obvious exponential form.
fn defined(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some(('*', after)), Some((_, rest))) => defined(after, text) || defined(pattern, rest),
        (Some(('*', after)), None) => defined(after, text),
        (Some((want, after)), Some((have, rest))) => (*want == '?' || want == have) && defined(after, rest),
        (Some(_), None) => false,
    }
}

#[test]
fn a_key_reads_as_its_parts() {
    let key = Key::builder("schedule").named("page", 2).part("t1").named("limit", 50).part(42).build().unwrap();
    assert_eq!(key.as_str(), "schedule:t1:42:limit=50:page=2");
    assert_eq!(Tag::of(["tenant", "7"]).as_str(), "tenant:7");
}

#[test]
fn a_prefix_ends_at_a_separator() {
    let users = Key::builder("users").below().unwrap();
    assert!(users.matches("users:7"));
    assert!(!users.matches("usersAbc"));
    assert!(!users.matches("users"));
}

#[test]
fn an_ordinary_key_of_200_characters_is_not_hashed() {
    let at = |length: usize| Key::builder("p").part("x".repeat(length - 2)).build().unwrap();
    assert!(!at(200).as_str().contains('#'));
    assert_eq!(at(200).as_str().len(), 200);
    assert!(at(201).as_str().starts_with("p:#"));
}

struct Unwilling;

impl fmt::Display for Unwilling {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

#[test]
fn invalid_input_is_reported() {
    assert_eq!(Key::builder("").build(), Err(KeyError::EmptyPrefix));
    assert_eq!(Key::builder("p".repeat(101)).build(), Err(KeyError::PrefixTooLong { length: 101, limit: 100 }));
    assert_eq!(
        Key::builder("p").named("a", 1).named("a", 1).build(),
        Err(KeyError::DuplicateName { name: "a".into() })
    );
    assert_eq!(Key::builder("p").part(1).part(Unwilling).build(), Err(KeyError::Unformattable { part: 2 }));
    assert_eq!(Key::builder("p").part("x".repeat(150)).below(), Err(KeyError::TooLong { length: 152, limit: 134 }));
    for (text, at) in [("", 0), (":a", 0), ("a*", 1), ("a%3a", 1), ("a%", 1), ("a:b#", 3), ("a\n", 1)] {
        assert_eq!(Key::parse(text), Err(KeyError::NotAKey { at }), "{text:?}");
    }
    assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
    assert_eq!(Pattern::parse("a[b]"), Err(PatternError::Unsupported { character: '[', at: 1 }));
    assert_eq!(Pattern::parse(&"*".repeat(1025)), Err(PatternError::TooLong { length: 1025, limit: 1024 }));
}

#[test]
fn an_empty_tag_is_not_read() {
    assert_eq!(Tag::parse(""), Err(KeyError::EmptyTag));
    assert_eq!(KeyError::EmptyTag.to_string(), "the tag is empty");
}
