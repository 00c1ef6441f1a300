//! A replica, and its known replication offset.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::interfaces::EventInterface;
use fred::types::Value as Fred;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use crate::command::Arg;
use crate::error::{Error, ErrorKind};
use crate::info::Fields;
use crate::script::Script;
use crate::shards::{Address, Connection, Shard};
use crate::value::Value;

/// A replica that has not answered for this fraction of a command's time-out is not used. So not
/// every reader has to wait for it. A reader may be cancelled earlier, so a cancelled reader alone
/// is no sign of a fault.
const SILENCE: u32 = 8;
/// Most times that are stored of a primary.
const TIMES: usize = 64;

/// A replica of one primary.
pub(super) struct Known {
    address: Address,
    primary: Shard,
    connection: Connection,
    progress: Mutex<Progress>,
    is_looked_at: AtomicBool,
}

/// The replication offset of a replica, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Times, and the least offset of the primary at each, oldest first.
    times: VecDeque<(Instant, u64)>,
    history: String,
    /// The latest of these times whose data the replica is known to have.
    has_all_of: Option<Instant>,
    /// Time of the first request since its last answer. `None` if no answer is due.
    unanswered_since: Option<Instant>,
}

impl Progress {
    /// Records the offset of the primary at a time.
    fn primary_was(&mut self, at: Instant, history: &str, offset: u64) {
        if self.history != history {
            self.distrust();
            history.clone_into(&mut self.history);
        }
        self.times.push_back((at, offset));
        if self.times.len() > TIMES {
            self.times.pop_front();
        }
    }

    /// Records the offset and history of the replica. `None` if it follows no primary.
    fn replica_is(&mut self, at: Option<(&str, u64)>) {
        let Some((_, offset)) = at.filter(|(history, _)| *history == self.history) else {
            self.distrust();
            return;
        };
        let reached = self.times.iter().take_while(|(_, needed)| *needed <= offset).count();
        if let Some((time, _)) = self.times.drain(..reached).next_back() {
            self.has_all_of = Some(time);
        }
    }

    fn distrust(&mut self) {
        self.has_all_of = None;
        self.times.clear();
    }

    fn is_asked(&mut self, at: Instant) {
        self.unanswered_since.get_or_insert(at);
    }

    /// Records that the replica answers.
    fn answers(&mut self) {
        self.unanswered_since = None;
    }

    fn is_close(&self, now: Instant, lag: Duration, bound: Duration) -> bool {
        let hangs = self.unanswered_since.is_some_and(|since| now.duration_since(since) > bound / SILENCE);
        !hangs && self.has_all_of.is_some_and(|time| now.duration_since(time) < lag)
    }
}

