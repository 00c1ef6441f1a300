//! The scripts, made once for a store.

use tidegate_redis::{ClockPrelude, Script};

/// All of a store. Every one may run twice: the owner or the id that it is given sees to that.
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
}

impl Scripts {
    pub(super) fn new(clock: &ClockPrelude) -> Self {
        let plain = |name, body: &str| Script::new(name, body).idempotent();
        let timed = |name, body: &str| Script::timed(name, body, clock).idempotent();
        let stock = |name, body: &str| timed(name, &[include_str!("lua/stock_shared.lua"), body].concat());
        Self {
            permit_acquire: timed("permit_acquire", include_str!("lua/permit_acquire.lua")),
            permit_extend: timed("permit_extend", include_str!("lua/permit_extend.lua")),
            permit_release: plain("permit_release", include_str!("lua/permit_release.lua")),
            once_begin: timed("once_begin", include_str!("lua/once_begin.lua")),
            once_extend: timed("once_extend", include_str!("lua/once_extend.lua")),
            once_complete: plain("once_complete", include_str!("lua/once_complete.lua")),
            once_fail: plain("once_fail", include_str!("lua/once_fail.lua")),
            stock_add: stock("stock_add", include_str!("lua/stock_add.lua")),
            stock_reserve: stock("stock_reserve", include_str!("lua/stock_reserve.lua")),
            stock_end: stock("stock_end", include_str!("lua/stock_end.lua")),
            stock_sweep: stock("stock_sweep", include_str!("lua/stock_sweep.lua")),
            ledger_post: timed("ledger_post", include_str!("lua/ledger_post.lua")),
        }
    }
}
