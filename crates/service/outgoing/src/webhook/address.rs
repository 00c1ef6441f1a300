//! Restricts webhooks to public addresses.

use std::error::Error;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tidegate_base::public_address::is_public;

/// Every address of the name is private, belongs to this machine, or is unusable.
#[derive(Debug, thiserror::Error)]
#[error("the address is private")]
pub(super) struct PrivateAddress;

/// Whether the error or one of its causes is a [`PrivateAddress`].
pub(super) fn is_private_address(error: &(dyn Error + 'static)) -> bool {
    error.is::<PrivateAddress>() || error.source().is_some_and(is_private_address)
}

/// Resolves names to public addresses. The connection uses exactly these addresses, so a name that
/// resolves to another address in a second query gains nothing.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The caller sets the port.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(PrivateAddress.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_this_machine_leads_nowhere() {
        let error = PublicOnly.resolve("localhost".parse().unwrap()).await.map(|_| ()).unwrap_err();
        assert!(is_private_address(&*error), "{error}");
    }
}
