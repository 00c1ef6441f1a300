//! Tests of backups that the worker makes, and of their restore.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tidegate_base::clock;
use tidegate_cache::TieredCache;
use tidegate_domain::backup::{Request, RestoreError, RestoredTable, restore, sealed};
use tidegate_domain::files::{FileId, FileKind, Files, FilesError};
use tidegate_domain::import::{Format, Position, Rows};
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_model::tenant::{ApiKey, Plan, Tenant, TenantId};
use tidegate_queue::{Broker, Job, JobState, MemoryBroker, Producer, QueueOptions, Worker};
use tidegate_ratelimit::{Overrides, Tier};
use tidegate_settings::test_ground::check_with;
use tidegate_settings::{FilesPlace, Settings};
use tidegate_store::{Advanced, Coherence, ExistingData, Store, Target, TargetError};
use tidegate_testkit::{PostgresServer, poll_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{BackupHandler, MakeBackup};

/// A separate database in a file or on a server, and a directory for files.
struct TestDatabase {
    settings: Settings,
    directory: tempfile::TempDir,
}

impl TestDatabase {
    fn in_file() -> Self {
        Self::of(&[])
    }

    async fn on(server: &PostgresServer, schema: &str) -> Self {
        server.psql(&format!("CREATE SCHEMA {schema}")).await;
        let url = format!("{}&options[search_path]={schema}", server.url());
        Self::of(&[("DATABASE_URL", &url)])
    }

    fn of(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let settings = check_with(&[variables, &[("TIDEGATE_DATA_DIR", path)]].concat()).unwrap();
        Self { settings, directory }
    }

    fn files(&self) -> Files {
        Files::open(&FilesPlace::Directory, self.directory.path()).unwrap()
    }

    /// Opens it like a node, until the guard is dropped.
    async fn open(&self) -> (Store, Coherence, DropGuard) {
        let shutdown = CancellationToken::new();
        let cache = |_: &str| TieredCache::builder().build();
        let (store, coherence) = match &self.settings.database {
            Some(server) => Store::connect(server, cache, shutdown.clone()).await.unwrap(),
            None => Store::open(&self.settings.database_path(), cache, shutdown.clone()).await.unwrap(),
        };
        (store, coherence, shutdown.drop_guard())
    }

    /// Fills it, and makes a backup of it like the worker, during concurrent writes.
    async fn filled(&self) -> (FileId, Vec<serde_json::Value>) {
        let (store, coherence, running) = self.open().await;
        for name in ["acme", "Under_score"] {
            let id = name.parse::<TenantId>().unwrap();
            let plan = Plan::try_new(Tier::FREE, Overrides::default()).unwrap();
            store
                .create_tenant(&Tenant::create(id, "A \"name\"\n".to_owned(), plan), &ApiKey::generate())
                .await
                .unwrap();
        }
        let tenant: TenantId = "acme".parse().unwrap();
        import(&store, &tenant, 1_234).await;
        store.open_import("open", &tenant, Position::START).await.unwrap();
        store.reserve_run("pending", &tenant, FileKind::Export, 1).await.unwrap();

        let made = make(&store, &self.files()).await;
        shut(store, coherence, running).await;
        (made["id"].as_str().unwrap().parse().unwrap(), made["tables"].as_array().unwrap().clone())
    }

    async fn restore(&self, backup: &str, replace: bool) -> Result<Vec<RestoredTable>, RestoreError> {
        restore(&self.settings, &Request { backup: backup.to_owned(), replace }).await
    }
}

/// With a title that another database might sort or encode differently, and an invalid line.
async fn import(store: &Store, tenant: &TenantId, rows: usize) {
    let line = |number| {
        format!(
            "schedule {number} ä\u{1F600},2030-01-01T09:00:00Z,2030-01-01T10:00:00.001Z,FREQ=DAILY,ada@example.org\n"
        )
    };
    let lines: String = (0..rows).map(line).collect();
    let file = format!("title,starts_at,ends_at,recurrence,attendees\nbad,,,,\n{lines}");
    let mut read = Rows::open(io::Cursor::new(file), Format::Csv, Position::START).unwrap();
    let mut progress = store.open_import("done", tenant, Position::START).await.unwrap();
    while !progress.is_finished {
        let chunk = read.next_chunk(500).unwrap();
        let Advanced::To(next) = store.advance_import("done", tenant, progress, &chunk).await.unwrap() else {
            panic!("no other import runs")
        };
        progress = next;
    }
}

async fn shut(store: Store, coherence: Coherence, running: DropGuard) {
    store.close().await;
    drop((store, running));
    coherence.ended().await;
}

async fn make(store: &Store, files: &Files) -> serde_json::Value {
    let broker = Arc::new(MemoryBroker::new());
    let id = Producer::new(Arc::clone(&broker) as _).enqueue(&MakeBackup {}).await.unwrap();
    let handler = BackupHandler { store: store.clone(), files: files.clone(), keep: 2 };
    let worker = Worker::builder(Arc::clone(&broker) as _)
        .queue(MakeBackup::QUEUE, QueueOptions::new())
        .handler::<MakeBackup, _>(handler)
        .build()
        .unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(worker.run(shutdown.clone()));
    let _ends_with_this = shutdown.drop_guard();
    let ended = async {
        loop {
            let job = broker.job(MakeBackup::QUEUE, &id).await.unwrap().unwrap();
            if job.state == JobState::Done {
                return job.result.unwrap();
            }
            assert_ne!(job.state, JobState::Dead, "{job:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the backup ends")
}

/// Restores a backup of one place in the other, and compares the digests, except for values that a
/// restore renews.
async fn moves(from: &TestDatabase, to: &TestDatabase) {
    let before = clock::now();
    let (id, backed_up) = from.filled().await;
    let path = from.directory.path().join(format!("files/backup/{id}"));
    let restored = to.restore(path.to_str().unwrap(), false).await.unwrap();
    let told =
        |table: &RestoredTable| serde_json::json!({"table": table.table, "rows": table.rows, "sha256": table.sha256});
    assert_eq!(restored.iter().map(told).collect::<Vec<_>>(), backed_up);

    let (store, _, _running) = to.open().await;
    let again = make(&store, &to.files()).await;
    for (one, other) in again["tables"].as_array().unwrap().iter().zip(&backed_up) {
        // In these tables a restore renews the plan's epoch, or closes running work.
        if ["tenant", "import", "export_run"].contains(&one["table"].as_str().unwrap()) {
            assert_eq!((&one["table"], &one["rows"]), (&other["table"], &other["rows"]));
        } else {
            assert_eq!(one, other);
        }
    }
    let tenant: TenantId = "acme".parse().unwrap();
    let there = store.tenant(&tenant).await.unwrap().unwrap();
    assert_eq!(there.name, "A \"name\"\n");
    assert!(there.plan.epoch() >= u64::try_from(before.timestamp_millis()).unwrap());
    assert!(store.pending_imports(&tenant).await.unwrap().is_empty(), "jobs are in no backup");
    assert!(store.pending_runs(&tenant, FileKind::Export).await.unwrap().is_empty());
    assert!(matches!(to.restore(path.to_str().unwrap(), false).await, Err(RestoreError::Target(_))));
}

#[tokio::test]
async fn a_restore_equals_by_digest_from_either_database_to_either() {
    let server = PostgresServer::start(&[]).await;
    moves(&TestDatabase::in_file(), &TestDatabase::in_file()).await;
    moves(&TestDatabase::in_file(), &TestDatabase::on(&server, "one").await).await;
    moves(&TestDatabase::on(&server, "two").await, &TestDatabase::in_file()).await;
    moves(&TestDatabase::on(&server, "three").await, &TestDatabase::on(&server, "four").await).await;
}

#[tokio::test]
async fn what_holds_data_is_replaced_only_when_that_is_said_and_gets_another_name() {
    let server = PostgresServer::start(&[]).await;
    for place in [TestDatabase::in_file(), TestDatabase::on(&server, "mine").await] {
        let (id, tables) = place.filled().await;
        let (store, coherence, running) = place.open().await;
        let (before, tenant) = (store.installation().to_owned(), "acme".parse().unwrap());
        let raw = RawSchedule {
            title: "after the backup".to_owned(),
            starts_at: "2030-01-01T09:00:00Z".to_owned(),
            ends_at: "2030-01-01T10:00:00Z".to_owned(),
            ..RawSchedule::default()
        };
        store.create_schedule(&tenant, &ScheduleDraft::try_new(&raw).unwrap()).await.unwrap();
        shut(store, coherence, running).await;

        // The backup is named by its id, among the configured files.
        let refused = place.restore(&id.to_string(), false).await.unwrap_err();
        assert!(matches!(refused, RestoreError::Target(TargetError::NotEmpty { table: "tenant", .. })), "{refused}");
        let (store, coherence, running) = place.open().await;
        assert_eq!((store.installation(), store.count_schedules(&tenant).await.unwrap()), (&*before, 1_235));
        shut(store, coherence, running).await;

        let restored = place.restore(&id.to_string(), true).await.unwrap();
        assert_eq!(restored.len(), tables.len());
        let (store, _, _running) = place.open().await;
        assert_eq!(store.count_schedules(&tenant).await.unwrap(), 1_234);
        assert_ne!(store.installation(), before, "what a cache holds of the old life is never found");
        let left: Vec<_> =
            std::fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".restore-")), "{left:?}");
    }
}

