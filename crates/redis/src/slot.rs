//! The slot of a key: CRC16 of its hash tag, modulo 16,384, according to the cluster specification.

/// Number of slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key in a cluster.
///
/// If the key contains a non-empty part in braces, only the first such part counts.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

/// The common slot of all keys. `None` if they have several slots, or there are no keys.
pub(crate) fn common_slot<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Option<u16> {
    let mut slots = keys.into_iter().map(slot_of);
    let first = slots.next()?;
    slots.all(|slot| slot == first).then_some(first)
}

/// A hash tag in `slot`. Tries numbers until one fits: about 0.5 ms, so not for a hot path.
pub(crate) fn tag_in(slot: u16) -> String {
    tag_where(|candidate| candidate == slot)
}

/// A hash tag whose slot satisfies `is_wanted`. There must be such a slot.
pub(crate) fn tag_where(is_wanted: impl Fn(u16) -> bool) -> String {
    (0_u64..)
        .map(|number| number.to_string())
        .find(|tag| is_wanted(slot_of(tag.as_bytes())))
        .expect("numbers reach every slot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_tag_counts() {
        assert_eq!(slot_of(b"123456789"), 0x31C3); // the specification's own example
        assert_eq!(slot_of(b"a:{tag}:b"), slot_of(b"tag"));
        assert_ne!(slot_of(b"{}a"), slot_of(b"{}b"));
    }

    #[test]
    fn keys_of_several_slots_have_none_in_common() {
        let keys: [&[u8]; 2] = [b"{a}:1", b"{a}:2"];
        assert_eq!(common_slot(keys), Some(slot_of(b"a")));
        let keys: [&[u8]; 2] = [b"a", b"b"];
        assert_eq!(common_slot(keys), None);
        assert_eq!(common_slot([]), None);
    }

    #[test]
    fn every_slot_has_a_tag() {
        for slot in [0, 1, 8191, SLOTS - 1] {
            assert_eq!(slot_of(format!("probe:{{{}}}", tag_in(slot)).as_bytes()), slot);
        }
    }
}
