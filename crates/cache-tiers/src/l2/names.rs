//! The keys of the tier, and the meaning of a notice about one of them.
//!
//! Two prefixes are followed: `c:` (values) and `cn:` (marks of invalidations). Fences, generations
//! and the epoch have other prefixes, since they change at every load.

use tidegate_redis::{Client, Keyspace};

use crate::key::Key;
use crate::pattern::Pattern;
use crate::tag::Tag;
use crate::text;

/// Cells for invalidations of tags. At worst, tags of one cell refuse one another's fills.
const CELLS: u16 = 128;

pub(super) struct Names {
    prefix: String,
    /// Id in the marks of this process, which has acted on them before it sets them.
    sender: String,
}

/// Subject of a change notice. Classes have the names of their marks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Value(Key),
    Tag(Tag),
    Class(String),
    Pattern(Pattern, Option<String>),
    All,
    /// A notice may have been missed.
    Unknown,
}

impl Names {
    pub(super) fn new(keyspace: &Keyspace) -> Self {
        Self { prefix: keyspace.prefix().to_owned(), sender: format!("{:016x}", rand::random::<u64>()) }
    }

    pub(super) fn value(&self, key: &Key) -> String {
        self.name(&["c:{", key.as_str(), "}"])
    }

    pub(super) fn fence(&self, key: &Key) -> String {
        self.name(&["cf:{", key.as_str(), "}"])
    }

    pub(super) fn generation(&self, tag: &Tag) -> String {
        self.name(&["cg:{t:", tag.as_str(), "}"])
    }

    pub(super) fn tag_mark(&self, tag: &Tag) -> String {
        self.name(&["cn:", &self.sender, ":t:{t:", tag.as_str(), "}"])
    }

    pub(super) fn epoch(&self) -> String {
        self.name(&["ce:{e}"])
    }

    pub(super) fn all_mark(&self) -> String {
        self.name(&["cn:", &self.sender, ":a:{e}"])
    }

    pub(super) fn class_mark(&self, class: &str) -> String {
        self.name(&["cn:", &self.sender, ":c:{e}:", &escaped(class)])
    }

    pub(super) fn pattern_mark(&self, pattern: &Pattern, class: Option<&str>) -> String {
        let class = class.map(escaped).unwrap_or_default();
        self.name(&["cn:", &self.sender, ":p:{e}:", &class, ":", pattern.as_str()])
    }

    /// Mark of a key that was expired while Redis had no value for it.
    pub(super) fn expired_mark(&self, key: &Key) -> String {
        self.name(&["cn:", &self.sender, ":k:{", key.as_str(), "}"])
    }

    /// Returns the field of the epoch that counts the invalidations of a class.
    pub(super) fn class_field(class: &str) -> String {
        format!("c:{class}")
    }

    /// Returns the class whose invalidations this field of the epoch counts.
    pub(super) fn class_of(field: &str) -> Option<&str> {
        field.strip_prefix("c:")
    }

    /// Field of the epoch that counts the invalidations of this tag and others of its cell.
    pub(super) fn cell_field(tag: &Tag) -> String {
        // The only hash here that every process computes alike.
        format!("t:{}", Client::slot_of(tag.as_str()) % CELLS)
    }

    /// Channel for processes that cannot follow; not a key.
    pub(super) fn channel(&self) -> String {
        self.name(&["cw"])
    }

    /// Names to follow.
    pub(super) fn followed(&self) -> [String; 2] {
        [self.name(&["c:"]), self.name(&["cn:"])]
    }

    /// Glob of the values and fences whose key could match. The exact comparison follows on the
    /// answer, because `?` is one byte for Redis and one character for a pattern.
    pub(super) fn globs(&self, pattern: &Pattern) -> [String; 2] {
        let glob = pattern.as_str().replace('?', "*");
        [self.name(&["cf:{", &glob, "}"]), self.name(&["c:{", &glob, "}"])]
    }

    /// Returns the cache key of a value's or fence's name.
    pub(super) fn key_of(&self, name: &str) -> Option<Key> {
        let rest = self.rest(name)?;
        let key = rest.strip_prefix("c:{").or_else(|| rest.strip_prefix("cf:{"))?.strip_suffix('}')?;
        Key::parse(key).ok()
    }

