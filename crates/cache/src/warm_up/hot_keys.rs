//! The hottest keys of a cache, as a text that outlives the process.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use tokio::task::spawn_blocking;

use super::file;
use crate::tiered::TieredCache;
use tidegate_cache_tiers::{Key, slot::State, text};

/// First line of a snapshot: its kind and version.
const HEADER: &str = "tidegate hot keys 1";

/// Maximum number of keys in a snapshot: about 100 MB of the longest.
const MOST: usize = 500_000;

/// A key that is worth loading before the first request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HotKey {
    /// The key.
    pub key: Key,
    /// Name of the class that it was filled in.
    pub class: String,
    /// How often the key was among the last 16,384 sampled lookups; one lookup in 64 is sampled.
    /// Zero means held and not sampled.
    pub heat: u64,
}

/// Keys, hottest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotKeys(Vec<HotKey>);

impl TieredCache {
    /// Returns the hottest keys that L1 holds, `limit` at most: those sampled most first, then the
    /// others, which the policy has kept.
    ///
    /// Walks over L1 with one short read lock per entry, and sorts: some milliseconds for 10,000
    /// entries. The cost for lookups is one store by one lookup in 64, without a lock.
    pub fn hot_keys(&self, limit: usize) -> HotKeys {
        let (tiers, counts) = (&self.tiers, self.tiers.heat.counts());
        let now = tiers.clock.coarse();
        let live = tiers.memory.iter().filter(|(_, slot)| slot.state(now, &tiers.fence) != State::Dead);
        let mut keys: Vec<HotKey> = live
            .filter_map(|(key, slot)| {
                let class = tiers.classes.by_id(slot.class)?.ttl.name().to_owned();
                let heat = counts.get(&key.text_hash()).copied().unwrap_or_default();
                Some(HotKey { key, class, heat })
            })
            .collect();
        keys.sort_by_key(|hot| std::cmp::Reverse(hot.heat));
        keys.truncate(limit.min(MOST));
        HotKeys(keys)
    }
}

impl HotKeys {
    /// Creates a list of keys of one class, such as from a query, the most wanted first.
    pub fn of_class(class: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        let keys = keys.into_iter().take(MOST);
        Self(keys.map(|key| HotKey { key, class: class.to_owned(), heat: 0 }).collect())
    }

    /// Returns the keys, hottest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &HotKey> {
        self.0.iter()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends other keys after these.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
        self.0.truncate(MOST);
    }

    pub(super) fn into_keys(self) -> Vec<HotKey> {
        self.0
    }

    /// Keeps the hottest of these keys, up to this number.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.0.truncate(count);
        self
    }

    /// Returns the keys as text: a line each, with heat, class and key.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(32 + self.0.len() * 64);
        out.push_str(HEADER);
        out.push('\n');
        for hot in &self.0 {
            // Writing to a string never fails. Keys are escaped already, classes here.
            let _ = write!(out, "{}\t", hot.heat);
            let _ = text::push_escaped(&mut out, &hot.class);
            let _ = writeln!(out, "\t{}", hot.key);
        }
        out
    }

    /// Parses the text of [`to_text`](Self::to_text).
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NotASnapshot`] with the first wrong line, [`SnapshotError::TooMany`] above
    /// 500,000 keys.
    pub fn parse(snapshot: &str) -> Result<Self, SnapshotError> {
        let mut lines = snapshot.lines().zip(1..);
        if lines.next().is_none_or(|(header, _)| header != HEADER) {
            return Err(SnapshotError::NotASnapshot { line: 1 });
        }
        let mut keys = Vec::new();
        for (text, line) in lines {
            if keys.len() == MOST {
                return Err(SnapshotError::TooMany { limit: MOST });
            }
            keys.push(read_line(text).ok_or(SnapshotError::NotASnapshot { line })?);
        }
        Ok(Self(keys))
    }

    /// Writes the keys to a file, in place of its content, in one step: no reader finds half of
    /// them, not even after a crash. If the path is a link, the link is replaced, not followed.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::File`] if the file cannot be written, or there is no tokio runtime for it.
    pub async fn save(&self, path: impl Into<PathBuf>) -> Result<(), SnapshotError> {
        let (path, text) = (path.into(), self.to_text());
        blocking(move || file::replace(&path, text.as_bytes())).await
    }

    /// Reads the keys from a file. Empty if there is no such file, as at the first start. Removes
    /// files beside it that killed saves have left more than an hour ago.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::File`] if the file cannot be read, and those of [`parse`](Self::parse).
    pub async fn load(path: impl Into<PathBuf>) -> Result<Self, SnapshotError> {
        let path = path.into();
        let read = move || {
            file::sweep(&path);
            match fs::read_to_string(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other.map(Some),
            }
        };
        blocking(read).await?.map_or_else(|| Ok(Self::default()), |text| Self::parse(&text))
    }
}

fn read_line(line: &str) -> Option<HotKey> {
    let mut fields = line.split('\t');
    let (heat, class, key) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    Some(HotKey { heat: heat.parse().ok()?, class: text::unescaped(class)?, key: Key::parse(key).ok()? })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SnapshotError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
    done.map_err(SnapshotError::File)
}

/// Reason why a snapshot could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file could not be read or written.
    #[error("the snapshot's file can't be used: {0}")]
    File(#[source] io::Error),
    /// The text was not written by [`HotKeys::to_text`].
    #[error("not a snapshot of hot keys: line {line} is wrong")]
    NotASnapshot {
        /// The first wrong line, from 1.
        line: usize,
    },
    /// More keys than a snapshot has.
    #[error("more than {limit} keys in a snapshot")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Redis could not be reached, or refused.
    #[cfg(feature = "redis")]
    #[error("the snapshot in Redis can't be used: {0}")]
    Redis(#[from] tidegate_redis::Error),
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_value_is_read_back(keys in vec((".{1,8}", ".{0,8}", ".{0,8}", any::<u64>()), 0..20)) {
            let hot = |(prefix, part, class, heat): (String, String, String, u64)| {
                HotKey { key: Key::builder(prefix).part(part).build().unwrap(), class, heat }
            };
            let keys = HotKeys(keys.into_iter().map(hot).collect());
            prop_assert_eq!(HotKeys::parse(&keys.to_text()).unwrap(), keys);
        }

        #[test]
        fn foreign_text_is_refused_without_a_panic(text in "(tidegate hot keys 1\n)?[0-9a-z%\t\n:#]{0,60}") {
            let _ = HotKeys::parse(&text);
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        let line = |text: &str| match HotKeys::parse(text) {
            Err(SnapshotError::NotASnapshot { line }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!((line(""), line("{}"), line("tidegate hot keys 2\n")), (1, 1, 1));
        assert_eq!(line("tidegate hot keys 1\n3\tapi\tk:1\nx\tapi\tk:1\n"), 3);
        assert_eq!(line("tidegate hot keys 1\n3\tapi\tk:1\tmore\n"), 2);
    }
}
