//! The credentials for a bucket: keys in variables or in files, or those of the machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use tidegate_settings::{Hidden, read_secret};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::{FilesError, LoginError, words_of};
use super::s3;

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// Interval between two reads of the files.
const LOOK: Duration = Duration::from_secs(10);

/// A key, or the file that contains it.
#[derive(Debug, Clone)]
enum Key {
    Text(Hidden),
    File { variable: &'static str, path: PathBuf },
}

impl Key {
    fn of(variable: &'static str, environment: &impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LoginError> {
        match (environment(variable), environment(&format!("{variable}_FILE"))) {
            (Some(_), Some(_)) => Err(LoginError::Twice { variable }),
            (Some(text), None) => Ok(Some(Self::Text(Hidden::new(&text)))),
            (None, Some(path)) => Ok(Some(Self::File { variable, path: path.into() })),
            (None, None) => Ok(None),
        }
    }

    fn read(&self) -> Result<String, LoginError> {
        match self {
            Self::Text(text) => Ok(text.reveal().to_owned()),
            Self::File { variable, path } => read_secret(path).map_err(|source| LoginError::File { variable, source }),
        }
    }
}

#[derive(Debug, Clone)]
struct Keys {
    id: Key,
    secret: Key,
    /// Session token of temporary keys.
    token: Option<Key>,
}

impl Keys {
    /// Returns the keys that are set. `None` if none is.
    fn of(environment: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LoginError> {
        let (id, secret) = (Key::of(KEY_ID, &environment)?, Key::of(SECRET_KEY, &environment)?);
        let token = Key::of(SESSION_TOKEN, &environment)?;
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Some(Self { id, secret, token })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(LoginError::Half { missing: KEY_ID }),
            (Some(_), None) => Err(LoginError::Half { missing: SECRET_KEY }),
        }
    }

