//! Slow commands of the servers.

use std::time::Duration;

use futures_util::future::join_all;

use crate::client::{Client, Node};
use crate::command::Command;
use crate::error::Error;
use crate::value::Value;

/// Most entries of a server that are read; by default it keeps no more.
const LOOKED_AT: u32 = 128;
/// Shortest time of a command that is returned.
const SLOW: Duration = Duration::from_millis(10);
/// Most characters of a command that are returned.
const SHOWN: usize = 80;

/// A command that took a server at least 10 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowCommand {
    /// Host and port of the server.
    pub address: String,
    /// When it ended, in seconds since 1970, by the server's clock.
    pub at: u64,
    /// How long the server executed it. The server executes nothing else meanwhile.
    pub took: Duration,
    /// Its name and first argument, which is usually the key, cut to 80 characters. Values are not
    /// shown.
    pub command: String,
}

impl Client {
    /// Returns the slowest commands, slowest first, `count` at most. They are those of 10 ms and
    /// more among the last 128 that each primary has recorded. Servers that don't answer are left
    /// out.
    ///
    /// A server records commands that take longer than its `slowlog-log-slower-than`, 10 ms by
    /// default.
    pub async fn slowlog(&self, count: usize) -> Vec<SlowCommand> {
        let nodes = self.primaries();
        let answers = join_all(nodes.iter().map(|node| self.slowlog_of(node))).await;
        let mut slow: Vec<SlowCommand> = answers.into_iter().flatten().flatten().collect();
        slow.sort_by_key(|entry| std::cmp::Reverse(entry.took));
        slow.truncate(count);
        slow
    }

    async fn slowlog_of(&self, node: &Node) -> Result<Vec<SlowCommand>, Error> {
        let answer = self.execute_on(node, Command::new("SLOWLOG").arg("GET").arg(LOOKED_AT)).await?;
        let address = node.to_string();
        Ok(answer.into_array()?.into_iter().filter_map(|entry| read(&address, entry)).collect())
    }
}

/// Parses an entry: id, time, microseconds, words, and fields that are not needed.
fn read(address: &str, entry: Value) -> Option<SlowCommand> {
    let mut fields = entry.into_array().ok()?.into_iter().skip(1);
    let at = fields.next()?.as_count().ok()?;
    let took = Duration::from_micros(fields.next()?.as_count().ok()?);
    let words = fields.next()?.into_array().ok()?;
    let words = words.into_iter().take(2).filter_map(|word| word.into_bytes().ok());
    let words: Vec<String> = words.map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
    let command = words.join(" ").chars().take(SHOWN).collect();
    (took >= SLOW).then(|| SlowCommand { address: address.to_owned(), at, took, command })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(micros: i64, words: &[&'static str]) -> Value {
        let words = words.iter().map(|word| Value::Bytes(Bytes::from_static(word.as_bytes()))).collect();
        Value::Array(vec![
            Value::Int(7),
            Value::Int(1_700_000_000),
            Value::Int(micros),
            Value::Array(words),
            Value::Nil,
        ])
    }

    #[test]
    fn shows_name_and_key_and_no_value() {
        let slow = read("here:1", entry(10_000, &["SET", "key", "secret"])).unwrap();
        assert_eq!((slow.command.as_str(), slow.took, slow.at), ("SET key", Duration::from_millis(10), 1_700_000_000));
    }

    #[test]
    fn what_was_fast_or_makes_no_sense_is_left_out() {
        assert_eq!(read("here:1", entry(9_999, &["GET", "key"])), None);
        assert_eq!(read("here:1", entry(-1, &["GET", "key"])), None);
        assert_eq!(read("here:1", Value::Array(vec![Value::Int(1)])), None);
        assert_eq!(read("here:1", Value::Nil), None);
    }
}
