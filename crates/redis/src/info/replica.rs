//! The replicas of a primary, as its `INFO` reports them.

use std::time::Duration;

use super::Fields;

/// A replica as its primary reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaInfo {
    /// Host and port.
    pub address: String,
    /// Whether it receives the replication stream. False while it waits for its first copy.
    pub is_online: bool,
    /// Time since its last acknowledgement, in whole seconds.
    pub lag: Duration,
    /// Bytes of the replication stream that it has not acknowledged.
    pub behind: u64,
}

/// Parses the lines `slave0`, `slave1` and so on.
pub(super) fn of(fields: &Fields<'_>) -> Vec<ReplicaInfo> {
    let Some(written) = fields.number("master_repl_offset") else { return Vec::new() };
    let listed = (0..).map_while(|index| fields.text(&format!("slave{index}")));
    listed.filter_map(|line| replica(line, written)).collect()
}

/// Parses a line such as `ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`.
fn replica(line: &str, written: u64) -> Option<ReplicaInfo> {
    let field = |name: &str| line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    Some(ReplicaInfo {
        address: format!("{}:{}", field("ip")?, field("port")?),
        is_online: field("state") == Some("online"),
        // Old versions report -1 before the first acknowledgement.
        lag: Duration::from_secs(field("lag")?.parse().unwrap_or(0)),
        behind: written.saturating_sub(field("offset")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replica_is_read_with_its_lag() {
        let text = "role:master\r\nmaster_repl_offset:1000\r\n\
            slave0:ip=10.0.0.2,port=6380,state=online,offset=900,lag=3\r\n\
            slave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r\n\
            slave2:nonsense\r\nslave3:ip=::1,port=1,state=online,offset=1001,lag=-1\r\n";
        let replica = |address: &str, is_online, seconds, behind| ReplicaInfo {
            address: address.to_owned(),
            is_online,
            lag: Duration::from_secs(seconds),
            behind,
        };
        let expected = [
            replica("10.0.0.2:6380", true, 3, 100),
            replica("10.0.0.3:6380", false, 0, 1_000),
            replica("::1:1", true, 0, 0),
        ];
        assert_eq!(of(&Fields::parse(text)), expected);
        assert!(of(&Fields::parse("role:slave\nslave0:ip=1,port=1,state=online,offset=1,lag=0")).is_empty());
    }
}
