//! How many connections the system has room for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that are reserved for databases, files and Redis.
const KEPT: usize = 256;

/// Raises the limit on file descriptors for that many connections, as far as the system allows, and
/// returns how many connections fit.
///
/// The usual soft limit of 1,024 exists for old programs. A process may raise it up to the hard
/// limit.
pub(super) fn room_for(connections: usize) -> usize {
    let needed = connections.saturating_add(KEPT) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means no limit.
    if current.is_none_or(|current| current >= needed) {
        return connections;
    }
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files can't be raised");
            current.unwrap_or(raised)
        }
    };
    let room = fitting(connections, limit);
    if room < connections {
        tracing::warn!(
            "{room} connections fit into the limit of {limit} open files, not {connections}; raise it (`ulimit -n`), or lower \
             TIDEGATE_HTTP_CAPACITY"
        );
    }
    room
}

/// Returns how many connections fit: the limit without the reserved part, or half of a very small
/// limit.
fn fitting(connections: usize, limit: u64) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    connections.min(limit.saturating_sub(KEPT).max(limit / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        for (connections, limit, fit) in
            [(10_000, 20_000, 10_000), (10_000, 1_024, 768), (10_000, 128, 64), (100, 1_024, 100), (5, 0, 1)]
        {
            assert_eq!(fitting(connections, limit), fit, "{connections} of {limit}");
        }
    }
}
