//! The append-only file of a server: the effects of a script in it, and how a crash can tear it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::RedisServer;

/// One command in an append-only file, as the server replays it.
#[derive(Clone, PartialEq, Eq)]
pub struct Effect {
    args: Vec<Vec<u8>>,
    bytes: Range<usize>,
}

impl Effect {
    /// The command's name in capital letters.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.args[0]).to_uppercase()
    }

    /// The name and the arguments.
    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }

    /// The bytes of the file that hold the command.
    pub fn bytes(&self) -> Range<usize> {
        self.bytes.clone()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", self.args.len()).into_bytes();
        for arg in &self.args {
            bytes.extend(format!("${}\r\n", arg.len()).bytes());
            bytes.extend(arg);
            bytes.extend(b"\r\n");
        }
        bytes
    }
}

/// The command as text, for the message of a failed test.
impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<_> = self.args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
        f.write_str(&args.join(" "))
    }
}

/// All effects of one script, or of one plain command.
///
/// The server writes the effects of a script between `MULTI` and `EXEC` if there are at least two
/// of them.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The commands without `MULTI`, `EXEC` and `SELECT`.
    pub effects: Vec<Effect>,
    /// The bytes of the file that hold it, with `MULTI` and `EXEC`.
    pub bytes: Range<usize>,
    /// Whether it is between `MULTI` and `EXEC`.
    pub is_wrapped: bool,
    /// Whether its `EXEC` is present. Always true for a plain command.
    pub is_whole: bool,
}

/// The newest incremental append-only file of a server, at the time it was read.
///
/// A server that is killed can leave a file that ends inside a transaction. At the next start,
/// Redis, and Valkey before 9.1.2, remove only the incomplete command. The commands before it stay
/// in the file after a `MULTI` without `EXEC`. They are not in memory after this restart, but they
/// run at the next one, together with the next transaction. A plain command that is written after
/// them is lost at that restart if no transaction follows it. To show the effect on a script: kill
/// the server, [tear](Self::tear_after) the file, restart, write, kill and restart once more.
#[derive(Debug)]
pub struct AppendOnlyFile {
    path: PathBuf,
    transactions: Vec<Transaction>,
    first_broken: usize,
}

impl AppendOnlyFile {
    /// Reads the newest incremental file in the server's directory.
    ///
    /// # Panics
    ///
    /// If there is none, or if it is not an append-only file.
    pub fn newest_in(directory: impl AsRef<Path>) -> Self {
        let files = fs::read_dir(directory.as_ref().join("appendonlydir")).expect("the server keeps append-only files");
        let number = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?.strip_suffix(".incr.aof")?;
            name.rsplit('.').next()?.parse::<u64>().ok()
        };
        let paths = files.filter_map(|file| Some(file.ok()?.path())).filter(|path| number(path).is_some());
        let path = paths.max_by_key(number).expect("the server has an incremental append-only file");
        let bytes = fs::read(&path).expect("the append-only file can be read");
        let (transactions, first_broken) = parse(&bytes);
        Self { path, transactions, first_broken }
    }

    /// All transactions, in file order.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The last transaction.
    ///
    /// # Panics
    ///
    /// If the file has none.
    pub fn last(&self) -> &Transaction {
        self.transactions.last().expect("something was written to the append-only file")
    }

    /// All effects, in file order. Call it before and after a script to get the effects of the
    /// script.
    pub fn effects(&self) -> Vec<Effect> {
        self.transactions.iter().flat_map(|transaction| transaction.effects.clone()).collect()
    }

    /// Whether the file ends after a complete command.
    pub fn ends_whole(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() == self.first_broken as u64)
    }

    /// Cuts the file at this byte. The server must not run.
    ///
    /// # Panics
    ///
    /// If the file can't be written.
    pub fn cut_at(self, byte: usize) {
        let file = OpenOptions::new().write(true).open(&self.path).expect("the append-only file can be written");
        file.set_len(byte as u64).expect("the append-only file can be cut");
    }

    /// Cuts the file inside the last transaction, so that this many of its effects are complete.
    /// The cut is in the middle of the next effect, or of `EXEC` after the last one. A plain
    /// command with its one effect is not changed. The server must not run.
    ///
    /// # Panics
    ///
    /// If the last transaction has fewer effects, or if the file can't be written.
    pub fn tear_after(self, effects: usize) {
        let last = self.last();
        assert!(effects <= last.effects.len(), "the last transaction has fewer effects: {last:?}");
        let cut = match last.effects.get(effects) {
            Some(torn) => usize::midpoint(torn.bytes.start, torn.bytes.end),
            None if last.is_wrapped && last.is_whole => last.bytes.end - b"EC\r\n".len(),
            None => last.bytes.end,
        };
        self.cut_at(cut);
    }
}