    /// `None` for keys that this crate does not write, and for marks of this process.
    pub(super) fn meaning(&self, name: &[u8]) -> Option<Meaning> {
        let name = str::from_utf8(name).ok()?;
        let rest = self.rest(name)?;
        let Some(mark) = rest.strip_prefix("cn:") else { return self.key_of(name).map(Meaning::Value) };
        let (sender, mark) = mark.split_once(':')?;
        if sender == self.sender {
            return None;
        }
        if mark == "a:{e}" {
            return Some(Meaning::All);
        }
        if let Some(tag) = mark.strip_prefix("t:{t:") {
            return Tag::read(tag.strip_suffix('}')?).ok().map(Meaning::Tag);
        }
        if let Some(key) = mark.strip_prefix("k:{") {
            return Key::parse(key.strip_suffix('}')?).ok().map(Meaning::Value);
        }
        if let Some(class) = mark.strip_prefix("c:{e}:") {
            return Some(Meaning::Class(class.to_owned()));
        }
        let (class, pattern) = mark.strip_prefix("p:{e}:")?.split_once(':')?;
        let class = (!class.is_empty()).then(|| class.to_owned());
        Pattern::parse(pattern).ok().map(|pattern| Meaning::Pattern(pattern, class))
    }

    fn rest<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.prefix.as_str())?.strip_prefix(':')
    }

    fn name(&self, parts: &[&str]) -> String {
        let mut name =
            String::with_capacity(self.prefix.len() + 1 + parts.iter().map(|part| part.len()).sum::<usize>());
        name.push_str(&self.prefix);
        name.push(':');
        name.extend(parts.iter().copied());
        name
    }
}

/// Returns a class's name without separators.
pub(super) fn escaped(class: &str) -> String {
    let mut name = String::with_capacity(class.len());
    // Writing a `str` never fails.
    let _ = text::push_escaped(&mut name, &class);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&Keyspace::new("tg.1").unwrap())
    }

    #[test]
    fn a_notice_names_the_invalidated_scope() {
        let (names, reader) = (names(), names());
        let key = Key::builder("k{").part("a}:b*ü").named("n", 1).build().unwrap();
        let tag = Tag::of(["", "x"]);
        let pattern = Pattern::parse("k:*:?").unwrap();
        let meaning = |name: String| reader.meaning(name.as_bytes()).unwrap();
        assert_eq!(meaning(names.value(&key)), Meaning::Value(key.clone()));
        assert_eq!(meaning(names.expired_mark(&key)), Meaning::Value(key.clone()));
        assert_eq!(names.meaning(names.expired_mark(&key).as_bytes()), None, "its own");
        assert_eq!(meaning(names.tag_mark(&tag)), Meaning::Tag(tag));
        assert_eq!(meaning(names.tag_mark(&Tag::new(""))), Meaning::Tag(Tag::new("")));
        assert_eq!(meaning(names.class_mark("a:b")), Meaning::Class("a%3Ab".to_owned()));
        assert_eq!(meaning(names.pattern_mark(&pattern, None)), Meaning::Pattern(pattern.clone(), None));
        let of_class = Meaning::Pattern(pattern.clone(), Some("a%3Ab".to_owned()));
        assert_eq!(meaning(names.pattern_mark(&pattern, Some("a:b"))), of_class);
        assert_eq!(meaning(names.all_mark()), Meaning::All);
        assert_eq!(names.meaning(names.all_mark().as_bytes()), None, "its own");
        assert_eq!(names.meaning(names.value(&key).as_bytes()), Some(Meaning::Value(key)));
    }

    #[test]
    fn foreign_keys_mean_nothing() {
        for foreign in
            ["", "tg.1", "tg.1:c:k", "tg.1:c:{a:#b*}", "tg.2:c:{k}", "tg.1:cn:x", "tg.1:cn:a:{e}", "tg.1:cn:0:p:{e}:k"]
        {
            assert_eq!(names().meaning(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(names().meaning(b"tg.1:c:{\xff}"), None);
    }

    #[test]
    fn keys_that_change_at_every_load_are_not_followed() {
        let names = names();
        let (key, tag) = (Key::builder("k").build().unwrap(), Tag::new("t"));
        let is_followed = |name: String| names.followed().iter().any(|prefix| name.starts_with(prefix));
        assert!(is_followed(names.value(&key)) && is_followed(names.tag_mark(&tag)) && is_followed(names.all_mark()));
        assert!(!is_followed(names.fence(&key)) && !is_followed(names.generation(&tag)) && !is_followed(names.epoch()));
    }

    #[test]
    fn keys_of_one_script_share_a_slot() {
        let names = names();
        let (key, tag) = (Key::builder("k").part("x").build().unwrap(), Tag::new(""));
        let slot = |name: String| Client::slot_of(&name);
        assert_eq!(slot(names.value(&key)), slot(names.fence(&key)));
        assert_eq!(slot(names.value(&key)), slot(names.expired_mark(&key)));
        assert_eq!(slot(names.generation(&tag)), slot(names.tag_mark(&tag)));
        assert_eq!(slot(names.epoch()), slot(names.class_mark("c")));
        assert_eq!(slot(names.epoch()), slot(names.all_mark()));
    }
}
