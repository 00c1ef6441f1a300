//! One connection on which a command may wait.

use std::time::Duration;

use bb8::ManageConnection;
use fred::interfaces::ClientLike;
use fred::types::{ClientState, Value as Fred};
use tokio::time::timeout;

use crate::config::{Config, Role};
use crate::error::{ConnectError, Error};
use crate::shards::{Address, Connection};
use crate::value::Value;

/// Makes the connections to one server.
pub(super) struct Maker {
    pub(super) config: Config,
    pub(super) role: Role,
    /// `None` is what the URL names: with Sentinels, whichever is the primary then.
    pub(super) server: Option<Address>,
}

/// A connection that waits, or waits to be used.
pub(super) struct Waiter {
    connection: Connection,
    /// Set as long as an answer is due. Found set, nobody waits for that answer any more, so the next one would get it.
    owes: bool,
}

impl Waiter {
    /// Sends a command and waits for its answer, up to `longest`.
    pub(super) async fn ask(
        &mut self,
        name: &'static str,
        args: Vec<Fred>,
        is_asking: bool,
        longest: Duration,
    ) -> Result<Value, Error> {
        self.owes = true;
        let asked = async {
            if is_asking {
                self.connection.send_asking(name, args).await
            } else {
                self.connection.send(name, args).await
            }
        };
        let answer = timeout(longest, asked).await.map_err(|_| Error::timeout(longest))?;
        let answer = answer.map(Value::from_fred).map_err(|error| Error::from_fred(&error));
        // After an error the server may be the wrong one: a replica, or one that is loading.
        self.owes = answer.is_err();
        answer
    }
}

impl ManageConnection for Maker {
    type Connection = Waiter;
    type Error = ConnectError;

    async fn connect(&self) -> Result<Waiter, ConnectError> {
        let server = self.server.as_ref();
        let connection = Connection::open(&self.config, server, Duration::ZERO).await?;
        tracing::debug!(role = ?self.role, "a connection for waiting was made");
        Ok(Waiter { connection, owes: false })
    }

    async fn is_valid(&self, waiter: &mut Waiter) -> Result<(), ConnectError> {
        if waiter.connection.fred().state() == ClientState::Connected {
            return Ok(());
        }
        let address = self.server.as_ref().map_or_else(|| self.config.address(), Address::to_string);
        Err(ConnectError::Unreachable { address, detail: "the connection was lost".to_owned() })
    }

    fn has_broken(&self, waiter: &mut Waiter) -> bool {
        waiter.owes || waiter.connection.fred().state() != ClientState::Connected
    }
}
