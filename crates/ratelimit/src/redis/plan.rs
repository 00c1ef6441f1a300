//! A tenant's plan for the script: 35 bytes, of which the script compares the first seven.

use crate::tenant::TierName;
use crate::{StoreError, TenantPlan, TierLimits, Tiers};

/// Encodes an unlimited or unknown number of users: one above the maximum.
pub(super) const ANY: u64 = 1 << 32;

const BYTES: usize = 35;

/// The position of a tier that is not in the table of the process that stored the plan.
const UNLISTED: u8 = u8::MAX;
/// Its name, and that of a tier that is not in the table of the process that reads the plan.
const UNKNOWN: TierName = TierName::new("unknown").expect("it has the form of a name");

/// `<I7 epoch><B tier><B bits of own limits><I7 minute><I7 hour><I7 day><I5 users>`, little-endian.
/// A tier is its position in the table.
pub(super) fn pack(plan: &TenantPlan, tiers: &Tiers) -> Vec<u8> {
    let limits = plan.limits();
    let own = plan.own().iter().rev().fold(0_u8, |bits, own| bits << 1 | u8::from(*own));
    let tier = tiers.iter().position(|tier| tier.name() == plan.tier());
    let tier = tier.and_then(|position| u8::try_from(position).ok()).unwrap_or(UNLISTED);
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(&plan.epoch().to_le_bytes()[..7]);
    bytes.extend([tier, own]);
    for limit in [limits.per_minute(), limits.per_hour(), limits.per_day()] {
        bytes.extend_from_slice(&limit.to_le_bytes()[..7]);
    }
    bytes.extend_from_slice(&limits.max_users().map_or(ANY, u64::from).to_le_bytes()[..5]);
    bytes
}

/// Decodes the result of [`pack`].
pub(super) fn unpack(bytes: &[u8], tiers: &Tiers) -> Result<TenantPlan, StoreError> {
    read(bytes, tiers).ok_or_else(|| StoreError::new("the plan of a tenant can't be read"))
}

fn read(bytes: &[u8], tiers: &Tiers) -> Option<TenantPlan> {
    let number = |at: usize, length: usize| {
        let mut whole = [0; 8];
        whole[..length].copy_from_slice(bytes.get(at..at + length)?);
        Some(u64::from_le_bytes(whole))
    };
    let tier = tiers.iter().nth(usize::from(*bytes.get(7)?)).map_or(UNKNOWN, |tier| tier.name);
    let bits = *bytes.get(8)?;
    let users = number(30, 5)?;
    let users = if users == ANY { None } else { Some(u32::try_from(users).ok()?) };
    let limits = TierLimits::new(number(9, 7)?, number(16, 7)?, number(23, 7)?, users).ok()?;
    Some(TenantPlan::of_parts(tier, limits, [0, 1, 2, 3].map(|bit| bits >> bit & 1 == 1), number(0, 7)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Overrides, Quota, Tier};

    fn five() -> Tiers {
        Tiers::default().with(Tier::new("startup", Tier::FREE.limits()).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read(
            tier in 0..5_usize, epoch in 0..=TenantPlan::MAX_EPOCH,
            per_minute in prop::option::of(1..=Quota::MAX_LIMIT), per_hour in prop::option::of(1..=Quota::MAX_LIMIT),
            per_day in prop::option::of(1..=Quota::MAX_LIMIT), max_users in prop::option::of(1..=u32::MAX),
        ) {
            let (tiers, own) = (five(), Overrides { per_minute, per_hour, per_day, max_users });
            let plan = TenantPlan::try_new(*tiers.iter().nth(tier).unwrap(), own)?.at_epoch(epoch);
            let bytes = pack(&plan, &tiers);
            prop_assert_eq!(bytes.len(), BYTES);
            prop_assert_eq!(unpack(&bytes, &tiers), Ok(plan));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = unpack(&bytes, &five());
        }
    }

    #[test]
    fn a_tier_that_another_process_does_not_know_keeps_its_limits() {
        let startup = five().get("startup").unwrap();
        let plan = TenantPlan::try_new(startup, Overrides { per_day: Some(7), ..Overrides::default() }).unwrap();
        for (writer, reader) in [(five(), Tiers::default()), (Tiers::default(), five())] {
            let read = unpack(&pack(&plan.at_epoch(3), &writer), &reader).unwrap();
            assert_eq!((read.tier(), read.epoch(), read.limits()), ("unknown", 3, plan.limits()));
            assert_eq!(read.overrides(), plan.overrides());
        }
    }
}
