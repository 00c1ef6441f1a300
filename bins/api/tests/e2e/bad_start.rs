//! Starts that fail: the binary ends by itself, names fault and place in one line, and changes
//! nothing.
//!
//! The refusal of a `tidegate.db` of a newer schema is tested beside the code that opens it
//! (`crates/service/store/src/open.rs`): a test without SQLite can't write the version, which a
//! table holds.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tidegate_testkit::{Process, ProcessBuilder, Scratch, binary};

use crate::harness::{Api, api, run, worker};

const SETTINGS: i32 = 2;
const DATA: i32 = 3;
const ADDRESS: i32 = 4;

/// Places in the header of a SQLite file; see "The Database Header" of its file format.
const WRITE_VERSION: usize = 18;
const READ_VERSION: usize = 19;
const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;

/// The start must end with that code, and one line that names all of this.
async fn refused(program: ProcessBuilder, code: i32, names: &[&str]) -> String {
    let ended = run(program.env("RUST_BACKTRACE", "1")).await;
    assert_eq!(ended.code, Some(code), "{}{}", ended.out, ended.err);
    assert_eq!(ended.out, "");
    assert_eq!(ended.err.lines().count(), 1, "one line says it all:\n{}", ended.err);
    for name in names {
        assert!(ended.err.contains(name), "{name} is not named: {}", ended.err);
    }
    for fault in ["panicked", "backtrace", "RUST_BACKTRACE", "Error {", "Some("] {
        assert!(!ended.err.contains(fault), "{}", ended.err);
    }
    ended.err
}

/// Both binaries on that directory.
fn both(data_dir: &Path) -> [ProcessBuilder; 2] {
    let run_from = std::env::temp_dir();
    [api(data_dir, &[]), worker(data_dir, &[])].map(|program| program.current_dir(&run_from))
}

/// A directory with both databases as a clean stop leaves them.
async fn data_that_was_used() -> Scratch {
    let mut first = Api::start().await;
    first.create_tenant("acme", "free").await;
    let data = Scratch::new();
    assert_eq!(first.process.stop().await.expect("it ends").code(), Some(0));
    for file in ["tidegate.db", "queue.db"] {
        assert!(!first.scratch.join(format!("{file}-wal")).exists(), "{file} is all there is");
        std::fs::copy(first.scratch.join(file), data.join(file)).expect("a copy");
    }
    data
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}

/// Puts these bytes in place of a used database, and expects both binaries to leave them alone.
async fn refused_as(file: &str, contents: &[u8], names: &[&str]) {
    let data = data_that_was_used().await;
    let path = data.join(file);
    std::fs::write(&path, contents).expect("the file is writable");
    let path_text = path.display().to_string();
    let names: Vec<&str> = names.iter().copied().chain([path_text.as_str()]).collect();
    for program in both(data.path()) {
        refused(program, DATA, &names).await;
        assert!(bytes(&path) == contents, "{path_text} was changed");
    }
}

