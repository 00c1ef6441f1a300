//! Tests drive real processes, and nothing of a test outlives it.
//!
//! A [`Process`] is a started program with its output captured: wait for what it prints, for its
//! HTTP readiness or for its exit; kill it, hang it, stop it, start it again with the same
//! settings. Whatever way the test ends, the program and its children end with it. Beside it stand
//! [`Scratch`] directories, ports that no other test gets ([`free_port`]), the workspace's own
//! binaries ([`binary`]) and [`poll_until`], the one place that waits. [`redis`] starts servers
//! with replicas, Sentinels and clusters, puts a proxy in front that loses replies, and tears
//! append-only files; [`PostgresServer`] has a cluster of its own, and followers of it; a [`Relay`]
//! leads from one server to another; [`SmtpServer`] takes mails, or doesn't; `S3Server` (feature
//! `s3`) has a bucket, and is busy or breaks off as a test likes; `Browser` (feature `browser`)
//! loads pages; [`scale`] lets a long proof run short, and [`Random`] is the same in
//! every run.
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
//! Only tests and the driver `tidegate-load` depend on this crate. Setup that cannot fail on a
//! sane machine ([`Scratch::new`], [`free_port`], [`binary`]) panics with the reason, so that a
//! test names its steps and not their errors; all that a tested program can cause is a typed error
//! that carries the tail of its log.
//!
//! # What it does not guarantee
//!
//! - Unix only: it sends signals.
//! - Waiting uses tokio's clock: in a test with paused time every deadline passes at once.
//! - The order of lines between standard output and standard error is the order in which they were read.
//! - A program that leaves its process group (a daemon) is neither killed nor hung.
//! - The log is printed when a test *panics*; a test that returns an error shows what that error carries.
//! - Nothing is built: [`binary`] finds what was last built, however old.

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
