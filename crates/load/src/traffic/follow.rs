//! Event streams that users hold open.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::sample::{Class, Group};
use super::shared::Shared;
use super::tenant::Tenant;

/// The API writes a comment each 15 s, so that a stream without a byte for longer has broken.
const SILENCE: Duration = Duration::from_secs(40);
const REOPEN_AFTER: Duration = Duration::from_millis(250);
/// How long the notices of the last requests are waited for.
const LAST_NOTICES: Duration = Duration::from_secs(2);

/// One follower for each tenant, as long as its users are there.
pub(super) struct Followers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Followers {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for place in 0..shared.normal.len() {
            let (shared, stopped) = (Arc::clone(shared), stopped.clone());
            tasks.spawn(async move { follow(&shared, place, stopped).await });
        }
        Self { tasks, stop }
    }

    pub(super) async fn stop(self) {
        sleep(LAST_NOTICES).await;
        self.stop.send_replace(true);
        self.tasks.join_all().await;
    }
}

/// Follows one tenant as long as its users are there, and reconnects if a stream ends.
async fn follow(shared: &Shared, place: usize, mut stopped: watch::Receiver<bool>) {
    let tenant = &shared.normal[place];
    let mut users = shared.following.subscribe();
    let mut last = 0;
    let mut is_first = true;
    loop {
        tokio::select! {
            _ = is_when(&mut stopped, |stopped| *stopped) => return,
            present = is_when(&mut users, |tenants| *tenants > place) => if !present { return },
        }
        if !std::mem::take(&mut is_first) {
            shared.ledger.streamed(|streams| streams.reopened += 1);
        }
        tokio::select! {
            _ = is_when(&mut stopped, |stopped| *stopped) => return,
            _ = is_when(&mut users, |tenants| *tenants <= place) => is_first = true,
            // However it ends, it is opened again behind the last event.
            ended = read(shared, tenant, &mut last) => {
                if let Err(error) = ended {
                    shared.note(format!("stream: {error:#}"));
                }
                sleep(REOPEN_AFTER).await;
            }
        }
    }
}

/// Waits until the value is as wanted. `false` if it can no longer change.
async fn is_when<T>(value: &mut watch::Receiver<T>, wanted: impl FnMut(&T) -> bool) -> bool {
    value.wait_for(wanted).await.is_ok()
}

/// Reads one stream to its end.
async fn read(shared: &Shared, tenant: &Tenant, last: &mut u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let path = format!("/api/notifications/events?after={last}");
    let answer = timeout(SILENCE, tenant.get(&path).send()).await;
    let status = match &answer {
        Ok(Ok(answer)) => answer.status().as_u16(),
        _ => 0,
    };
    shared.record(Class::Stream, Group::Normal, began, status);
    let answer = answer.context("no answer")?.map_err(reqwest::Error::without_url)?;
    if !answer.status().is_success() {
        let body: Value = answer.json().await.unwrap_or_default();
        anyhow::bail!("{status} {}", body["type"]);
    }
    let mut bytes = answer.bytes_stream();
    let mut text = String::new();
    while let Some(piece) = timeout(SILENCE, bytes.next()).await.context("silent")? {
        let Ok(piece) = piece else { break };
        text.push_str(&String::from_utf8_lossy(&piece));
        while let Some((event, rest)) = text.split_once("\n\n") {
            take(shared, event, last);
            text = rest.to_owned();
        }
    }
    Ok(())
}

fn take(shared: &Shared, event: &str, last: &mut u64) {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
    let Some(seq) = field("id:").and_then(|id| id.strip_prefix('n')?.parse::<u64>().ok()) else { return };
    let is_next = seq == *last + 1 && field("event:") == Some("notification");
    *last = seq;
    shared.ledger.streamed(|streams| {
        streams.events += 1;
        streams.gaps += usize::from(!is_next);
    });
    let data: Value = field("data:").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    if let Some(started) = data["body"]["number"].as_u64().and_then(|number| shared.ledger.started(number)) {
        shared.record(Class::Event, Group::Normal, started, 200);
    }
}