fn patched(mut database: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    database[at..at + with.len()].copy_from_slice(with);
    database
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made() {
    let scratch = Scratch::new();
    let file = scratch.join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let places: [PathBuf; 4] = [file.clone(), file.join("below"), "/proc/tidegate".into(), "/dev/null/tidegate".into()];
    for place in places {
        for program in both(&place) {
            refused(program, DATA, &[&place.display().to_string()]).await;
        }
    }
    assert_eq!(bytes(&file), b"not a directory");
}

#[tokio::test]
async fn directories_and_files_in_one_anothers_place() {
    for file in ["tidegate.db", "queue.db"] {
        let data = Scratch::new();
        std::fs::create_dir(data.join(file)).unwrap();
        for program in both(data.path()) {
            refused(program, DATA, &[file]).await;
        }
    }
    let data = Scratch::new();
    std::fs::write(data.join("spool"), "a file").unwrap();
    for program in both(data.path()) {
        refused(program, DATA, &["spool", &data.path().display().to_string()]).await;
    }
    assert_eq!(bytes(&data.join("spool")), b"a file");
}

#[tokio::test]
async fn garbage_for_a_database() {
    let text = "this was never a database, only some notes\n".repeat(200);
    let noise: Vec<u8> = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for file in ["tidegate.db", "queue.db"] {
        for contents in [text.as_bytes(), &noise, b"short", &[0; 8192]] {
            refused_as(file, contents, &["database"]).await;
        }
    }
}

#[tokio::test]
async fn a_truncated_database() {
    let used = data_that_was_used().await;
    for file in ["tidegate.db", "queue.db"] {
        let whole = bytes(&used.join(file));
        for length in [whole.len() / 2, 4096, 4095, 600, 60] {
            refused_as(file, &whole[..length], &[]).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_database() {
    let used = data_that_was_used().await;
    for file in ["tidegate.db", "queue.db"] {
        let mut damaged = bytes(&used.join(file));
        let middle = damaged.len() / 2;
        damaged[middle..].fill(0xa5);
        refused_as(file, &damaged, &["damaged"]).await;
    }
}

#[tokio::test]
async fn a_database_of_another_program() {
    let used = data_that_was_used().await;
    for (file, other) in [("tidegate.db", "queue.db"), ("queue.db", "tidegate.db")] {
        let swapped = bytes(&used.join(other));
        // One with a foreign application id, one without any, and both in the usual journal mode.
        let unmarked = patched(swapped.clone(), APPLICATION_ID, &[0; 4]);
        for contents in [swapped, unmarked] {
            let rollback_mode = patched(patched(contents.clone(), WRITE_VERSION, &[1]), READ_VERSION, &[1]);
            refused_as(file, &contents, &["database"]).await;
            refused_as(file, &rollback_mode, &["database"]).await;
        }
    }
}

#[tokio::test]
async fn a_queue_of_a_newer_version() {
    let used = data_that_was_used().await;
    let newer = patched(bytes(&used.join("queue.db")), USER_VERSION, &999_u32.to_be_bytes());
    refused_as("queue.db", &newer, &["999", "version"]).await;
}

#[tokio::test]
async fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = Scratch::new();
    let names = [address.as_str(), "TIDEGATE_LISTEN"];
    refused(api(data.path(), &[]).env("TIDEGATE_LISTEN", &address), ADDRESS, &names).await;
    let names = [address.as_str(), "TIDEGATE_WORKER_LISTEN"];
    refused(worker(data.path(), &[("TIDEGATE_WORKER_LISTEN", &address)]), ADDRESS, &names).await;
    // An address reserved for documentation, so no machine here has it.
    let foreign = [("TIDEGATE_ADMIN_TOKEN", "admin-token-0123456789")];
    refused(api(data.path(), &foreign).env("TIDEGATE_LISTEN", "203.0.113.1:80"), ADDRESS, &["203.0.113.1:80"]).await;
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "nothing was written");
}

/// Both binaries with that settings file, given by its name or found in the working directory.
fn with_settings(data: &Scratch, text: &[u8]) -> Vec<ProcessBuilder> {
    let found = data.join("tidegate.toml");
    std::fs::write(&found, text).expect("the file is writable");
    let programs = ["tidegate-api", "tidegate-worker"].map(|name| Process::builder(binary(name)));
    let [named_api, named_worker] = programs.clone().map(|program| program.arg("--config").arg(&found));
    let [found_api, found_worker] = programs.map(|program| program.current_dir(data.path()));
    vec![named_api, named_worker, found_api, found_worker]
}

#[tokio::test]
async fn unknown_settings_are_named_with_their_likeliest() {
    let data = Scratch::new();
    for (text, unknown, nearest) in [
        ("listn = '127.0.0.1:0'", "listn", "listen"),
        ("[limits]\nddos_alow = '::1'", "limits.ddos_alow", "limits.ddos_allow"),
        ("[http]\nmax_siz = '1MiB'", "http.max_siz", "http.max_size"),
        ("data-dir = '.'", "data-dir", "data_dir"),
        ("[queue]\nconcurency = 2", "queue.concurency", "queue.concurrency"),
    ] {
        for program in with_settings(&data, text.as_bytes()) {
            refused(program, SETTINGS, &[&format!("`{unknown}`"), &format!("`{nearest}`"), ".toml"]).await;
        }
    }
    for program in with_settings(&data, b"zzz = 1") {
        refused(program, SETTINGS, &["`zzz`", ".toml"]).await;
    }
}

#[tokio::test]
async fn a_settings_file_that_is_no_toml_names_its_line_and_no_secret() {
    let data = Scratch::new();
    for (text, line) in [
        ("listen = ", "line 1"),
        ("# one\n\nlisten = '127.0.0.1:0\n", "line 3"),
        ("[tokens]\nadmin = \"hunter2-is-my-token\nread = 1", "line 2"),
        ("[tokens]\nadmin = hunter2-is-my-token", "line 2"),
        ("log = 'info'\nlog = 'debug'", "line 2"),
        ("{\"listen\": \"127.0.0.1:0\"}", "line 1"),
    ] {
        for program in with_settings(&data, text.as_bytes()) {
            let message = refused(program, SETTINGS, &[line, ".toml"]).await;
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    for program in with_settings(&data, b"listen = '\xff\xfe'") {
        refused(program, SETTINGS, &[".toml", "UTF-8"]).await;
    }
}

#[tokio::test]
async fn a_bad_value_in_the_file_is_named_with_the_file() {
    let data = Scratch::new();
    for (text, key) in [
        ("listen = 'here'", "listen"),
        ("listen = 1.5", "listen"),
        ("listen = [1, 2]", "listen"),
        ("[tokens]\nadmin = 'hunter2'", "tokens.admin"),
        ("import = 'chunk=501'", "import"),
        ("[http]\ntimeouts = 'request=30'", "http.timeouts"),
        ("trusted_proxies = ['10.0.0.0/8', 'hunter2']", "trusted_proxies"),
    ] {
        for program in with_settings(&data, text.as_bytes()) {
            let message = refused(program, SETTINGS, &[key, ".toml"]).await;
            assert!(key != "tokens.admin" || !message.contains("hunter2"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_settings_file_that_is_not_there() {
    let data = Scratch::new();
    let missing = data.join("missing.toml");
    for place in [&missing, data.path()] {
        for program in both(data.path()) {
            refused(program.arg("--config").arg(place), SETTINGS, &[&place.display().to_string()]).await;
        }
    }
}

#[tokio::test]
async fn every_bad_variable_is_named() {
    let data = Scratch::new();
    let bad = [
        ("TIDEGATE_LISTEN", "8080"),
        ("TIDEGATE_LISTEN", "localhost"),
        ("TIDEGATE_LISTEN", "127.0.0.1:99999"),
        ("TIDEGATE_WORKER_LISTEN", ":9090"),
        ("TIDEGATE_WORKER", "outer"),
        ("TIDEGATE_ADMIN_TOKEN", "short"),
        ("TIDEGATE_ADMIN_TOKEN", "with spaces in between it"),
        ("TIDEGATE_READ_TOKEN", "tökentökentökentöken"),
        ("TIDEGATE_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TIDEGATE_TRUSTED_PROXIES", "proxy.example"),
        ("TIDEGATE_OPEN_TENANTS", "maybe"),
        ("RUST_LOG", "tidegate=loud"),
        ("TIDEGATE_HTTP_MAX_SIZE", "body=lots"),
        ("TIDEGATE_HTTP_MAX_SIZE", "body=0"),
        ("TIDEGATE_HTTP_MAX_SIZE", "body=-1MiB"),
        ("TIDEGATE_HTTP_MAX_SIZE", "import=1TiB"),
        ("TIDEGATE_HTTP_TIMEOUTS", "request=30"),
        ("TIDEGATE_HTTP_TIMEOUTS", "request=0s"),
        ("TIDEGATE_HTTP_DRAIN", "timeout=soon"),
        ("TIDEGATE_CACHE_SIZE", "0"),
        ("TIDEGATE_CACHE_SIZE", "2TiB"),
        ("TIDEGATE_LIMIT_DDOS", "1000"),
        ("TIDEGATE_LIMIT_DDOS", "0/second"),
        ("TIDEGATE_LIMIT_DDOS", "-5/second"),
        ("TIDEGATE_LIMIT_DDOS", "block=25h"),
        ("TIDEGATE_LIMIT_API", "100/minute burst 20"),
        ("TIDEGATE_LIMIT_API", "100/fortnight"),
        ("TIDEGATE_LIMIT_API", "99999999999999999999/s"),
        ("TIDEGATE_LIMIT_API", "block=1"),
        ("TIDEGATE_QUEUE_CONCURRENCY", "import=0"),
        ("TIDEGATE_QUEUE_LEASE", "10ms"),
        ("TIDEGATE_QUEUE_GRACE", "2h"),
        ("TIDEGATE_IMPORT", "chunk=501"),
        ("TIDEGATE_IMPORT", "pause=61s"),
        ("DATABASE_URL", "mysql://app:hunter2@127.0.0.1/app"),
        ("REDIS_URL", "http://:hunter2@127.0.0.1"),
        ("REDIS_CACHE_URL", "redis://:hunter2@127.0.0.1"),
        ("TIDEGATE_REDIS_PREFIX", "a b"),
        ("TIDEGATE_REDIS_TIMEOUTS", "queue=1ms"),
        ("TIDEGATE_REDIS_TIMEOUTS", "request=2m"),
        ("TIDEGATE_QUEUE_PARTITIONS", "0"),
    ];
    for (name, value) in bad {
        for program in both(data.path()) {
            let message = refused(program.env(name, value), SETTINGS, &[name, "environment variable"]).await;
            let is_secret = name.ends_with("_TOKEN") || name.ends_with("_URL");
            assert!(!is_secret || !(message.contains(value) || message.contains("hunter2")), "{message}");
        }
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "nothing was written");
}

#[tokio::test]
async fn a_command_line_that_means_nothing() {
    let data = Scratch::new();
    for arguments in [&["--prot"][..], &["serve"], &["--config"]] {
        let ended = run(api(data.path(), &[]).args(arguments)).await;
        assert_eq!(ended.code, Some(SETTINGS), "{arguments:?}");
        assert!(ended.err.contains(arguments[0]) && ended.err.contains("--help"), "{}", ended.err);
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}
