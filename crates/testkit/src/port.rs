//! Ports that no other test gets.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::{env, io, process};

/// Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing
/// connections. Otherwise, a client of any test could get the port between this check and the
/// server's bind.
const PORTS: Range<u16> = 20_000..32_768;

/// Locked files, one per claimed port, held until this process ends.
static CLAIMS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Returns a TCP port on which nothing listens, for one server of one test.
///
/// No other call of this function, in any process, returns the same port until this process ends:
/// the claim is a locked file in the temporary directory. So a server can be stopped and restarted
/// on its port. A program that does not use this function can still take the port. The check only
/// binds 127.0.0.1.
///
/// # Panics
///
/// If the temporary directory can't be written, or none of about 12,000 ports is free.
#[must_use]
#[track_caller]
pub fn free_port() -> u16 {
    let user = rustix::process::geteuid().as_raw();
    let claims = env::temp_dir().join(format!("tidegate-testkit-ports-{user}"));
    fs::create_dir_all(&claims).expect("the temporary directory is writable");
    candidates(process::id())
        .find(|&port| claim(&claims, port).expect("a claim on a port can be written"))
        .expect("one of the ports 20000 to 32767 is free")
}

/// Every port once. The start differs between processes, so that they rarely try the same ports.
fn candidates(process: u32) -> impl Iterator<Item = u16> {
    let (start, end) = (u32::from(PORTS.start), u32::from(PORTS.end));
    let offset = process.wrapping_mul(101) % (end - start);
    (start + offset..end).chain(start..start + offset).filter_map(|port| u16::try_from(port).ok())
}

fn claim(claims: &Path, port: u16) -> io::Result<bool> {
    let file = File::options().create(true).append(true).open(claims.join(port.to_string()))?;
    if file.try_lock().is_err() || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        return Ok(false);
    }
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{PORTS, candidates, claim, free_port};
    use crate::Scratch;

    #[test]
    fn every_port_is_a_candidate_once() {
        for process in [0, 1, 4711, u32::MAX] {
            let all: Vec<u16> = candidates(process).collect();
            assert_eq!(all.len(), PORTS.len());
            assert_eq!(all.iter().copied().collect::<HashSet<_>>(), PORTS.collect());
        }
    }

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports: Vec<u16> = (0..20).map(|_| free_port()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        for port in ports {
            std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        }
    }

    #[test]
    fn a_claimed_or_busy_port_is_refused() {
        let claims = Scratch::new();
        let claimed = free_port();
        assert!(claim(claims.path(), claimed).unwrap());
        assert!(!claim(claims.path(), claimed).unwrap(), "claimed already");

        let busy = free_port();
        let _server = std::net::TcpListener::bind(("127.0.0.1", busy)).unwrap();
        assert!(!claim(claims.path(), busy).unwrap(), "something listens there");
    }
}
