//! Test kit: real processes and servers for tests, which end with the test.
//!
//! A [`Process`] is a started program with its output captured. A test waits for its output, its
//! HTTP readiness or its exit. It can kill it, suspend it, stop it, and restart it with the same
//! settings. However the test ends, the program and its children end with it. The other tools:
//!
//! - [`Scratch`]: temporary directories. [`free_port`]: ports that no other test gets. [`binary`]:
//!   the workspace's own binaries. [`poll_until`]: the only function that waits.
//! - [`redis`]: servers with replicas, Sentinels and clusters, a proxy that loses replies, and torn
//!   append-only files.
//! - [`PostgresServer`]: a server with its own cluster, and replicas. [`Relay`]: forwards
//!   connections and can hold them. [`SmtpServer`]: accepts mail, or refuses it.
//! - `S3Server` (feature `s3`): a bucket that can fail or cut off answers. `Browser` (feature
//!   `browser`): loads pages.
//! - [`scale`]: shortens a long test. [`Random`]: random numbers that are the same in every run.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_testkit::{Process, Scratch};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tidegate_testkit::ProcessError> {
//! let scratch = Scratch::new();
//! let mut greeter = Process::builder("/bin/sh")
//!     .args(["-c", "echo hello $NAME; exec sleep 60"])
//!     .env("NAME", "tide")
//!     .current_dir(scratch.path())
//!     .start()?;
//!
//! let line = greeter.wait_for_line("hello", Duration::from_secs(10)).await?;
//! assert_eq!(line, "hello tide");
//!
//! greeter.kill9()?;
//! greeter.restart()?;
//! greeter.wait_for_line("hello", Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Only tests and the driver `tidegate-load` depend on this crate. Setup that can't fail on a
//! working machine ([`Scratch::new`], [`free_port`], [`binary`]) panics with the reason, so that a
//! test need not handle its errors. Every fault that a tested program can cause is a typed error,
//! which contains the end of its log.
//!
//! # What is not guaranteed
//!
//! - Unix only: it sends signals.
//! - Waiting uses tokio's clock: in a test with paused time every deadline passes at once.
//! - Lines of standard output and standard error are in the order in which they were read.
//! - A program that leaves its process group (a daemon) is neither killed nor suspended.
//! - The log is printed if a test *panics*. A test that returns an error only shows the part of the
//!   log in that error.
//! - Nothing is built: [`binary`] finds the last build, however old.

mod binary;
#[cfg(feature = "browser")]
mod browser;
mod http;
mod log;
mod page;
mod poll;
mod port;
mod postgres;
mod process;
mod random;
pub mod redis;
mod relay;
#[cfg(feature = "s3")]
mod s3;
mod scale;
mod scratch;
mod smtp;

pub use binary::{BinaryMissing, binary, find_binary};
#[cfg(feature = "browser")]
pub use browser::{Browser, By, Key};
pub use http::http_client;
pub use log::{Log, LogLine, Stream};
pub use page::Page;
pub use poll::{TimedOut, poll_until};
pub use port::free_port;
pub use postgres::PostgresServer;
pub use process::{Process, ProcessBuilder, ProcessError};
pub use random::Random;
pub use relay::Relay;
#[cfg(feature = "s3")]
pub use s3::S3Server;
pub use scale::scale;
pub use scratch::Scratch;
pub use smtp::{Received, SmtpServer};
