//! The way in: connect, look at the server, start the prober.

use std::sync::Arc;

use fred::clients::Client as FredClient;
use fred::error::{Error as FredError, ErrorKind as Fred};
use fred::interfaces::ClientLike;

use super::{Client, Inner, options, probe};
use crate::availability::Availability;
use crate::config::{Config, Role, Topology};
use crate::error::ConnectError;
use crate::{check, slot};

impl Client {
    /// Connects and checks whether the server suits the role: its version, that it is a primary, and for
    /// [`Role::Durable`] that it doesn't evict.
    ///
    /// # Errors
    /// [`ConnectError`], one kind for each thing that can be wrong.
    pub async fn connect(config: &Config, role: Role) -> Result<Self, ConnectError> {
        let timeout = config.timeout(role);
        let fred = open(config, timeout).await?;
        let states = if config.topology() == Topology::Cluster { slot::SLOTS } else { 1 };
        let (availability, outages) = Availability::new(states);
        let fred = fred.with_options(&options());
        let prober = tokio::spawn(probe::run(fred.clone(), availability.clone(), outages));
        let mut inner =
            Inner { fred, config: config.clone(), role, timeout, availability, prober, warnings: Vec::new() };
        match check::server(&inner.fred, config, role).await {
            Ok(warnings) => {
                inner.warnings = warnings;
                Ok(Self { inner: Arc::new(inner) })
            }
            Err(error) => {
                let _ = inner.fred.quit().await;
                Err(error)
            }
        }
    }
}

/// A connected client of fred's. `timeout` of zero is none.
pub(crate) async fn open(config: &Config, timeout: std::time::Duration) -> Result<FredClient, ConnectError> {
    let fred = config.builder(timeout)?.build().map_err(|error| sort(config, &error))?;
    // fred's own time-outs are those of a step; the sum is bounded here.
    let bound = config.connect_timeout() * 2;
    let outcome = tokio::time::timeout(bound, fred.init()).await;
    let error = match outcome {
        Ok(Ok(_)) => return Ok(fred),
        Ok(Err(error)) => sort(config, &error),
        Err(_) => {
            let detail = format!("no answer within {bound:?}");
            ConnectError::Unreachable { address: config.address(), detail }
        }
    };
    let _ = fred.quit().await;
    Err(error)
}

fn sort(config: &Config, error: &FredError) -> ConnectError {
    let address = config.address();
    let detail = error.details().to_owned();
    let is_login = ["WRONGPASS", "NOAUTH", "NOPERM"].iter().any(|code| detail.starts_with(code));
    match error.kind() {
        Fred::Auth => ConnectError::Login { address, detail },
        _ if is_login || detail.contains("AUTH") => ConnectError::Login { address, detail },
        Fred::Tls => ConnectError::Tls { address, detail },
        Fred::IO | Fred::Timeout | Fred::Canceled | Fred::Sentinel => ConnectError::Unreachable { address, detail },
        _ => ConnectError::Unsuitable { address, detail },
    }
}
