//! Tokens and passwords of one run, in the settings file that all nodes read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Tokens of one run.
#[derive(Clone)]
pub(super) struct Secrets {
    pub(super) admin: String,
    read: String,
    service: String,
    pub(super) redis_password: String,
}

impl Secrets {
    /// Makes new ones.
    pub(super) fn generate() -> anyhow::Result<Self> {
        Ok(Self { admin: random()?, read: random()?, service: random()?, redis_password: random()? })
    }

    /// Writes the settings file, which only this user can read.
    pub(super) fn write(&self, path: &Path, database: &str, follower: &str, redis: &str) -> anyhow::Result<()> {
        let text = format!(
            "database_url = \"{database}\"\ndatabase_replica_urls = \"{follower}\"\n\n[tokens]\nadmin = \"{}\"\n\
             read = \"{}\"\nservice = \"{}\"\n\n[redis]\nurl = \"{redis}\"\n",
            self.admin, self.read, self.service
        );
        write_private(path, &text)
    }

    /// Writes the file that `redis/start.sh` reads the password from.
    pub(super) fn write_redis_password(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let path = directory.join("redis-password");
        write_private(&path, &self.redis_password)?;
        Ok(path)
    }
}

/// 256 random bits as hexadecimal digits.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("/dev/urandom can't be read")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tidegate_testkit::Scratch;

    use super::Secrets;

    #[test]
    fn tokens_differ_and_their_file_is_for_this_user_alone() {
        let scratch = Scratch::new();
        let secrets = Secrets::generate().expect("random bytes");
        assert!(secrets.admin != secrets.read && secrets.admin.len() == 64);
        let path = scratch.join("tidegate.toml");
        secrets.write(&path, "postgres://database", "postgres://follower", "redis://queue").expect("it is written");
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.contains(&format!("admin = \"{}\"", secrets.admin)), "{text}");
    }
}
