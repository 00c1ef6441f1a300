//! Registers connections to a PostgreSQL server as those of a node.

use sqlx::PgConnection;

use crate::sql::running::JOIN;
use crate::value::Row;

/// Registers a connection of a node. Fails while a restore writes.
pub(crate) async fn join(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let joined = JOIN.with_on_postgres(&[]).fetch_one(connection).await?;
    match Row::from(joined).int("taken") {
        Ok(1) => Ok(()),
        _ => Err(sqlx::Error::Configuration("a restore is writing this database; start after it has ended".into())),
    }
}
