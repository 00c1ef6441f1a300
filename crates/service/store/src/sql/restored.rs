//! What makes restored tables a life of their own. Run on what nobody else uses, once in a long while, and so over whole tables.

use super::Sql;

/// `$1` another name of the database.
pub(crate) static IDENTIFY: Sql = Sql::one_row("UPDATE installation SET id = $1");

/// `$1` now.
pub(crate) static RENEW_PLANS: Sql = Sql::whole("UPDATE tenant SET plan_epoch = $1 WHERE plan_epoch < $1");

/// `$1` now.
pub(crate) static CLOSE_IMPORTS: Sql = Sql::whole("UPDATE import SET closed_at = $1 WHERE closed_at IS NULL");

/// `$1` now.
pub(crate) static CLOSE_RUNS: Sql = Sql::whole("UPDATE export_run SET closed_at = $1 WHERE closed_at IS NULL");

pub(crate) static CLEAR_TOLD: Sql = Sql::whole("DELETE FROM invalidation");

/// Numbers that were given in the old life are not given again: jobs and followers remember them.
pub(crate) static SKIP_NUMBERS: Sql =
    Sql::whole("UPDATE notification_stream SET last = last + 1000000, gone = last + 1000000");
