//! Statements that make restored tables a new installation. They run rarely and while no other
//! process uses the tables, so they scan whole tables.

use super::Sql;

/// `$1` new id of the installation.
pub(crate) static IDENTIFY: Sql = Sql::one_row("UPDATE installation SET id = $1");

/// `$1` now.
pub(crate) static RENEW_PLANS: Sql = Sql::whole("UPDATE tenant SET plan_epoch = $1 WHERE plan_epoch < $1");

/// `$1` now.
pub(crate) static CLOSE_IMPORTS: Sql = Sql::whole("UPDATE import SET closed_at = $1 WHERE closed_at IS NULL");

/// `$1` now.
pub(crate) static CLOSE_RUNS: Sql = Sql::whole("UPDATE export_run SET closed_at = $1 WHERE closed_at IS NULL");

pub(crate) static CLEAR_TOLD: Sql = Sql::whole("DELETE FROM invalidation");

/// Numbers of the old installation are not assigned again: jobs and followers may remember them.
pub(crate) static SKIP_NUMBERS: Sql =
    Sql::whole("UPDATE notification_stream SET last = last + 1000000, gone = last + 1000000");
