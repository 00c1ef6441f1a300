//! Scripts over many keys, in steps that are short for Redis: of one slot in a cluster, bounded in
//! keys and in bytes, many of them in flight at once.

use std::collections::BTreeMap;

use tidegate_redis::{Arg, Client, Error, Replicas, Script, Topology, Value};

use super::patience::{Impatience, Patience};

/// Keys of the cache in one step: some hundred microseconds of the server's time.
pub(super) const KEYS: usize = 64;
/// Bytes of one step, or after which it gets no further value.
pub(super) const BYTES: usize = 256 << 10;
/// Keys in flight at once, so that the commands of others run between them.
pub(super) const UNDER_WAY: usize = 1024;

/// Keys and arguments that one key of the cache adds to a script.
pub(super) struct Item {
    /// The keys in Redis, all of one slot.
    pub(super) names: Vec<String>,
    pub(super) args: Vec<Arg>,
    /// Approximate length of the arguments.
    pub(super) bytes: usize,
}

/// Servers that run the script.
pub(super) enum Servers<'a> {
    Primaries(&'a Client),
    /// For scripts that only read.
    Replicas(&'a Client, &'a Replicas),
}

impl<'a> From<&'a Client> for Servers<'a> {
    fn from(client: &'a Client) -> Self {
        Self::Primaries(client)
    }
}

impl Servers<'_> {
    fn is_cluster(&self) -> bool {
        let (Self::Primaries(client) | Self::Replicas(client, _)) = self;
        client.topology() == Topology::Cluster
    }

    async fn run_in(&self, slot: u16, script: &Script, count: usize, all: Vec<Arg>) -> Result<Value, Error> {
        match self {
            Self::Primaries(client) => client.run_in(slot, script, count, all).await,
            Self::Replicas(_, replicas) => replicas.run_in(slot, script, count, all).await,
        }
    }
}

/// Replies of several steps, each of which may fail on its own.
pub(super) struct Answered<T> {
    /// In the order of the items; `None` if a step failed.
    pub(super) answers: Vec<Option<T>>,
    pub(super) failures: Vec<Impatience<Error>>,
}

impl<T> Answered<T> {
    /// Returns the first error, if there is one. An exceeded patience is not an error.
    pub(super) fn heard(self) -> Result<(), Error> {
        for failure in self.failures {
            if let Impatience::Failed(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Runs the script over all items. `common` holds the arguments that come before those of the
/// items. Each item has `width` values in the reply. A script may reply for the first items only,
/// and then runs again for the others.
pub(super) async fn run_many<'a>(
    servers: impl Into<Servers<'a>>,
    script: &Script,
    common: &[Arg],
    items: Vec<Item>,
    width: usize,
    patience: &mut Patience,
) -> Answered<Vec<Value>> {
    let (servers, count) = (servers.into(), items.len());
    let groups = grouped(servers.is_cluster(), items);
    let at_once = (UNDER_WAY * groups.len()).div_ceil(count.max(1)).max(1);
    let mut indexes = Vec::with_capacity(groups.len());
    let mut steps = Vec::with_capacity(groups.len());
    for group in groups {
        indexes.push(group.indexes);
        steps.push(step(&servers, script, common, group.slot, group.items, width));
    }
    let done = patience.spend_each(at_once, steps).await;
    let mut answered = Answered { answers: (0..count).map(|_| None).collect(), failures: Vec::new() };
    for (indexes, done) in indexes.into_iter().zip(done) {
        match done {
            Ok(answers) => {
                for (index, answer) in indexes.into_iter().zip(answers) {
                    answered.answers[index] = Some(answer);
                }
            }
            Err(error) => answered.failures.push(error),
        }
    }
    answered
}

async fn step(
    servers: &Servers<'_>,
    script: &Script,
    common: &[Arg],
    slot: u16,
    items: Vec<Item>,
    width: usize,
) -> Result<Vec<Vec<Value>>, Error> {
    let mut answers = Vec::with_capacity(items.len());
    while answers.len() < items.len() {
        let rest = &items[answers.len()..];
        let names = rest.iter().flat_map(|item| &item.names).map(Arg::from);
        let args = rest.iter().flat_map(|item| item.args.iter().cloned());
        let all = names.chain(common.iter().cloned()).chain(args).collect();
        let count = rest.iter().map(|item| item.names.len()).sum();
        let mut values = servers.run_in(slot, script, count, all).await?.into_array()?.into_iter();
        let before = answers.len();
        while values.len() >= width && answers.len() < items.len() {
            answers.push(values.by_ref().take(width).collect());
        }
        if answers.len() == before {
            // A missing reply is an error.
            Value::Nil.into_bytes()?;
        }
    }
    Ok(answers)
}

struct Group {
    slot: u16,
    indexes: Vec<usize>,
    items: Vec<Item>,
    bytes: usize,
}

fn grouped(is_cluster: bool, items: Vec<Item>) -> Vec<Group> {
    // Outside a cluster, one script takes keys of all slots.
    let slot_of = |item: &Item| item.names.first().filter(|_| is_cluster).map_or(0, |name| Client::slot_of(name));
    let mut open: BTreeMap<u16, Group> = BTreeMap::new();
    let mut full = Vec::new();
    let empty = |slot| Group { slot, indexes: Vec::new(), items: Vec::new(), bytes: 0 };
    for (index, item) in items.into_iter().enumerate() {
        let slot = slot_of(&item);
        let group = open.entry(slot).or_insert_with(|| empty(slot));
        if group.items.len() >= KEYS || (!group.items.is_empty() && group.bytes + item.bytes > BYTES) {
            full.push(std::mem::replace(group, empty(slot)));
        }
        group.bytes += item.bytes;
        group.indexes.push(index);
        group.items.push(item);
    }
    full.extend(open.into_values());
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(count: usize, bytes: usize) -> Vec<Item> {
        (0..count).map(|index| Item { names: vec![format!("{{{index}}}")], args: Vec::new(), bytes }).collect()
    }

    #[test]
    fn a_step_is_bounded_in_keys_and_in_bytes() {
        let of = |count, bytes| -> Vec<usize> {
            grouped(false, items(count, bytes)).iter().map(|group| group.items.len()).collect()
        };
        assert_eq!(of(130, 10), [64, 64, 2]);
        assert_eq!(of(5, BYTES / 2), [2, 2, 1]);
        // A key that is too large on its own has its own step.
        assert_eq!(of(3, BYTES * 2), [1, 1, 1]);
        assert_eq!(of(0, 0), [0; 0]);
    }

    #[test]
    fn a_step_in_a_cluster_has_one_slot_and_nothing_is_lost() {
        let groups = grouped(true, items(2000, 10));
        for group in &groups {
            assert!(group.items.iter().all(|item| Client::slot_of(&item.names[0]) == group.slot));
        }
        let mut indexes: Vec<usize> = groups.iter().flat_map(|group| group.indexes.clone()).collect();
        indexes.sort_unstable();
        assert!(indexes.into_iter().eq(0..2000));
    }
}
