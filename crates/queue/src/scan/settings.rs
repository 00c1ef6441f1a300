//! The pause between pages, which can be set while scans run.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use tidegate_queue_broker::{Broker, BrokerError, NameError, check_kind};

const COLLECTION: &str = "scans";
/// How often a change is tried when concurrent changes make it fail.
const TRIES: usize = 32;
/// Longest time that a value is used before it is read again.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The setting could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanSettingsError {
    /// The kind is not allowed.
    #[error("kind: {0}")]
    Kind(#[from] NameError),
    /// The stored setting can't be read, possibly because a newer version wrote it.
    #[error("the stored setting can't be read: {0}")]
    Broken(#[from] serde_json::Error),
    /// Concurrent changes to the setting made every attempt fail.
    #[error("the setting was changed by others at the same time, again and again")]
    Contended,
    /// The broker failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
}

#[derive(Serialize, Deserialize)]
struct Setting {
    pause_ms: u64,
}

/// Settings of scans, stored in the broker. They can be changed from any process while scans run. A
/// scan notices a change within about a second, unless its job is delayed for a pause of 10 s or
/// more. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate_queue::{Broker, MemoryBroker, Scans};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let scans = Scans::new(broker);
/// // The database is busy.
/// scans.set_pause("accounts.rebuild", Some(Duration::from_millis(200))).await?;
/// assert_eq!(scans.pause("accounts.rebuild").await?, Some(Duration::from_millis(200)));
/// scans.set_pause("accounts.rebuild", None).await?; // as the worker has it
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Scans {
    broker: Arc<dyn Broker>,
}

impl Scans {
    /// The scan settings of a broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker }
    }

    /// Sets the pause between two pages for all scans whose job is of this kind. `None` restores
    /// the pause of [`ScanOptions`](crate::ScanOptions). Counted in milliseconds.
    ///
    /// # Errors
    /// [`ScanSettingsError`] names the fault.
    pub async fn set_pause(&self, kind: &str, pause: Option<Duration>) -> Result<(), ScanSettingsError> {
        let name = name(kind)?;
        let setting = pause.map(|pause| Setting { pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX) });
        let body = setting.map(|setting| serde_json::to_string(&setting)).transpose()?;
        for _ in 0..TRIES {
            let found = self.broker.document(COLLECTION, &name).await?.map(|document| document.revision);
            if found.is_none() && body.is_none() {
                return Ok(());
            }
            if self.broker.put_document(COLLECTION, &name, found, body.clone()).await? {
                return Ok(());
            }
        }
        Err(ScanSettingsError::Contended)
    }

    /// Returns the pause that was set for a kind. `None` if none was set.
    ///
    /// # Errors
    /// [`ScanSettingsError`] names the fault.
    pub async fn pause(&self, kind: &str) -> Result<Option<Duration>, ScanSettingsError> {
        read(&*self.broker, kind).await
    }
}

/// Slashes of a kind become `~`: a document's name can't contain `/`, and a kind can't contain `~`.
fn name(kind: &str) -> Result<String, NameError> {
    check_kind(kind)?;
    Ok(kind.replace('/', "~"))
}

async fn read(broker: &dyn Broker, kind: &str) -> Result<Option<Duration>, ScanSettingsError> {
    let Some(document) = broker.document(COLLECTION, &name(kind)?).await? else { return Ok(None) };
    let Setting { pause_ms } = serde_json::from_str(&document.body)?;
    Ok(Some(Duration::from_millis(pause_ms)))
}

/// The pause of one run. Read again after a second.
pub(super) struct Pause<'a> {
    broker: &'a dyn Broker,
    kind: &'a str,
    default: Duration,
    current: Duration,
    read_at: Option<Instant>,
}

impl<'a> Pause<'a> {
    pub(super) fn new(broker: &'a dyn Broker, kind: &'a str, default: Duration) -> Self {
        Self { broker, kind, default, current: default, read_at: None }
    }

    /// Returns the pause. If the setting can't be read, the last value applies.
    pub(super) async fn get(&mut self) -> Duration {
        if self.read_at.is_none_or(|at| at.elapsed() >= FRESH_FOR) {
            match read(self.broker, self.kind).await {
                Ok(set) => self.current = set.unwrap_or(self.default),
                Err(error) => tracing::debug!(%error, kind = self.kind, "the pause of a scan could not be read"),
            }
            self.read_at = Some(Instant::now());
        }
        self.current
    }
}
