//! A run of a process: the child, its watchdog and the readers of its output.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::log::{Log, Stream};

/// How long to wait for the end of the output after the end of the process. It only takes long if a
/// program that left the group holds the pipe.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A child that has not been reaped. So its process id, and that of its group, can't have been
/// reused.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    pid: Pid,
    watchdog: Watchdog,
    readers: Receiver<()>,
}

impl Running {
    pub(super) fn start(command: &mut Command, log: &Log) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let run = log.begin_run();
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let watchdog = Watchdog::start(pid).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let (done, readers) = channel();
        if let Some(output) = child.stdout.take() {
            read(output, log.clone(), run, Stream::Stdout, done.clone());
        }
        if let Some(output) = child.stderr.take() {
            read(output, log.clone(), run, Stream::Stderr, done);
        }
        Ok(Self { child, pid, watchdog, readers })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    pub(super) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process_group(self.pid, signal)?)
    }

    /// Whether the program is suspended or has ended.
    pub(super) fn has_paused(&self) -> io::Result<bool> {
        self.peek(WaitIdOptions::STOPPED | WaitIdOptions::EXITED)
    }

    pub(super) fn has_exited(&self) -> io::Result<bool> {
        self.peek(WaitIdOptions::EXITED)
    }

    /// Whether the child is in one of the states. Does not reap it.
    fn peek(&self, states: WaitIdOptions) -> io::Result<bool> {
        loop {
            match waitid(WaitId::Pid(self.pid), states | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT) {
                Ok(status) => return Ok(status.is_some()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Kills the rest of the group, reads the last lines and reaps the child.
    pub(super) fn end(&mut self) -> io::Result<ExitStatus> {
        // Fails if the group is already empty.
        let _ = self.signal_group(Signal::KILL);
        self.watchdog.dismiss();
        let status = self.child.wait()?;
        let _ = self.readers.recv_timeout(LAST_LINES);
        Ok(status)
    }
}

fn read(output: impl Read + Send + 'static, log: Log, run: u32, stream: Stream, done: Sender<()>) {
    thread::spawn(move || {
        log.read_from(output, run, stream);
        // The receiver detects the end when both readers have dropped their sender.
        drop(done);
    });
}

/// A shell that outlives this process for a moment. If a test is killed, the pipe to the shell
/// closes, and the shell kills the watched group.
///
/// The child needs its own group, so that its own children end with it. But then it is not in the
/// group that a test runner or the terminal kills. The system's own feature for this
/// (`PR_SET_PDEATHSIG`) needs `unsafe` and exists only on Linux.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
    _pipe: Option<ChildStdin>,
}

impl Watchdog {
    fn start(group: Pid) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "read -r _; kill -s KILL -- \"-$0\""])
            .arg(group.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, _pipe: pipe })
    }

    /// Ends the watchdog. Call it before the child is reaped: afterwards, the number of its group
    /// may be reused.
    fn dismiss(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
