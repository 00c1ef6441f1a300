//! Redirections: answers of a cluster's server that does not serve a slot.

use super::address::Address;

/// The command did not run here; it has to be sent to another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The slot has moved permanently.
    Moved { slot: u16, to: Address },
    /// The slot is migrating; its keys that are missing here are already at the target.
    Ask { to: Address },
}

impl Redirect {
    /// Parses a server's error. `from` is the server that returned it: an empty host means its own.
    pub(crate) fn parse(error: &str, from: &Address) -> Option<Self> {
        let mut words = error.split_ascii_whitespace();
        let kind = words.next()?;
        if kind != "MOVED" && kind != "ASK" {
            return None;
        }
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        let host = if matches!(host, "" | "?") { &from.host } else { host };
        let to = Address { host: host.to_owned(), port: port.parse().ok()? };
        Some(if kind == "MOVED" { Self::Moved { slot, to } } else { Self::Ask { to } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    #[test]
    fn reads_where_to_go() {
        let from = address("10.0.0.1", 6379);
        let moved = Redirect::Moved { slot: 449, to: address("10.0.0.2", 7000) };
        assert_eq!(Redirect::parse("MOVED 449 10.0.0.2:7000", &from), Some(moved));
        let ask = Redirect::Ask { to: address("fe80::1", 7000) };
        assert_eq!(Redirect::parse("ASK 449 fe80::1:7000", &from), Some(ask));
    }

    #[test]
    fn a_server_without_a_name_is_the_one_that_spoke() {
        let from = address("10.0.0.1", 6379);
        assert_eq!(Redirect::parse("ASK 1 :7000", &from), Some(Redirect::Ask { to: address("10.0.0.1", 7000) }));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), slot in any::<u32>()) {
            let from = address("10.0.0.1", 6379);
            for text in [text.clone(), format!("MOVED {slot} {text}"), format!("ASK {text} h:{slot}")] {
                let _ = Redirect::parse(&text, &from);
            }
        }
    }

    #[test]
    fn anything_else_is_no_redirection() {
        let from = address("10.0.0.1", 6379);
        for text in
            ["", "MOVED", "MOVED x h:1", "MOVED 1 h", "ASK 70000 h:1", "ERR MOVED 1 h:1", "CLUSTERDOWN Hash slot"]
        {
            assert_eq!(Redirect::parse(text, &from), None, "{text}");
        }
    }
}
