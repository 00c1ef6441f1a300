//! A tenant's plan for the script: 35 bytes, of which the script compares the first seven.

use crate::{StoreError, TenantPlan, Tier, TierLimits};

/// Encodes an unlimited or unknown number of users: one above the maximum.
pub(super) const ANY: u64 = 1 << 32;

const BYTES: usize = 35;

/// `<I7 epoch><B tier><B bits of own limits><I7 minute><I7 hour><I7 day><I5 users>`, little-endian.
pub(super) fn pack(plan: &TenantPlan) -> Vec<u8> {
    let limits = plan.limits();
    let own = plan.own().iter().rev().fold(0_u8, |bits, own| bits << 1 | u8::from(*own));
    let tier = Tier::ALL.iter().position(|tier| *tier == plan.tier()).and_then(|index| u8::try_from(index).ok());
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(&plan.epoch().to_le_bytes()[..7]);
    bytes.extend([tier.unwrap_or(0), own]);
    for limit in [limits.per_minute(), limits.per_hour(), limits.per_day()] {
        bytes.extend_from_slice(&limit.to_le_bytes()[..7]);
    }
    bytes.extend_from_slice(&limits.max_users().map_or(ANY, u64::from).to_le_bytes()[..5]);
    bytes
}

/// Decodes the result of [`pack`].
pub(super) fn unpack(bytes: &[u8]) -> Result<TenantPlan, StoreError> {
    read(bytes).ok_or_else(|| StoreError::new("the plan of a tenant can't be read"))
}

fn read(bytes: &[u8]) -> Option<TenantPlan> {
    let number = |at: usize, length: usize| {
        let mut whole = [0; 8];
        whole[..length].copy_from_slice(bytes.get(at..at + length)?);
        Some(u64::from_le_bytes(whole))
    };
    let tier = *Tier::ALL.get(usize::from(*bytes.get(7)?))?;
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
    use crate::{Overrides, Quota};

    proptest! {
        #[test]
        fn what_is_packed_is_read(
            tier in 0..4_usize, epoch in 0..=TenantPlan::MAX_EPOCH,
            per_minute in prop::option::of(1..=Quota::MAX_LIMIT), per_hour in prop::option::of(1..=Quota::MAX_LIMIT),
            per_day in prop::option::of(1..=Quota::MAX_LIMIT), max_users in prop::option::of(1..=u32::MAX),
        ) {
            let plan = TenantPlan::try_new(Tier::ALL[tier], Overrides { per_minute, per_hour, per_day, max_users })?;
            let bytes = pack(&plan.at_epoch(epoch));
            prop_assert_eq!(bytes.len(), BYTES);
            prop_assert_eq!(unpack(&bytes), Ok(plan.at_epoch(epoch)));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = unpack(&bytes);
        }
    }
}
