//! Addresses, the data directory, and whether a process runs jobs.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};
use crate::tokens::Tokens;

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "TIDEGATE_LISTEN",
        Some("127.0.0.1:8080"),
        "address of the API; port 0 picks a free port and prints it",
    ),
    setting(
        "worker_listen",
        "TIDEGATE_WORKER_LISTEN",
        Some("auto"),
        "address where tidegate-worker serves probes and /metrics; `auto`: 127.0.0.1:9464, or a free port if that is in use; `off`: none",
    ),
    setting("data_dir", "TIDEGATE_DATA_DIR", Some("./data"), "directory of databases, files and uploads"),
    setting(
        "worker",
        "TIDEGATE_WORKER",
        Some("auto"),
        "`inner`: the API runs jobs itself; `none`: only tidegate-worker does; `auto`: `none` if REDIS_URL is set, else `inner`",
    ),
];

/// Whether the API process runs a worker beside its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerWorker {
    /// Jobs run inside the API process. This is the default if nothing else is configured.
    Inner,
    /// Jobs run only in `tidegate-worker` processes.
    None,
}

/// Address at which a `tidegate-worker` answers probes and `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerListen {
    /// On loopback: at [`WorkerListen::PORT`], or at a free port if that is in use.
    Auto,
    /// At this address.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl WorkerListen {
    /// The port of `auto`.
    pub const PORT: u16 = 9464;
}

pub(crate) fn listen(raw: &Reader<'_>, tokens: &Tokens) -> Result<SocketAddr, SettingsError> {
    let listen: SocketAddr =
        raw.required("listen", "an address and port such as 127.0.0.1:8080", |text| text.parse().ok())?;
    if tokens.admin.is_none() && !listen.ip().is_loopback() {
        return Err(raw.invalid(
            "listen",
            format!(
                "{listen} is reachable from outside this machine, and tokens.admin (TIDEGATE_ADMIN_TOKEN) is not set: \
                 set it, or listen on 127.0.0.1"
            ),
        ));
    }
    Ok(listen)
}

pub(crate) fn data_dir(raw: &Reader<'_>) -> Result<PathBuf, SettingsError> {
    raw.required("data_dir", "a directory", |text| Some(text.into()))
}

pub(crate) fn worker_listen(raw: &Reader<'_>) -> Result<WorkerListen, SettingsError> {
    raw.required("worker_listen", "an address and port such as 127.0.0.1:9464, `auto` or `off`", |text| match text {
        "auto" => Some(WorkerListen::Auto),
        "off" => Some(WorkerListen::Off),
        _ => text.parse().ok().map(WorkerListen::At),
    })
}

pub(crate) fn worker(raw: &Reader<'_>, has_redis: bool) -> Result<InnerWorker, SettingsError> {
    raw.required("worker", "`auto`, `inner` or `none`", |text| match text {
        "inner" => Some(InnerWorker::Inner),
        "none" => Some(InnerWorker::None),
        "auto" if has_redis => Some(InnerWorker::None),
        "auto" => Some(InnerWorker::Inner),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenTenants;
    use crate::test_ground::check_with;

    #[test]
    fn jobs_run_in_the_api_unless_redis_is_set() {
        let redis = ("REDIS_URL", "redis://127.0.0.1");
        for (variables, worker) in [
            (&[][..], InnerWorker::Inner),
            (&[redis], InnerWorker::None),
            (&[redis, ("TIDEGATE_WORKER", "inner")], InnerWorker::Inner),
            (&[("TIDEGATE_WORKER", "none")], InnerWorker::None),
        ] {
            assert_eq!(check_with(variables).unwrap().worker, worker, "{variables:?}");
        }
    }

    #[test]
    fn a_worker_answers_probes_unless_told_not_to() {
        let listens = |variables| check_with(variables).unwrap().worker_listen;
        assert_eq!(listens(&[]), WorkerListen::Auto);
        assert_eq!(listens(&[("TIDEGATE_WORKER_LISTEN", "off")]), WorkerListen::Off);
        let address = WorkerListen::At(([127, 0, 0, 1], 1).into());
        assert_eq!(listens(&[("TIDEGATE_WORKER_LISTEN", "127.0.0.1:1")]), address);
    }

    #[test]
    fn a_bind_that_others_can_reach_wants_a_token() {
        let open = [("TIDEGATE_LISTEN", "0.0.0.0:8080")];
        assert!(check_with(&open).unwrap_err().to_string().contains("TIDEGATE_ADMIN_TOKEN"));
        let guarded = [open[0], ("TIDEGATE_ADMIN_TOKEN", "0123456789abcdef")];
        assert_eq!(check_with(&guarded).unwrap().open_tenants, OpenTenants::Closed);
    }
}