    fn read(&self) -> Result<AwsCredential, LoginError> {
        Ok(AwsCredential {
            key_id: self.id.read()?,
            secret_key: self.secret.read()?,
            token: self.token.as_ref().map(Key::read).transpose()?,
        })
    }
}

/// Keys that are read again at intervals, because files change. If that fails, the last valid keys
/// stay in use.
#[derive(Debug)]
struct ReadAgain {
    keys: Keys,
    /// Time and result of the last read.
    read: Mutex<(Instant, Arc<AwsCredential>)>,
}

#[async_trait]
impl CredentialProvider for ReadAgain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>, object_store::Error> {
        let mut read = self.read.lock().await;
        if read.0.elapsed() >= LOOK {
            read.0 = Instant::now();
            let keys = self.keys.clone();
            // The file system may be slow.
            match tokio::task::spawn_blocking(move || keys.read()).await {
                Ok(Ok(login)) => {
                    if login != *read.1 {
                        tracing::info!("the bucket's credentials were reloaded, and are used from now on");
                        read.1 = Arc::new(login);
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "the bucket's previous credentials stay in use"),
                Err(error) => tracing::error!(%error, "the check of the bucket's credentials failed"),
            }
        }
        Ok(Arc::clone(&read.1))
    }
}

/// The credentials of the machine or the container. The error names the variables to set instead.
#[derive(Debug)]
struct OfMachine(AwsCredentialProvider);

#[async_trait]
impl CredentialProvider for OfMachine {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>, object_store::Error> {
        self.0.get_credential().await.map_err(|error| {
            let source = Box::new(LoginError::NotGiven(words_of(&error)));
            object_store::Error::Generic { store: "S3", source }
        })
    }
}

/// Checks the keys of the environment, without a request.
pub(super) fn check(environment: impl Fn(&str) -> Option<String>) -> Result<(), FilesError> {
    read_keys(environment).map(drop)
}

/// Gives the builder the credentials that the environment describes.
pub(super) fn log_in(
    builder: AmazonS3Builder,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder, FilesError> {
    if let Some((keys, login)) = read_keys(environment)? {
        let read = Mutex::new((Instant::now(), Arc::new(login)));
        return Ok(builder.with_credentials(Arc::new(ReadAgain { keys, read })));
    }
    // Only a complete client contains the credentials that its builder chooses.
    let of_machine = s3::with_client(builder.clone()).with_bucket_name("of-no-bucket").build();
    let of_machine = of_machine.map_err(|error| FilesError::Unusable { reason: words_of(&error) })?;
    Ok(builder.with_credentials(Arc::new(OfMachine(Arc::clone(of_machine.credentials())))))
}

fn read_keys(environment: impl Fn(&str) -> Option<String>) -> Result<Option<(Keys, AwsCredential)>, FilesError> {
    let unusable = |error: LoginError| FilesError::Unusable { reason: error.to_string() };
    let Some(keys) = Keys::of(environment).map_err(unusable)? else { return Ok(None) };
    let login = keys.read().map_err(unusable)?;
    Ok(Some((keys, login)))
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use tidegate_testkit::free_port;

    use super::*;
    use crate::files::{FileAt, FileKind, Files};

    fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn keys_that_do_not_fit_together_are_refused_with_the_variable_to_set() {
        let file = ("AWS_SECRET_ACCESS_KEY_FILE", "/nowhere/hunter2");
        for (variables, part) in [
            (&[(KEY_ID, "hunter2")][..], "AWS_SECRET_ACCESS_KEY is not set"),
            (&[file][..], "AWS_ACCESS_KEY_ID is not set"),
            (&[(KEY_ID, "id"), (SECRET_KEY, "hunter2"), file][..], "AWS_SECRET_ACCESS_KEY_FILE are both set"),
            (&[(KEY_ID, "id"), file][..], "the file that AWS_SECRET_ACCESS_KEY_FILE names can't be read"),
        ] {
            let error = check(environment(variables)).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, FilesError::Unusable { .. }) && text.contains(part), "{part}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        check(environment(&[])).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn keys_in_files_are_read_again_and_the_last_good_ones_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let [id, secret] = ["id", "secret"].map(|name| directory.path().join(name));
        let write = |text: &str| {
            std::fs::write(&id, format!("{text}-id\n")).unwrap();
            std::fs::write(&secret, format!("{text}-secret\n")).unwrap();
        };
        write("one");
        let variables = [
            ("AWS_ACCESS_KEY_ID_FILE", id.to_str().unwrap()),
            ("AWS_SECRET_ACCESS_KEY_FILE", secret.to_str().unwrap()),
        ];
        let builder = log_in(AmazonS3Builder::new(), environment(&variables)).unwrap();
        let store = s3::with_client(builder).with_bucket_name("bucket").build().unwrap();
        let login = async || {
            let login = store.credentials().get_credential().await.unwrap();
            (login.key_id.clone(), login.secret_key.clone())
        };
        let of = |text: &str| (format!("{text}-id"), format!("{text}-secret"));
        assert_eq!(login().await, of("one"));
        write("two");
        assert_eq!(login().await, of("one"), "they are not read for each request");
        tokio::time::advance(LOOK).await;
        assert_eq!(login().await, of("two"));
        std::fs::remove_file(&secret).unwrap();
        tokio::time::advance(LOOK).await;
        assert_eq!(login().await, of("two"));
    }

    #[tokio::test]
    async fn a_bucket_without_a_login_says_which_variables_to_set() {
        let builder = AmazonS3Builder::new().with_metadata_endpoint(format!("http://127.0.0.1:{}", free_port()));
        let builder = log_in(builder, |_| None).unwrap();
        let files = Files::in_bucket(builder, "bucket", &Path::default()).unwrap();
        let error = files.create(FileAt::of_operations(FileKind::Backup)).await.err().unwrap();
        let text = error.to_string();
        for part in ["AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "_FILE"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(error.is_transient(), "the machine may give one later");
    }
}
