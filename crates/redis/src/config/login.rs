//! The login of a configuration, which may change while clients use it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use fred::error::Error;
use fred::types::config::{CredentialProvider, Server};

#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// A login that clones share.
#[derive(Clone, Default)]
pub(super) struct SharedLogin(Arc<RwLock<Login>>);

impl SharedLogin {
    pub(super) fn new(login: Login) -> Self {
        Self(Arc::new(RwLock::new(login)))
    }

    pub(super) fn get(&self) -> Login {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, login: Login) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = login;
    }

    /// Provider of the login for each new connection.
    pub(super) fn provider(&self) -> Arc<dyn CredentialProvider> {
        Arc::new(self.clone())
    }
}

impl fmt::Debug for SharedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedLogin(***)")
    }
}

#[async_trait]
impl CredentialProvider for SharedLogin {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        let Login { user, password } = self.get();
        Ok((user, password))
    }
}