#[tokio::test]
async fn a_running_node_forbids_a_restore_and_a_restore_a_node() {
    let server = PostgresServer::start(&[]).await;
    for place in [TestDatabase::in_file(), TestDatabase::on(&server, "mine").await] {
        let (id, _) = place.filled().await;
        let (store, coherence, running) = place.open().await;
        let held = match &place.settings.database {
            None => Some(tidegate_store::running::hold(place.directory.path()).await.unwrap()),
            Some(_) => None,
        };
        let refused = place.restore(&id.to_string(), true).await.unwrap_err();
        assert!(matches!(refused, RestoreError::Target(TargetError::InUse { .. })), "{refused}");
        shut(store, coherence, running).await;
        drop(held);

        // A server notices with a delay that the holder of its lock is gone.
        let alone = poll_until(Duration::from_secs(60), async || {
            Target::open(&place.settings, ExistingData::Replace).await.ok()
        });
        let alone = alone.await.expect("no process holds it any more");
        match &place.settings.database {
            None => {
                let starting = tidegate_store::running::hold(place.directory.path());
                let waited = tokio::time::timeout(Duration::from_millis(200), starting).await;
                assert!(waited.is_err(), "a node starts beside a restore");
            }
            Some(server) => {
                let opened = Store::connect(server, |_| TieredCache::builder().build(), CancellationToken::new()).await;
                assert!(opened.is_err_and(|error| error.to_string().contains("a restore is writing this database")));
            }
        }
        drop(alone);
    }
}

