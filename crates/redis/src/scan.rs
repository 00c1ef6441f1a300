//! All keys of a pattern, without `KEYS`.

use std::collections::HashMap;

use bytes::Bytes;

use crate::client::{Client, Node};
use crate::command::Command;
use crate::error::Error;
use crate::slot;
use crate::value::Value;

/// Keys that a server looks at for one page.
const LOOKED_AT: u32 = 500;
/// Keys in one command that deletes.
const BATCH: usize = 500;

/// A walk over the keys of all primaries.
///
/// A key that is there all the time comes at least once, perhaps more often. One that is made or deleted meanwhile may come or
/// not; so may one whose slot moves to another server meanwhile. After an error start again: a new primary knows nothing of
/// the old one's cursor.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    pattern: String,
    nodes: Vec<Node>,
    cursor: Bytes,
}

impl Scan {
    /// The next keys, up to some hundreds, or none at all though there are more. `None` at the end.
    ///
    /// One command, for which the server looks at 500 keys, whether they match or not.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn page(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        let Some(node) = self.nodes.last() else { return Ok(None) };
        let scan = Command::new("SCAN").arg(self.cursor.clone()).arg("MATCH").arg(self.pattern.as_str());
        let answer = self.client.execute_on(node, scan.arg("COUNT").arg(LOOKED_AT)).await?.into_array()?;
        let mut answer = answer.into_iter();
        self.cursor = answer.next().unwrap_or(Value::Nil).into_bytes()?;
        if self.cursor == b"0"[..] {
            self.nodes.pop();
        }
        let keys = answer.next().unwrap_or(Value::Nil).into_array()?;
        keys.into_iter().map(Value::into_bytes).collect::<Result<_, _>>().map(Some)
    }
}

impl Client {
    /// Walks over the keys that match a glob pattern, on every primary. What is meant literally in it has to be
    /// [escaped](escape_glob).
    pub fn scan(&self, pattern: impl Into<String>) -> Scan {
        Scan {
            client: self.clone(),
            pattern: pattern.into(),
            nodes: self.primaries(),
            cursor: Bytes::from_static(b"0"),
        }
    }

    /// Deletes keys, of any slots; the server frees their memory in the background. Tells how many there were.
    ///
    /// Not one step: one command for each slot and each 500 keys of it. After an error some are deleted.
    ///
    /// # Errors
    /// [`Error`] of the first command that fails.
    pub async fn unlink<K: Into<Bytes>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64, Error> {
        let mut slots: HashMap<u16, Vec<Bytes>> = HashMap::new();
        for key in keys {
            let key = key.into();
            slots.entry(slot::slot_of(&key)).or_default().push(key);
        }
        let mut deleted = 0;
        for batch in slots.values().flat_map(|keys| keys.chunks(BATCH)) {
            let unlink = batch.iter().fold(Command::new("UNLINK"), |command, key| command.key(key.clone()));
            deleted += self.execute(unlink).await?.as_count()?;
        }
        Ok(deleted)
    }
}

/// The text with the characters escaped that have a meaning in a pattern.
pub fn escape_glob(literal: &str) -> String {
    let mut escaped = String::with_capacity(literal.len());
    for character in literal.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape_glob;

    #[test]
    fn a_literal_stays_one() {
        assert_eq!(escape_glob("tidegate:c:{a*b?[c]^\\}"), "tidegate:c:{a\\*b\\?\\[c\\]\\^\\\\}");
        assert_eq!(escape_glob("plain-key"), "plain-key");
    }
}
