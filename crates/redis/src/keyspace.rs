//! Names of keys.

use std::fmt::{self, Write as _};

/// The longest prefix, in characters.
const MAX_PREFIX: usize = 64;

/// All keys of one installation, with a common prefix.
///
/// ```
/// # use tidegate_redis::Keyspace;
/// let keys = Keyspace::new("tidegate")?;
/// let email = keys.group("q", &["email", "0"]);
/// assert_eq!(email.key("lease"), "tidegate:{q:email:0}:lease");
/// # Ok::<_, tidegate_redis::KeyspaceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyspace {
    prefix: String,
}

/// The prefix is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prefix `{0}` of keys must be 1 to {MAX_PREFIX} letters, digits, `-`, `_` or `.`")]
pub struct KeyspaceError(String);

impl Keyspace {
    /// The keys with this prefix.
    ///
    /// # Errors
    /// If the prefix is empty, is longer than 64 characters, or contains characters other than
    /// letters, digits, `-`, `_` and `.`.
    pub fn new(prefix: &str) -> Result<Self, KeyspaceError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(is_plain) {
            return Err(KeyspaceError(prefix.escape_debug().take(2 * MAX_PREFIX).collect()));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The part of these keys that belongs to `owner`: they start with the prefix, a colon and the
    /// owner.
    ///
    /// Different owners share no key. The keys of an owner also differ from all keys of this
    /// keyspace, unless an owner has the name of an area.
    #[must_use]
    pub fn within(&self, owner: &str) -> Self {
        let mut prefix = format!("{}:", self.prefix);
        escape_into(&mut prefix, owner);
        Self { prefix }
    }

    /// A group of keys in one slot of a cluster: their hash tag consists of the area and the parts.
    ///
    /// Parts may contain any text. Characters that could end the tag or act as a separator are
    /// written as `%` and two digits, so different groups have different names.
    pub fn group(&self, area: &'static str, parts: &[&str]) -> KeyGroup {
        let mut name = String::with_capacity(self.prefix.len() + area.len() + 24);
        name.push_str(&self.prefix);
        name.push_str(":{");
        name.push_str(area);
        for part in parts {
            name.push(':');
            escape_into(&mut name, part);
        }
        name.push('}');
        KeyGroup { name }
    }
}

fn escape_into(name: &mut String, part: &str) {
    for character in part.chars() {
        match character {
            '%' | ':' | '{' | '}' => {
                // Writing to a string can't fail.
                let _ = write!(name, "%{:02X}", u32::from(character));
            }
            other if other.is_control() => {
                let _ = write!(name, "%{:02X}", u32::from(other));
            }
            other => name.push(other),
        }
    }
}

/// Keys that share a hash tag, and so a slot: a script may use several of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyGroup {
    name: String,
}

impl KeyGroup {
    /// The key with that name in the group. `name` is a literal of the program, not input.
    pub fn key(&self, name: &str) -> String {
        let mut key = String::with_capacity(self.name.len() + 1 + name.len());
        key.push_str(&self.name);
        key.push(':');
        key.push_str(name);
        key
    }

    /// The name of the group, which is a key too.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slot::slot_of;

    #[test]
    fn a_prefix_is_plain() {
        for bad in ["", "a b", "a:b", "a{b", "ü", &"x".repeat(65)] {
            assert!(Keyspace::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Keyspace::new("app-1.test_2").unwrap().prefix(), "app-1.test_2");
    }

    #[test]
    fn no_input_leaves_its_place() {
        let keys = Keyspace::new("t").unwrap();
        assert_eq!(keys.group("q", &["a}:b{c%\n"]).as_str(), "t:{q:a%7D%3Ab%7Bc%25%0A}");
        assert_ne!(keys.group("q", &["a", "b"]), keys.group("q", &["a:b"]));
    }

    #[test]
    fn owners_share_no_key() {
        let keys = Keyspace::new("t").unwrap();
        assert_eq!(keys.within("a:{b}").prefix(), "t:a%3A%7Bb%7D");
        assert_eq!(keys.within("a").group("x", &["y"]).as_str(), "t:a:{x:y}");
        assert_ne!(keys.within("a").within("b"), keys.within("a:b"));
    }

    proptest! {
        #[test]
        fn different_parts_are_different_groups(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}", d in ".{0,8}") {
            let keys = Keyspace::new("t").unwrap();
            let same = (&a, &b) == (&c, &d);
            prop_assert_eq!(keys.group("x", &[&a, &b]) == keys.group("x", &[&c, &d]), same);
        }

        #[test]
        fn keys_of_a_group_share_a_slot(part in ".{0,12}", name in "[a-z:0-9]{1,8}") {
            let group = Keyspace::new("t").unwrap().group("x", &[&part]);
            prop_assert_eq!(slot_of(group.key(&name).as_bytes()), slot_of(group.as_str().as_bytes()));
        }
    }
}
