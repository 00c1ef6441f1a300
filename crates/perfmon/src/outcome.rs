//! How requests and runs end, and where a series counts that.

pub(crate) mod call;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod tally;