impl Known {
    pub(super) fn new(address: Address, primary: Shard, connection: Connection) -> Arc<Self> {
        let mut errors = connection.fred().error_rx();
        let known = Arc::new(Self {
            address,
            primary,
            connection,
            progress: Mutex::default(),
            is_looked_at: AtomicBool::new(false),
        });
        let watched = Arc::downgrade(&known);
        // After a reconnection, the server may have been restarted with old data from its disk.
        tokio::spawn(async move {
            while !matches!(errors.recv().await, Err(RecvError::Closed)) {
                let Some(known) = watched.upgrade() else { return };
                known.progress().distrust();
            }
        });
        known
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn is_of(&self, primary: &Shard) -> bool {
        self.primary.is(primary)
    }

    /// Whether it has all data that its primary had `lag` ago, and answers. `bound` is the time-out
    /// of a command.
    pub(super) fn is_close(&self, now: Instant, lag: Duration, bound: Duration) -> bool {
        self.progress().is_close(now, lag, bound)
    }

    /// Starts a check, unless one is in progress.
    pub(super) fn begin_look(self: Arc<Self>) -> Option<Look> {
        (!self.is_looked_at.swap(true, Ordering::Relaxed)).then_some(Look(self))
    }

    /// Asks the replica for its offset. Its primary has answered before, and was asked at `asked`.
    async fn look(&self, asked: Instant, told: &AsPrimary, bound: Duration, is_cluster: bool) {
        self.progress().primary_was(asked, &told.history, told.offset);
        if is_cluster {
            // Otherwise it redirects readers to its primary. Needed on each new connection.
            let told = timeout(bound, self.connection.send("READONLY", Vec::new())).await;
            if !matches!(told, Ok(Ok(_))) {
                self.progress().distrust();
                return;
            }
        }
        let story = Story::of(&self.connection, bound).await;
        if story.is_some() {
            self.progress().answers();
        }
        let at = story.as_ref().and_then(Story::as_replica);
        self.progress().replica_is(at.as_ref().map(|(history, offset)| (history.as_str(), *offset)));
    }

    pub(super) async fn run(&self, script: &Script, count: usize, all: Vec<Arg>) -> Result<Value, Error> {
        let mut request = Vec::with_capacity(2 + all.len());
        request.extend([Fred::String(script.digest.clone()), Arg::from(count).0]);
        request.extend(all.into_iter().map(|arg| arg.0));
        let answer = match self.send("EVALSHA_RO", request.clone()).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                request[0] = Fred::String(script.source.clone());
                self.send("EVAL_RO", request).await
            }
            other => other,
        };
        answer.inspect_err(|error| {
            // An error about a value would be returned again. Any other error must not delay the
            // next reader.
            if error.kind() != ErrorKind::Refused || matches!(error.code(), Some("MOVED" | "ASK" | "MASTERDOWN")) {
                self.progress().distrust();
            }
        })
    }

    async fn send(&self, name: &'static str, args: Vec<Fred>) -> Result<Value, Error> {
        self.progress().is_asked(Instant::now());
        // If the reader is cancelled, its answer is lost. Then the next reader or the next check
        // shows that the replica answers.
        let answer = self.connection.send(name, args).await.map(Value::from_fred);
        let answer = answer.map_err(|error| Error::from_fred(&error));
        if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Timeout) {
            self.progress().answers();
        }
        answer
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A check of a replica; only one runs at a time.
pub(super) struct Look(Arc<Known>);

impl Look {
    /// Runs [`Known::look`].
    pub(super) async fn run(self, asked: Instant, told: Arc<AsPrimary>, bound: Duration, is_cluster: bool) {
        self.0.look(asked, &told, bound, is_cluster).await;
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.0.is_looked_at.store(false, Ordering::Relaxed);
    }
}

/// The replication section of a server's `INFO`.
pub(super) struct Story(String);

/// The replication state of a primary.
pub(super) struct AsPrimary {
    /// Id of the replication history. Offsets of different histories can't be compared.
    history: String,
    offset: u64,
    pub(super) replicas: Vec<Address>,
}

impl Story {
    /// Reads it. `None` if the server does not answer.
    pub(super) async fn of(connection: &Connection, bound: Duration) -> Option<Self> {
        let info = connection.send("INFO", vec![Fred::from_static_str("replication")]);
        let info = timeout(bound, info).await.ok()?.ok()?;
        Value::from_fred(info).into_text().ok().map(Self)
    }

    pub(super) fn as_primary(&self) -> Option<AsPrimary> {
        let fields = Fields::parse(&self.0);
        if fields.text("role") != Some("master") {
            return None;
        }
        let history = fields.text("master_replid")?.to_owned();
        let offset = fields.number("master_repl_offset")?;
        let listed = (0..).map_while(|index| fields.text(&format!("slave{index}")));
        Some(AsPrimary { history, offset, replicas: listed.filter_map(replica).collect() })
    }

