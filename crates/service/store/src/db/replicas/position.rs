//! Positions of servers in the write-ahead log.

use std::time::Duration;

use sqlx::{Error, Postgres};
use tokio::time::Instant;

use super::super::pooled::PooledConnection;
use super::replica::Replica;
use crate::pool::Connections;
use crate::sql::Sql;
use crate::sql::replicas::{DONE, SAID};
use crate::value::Row;

/// Timeout of one answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Size in bytes of the pages of PostgreSQL's write-ahead log. Each page has a header.
const PAGE: i64 = 8192;
/// Sizes of the header of a page, and of the first page of a file. No record ends within them.
const HEADS: [i64; 2] = [24, 40];

/// Returns how far a primary has written the log. `None` if it has become a replica.
pub(super) async fn said(primary: &Connections<Postgres>) -> Result<Option<i64>, Error> {
    position(primary, &SAID).await
}

/// Returns how far a replica has replayed the log. `None` if it can't be queried.
pub(super) async fn done(replica: &Replica) -> Option<i64> {
    if replica.health.is_resting(Instant::now()) {
        return None;
    }
    match position(&replica.connections, &DONE).await {
        Ok(Some(done)) => return Some(done),
        Ok(None) => replica.health.failed(&Error::Configuration("this server is no longer a replica".into())),
        Err(error) if replica.is_only_busy(&error) => {}
        Err(error) => replica.health.failed(&error),
    }
    None
}

async fn position(server: &Connections<Postgres>, question: &'static Sql) -> Result<Option<i64>, Error> {
    let mut lent = PooledConnection::new(server.acquire().await?, ANSWER);
    let row = lent.one(question, &[]).await?.map(Row::from);
    Ok(row.and_then(|row| row.opt_int("position").ok().flatten()))
}

/// Corrects a position right after the header of a page. The last record then ended on the previous
/// page, and replicas are never sent a header alone.
pub(in crate::db) fn without_head(said: i64) -> i64 {
    let on_page = said % PAGE;
    if HEADS.contains(&on_page) { said - on_page } else { said }
}

#[cfg(test)]
mod tests {
    use super::without_head;

    #[test]
    fn the_head_of_a_page_is_not_waited_for() {
        let file = 16 << 20;
        for (said, wanted) in [
            (0, 0),
            (8192, 8192),
            (8192 + 24, 8192),
            (8192 + 25, 8192 + 25),
            (8192 + 48, 8192 + 48),
            (file + 40, file),
            (file + 48, file + 48),
        ] {
            assert_eq!(without_head(said), wanted);
        }
    }
}
