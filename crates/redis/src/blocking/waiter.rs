//! A connection for blocking commands.

use std::time::Duration;

use bb8::ManageConnection;
use fred::interfaces::ClientLike;
use fred::types::{ClientState, Value as Fred};
use tokio::time::timeout;

use crate::config::{Config, Role};
use crate::error::{ConnectError, Error};
use crate::shards::{Address, Connection};
use crate::value::Value;

/// Opens connections to one server.
pub(super) struct Maker {
    pub(super) config: Config,
    pub(super) role: Role,
    /// `None` for the server that the URL names: with Sentinels, the current primary.
    pub(super) server: Option<Address>,
}

/// A connection in a wait, or free.
pub(super) struct Waiter {
    connection: Connection,
    /// Whether an answer is due. If it is set on a free connection, that answer has no receiver, so
    /// the next command would get it.
    owes: bool,
}

impl Waiter {
    /// Sends a command and waits for its answer, at most `longest`.
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
        // After an error the server may be unsuitable: a replica, or one that is loading.
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
