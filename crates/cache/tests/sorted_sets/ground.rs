//! Shared code of all tests of sorted sets.

use std::time::Duration;

use tidegate_cache::{Direction, Key, ScoredMember, Shapes, SortedSetShape, TtlClass};

pub(crate) const DAY: TtlClass = TtlClass::new("day", Duration::from_secs(24 * 60 * 60));

/// Shapes in memory, or on a server of the test's own.
pub(crate) struct Place {
    pub(crate) shapes: Shapes,
    #[cfg(feature = "redis")]
    pub(crate) server: Option<tidegate_testkit::redis::RedisServer>,
}

impl Place {
    pub(crate) async fn all() -> Vec<Self> {
        vec![
            Self {
                shapes: Shapes::in_memory(10_000),
                #[cfg(feature = "redis")]
                server: None,
            },
            #[cfg(feature = "redis")]
            Self::redis().await,
        ]
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn redis() -> Self {
        let server = tidegate_testkit::redis::RedisServer::start().await;
        Self { shapes: on_redis(&server.url()).await, server: Some(server) }
    }

    pub(crate) fn sets(&self) -> SortedSetShape {
        self.shapes.sorted_set(DAY)
    }
}

#[cfg(feature = "redis")]
pub(crate) async fn on_redis(url: &str) -> Shapes {
    use tidegate_redis::{Client, Config, Keyspace, Role};
    let config = Config::parse(url).unwrap().command_timeout(Duration::from_secs(5));
    Shapes::on_redis(Client::connect(&config, Role::Cache).await.unwrap(), &Keyspace::new("tg").unwrap())
}

pub(crate) fn key(index: u32) -> Key {
    Key::builder("sorted").part("t{1}").part(index).build().unwrap()
}

pub(crate) fn names(members: &[ScoredMember]) -> Vec<&str> {
    members.iter().map(|member| member.member.as_str()).collect()
}

/// All members, first to last.
pub(crate) async fn all(sets: &SortedSetShape, key: &Key) -> Vec<(String, i64)> {
    let members = sets.range(key, Direction::Forward, 0, usize::MAX).await.unwrap();
    members.into_iter().map(|member| (member.member, member.score)).collect()
}
