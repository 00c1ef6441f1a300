//! A tenant of the traffic.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, ensure};
use reqwest::{Client, ClientBuilder, RequestBuilder};
use serde_json::{Value, json};

use crate::lock::lock;

/// A tenant with its key, and the connections of its users.
pub(super) struct Tenant {
    pub(super) id: String,
    url: String,
    key: String,
    client: Client,
    /// Schedules that no user replaces at this moment.
    idle: Mutex<Vec<Schedule>>,
}

/// A schedule that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) id: String,
    /// The number of the request that created it.
    pub(super) number: u64,
    /// How often it was replaced.
    pub(super) version: u64,
}

impl Tenant {
    pub(super) fn new(id: String, url: String, key: String, client: Client) -> Self {
        Self { id, url, key, client, idle: Mutex::default() }
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub(super) fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// A request of the tenant to another address than the proxy's.
    pub(super) fn post_to(&self, url: &str) -> RequestBuilder {
        self.client.post(url).bearer_auth(&self.key)
    }

    /// A request of an operator over this tenant's connections.
    pub(super) fn post_as(&self, token: &str, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(token)
    }

    /// Takes one of the schedules that no request replaces at this moment.
    /// [`keep`](Self::keep) puts it back.
    pub(super) fn take(&self, chance: u64) -> Option<Schedule> {
        let mut idle = self.idle();
        let index = usize::try_from(chance).unwrap_or_default().checked_rem(idle.len())?;
        Some(idle.swap_remove(index))
    }

    pub(super) fn keep(&self, schedule: Schedule) {
        self.idle().push(schedule);
    }

    /// The id of any schedule.
    pub(super) fn any(&self, chance: u64) -> Option<String> {
        let idle = self.idle();
        let index = usize::try_from(chance).unwrap_or_default().checked_rem(idle.len())?;
        Some(idle[index].id.clone())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Schedule>> {
        lock(&self.idle)
    }
}

/// Returns the client of one tenant's users. Each tenant has an address of its own among those of
/// the loopback network, so that limits by address count them apart.
pub(super) fn client(builder: ClientBuilder, network: u8, number: usize) -> anyhow::Result<Client> {
    let (third, fourth) = (number / 250, number % 250);
    let address = Ipv4Addr::new(127, network, u8::try_from(third)?, u8::try_from(fourth)? + 1);
    Ok(builder.local_address(IpAddr::V4(address)).build()?)
}

/// Creates the tenant, and returns its key.
pub(super) async fn create(client: &Client, url: &str, token: &str, id: &str, tier: &str) -> anyhow::Result<String> {
    let body = json!({"id": id, "name": id, "tier": tier});
    let answer = client.post(format!("{url}/api/tenants")).bearer_auth(token).json(&body).send().await?;
    let status = answer.status();
    let body: Value = answer.json().await?;
    ensure!(status.is_success(), "tenant {id}: {status}: {body}");
    body["api_key"].as_str().map(str::to_owned).with_context(|| format!("tenant {id}: no key in the answer"))
}
