//! The set of live processes.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_redis::{Arg, Client, Error, Script};

use crate::LiveProcesses;

/// Time after its last report for which a process is counted.
const COUNTED_FOR: Duration = Duration::from_secs(10);

/// Reports this process as alive and counts the others.
pub(super) struct Roll {
    key: String,
    process: String,
    touch: Script,
    pub(super) live: LiveProcesses,
    /// Whether the last report saw fewer processes than are counted.
    saw_fewer: AtomicBool,
}

impl Roll {
    pub(super) fn new(key: String) -> Self {
        let process = format!("{:016x}", RandomState::new().hash_one("process"));
        let touch = Script::new("touch", include_str!("../../lua/touch.lua")).idempotent().allow_oom();
        Self { key, process, touch, live: LiveProcesses::default(), saw_fewer: AtomicBool::new(false) }
    }

    /// Reports this process. An error does not change the number.
    pub(super) async fn touch(&self, client: &Client) -> Result<(), Error> {
        let counted_for = u64::try_from(COUNTED_FOR.as_millis()).unwrap_or(u64::MAX);
        let args = vec![Arg::from(self.process.as_str()), Arg::from(counted_for)];
        let count = client.run(&self.touch, &[self.key.as_str()], args).await?.as_count()?;
        self.note(u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN));
        Ok(())
    }

    /// Accepts a lower number only from the second consecutive report that sees fewer processes:
    /// after an outage, the first report removes the other processes, which are about to report
    /// too.
    fn note(&self, count: NonZeroU32) {
        let is_fewer = count < self.live.count();
        if is_fewer && !self.saw_fewer.swap(true, Ordering::Relaxed) {
            return;
        }
        self.saw_fewer.store(false, Ordering::Relaxed);
        self.live.set(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_second_touch_in_a_row_that_sees_fewer_lowers_the_number() {
        let roll = Roll::new("processes".to_owned());
        let counted = |seen: [u32; 8]| {
            seen.map(|count| {
                roll.note(NonZeroU32::new(count).unwrap());
                roll.live.count().get()
            })
        };
        assert_eq!(counted([3, 1, 3, 1, 2, 1, 1, 4]), [3, 3, 3, 3, 2, 2, 1, 4]);
    }
}