#[tokio::test]
async fn a_damaged_newer_or_foreign_backup_touches_nothing() {
    let place = TestDatabase::in_file();
    let (id, _) = place.filled().await;
    let path = place.directory.path().join(format!("files/backup/{id}"));
    let whole = std::fs::read(&path).unwrap();
    let database = std::fs::read(place.settings.database_path()).unwrap();
    let other = place.directory.path().join("other");
    let lines = String::from_utf8(zstd::decode_all(&whole[..]).unwrap()).unwrap();
    let newer = lines.replacen(&format!("\"schema\":{}", Store::schema()), "\"schema\":9999", 1);
    for damaged in
        [whole[..whole.len() - 1].to_vec(), whole[..whole.len() / 2].to_vec(), repacked(&newer), b"x".to_vec()]
    {
        std::fs::write(&other, damaged).unwrap();
        assert!(place.restore(other.to_str().unwrap(), true).await.is_err());
        assert!(std::fs::read(place.settings.database_path()).unwrap() == database);
    }
    std::fs::write(&other, repacked(&newer)).unwrap();
    let refused = place.restore(other.to_str().unwrap(), true).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Newer { found: 9999, .. }), "{refused}");
    assert!(matches!(place.restore("nothing", true).await, Err(RestoreError::Unknown(_))));
    let gone = place.restore(&FileId::generate().to_string(), true).await.unwrap_err();
    assert!(matches!(gone, RestoreError::Files(FilesError::Missing { .. })), "{gone}");
}

/// Packs these lines into a file that is intact, whatever its content.
fn repacked(lines: &str) -> Vec<u8> {
    use data_encoding::HEXLOWER;
    use sha2::{Digest, Sha256};
    let (before, _) = lines.trim_end().rsplit_once('\n').unwrap();
    let before = format!("{before}\n");
    let end = format!("{{\"sha256\":\"{}\"}}\n", HEXLOWER.encode(&Sha256::digest(&before)));
    sealed(zstd::encode_all(format!("{before}{end}").as_bytes(), 1).unwrap())
}

#[tokio::test]
async fn only_the_newest_backups_are_kept() {
    let place = TestDatabase::in_file();
    let (store, _, _running) = place.open().await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(make(&store, &place.files()).await["id"].as_str().unwrap().to_owned());
    }
    let listed: Vec<_> =
        place.files().list(FileKind::Backup).map_ok(|stored| stored.at.id.to_string()).try_collect().await.unwrap();
    let mut listed: Vec<String> = listed;
    listed.sort_unstable();
    assert_eq!(listed, made[2..]);
}
