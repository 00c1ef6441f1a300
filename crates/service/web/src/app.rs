//! The state that every route can reach.

use std::sync::Arc;

use tidegate_cache::WarmUp;
use tidegate_domain::password::Passwords;
use tidegate_node::node::{Node, StartError};
use tidegate_queue::Producer;
use tidegate_settings::Settings;

use crate::access_log::AccessLog;
use crate::limits::Limiters;
use crate::pages_key::PagesKey;
use crate::preferences::Preferences;
use crate::problem::Problem;
use crate::schedules::Schedules;
use crate::sessions::Sessions;
use crate::shed::permits::RequestPermits;
use crate::tenants::Tenants;
use crate::views::Views;
use crate::warm_up::Warming;

/// The API over one node. It lives as long as the process, so requests need no reference counting.
#[derive(Clone, Copy)]
pub struct App(&'static Parts);

struct Parts {
    node: Arc<Node>,
    limiters: Limiters,
    tenants: Tenants,
    schedules: Schedules,
    sessions: Sessions,
    preferences: Preferences,
    passwords: Passwords,
    producer: Producer,
    warming: Warming,
    views: Views,
    access_log: AccessLog,
    permits: RequestPermits,
    pages_key: PagesKey,
}

impl App {
    /// Adds the API's own parts to a node.
    ///
    /// # Errors
    ///
    /// If a limit cannot be kept on Redis.
    pub async fn new(node: Arc<Node>) -> Result<Self, StartError> {
        node.follow_queues();
        let limiters = Limiters::start(&node).await?;
        let classes = &node.settings.cache_classes;
        let tenants = Tenants::new(&node.store, &node.cache, classes.tenant.class());
        let schedules = Schedules::new(&node.store, &node.cache, classes.schedule.class());
        let sessions = Sessions::new(&node.store, &node.cache, classes.session.class());
        let preferences = Preferences::new(&node.store, &node.cache, classes.preferences.class());
        let warm_up = schedules.teach(tenants.teach(WarmUp::new()));
        let warm_up = preferences.teach(sessions.teach(warm_up));
        let warming = Warming::start(&node, warm_up).await;
        Ok(Self(Box::leak(Box::new(Parts {
            limiters,
            tenants,
            schedules,
            sessions,
            preferences,
            passwords: Passwords::new().await.map_err(std::io::Error::other)?,
            warming,
            views: Views::start(&node)?,
            access_log: AccessLog::start(node.settings.http.access_log, &node.telemetry),
            permits: RequestPermits::new(node.settings.http.max_in_flight, &node.telemetry),
            pages_key: PagesKey::new(&node.settings, node.store.installation()),
            producer: Producer::new(Arc::clone(&node.broker)),
            node,
        }))))
    }

    /// The node under the API.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// The settings of the process.
    pub fn settings(&self) -> &Settings {
        &self.0.node.settings
    }

    /// Waits until the cache has seen every commit that ended before this call, in any process.
    ///
    /// # Errors
    ///
    /// 503 if that is no longer possible. Then no response may come from the cache.
    pub async fn catch_up(&self) -> Result<(), Problem> {
        self.0.node.coherence.catch_up().await.map_err(|error| Problem::unavailable("unavailable", error.to_string()))
    }

    /// The rate limiters.
    pub fn limiters(&self) -> &Limiters {
        &self.0.limiters
    }

    /// The tenants, behind the cache.
    pub fn tenants(&self) -> &'static Tenants {
        &self.0.tenants
    }

    /// The schedules, behind the cache.
    pub fn schedules(&self) -> &'static Schedules {
        &self.0.schedules
    }

    /// The sessions of users, behind the cache.
    pub fn sessions(&self) -> &'static Sessions {
        &self.0.sessions
    }

    /// The preferences of users, behind the cache.
    pub fn preferences(&self) -> &'static Preferences {
        &self.0.preferences
    }

    /// Hashes and checks passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// Fills the cache at the start and on request.
    pub fn warming(&self) -> &Warming {
        &self.0.warming
    }

    /// Counts views of schedules.
    pub fn views(&self) -> &'static Views {
        &self.0.views
    }

    /// The layer that logs requests.
    pub fn access_log(&self) -> &AccessLog {
        &self.0.access_log
    }

    /// The permits of requests in flight.
    pub fn request_permits(&self) -> &RequestPermits {
        &self.0.permits
    }

    /// The key that signs sessions of the dashboard.
    pub fn pages_key(&self) -> &PagesKey {
        &self.0.pages_key
    }

    /// Enqueues jobs.
    pub fn producer(&self) -> &Producer {
        &self.0.producer
    }
}
