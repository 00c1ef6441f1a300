//! Helpers of the store's tests, the same for both databases.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_base::clock;
use tidegate_cache::{Fill, Lookup, TieredCache, TypedCache};
use tidegate_model::import::{Chunk, Position, Reject};
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};
use tidegate_model::tenant::{ApiKey, Plan, Tenant, TenantId};
use tidegate_model::{cache_classes, cache_keys};
use tidegate_ratelimit::{Overrides, Tier};
use tidegate_settings::DatabaseSettings;
use tidegate_testkit::PostgresServer;
use tokio_util::sync::CancellationToken;

use super::{Coherence, Store};

/// Maximum wait of a test for a condition.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// Location of the databases.
pub(super) enum Ground {
    /// In this directory.
    Files(tempfile::TempDir, Cell<u32>),
    /// On this server, each in a separate schema.
    Server(Box<PostgresServer>, Cell<u32>),
}

/// A database that processes open.
pub(super) enum TestDatabase {
    File(PathBuf),
    Server(Box<DatabaseSettings>),
}

impl Ground {
    pub(super) fn files() -> Self {
        Self::Files(tempfile::tempdir().unwrap(), Cell::new(0))
    }

    pub(super) async fn server() -> Self {
        // The stores of all scenarios stay open until the end, each with a pool.
        Self::Server(Box::new(PostgresServer::start(&[("max_connections", "500")]).await), Cell::new(0))
    }

    /// Makes an empty database.
    pub(super) async fn place(&self) -> TestDatabase {
        let next = |made: &Cell<u32>| made.replace(made.get() + 1);
        match self {
            Self::Files(directory, made) => {
                TestDatabase::File(directory.path().join(next(made).to_string()).join("app.db"))
            }
            Self::Server(server, made) => {
                let schema = format!("place_{}", next(made));
                server.psql(&format!("CREATE SCHEMA {schema}")).await;
                TestDatabase::Server(Box::new(settings(&format!("{}&options[search_path]={schema}", server.url()))))
            }
        }
    }

    /// Makes a store with a tenant.
    pub(super) async fn with_tenant(&self) -> (Store, TenantId) {
        let (store, _) = self.place().await.open().await;
        let id = acme();
        store.create_tenant(&tenant(&id), &ApiKey::generate()).await.unwrap();
        (store, id)
    }
}

impl TestDatabase {
    /// Opens it as a process does.
    pub(super) async fn open(&self) -> (Store, Coherence) {
        self.open_with(TieredCache::builder().build()).await
    }

    pub(super) async fn open_with(&self, cache: TieredCache) -> (Store, Coherence) {
        match self {
            Self::File(path) => Store::open(path, |_| cache, CancellationToken::new()).await.unwrap(),
            Self::Server(settings) => Store::connect(settings, |_| cache, CancellationToken::new()).await.unwrap(),
        }
    }
}

/// A process, with one cached text under the tenant's key and one under the tag of its list.
pub(super) struct Process {
    pub(super) store: Store,
    pub(super) coherence: Coherence,
    texts: TypedCache<&'static str>,
}

impl Process {
    pub(super) async fn at(place: &TestDatabase) -> Self {
        let cache = TieredCache::builder().build();
        let texts = cache.typed(cache_classes::SCHEDULE);
        let (store, coherence) = place.open_with(cache).await;
        Self { store, coherence, texts }
    }

    pub(super) async fn remember(&self) {
        self.texts.put(&cache_keys::tenant(&acme()), "tenant").await;
        let list = Fill::new("list").tag(cache_keys::schedules_of(&acme()));
        self.texts.put(&cache_keys::first_page(&acme(), 50), list).await;
    }

    pub(super) fn knows_tenant(&self) -> bool {
        self.texts.peek(&cache_keys::tenant(&acme())) != Lookup::Miss
    }

    pub(super) fn knows_list(&self) -> bool {
        self.texts.peek(&cache_keys::first_page(&acme(), 50)) != Lookup::Miss
    }
}

pub(super) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

pub(super) fn settings(url: &str) -> DatabaseSettings {
    let url = url.parse().unwrap();
    DatabaseSettings {
        url,
        replicas: Vec::new(),
        pool: 10,
        connect_timeout: Duration::from_secs(10),
        deadline: Duration::from_secs(30),
    }
}

pub(super) fn tenant(id: &TenantId) -> Tenant {
    let plan = Plan::try_new(Tier::FREE, Overrides { per_minute: Some(1), ..Overrides::default() }).unwrap();
    Tenant { id: id.clone(), name: "Acme".to_owned(), plan, created_at: clock::now() }
}

/// A line of an import: the title of a schedule, or `None` if the line is invalid.
pub(super) type Line = Option<&'static str>;

/// Returns the chunk that a reader of imports makes of a file with these lines below its header.
pub(super) fn chunk(file: &[Line], from: Position, most: usize) -> Chunk {
    let mut chunk = Chunk { rows: Vec::new(), rejects: Vec::new(), end: from, finished: false };
    while chunk.rows.len() + chunk.rejects.len() < most {
        let Some(line) = usize::try_from(chunk.end.byte).ok().and_then(|read| file.get(read)) else {
            chunk.finished = true;
            break;
        };
        chunk.end = Position { byte: chunk.end.byte + 1, line: chunk.end.byte + 3 };
        let number = chunk.end.byte + 1;
        match line {
            Some(title) => chunk.rows.push((number, draft(title))),
            None => chunk.rejects.push(Reject::new(number, "bad")),
        }
    }
    chunk
}

fn draft(title: &str) -> ScheduleDraft {
    let raw = RawSchedule {
        title: title.to_owned(),
        starts_at: "2030-01-01T09:00:00Z".to_owned(),
        ends_at: "2030-01-01T10:00:00Z".to_owned(),
        recurrence: None,
        attendees: Vec::new(),
    };
    ScheduleDraft::try_new(&raw).unwrap()
}
