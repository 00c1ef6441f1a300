//! All keys that match a pattern, without `KEYS`.

use std::collections::HashMap;

use bytes::Bytes;

use crate::client::{Client, Node};
use crate::command::Command;
use crate::error::Error;
use crate::slot;
use crate::value::Value;

/// Keys that a server examines per page.
const LOOKED_AT: u32 = 500;
/// Most keys in one delete command.
const BATCH: usize = 500;

/// A scan of the keys of all primaries.
///
/// A key that exists during the whole scan is returned at least once, possibly more often. A key
/// that is created or deleted meanwhile may be returned or not, and so may a key whose slot moves
/// to another server. After an error, start again: the cursor of the old primary is not valid on a
/// new one.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    pattern: String,
    nodes: Vec<Node>,
    cursor: Bytes,
}

impl Scan {
    /// Returns the next keys: some hundreds at most, possibly none although more follow. `None` at
    /// the end.
    ///
    /// One command, for which the server examines 500 keys, whether they match or not.
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
    /// Scans the keys that match a glob pattern, on every primary. Literal text in the pattern must
    /// be [escaped](escape_glob).
    pub fn scan(&self, pattern: impl Into<String>) -> Scan {
        Scan {
            client: self.clone(),
            pattern: pattern.into(),
            nodes: self.primaries(),
            cursor: Bytes::from_static(b"0"),
        }
    }

    /// Deletes keys of any slots. The server frees their memory in the background. Returns how many
    /// existed.
    ///
    /// Not atomic: one command per slot and per 500 keys. After an error, some keys are deleted.
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

/// Escapes the characters that have a meaning in a pattern.
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
