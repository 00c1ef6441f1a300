//! The scripts, created once per store.

use tidegate_redis::{ClockPrelude, Script};

/// All scripts of a store. Each may run twice, because its owner or id makes it idempotent.
pub(super) struct Scripts {
    pub(super) permit_acquire: Script,
    pub(super) permit_extend: Script,
    pub(super) permit_release: Script,
    pub(super) once_begin: Script,
    pub(super) once_extend: Script,
    pub(super) once_complete: Script,
    pub(super) once_fail: Script,
    pub(super) stock_add: Script,
    pub(super) stock_reserve: Script,
    pub(super) stock_end: Script,
    pub(super) stock_sweep: Script,
    pub(super) ledger_post: Script,
    pub(super) ledger_credit: Script,
    pub(super) ledger_settle: Script,
    pub(super) ledger_transit: Script,
    pub(super) ledger_read: Script,
    pub(super) read_fields: Script,
}

impl Scripts {
    pub(super) fn new(clock: &ClockPrelude) -> Self {
        let plain = |name, body: &str| Script::new(name, body).idempotent();
        let timed = |name, body: &str| Script::timed(name, body, clock).idempotent();
        let waking = |body: &str| [include_str!("lua/wake_first.lua"), body].concat();
        let journal = include_str!("lua/journal.lua");
        let stock = |name, body: &str| timed(name, &[journal, include_str!("lua/stock_shared.lua"), body].concat());
        let ledger = |name, body: &str| timed(name, &[journal, include_str!("lua/ledger_shared.lua"), body].concat());
        Self {
            permit_acquire: timed("permit_acquire", &waking(include_str!("lua/permit_acquire.lua"))).refuse_oom(),
            permit_extend: timed("permit_extend", include_str!("lua/permit_extend.lua")).allow_oom(),
            permit_release: plain("permit_release", &waking(include_str!("lua/permit_release.lua"))),
            once_begin: timed("once_begin", include_str!("lua/once_begin.lua")).refuse_oom(),
            once_extend: timed("once_extend", include_str!("lua/once_extend.lua")).allow_oom(),
            once_complete: plain("once_complete", include_str!("lua/once_complete.lua")).allow_oom(),
            once_fail: plain("once_fail", include_str!("lua/once_fail.lua")).allow_oom(),
            stock_add: stock("stock_add", include_str!("lua/stock_add.lua")).refuse_oom(),
            stock_reserve: stock("stock_reserve", include_str!("lua/stock_reserve.lua")).refuse_oom(),
            stock_end: stock("stock_end", include_str!("lua/stock_end.lua")).allow_oom(),
            stock_sweep: stock("stock_sweep", include_str!("lua/stock_sweep.lua")).allow_oom(),
            ledger_post: ledger("ledger_post", include_str!("lua/ledger_post.lua")).refuse_oom(),
            // A debited amount arrives or returns, even on a full server.
            ledger_credit: ledger("ledger_credit", include_str!("lua/ledger_credit.lua")).allow_oom(),
            ledger_settle: ledger("ledger_settle", include_str!("lua/ledger_settle.lua")).allow_oom(),
            ledger_transit: ledger("ledger_transit", include_str!("lua/ledger_transit.lua")),
            ledger_read: ledger("ledger_read", include_str!("lua/ledger_read.lua")),
            read_fields: plain("read_fields", &[journal, include_str!("lua/read_fields.lua")].concat()),
        }
    }
}
