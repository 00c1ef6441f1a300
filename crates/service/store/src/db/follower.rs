//! The role of a server: the primary, or a replica that follows it.

use sqlx::Error;
use sqlx::postgres::PgConnection;

/// Whether the server is a replica.
pub(crate) async fn is_follower(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await
}
