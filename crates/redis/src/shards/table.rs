//! The table of slots.

use super::address::Address;
use super::shard::Shard;
use crate::slot::SLOTS;
use crate::value::Value;

/// A range of slots and its primary, as `CLUSTER SLOTS` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) primary: Address,
}

/// Parses the answer to `CLUSTER SLOTS`. Unreadable entries are skipped. `from` is the server that
/// returned it.
pub(super) fn read_slots(answer: Value, from: &Address) -> Vec<Range> {
    let ranges = answer.into_array().unwrap_or_default();
    ranges.into_iter().filter_map(|range| read_range(range, from)).collect()
}

fn read_range(range: Value, from: &Address) -> Option<Range> {
    let mut fields = range.into_array().ok()?.into_iter();
    let first = slot(&fields.next()?)?;
    let last = slot(&fields.next()?)?;
    let mut primary = fields.next()?.into_array().ok()?.into_iter();
    let host = primary.next()?.into_text().unwrap_or_default();
    let port = u16::try_from(primary.next()?.as_int().ok()?).ok()?;
    let host = if matches!(host.as_str(), "" | "?") { from.host.clone() } else { host };
    Some(Range { first, last, primary: Address { host, port } })
}

fn slot(value: &Value) -> Option<u16> {
    u16::try_from(value.as_int().ok()?).ok().filter(|slot| *slot < SLOTS)
}

/// The primaries, and the primary of each slot.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) shards: Vec<Shard>,
    /// Empty if one shard serves all slots.
    slots: Vec<Option<Shard>>,
}

impl Table {
    /// A table with one shard that serves all slots.
    pub(super) fn single(shard: Shard) -> Self {
        Self { shards: vec![shard], slots: Vec::new() }
    }

    /// `shard_of` finds the shard of an address. Slots of unknown addresses stay empty.
    pub(super) fn of_cluster(ranges: &[Range], shard_of: impl Fn(&Address) -> Option<Shard>) -> Self {
        let mut table = Self { shards: Vec::new(), slots: vec![None; usize::from(SLOTS)] };
        for range in ranges {
            let Some(shard) = shard_of(&range.primary) else { continue };
            if !table.shards.iter().any(|known| known.is(&shard)) {
                table.shards.push(shard.clone());
            }
            for slot in range.first..=range.last {
                table.slots[usize::from(slot)] = Some(shard.clone());
            }
        }
        table
    }

    pub(super) fn of(&self, slot: u16) -> Option<Shard> {
        if self.slots.is_empty() { self.shards.first().cloned() } else { self.slots[usize::from(slot)].clone() }
    }

    pub(super) fn at(&self, address: &Address) -> Option<Shard> {
        self.shards.iter().find(|shard| shard.address() == address).cloned()
    }

    /// A slot of that shard.
    pub(super) fn slot_of(&self, shard: &Shard) -> Option<u16> {
        if self.slots.is_empty() {
            return Some(0);
        }
        let slot = self.slots.iter().position(|of| of.as_ref().is_some_and(|of| of.is(shard)))?;
        u16::try_from(slot).ok()
    }

    /// The slots of that shard.
    pub(super) fn slots_of(&self, shard: &Shard) -> Vec<u16> {
        if self.slots.is_empty() {
            return (0..SLOTS).collect();
        }
        let served = (0..SLOTS).zip(&self.slots);
        served.filter(|(_, of)| of.as_ref().is_some_and(|of| of.is(shard))).map(|(slot, _)| slot).collect()
    }

    /// Whether both have the same content.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let is_same = |(one, two): (&Option<Shard>, &Option<Shard>)| match (one, two) {
            (Some(one), Some(two)) => one.is(two),
            (None, None) => true,
            _ => false,
        };
        self.shards.len() == other.shards.len()
            && self.slots.len() == other.slots.len()
            && self.slots.iter().zip(&other.slots).all(is_same)
    }

    /// Adds a shard whose slots aren't known yet.
    pub(super) fn add(&mut self, shard: Shard) {
        self.shards.push(shard);
    }

    /// Assigns one slot to another shard.
    pub(super) fn set(&mut self, slot: u16, shard: Shard) {
        if !self.shards.iter().any(|known| known.is(&shard)) {
            self.shards.push(shard.clone());
        }
        if let Some(entry) = self.slots.get_mut(usize::from(slot)) {
            *entry = Some(shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn node(host: &'static str, port: i64) -> Value {
        Value::Array(vec![Value::Bytes(Bytes::from_static(host.as_bytes())), Value::Int(port)])
    }

    #[test]
    fn reads_ranges_and_leaves_out_what_is_not_one() {
        let from = Address { host: "seed".to_owned(), port: 1 };
        let answer = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(5460), node("10.0.0.1", 7000), node("10.0.0.9", 7009)]),
            Value::Array(vec![Value::Int(5461), Value::Int(16_383), node("", 7001)]),
            Value::Array(vec![Value::Int(0), Value::Int(99_999), node("far", 7000)]),
            Value::Array(vec![Value::Int(0)]),
            Value::Nil,
        ]);
        let primary = |host: &str, port| Address { host: host.to_owned(), port };
        let expected = vec![
            Range { first: 0, last: 5460, primary: primary("10.0.0.1", 7000) },
            Range { first: 5461, last: 16_383, primary: primary("seed", 7001) },
        ];
        assert_eq!(read_slots(answer, &from), expected);
        assert_eq!(read_slots(Value::Int(1), &from), Vec::new());
    }
}
