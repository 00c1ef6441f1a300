//! Reloads secrets from their files while the process runs.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tidegate_base::shutdown::{self, hung_up};
use tidegate_settings::{DatabaseUrl, Secret, SecretFile, SecretFileError, Settings, token_fault};
use tidegate_store::Store;
use tokio_util::sync::CancellationToken;

/// Interval of the reads of the files.
const LOOK: Duration = Duration::from_secs(10);

/// Watches the files of secrets.
pub(crate) struct SecretWatch {
    settings: Settings,
    /// `None` before the start.
    store: Option<Store>,
    /// Digest of each file's content at the last read. `None` if it could not be read.
    seen: BTreeMap<&'static str, Option<[u8; 32]>>,
}

/// Result of the change of a secret.
enum Change {
    /// It is used from now on.
    Taken,
    /// It is not used, for the given reason.
    Refused(String),
}

impl SecretWatch {
    /// Creates the watch of a node with these settings.
    pub(crate) fn new(settings: &Settings, store: Option<&Store>) -> Self {
        let of_settings = |file: &SecretFile| (file.setting.key, Some(file.digest));
        let seen = settings.secret_files.iter().map(of_settings).collect();
        Self { settings: settings.clone(), store: store.cloned(), seen }
    }

    /// Reads the files every ten seconds and on SIGHUP, until `stop`.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        if self.settings.secret_files.is_empty() {
            return;
        }
        let mut hangups = shutdown::hangups_or_warn("secrets");
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = hung_up(&mut hangups) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            self.read_all().await;
        }
    }

    /// Reads all files, and applies changed secrets.
    pub(crate) async fn read_all(&mut self) {
        let files = self.settings.secret_files.clone();
        // Not on a runtime thread, since the file system may be slow.
        let read = move || files.into_iter().map(|file| (file.read(), file)).collect::<Vec<_>>();
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read.into_iter().for_each(|(text, file)| self.look(&file, text)),
            Err(error) => tracing::error!(%error, "the check of the secrets failed"),
        }
    }

    fn look(&mut self, file: &SecretFile, text: Result<String, SecretFileError>) {
        let (setting, path) = (file.setting.key, file.path.display());
        let found = text.as_deref().ok().map(digest);
        if self.seen.insert(setting, found) == Some(found) {
            return;
        }
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                return tracing::warn!(setting, %path, %error, "the previous secret stays in use: its file is not valid");
            }
        };
        match self.change(setting, &text) {
            Change::Taken => tracing::info!(setting, %path, "the secret was reloaded, and is used from now on"),
            Change::Refused(reason) => {
                tracing::warn!(setting, %path, reason, "the previous secret stays in use");
            }
        }
    }

    fn change(&self, setting: &str, text: &str) -> Change {
        let tokens = &self.settings.tokens;
        let others =
            [("tokens.admin", &tokens.admin), ("tokens.read", &tokens.read), ("tokens.service", &tokens.service)];
        let is_of_other = |(name, token): &(&str, &Option<Secret>)| {
            *name != setting && token.as_ref().is_some_and(|token| token.matches(text))
        };
        if setting.starts_with("tokens.") && others.iter().any(is_of_other) {
            return Change::Refused("it is another token's: each has rights of its own".to_owned());
        }
        match setting {
            "tokens.admin" => replace_token(tokens.admin.as_ref(), text),
            "tokens.read" => replace_token(tokens.read.as_ref(), text),
            "tokens.service" => replace_token(tokens.service.as_ref(), text),
            "redis.url" => self.redis(text, false),
            "redis.cache_url" => self.redis(text, true),
            "database_url" => self.database(text, false),
            "database_replica_urls" => self.database(text, true),
            _ => Change::Refused("it is read at a start: restart this process".to_owned()),
        }
    }

    fn redis(&self, text: &str, of_cache: bool) -> Change {
        let newer = match tidegate_redis::Config::parse(text) {
            Ok(newer) => newer,
            Err(error) => return Change::Refused(error.to_string()),
        };
        let servers = self.settings.redis.as_ref().map(|redis| &redis.servers);
        // The limits are a clone of the queue and share its login.
        let current = servers.and_then(|servers| match of_cache {
            true => servers.cache.as_ref(),
            false => Some(&servers.queue),
        });
        match current {
            Some(current) if current.replace_login(&newer) => Change::Taken,
            _ => Change::Refused(
                "only the login can change while the process runs, and not with Sentinels: restart it".to_owned(),
            ),
        }
    }

    fn database(&self, text: &str, of_replicas: bool) -> Change {
        let parsed: Result<Vec<DatabaseUrl>, _> = if of_replicas {
            text.split(',').map(|url| url.trim().parse()).collect()
        } else {
            text.parse().map(|url| vec![url])
        };
        let newer = match parsed {
            Ok(newer) => newer,
            Err(error) => return Change::Refused(error.to_string()),
        };
        let database = self.settings.database.as_ref();
        let current: Vec<_> = database
            .into_iter()
            .flat_map(|database| match of_replicas {
                true => database.replicas.iter().collect::<Vec<_>>(),
                false => vec![&database.url],
            })
            .collect();
        let is_same = current.len() == newer.len();
        if !is_same || !current.iter().zip(&newer).all(|(url, newer)| url.differs_in_login_alone(newer)) {
            return Change::Refused("only the login can change while the process runs: restart it".to_owned());
        }
        current.iter().zip(&newer).for_each(|(url, newer)| url.replace_login(newer));
        self.store.iter().for_each(Store::log_in_anew);
        Change::Taken
    }
}

fn replace_token(token: Option<&Secret>, text: &str) -> Change {
    match (token, token_fault(text)) {
        (_, Some(fault)) => Change::Refused(fault),
        (None, None) => Change::Refused("it is read at a start: restart this process".to_owned()),
        (Some(token), None) => {
            token.replace(text);
            Change::Taken
        }
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
