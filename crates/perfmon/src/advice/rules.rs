//! The rules, one a file, and what all of them say.

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
use super::signals::Signals;
use super::stretch::Stretch;

/// Says what it sees in the minutes.
type Rule = fn(&Limits, Stretch<'_>) -> Vec<Advice>;

const ALL: &[Rule] = &[
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

/// Returns all advice for these minutes, oldest first. The advice with the highest confidence comes
/// first, and each rule gives at most one for each target.
///
/// Pass the last 35 minutes; older ones are ignored. Missing minutes are not interpolated.
pub fn advise(limits: &Limits, minutes: &[Signals]) -> Vec<Advice> {
    let stretch = Stretch::new(minutes);
    let mut advice: Vec<Advice> = ALL.iter().flat_map(|rule| rule(limits, stretch)).collect();
    advice.sort_by(|one, other| {
        other.confidence.total_cmp(&one.confidence).then_with(|| (one.id, &one.target).cmp(&(other.id, &other.target)))
    });
    advice
}