    /// History and offset of a replica. `None` if it follows no primary.
    pub(super) fn as_replica(&self) -> Option<(String, u64)> {
        let fields = Fields::parse(&self.0);
        let follows = fields.text("role") == Some("slave") && fields.text("master_link_status") == Some("up");
        if !follows {
            return None;
        }
        Some((fields.text("master_replid")?.to_owned(), fields.number("slave_repl_offset")?))
    }
}

/// Parses the address of `ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`.
fn replica(line: &str) -> Option<Address> {
    let field = |name: &str| line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let is_online = field("state") == Some("online");
    let address = Address { host: field("ip")?.to_owned(), port: field("port")?.parse().ok()? };
    is_online.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_replica_has_what_the_primary_had_when_it_had_come_so_far() {
        let (start, mut progress) = (Instant::now(), Progress::default());
        progress.primary_was(start, "a", 10);
        progress.replica_is(Some(("a", 9)));
        assert_eq!(progress.has_all_of, None);
        progress.primary_was(after(start, 1), "a", 20);
        progress.primary_was(after(start, 2), "a", 30);
        progress.replica_is(Some(("a", 29)));
        assert_eq!(progress.has_all_of, Some(after(start, 1)));
        // Nothing was written, so it also has all data of every later time.
        progress.primary_was(after(start, 3), "a", 30);
        progress.replica_is(Some(("a", 30)));
        assert_eq!(progress.has_all_of, Some(after(start, 3)));
    }

    #[test]
    fn one_that_was_asked_and_is_silent_is_left_out_until_it_answers() {
        let (start, lag, bound) = (Instant::now(), Duration::from_secs(60), Duration::from_millis(800));
        let at = |millis| start + Duration::from_millis(millis);
        let mut progress = Progress::default();
        progress.primary_was(start, "a", 10);
        progress.replica_is(Some(("a", 10)));
        progress.is_asked(at(0));
        progress.is_asked(at(90));
        assert!(progress.is_close(at(100), lag, bound));
        // The first of them has waited long enough for all, whether or not it still waits.
        assert!(!progress.is_close(at(101), lag, bound));
        progress.primary_was(at(150), "b", 10);
        progress.replica_is(Some(("b", 10)));
        assert!(!progress.is_close(at(200), lag, bound), "that it once had all is no answer");
        progress.answers();
        assert!(progress.is_close(at(5_000), lag, bound));
    }

    #[test]
    fn another_history_or_none_is_not_trusted() {
        let (start, mut progress) = (Instant::now(), Progress::default());
        for at in [Some(("b", 99)), None] {
            progress.primary_was(start, "a", 10);
            progress.replica_is(Some(("a", 10)));
            assert_eq!(progress.has_all_of, Some(start));
            progress.replica_is(at);
            assert_eq!(progress.has_all_of, None);
        }
        progress.primary_was(start, "a", 10);
        progress.replica_is(Some(("a", 10)));
        progress.primary_was(after(start, 1), "b", 5);
        assert_eq!(progress.has_all_of, None, "the primary is another");
    }

    #[test]
    fn servers_tell_who_follows_whom() {
        let story = |text: &str| Story(text.to_owned());
        let primary = story(
            "# Replication\r\nrole:master\r\nconnected_slaves:2\r\nslave0:ip=10.0.0.2,port=6380,state=online,offset=5,lag=0\r\n\
             slave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r\nmaster_replid:abc\r\nmaster_repl_offset:7\r\n",
        );
        let told = primary.as_primary().unwrap();
        assert_eq!((told.history.as_str(), told.offset), ("abc", 7));
        assert_eq!(told.replicas, [Address { host: "10.0.0.2".to_owned(), port: 6380 }]);
        assert_eq!(primary.as_replica(), None);
        let text = "role:slave\nmaster_link_status:up\nslave_repl_offset:6\nmaster_replid:abc\n";
        assert_eq!(story(text).as_replica(), Some(("abc".to_owned(), 6)));
        assert!(story(text).as_primary().is_none());
        assert_eq!(story(&text.replace("up", "down")).as_replica(), None);
    }
}