impl RedisServer {
    /// Reads the newest append-only file. A running server has written all acknowledged effects to
    /// it.
    pub fn append_only_file(&self) -> AppendOnlyFile {
        AppendOnlyFile::newest_in(self.directory())
    }

    /// Returns the effects that the server has written to its append-only file after the first
    /// `before`.
    pub fn effects_since(&self, before: usize) -> Vec<Effect> {
        self.append_only_file().effects().split_off(before)
    }

    /// Empties the server and sends it these commands. With the effects of a file up to the middle
    /// of a script, the server is then in the state after a torn file. Not for servers with TLS or
    /// a password.
    ///
    /// # Panics
    ///
    /// If the server doesn't answer, or refuses a command.
    pub async fn replay(&self, effects: &[Effect]) {
        assert_eq!(self.cli(&["FLUSHALL"]).await, "OK");
        let (port, effects) = (self.port(), effects.to_vec());
        let sent = tokio::task::spawn_blocking(move || send(port, &effects)).await;
        sent.expect("sending does not panic").expect("the server takes the commands");
    }
}

/// Sends each command and waits for its answer. Returns an error if one is refused.
fn send(port: u16, effects: &[Effect]) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for effect in effects {
        stream.write_all(&effect.encode())?;
        if let Some(refusal) = skip_answer(&mut answers)? {
            return Err(io::Error::other(format!("{effect:?}: {refusal}")));
        }
    }
    Ok(())
}

/// Reads one answer. Returns it if it is an error.
fn skip_answer(answers: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = || line[1..].trim_end().parse::<u64>().unwrap_or(0);
    match line.as_bytes()[0] {
        b'-' => return Ok(Some(line.trim_end().to_owned())),
        b'$' if !line.starts_with("$-") => {
            io::copy(&mut answers.take(length() + 2), &mut io::sink())?;
        }
        b'*' => {
            for _ in 0..length() {
                skip_answer(&mut *answers)?;
            }
        }
        _ => {}
    }
    Ok(None)
}

/// Parses the transactions of a file. Also returns the start of its first incomplete command.
fn parse(bytes: &[u8]) -> (Vec<Transaction>, usize) {
    let mut transactions: Vec<Transaction> = Vec::new();
    let mut open: Option<Transaction> = None;
    let mut at = 0;
    while let Some(effect) = command(bytes, &mut at) {
        let (start, end) = (effect.bytes.start, effect.bytes.end);
        match &*effect.name() {
            "MULTI" => {
                // The server keeps a torn transaction in the file and writes the next one after it.
                transactions.extend(open.take());
                open = Some(Transaction { effects: Vec::new(), bytes: start..end, is_wrapped: true, is_whole: false });
            }
            "EXEC" => {
                if let Some(mut closed) = open.take() {
                    closed.bytes.end = end;
                    closed.is_whole = true;
                    transactions.push(closed);
                }
            }
            "SELECT" => {}
            _ => match &mut open {
                Some(open) => {
                    open.bytes.end = end;
                    open.effects.push(effect);
                }
                None => transactions.push(Transaction {
                    effects: vec![effect],
                    bytes: start..end,
                    is_wrapped: false,
                    is_whole: true,
                }),
            },
        }
    }
    transactions.extend(open);
    (transactions, at)
}

/// Parses the command at `at`, and moves `at` past it. `None` if it is incomplete.
fn command(bytes: &[u8], at: &mut usize) -> Option<Effect> {
    let mut next = *at;
    // Lines that start with `#` are annotations.
    while bytes.get(next) == Some(&b'#') {
        next += bytes[next..].iter().position(|byte| *byte == b'\n')? + 1;
    }
    let start = next;
    let count = number(bytes, &mut next, b'*')?;
    let mut args = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(bytes, &mut next, b'$')?;
        args.push(bytes.get(next..next + length)?.to_vec());
        next += length + 2;
    }
    if args.is_empty() || next > bytes.len() {
        return None;
    }
    *at = next;
    Some(Effect { args, bytes: start..next })
}

fn number(bytes: &[u8], at: &mut usize, mark: u8) -> Option<usize> {
    let line = bytes.get(*at..)?;
    let length = line.windows(2).position(|end| end == b"\r\n")?;
    let text = std::str::from_utf8(line[..length].strip_prefix(&[mark])?).ok()?;
    *at += length + 2;
    text.parse().ok()
}
