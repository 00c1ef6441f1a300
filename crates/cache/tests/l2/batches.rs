//! Batches through L2: few round trips, and every promise of the single calls.

mod coherence;
mod cost;
mod outage;
mod sharing;
mod stale;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_cache::{Fill, Key, LoadError, Read, Source, Tag};

use crate::ground::{key, tag};

fn many(indexes: impl IntoIterator<Item = u32>) -> Vec<Key> {
    indexes.into_iter().map(key).collect()
}

fn number_of(key: &Key) -> u32 {
    key.as_str().rsplit(':').next().unwrap().parse().unwrap()
}

fn own_tag(index: u32) -> Tag {
    Tag::of(["thing", &index.to_string()])
}

type Answer = Result<Vec<(Key, Fill<u32>)>, Infallible>;

/// A loader that returns the number of each key plus `more`, with two tags, and counts the keys.
fn loader(more: u32, loaded: &Arc<AtomicU32>) -> impl FnOnce(Vec<Key>) -> std::future::Ready<Answer> + Send + 'static {
    let loaded = Arc::clone(loaded);
    move |keys| {
        loaded.fetch_add(u32::try_from(keys.len()).unwrap(), Ordering::SeqCst);
        let fill = |key: &Key| Fill::new(number_of(key) + more).tag(tag()).tag(own_tag(number_of(key)));
        std::future::ready(Ok(keys.iter().map(|key| (key.clone(), fill(key))).collect()))
    }
}

fn values<E: std::fmt::Debug>(reads: Vec<Result<Option<Read<u32>>, LoadError<E>>>) -> Vec<(u32, Source)> {
    let value = |read: Read<u32>| (*read.value, read.source);
    reads.into_iter().map(|read| value(read.unwrap().unwrap())).collect()
}

fn all(count: u32, more: u32, source: Source) -> Vec<(u32, Source)> {
    (0..count).map(|index| (index + more, source)).collect()
}
