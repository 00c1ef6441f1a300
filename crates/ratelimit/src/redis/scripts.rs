//! The scripts, assembled from their parts.

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

/// The source of a script's time.
#[derive(Clone, Debug)]
pub struct Time {
    clock: ClockPrelude,
    /// Minimum expiry, in milliseconds.
    least_px: u64,
}

impl Time {
    pub(super) const SERVER: Self = Self { clock: ClockPrelude::SERVER, least_px: 1 };

    /// A clock for tests. Keys get a longer expiry, because real time passes in Redis.
    pub(super) fn of_test(clock: ClockPrelude) -> Self {
        Self { clock, least_px: 3_600_000 }
    }

    fn script(&self, name: &'static str, parts: &[&str]) -> Script {
        // Maximum charge of penalties: the largest integer that doubles represent exactly.
        let most_charged = Quota::MAX_LIMIT;
        let longest = BlockPolicy::MAX.as_micros();
        let numbers = format!("LEAST_PX, MOST_CHARGED, MAX_BLOCK = {}, {most_charged}, {longest}", self.least_px);
        let body = format!("local {numbers}\n{}", parts.join("\n"));
        Script::timed(name, &body, &self.clock)
    }

    pub(super) fn tenant(&self) -> Script {
        self.script("tenant", &[LOOK, TENANT_ADMIT, KEY, FIXED_WINDOW, SLIDING_WINDOW, SLIDING_WINDOW_CHANGES, TENANT])
    }
}

/// The scripts for the keys of one algorithm. The Lua code of an algorithm is a function of
/// `(state, now, cost)`, like the Rust code. The script reads the clock first. Other parts read,
/// block and write the key.
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
        // No script is idempotent, not even a peek: its result is valid only for one point in time.
        //
        // A full server refuses the scripts that charge, even for known keys. Otherwise a stream of
        // new keys would grow without bound. The outage policy then decides.
        Self {
            check: time.script("check", &[LOOK, admit, algorithm, named, KEY, CHECK]),
            peek: script("peek", PEEK),
            // An operator blocks and unblocks single keys, which must work on a full server too.
            block: script("block", BLOCK).allow_oom(),
            adjust: changing("adjust", ADJUST),
            lease: changing("lease", LEASE),
            // Numbered, so that the server can distinguish a repetition from a new debit.
            debit: changing("debit", DEBIT).idempotent(),
        }
    }
}

/// The Lua code of an algorithm. Each run defines all functions, so unused ones are omitted.
#[derive(Default)]
struct Parts<'a> {
    /// The fast path of most checks, which needs no functions. Empty if there is none.
    admit: &'a str,
    algorithm: &'a str,
    /// Functions for operations other than checks, peeks and blocks, if they are large.
    changes: &'a str,
    /// Lua statement that names the table of `algorithm`.
    named: &'a str,
}
