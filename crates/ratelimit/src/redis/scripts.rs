//! The scripts, put together from their parts.

use tidegate_redis::{ClockPrelude, Script};

use crate::{BlockPolicy, Quota};

const KEY: &str = include_str!("../lua/key.lua");
const FIXED_WINDOW: &str = include_str!("../lua/fixed_window.lua");
const SLIDING_WINDOW: &str = include_str!("../lua/sliding_window.lua");
const SLIDING_WINDOW_CHANGES: &str = include_str!("../lua/sliding_window_changes.lua");
const TOKEN_BUCKET: &str = include_str!("../lua/token_bucket.lua");
const SLIDING_COUNTER: &str = include_str!("../lua/sliding_counter.lua");
const WINDOWS: &str = include_str!("../lua/windows.lua");
const LOOK: &str = include_str!("../lua/look.lua");
const SLIDING_WINDOW_ADMIT: &str = include_str!("../lua/sliding_window_admit.lua");
const TOKEN_BUCKET_ADMIT: &str = include_str!("../lua/token_bucket_admit.lua");
const WINDOWS_ADMIT: &str = include_str!("../lua/windows_admit.lua");
const TENANT_ADMIT: &str = include_str!("../lua/tenant_admit.lua");
const ADJUST: &str = include_str!("../lua/adjust.lua");
const CHECK: &str = include_str!("../lua/check.lua");
const DEBIT: &str = include_str!("../lua/debit.lua");
const LEASE: &str = include_str!("../lua/lease.lua");
const PEEK: &str = include_str!("../lua/peek.lua");
const BLOCK: &str = include_str!("../lua/block.lua");
const TENANT: &str = include_str!("../lua/tenant.lua");

/// Where a script's time comes from.
#[derive(Clone, Debug)]
pub struct Time {
    clock: ClockPrelude,
    /// The shortest expiry, in milliseconds.
    least_px: u64,
}

impl Time {
    /// The server's clock, which all clients share.
    pub(super) const SERVER: Self = Self { clock: ClockPrelude::SERVER, least_px: 1 };

    /// The clock of a test. While it stands still, time passes by which Redis forgets, so what is kept is kept longer.
    pub(super) fn of_test(clock: ClockPrelude) -> Self {
        Self { clock, least_px: 3_600_000 }
    }

    fn script(&self, name: &'static str, parts: &[&str]) -> Script {
        // No penalty charges more: it is the greatest number that is exact.
        let most_charged = Quota::MAX_LIMIT;
        let longest = BlockPolicy::MAX.as_micros();
        let numbers = format!("LEAST_PX, MOST_CHARGED, MAX_BLOCK = {}, {most_charged}, {longest}", self.least_px);
        let body = format!("local {numbers}\n{}", parts.join("\n"));
        Script::timed(name, &body, &self.clock)
    }

    /// The script of a tenant's quota.
    pub(super) fn tenant(&self) -> Script {
        self.script("tenant", &[LOOK, TENANT_ADMIT, KEY, FIXED_WINDOW, SLIDING_WINDOW, SLIDING_WINDOW_CHANGES, TENANT])
    }
}

/// What runs over the keys of one algorithm. Its Lua is a function of `(state, now, cost)` as the algorithm is in Rust; the
/// clock stands in front, and what reads, blocks and writes around it.
#[derive(Clone, Debug)]
pub struct Scripts {
    pub(super) check: Script,
    pub(super) peek: Script,
    pub(super) block: Script,
    pub(super) adjust: Script,
    pub(super) lease: Script,
    pub(super) debit: Script,
}

impl Scripts {
    pub(super) fn fixed_window(time: &Time) -> Self {
        Self::new(time, &Parts { algorithm: FIXED_WINDOW, named: "local algorithm = fixed_window", ..Parts::default() })
    }

    pub(super) fn sliding_window(time: &Time) -> Self {
        Self::new(
            time,
            &Parts {
                admit: SLIDING_WINDOW_ADMIT,
                algorithm: SLIDING_WINDOW,
                changes: SLIDING_WINDOW_CHANGES,
                named: "local algorithm = sliding_window",
            },
        )
    }

    pub(super) fn sliding_counter(time: &Time) -> Self {
        Self::new(
            time,
            &Parts { algorithm: SLIDING_COUNTER, named: "local algorithm = sliding_counter", ..Parts::default() },
        )
    }

    pub(super) fn token_bucket(time: &Time) -> Self {
        let named = "local algorithm = token_bucket";
        Self::new(time, &Parts { admit: TOKEN_BUCKET_ADMIT, algorithm: TOKEN_BUCKET, named, ..Parts::default() })
    }

    pub(super) fn windows(time: &Time) -> Self {
        Self::new(
            time,
            &Parts {
                admit: WINDOWS_ADMIT,
                algorithm: &[SLIDING_WINDOW, WINDOWS].join("\n"),
                changes: SLIDING_WINDOW_CHANGES,
                named: "local algorithm = windows",
            },
        )
    }

    fn new(time: &Time, parts: &Parts<'_>) -> Self {
        let Parts { admit, algorithm, changes, named } = parts;
        let script = |name, work| time.script(name, &[algorithm, named, KEY, work]);
        let changing = |name, work| time.script(name, &[algorithm, changes, named, KEY, work]);
        // None is idempotent, not even a peek: what it answers is true of one moment.
        //
        // Those that charge are refused by a full server, also where their key is known: a stream
        // of new keys would grow without bound. The outage policy decides then.
        Self {
            check: time.script("check", &[LOOK, admit, algorithm, named, KEY, CHECK]),
            peek: script("peek", PEEK),
            // An operator blocks and unblocks keys one by one, also on a full server.
            block: script("block", BLOCK).allow_oom(),
            adjust: changing("adjust", ADJUST),
            lease: changing("lease", LEASE),
            // Numbered, so that the server tells a repetition from a new one.
            debit: changing("debit", DEBIT).idempotent(),
        }
    }
}

/// The Lua of an algorithm. A script defines all its functions each time it runs, so it pays to leave out what it can't call.
#[derive(Default)]
struct Parts<'a> {
    /// The way of most checks, which need no function; empty where there is none.
    admit: &'a str,
    algorithm: &'a str,
    /// What it has beside checks, looks and blocks, where that is much.
    changes: &'a str,
    /// Which table `algorithm` is.
    named: &'a str,
}
