//! The scripts of the tier; each is one step on the server.

use tidegate_redis::{ClockPrelude, Script};

/// All of them, with their digests.
pub(super) struct Scripts {
    pub(super) look: Script,
    pub(super) fill: Script,
    pub(super) release: Script,
    pub(super) put: Script,
    /// Like `put`, also on a full server: the mark of an ended session replaces the session.
    #[cfg(feature = "sessions")]
    pub(super) put_end: Script,
    #[cfg(feature = "sessions")]
    pub(super) put_unless: Script,
    pub(super) forget: Script,
    pub(super) mark: Script,
    pub(super) look_many: Script,
    pub(super) glance_many: Script,
    pub(super) peek_many: Script,
    pub(super) fill_many: Script,
    pub(super) release_many: Script,
    pub(super) renew_many: Script,
    pub(super) put_many: Script,
    pub(super) time: Script,
    pub(super) forget_many: Script,
    pub(super) absent_many: Script,
    pub(super) expire_many: Script,
    pub(super) heads: Script,
    pub(super) tag_read: Script,
    pub(super) tag_move: Script,
    pub(super) tags_move: Script,
    pub(super) epoch_open: Script,
    pub(super) epoch_read: Script,
    pub(super) epoch_move: Script,
    pub(super) epoch_new: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let clock = &ClockPrelude::SERVER;
        Self {
            // Idempotent scripts only invalidate or take part: run twice, they invalidate no less.
            // A fill is not: its second attempt would take the first for an invalidation.
            look: Script::new("cache look", include_str!("lua/look.lua")).idempotent(),
            fill: dating("cache fill", include_str!("lua/fill.lua")).refuse_oom(),
            release: Script::new("cache release", include_str!("lua/release.lua")),
            put: dating("cache put", include_str!("lua/put.lua")).refuse_oom(),
            #[cfg(feature = "sessions")]
            put_end: dating("cache put_end", include_str!("lua/put.lua")).allow_oom(),
            #[cfg(feature = "sessions")]
            put_unless: dating("cache put_unless", include_str!("lua/put_unless.lua")).refuse_oom(),
            forget: Script::new("cache forget", include_str!("lua/forget.lua")).idempotent(),
            mark: Script::new("cache mark", include_str!("lua/mark.lua")).idempotent(),
            look_many: Script::new("cache look_many", include_str!("lua/look_many.lua")).idempotent(),
            glance_many: Script::new("cache glance_many", include_str!("lua/glance_many.lua")).idempotent(),
            peek_many: Script::new("cache peek_many", include_str!("lua/peek_many.lua")),
            fill_many: dating("cache fill_many", include_str!("lua/fill_many.lua")).refuse_oom(),
            release_many: Script::new("cache release_many", include_str!("lua/release_many.lua")),
            renew_many: Script::new("cache renew_many", include_str!("lua/renew_many.lua")).idempotent(),
            put_many: dating("cache put_many", include_str!("lua/put_many.lua")).refuse_oom(),
            time: Script::timed("cache time", include_str!("lua/time.lua"), clock).idempotent(),
            forget_many: Script::new("cache forget_many", include_str!("lua/forget_many.lua")).idempotent(),
            absent_many: Script::new("cache absent_many", include_str!("lua/absent_many.lua")),
            expire_many: Script::timed("cache expire_many", include_str!("lua/expire_many.lua"), clock).idempotent(),
            heads: Script::new("cache heads", include_str!("lua/heads.lua")).idempotent(),
            tag_read: of_generations("cache tag_read", include_str!("lua/tag_read.lua")).idempotent(),
            tag_move: of_generations("cache tag_move", include_str!("lua/tag_move.lua")).idempotent(),
            tags_move: of_generations("cache tags_move", include_str!("lua/tags_move.lua")).idempotent(),
            epoch_open: Script::new("cache epoch_open", include_str!("lua/epoch_open.lua")).idempotent(),
            epoch_read: Script::timed("cache epoch_read", include_str!("lua/epoch_read.lua"), clock).idempotent(),
            epoch_move: Script::new("cache epoch_move", include_str!("lua/epoch_move.lua")).idempotent(),
            epoch_new: Script::new("cache epoch_new", include_str!("lua/epoch_new.lua")).idempotent(),
        }
    }
}

/// Returns a script that reads the time and distinguishes a generation from foreign values.
fn of_generations(name: &'static str, body: &str) -> Script {
    let body = format!("{}\n{body}", include_str!("lua/is_generation.lua"));
    Script::timed(name, &body, &ClockPrelude::SERVER)
}

/// Returns a script that stores entries, each with the date of its end.
///
/// It deletes a fence first, and after a deletion a full server accepts all commands of a script.
/// So scripts that store the values of callers and loads are refused as a whole.
fn dating(name: &'static str, body: &str) -> Script {
    let body = format!("{}\n{body}", include_str!("lua/dated.lua"));
    Script::timed(name, &body, &ClockPrelude::SERVER)
}
