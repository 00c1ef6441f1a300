//! The warnings of the servers.

use std::collections::BTreeSet;

use tidegate_redis::{NodeInfo, Thresholds, Warning};

/// Returns the warnings without values, so that a changed value is not logged again.
pub(super) fn warnings_of(servers: &[NodeInfo]) -> BTreeSet<String> {
    let thresholds = Thresholds::default();
    let of = |server: &NodeInfo| {
        let address = server.address.clone();
        server.warnings(&thresholds).into_iter().map(move |warning| format!("{address}: {}", name_of(&warning)))
    };
    servers.iter().flat_map(of).collect()
}

fn name_of(warning: &Warning) -> &'static str {
    match warning {
        Warning::Memory { .. } => "more than 90 % of its memory limit is in use",
        Warning::Processor { .. } => "it uses more than 75 % of a CPU core",
        Warning::Clients { .. } => "more than 10,000 connections are open",
        _ => "it needs attention",
    }
}
