//! Checks whether the servers suit their role. Reads `INFO`, since managed services forbid `CONFIG
//! GET`.

use crate::append_only;
use crate::config::{Config, Role, Topology};
use crate::error::{ConnectError, Error};
use crate::info::Fields;
use crate::shards::{Connection, Shards};
use crate::value::Value;

/// The oldest supported version. Needed for multi-part append-only files, `EXPIRE … NX` and
/// `GETEX`.
const OLDEST: (u32, u32) = (7, 0);

/// Checks every server. Returns warnings about problems that don't prevent operation.
pub(crate) async fn server(shards: &Shards, config: &Config, role: Role) -> Result<Vec<String>, ConnectError> {
    let mut warnings = Vec::new();
    for shard in shards.all() {
        let address = shard.address().to_string();
        let answer = shard.connection().send("INFO", Vec::new()).await.map_err(|error| Error::from_fred(&error));
        let text = answer.and_then(|answer| Value::from_fred(answer).into_text()).map_err(|error| {
            let detail = format!("it does not answer INFO: {error}");
            ConnectError::Unsuitable { address: address.clone(), detail }
        })?;
        let info = Fields::parse(&text);
        if config.topology() == Topology::Single && info.text("cluster_enabled") == Some("1") {
            let detail = "it belongs to a cluster, so the URL has to start with redis-cluster://".to_owned();
            return Err(ConnectError::Unsuitable { address, detail });
        }
        warnings.extend(judge(&address, &info, role, config.allows_eviction())?);
        if let Some(name) = append_only::keeps_torn_scripts(&info).filter(|_| role == Role::Durable)
            && loads_truncated(shard.connection()).await
        {
            warnings.push(append_only::advice(&address, &name));
        }
    }
    Ok(warnings)
}

/// Whether the server starts with a torn append-only file. That is the default, also assumed if the
/// server doesn't answer.
async fn loads_truncated(connection: &Connection) -> bool {
    let answer = connection.send("CONFIG", vec!["GET".into(), "aof-load-truncated".into()]).await;
    let values = answer.ok().and_then(|answer| Value::from_fred(answer).into_map().ok());
    let value = values.and_then(|values| values.into_iter().next()).and_then(|(_, value)| value.into_text().ok());
    value.is_none_or(|value| value != "no")
}

fn judge(address: &str, info: &Fields<'_>, role: Role, allows_eviction: bool) -> Result<Vec<String>, ConnectError> {
    let address = address.to_owned();
    if info.version().is_none_or(|version| version < OLDEST) {
        let version = info.text("redis_version").unwrap_or("unknown").to_owned();
        return Err(ConnectError::TooOld { address, version });
    }
    if info.text("role") == Some("slave") {
        let host = info.text("master_host").unwrap_or("an unknown server");
        let primary = info.text("master_port").map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        return Err(ConnectError::Replica { address, primary });
    }
    let policy = info.text("maxmemory_policy");
    let has_limit = info.number("maxmemory").is_some_and(|limit: u64| limit > 0);
    let mut warnings = Vec::new();
    match role {
        Role::Durable => {
            match policy {
                Some("noeviction") => {}
                Some(policy) if allows_eviction => {
                    warnings.push(format!("{address} evicts keys ({policy}): under memory pressure jobs are lost"));
                }
                Some(policy) => return Err(ConnectError::Evicts { address, policy: policy.to_owned() }),
                None => warnings.push(format!("{address} does not tell its maxmemory-policy; it has to be noeviction")),
            }
            if info.text("aof_enabled") == Some("0") {
                warnings.push(format!(
                    "{address} keeps no append-only file: a crash loses what came since its last snapshot"
                ));
            }
        }
        Role::Cache => {
            if policy == Some("noeviction") && has_limit {
                warnings.push(format!(
                    "{address} does not evict (maxmemory-policy noeviction): once full it refuses what is to be cached; \
                     allkeys-lru suits a cache"
                ));
            }
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_text(text: &str, role: Role, allows_eviction: bool) -> Result<Vec<String>, ConnectError> {
        judge("here:6379", &Fields::parse(text), role, allows_eviction)
    }

    const GOOD: &str = "redis_version:7.0.0\nrole:master\nmaxmemory:0\nmaxmemory_policy:noeviction\naof_enabled:1\n";

    #[test]
    fn a_good_server_has_nothing_to_be_said() {
        assert_eq!(judge_text(GOOD, Role::Durable, false).unwrap(), Vec::<String>::new());
        assert_eq!(judge_text(GOOD, Role::Cache, false).unwrap(), Vec::<String>::new());
        let valkey = GOOD.replace("7.0.0", "7.2.4");
        assert!(judge_text(&valkey, Role::Durable, false).unwrap().is_empty());
    }

    #[test]
    fn an_old_server_is_refused() {
        for version in ["6.2.14", "2.8", "x"] {
            let error = judge_text(&GOOD.replace("7.0.0", version), Role::Cache, false).unwrap_err();
            let expected = format!("Redis at here:6379 is version {version}; at least 7.0 is needed");
            assert_eq!(error.to_string(), expected);
        }
        assert!(matches!(judge_text("", Role::Cache, false), Err(ConnectError::TooOld { .. })));
    }

    #[test]
    fn a_replica_names_its_primary() {
        let text = GOOD.replace("role:master", "role:slave\nmaster_host:10.0.0.1\nmaster_port:7001");
        let error = judge_text(&text, Role::Durable, false).unwrap_err().to_string();
        assert!(error.contains("read-only replica of 10.0.0.1:7001"), "{error}");
    }

    #[test]
    fn the_durable_role_must_not_evict_unless_allowed() {
        let text = GOOD.replace("noeviction", "allkeys-lru");
        let error = judge_text(&text, Role::Durable, false).unwrap_err().to_string();
        assert!(error.contains("allkeys-lru") && error.contains("noeviction"), "{error}");
        assert_eq!(judge_text(&text, Role::Durable, true).unwrap().len(), 1);
        assert!(judge_text(&text, Role::Cache, false).unwrap().is_empty());
    }

    #[test]
    fn warns_of_what_works_but_may_hurt() {
        let text = GOOD.replace("aof_enabled:1", "aof_enabled:0");
        assert_eq!(judge_text(&text, Role::Durable, false).unwrap().len(), 1);
        assert!(judge_text(&text, Role::Cache, false).unwrap().is_empty());
        let text = GOOD.replace("maxmemory:0", "maxmemory:1000");
        assert_eq!(judge_text(&text, Role::Cache, false).unwrap().len(), 1);
        assert!(judge_text(&text, Role::Durable, false).unwrap().is_empty());
    }
}
