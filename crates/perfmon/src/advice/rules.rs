//! One rule a file.

mod batch;
mod heaviest_query;
mod limit_too_tight;
mod longer_ttl;
mod more_room;
mod more_workers;
mod retry_storm;
mod saturation;
mod stampede;

use super::kinds::{Advice, Limits};
use super::stretch::Stretch;

/// Says what it sees in the minutes.
type Rule = fn(&Limits, Stretch<'_>) -> Vec<Advice>;

pub(super) const ALL: &[Rule] = &[
    batch::advise,
    heaviest_query::advise,
    limit_too_tight::advise,
    longer_ttl::advise,
    more_room::advise,
    more_workers::advise,
    retry_storm::advise,
    saturation::advise,
    stampede::advise,
];
