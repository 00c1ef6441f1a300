//! What the front limiter counts.

use axum::http::Request;
use tidegate_ratelimit::{Charge, Charges, Policy, RequestKey};
use tidegate_settings::LimitMode;

use crate::access;
use crate::app::App;
use crate::client::ClientKey;

/// Counts every request by its client's address, with two exceptions. The service token requests
/// decisions about many clients. The admin token may end a block, so no block must lock it out.
pub struct Front(pub App);

impl<B> Policy<B> for Front {
    fn charges(&self, request: &Request<B>) -> Charges {
        let Self(app) = self;
        let ddos = &app.limiters().ddos;
        let client = request.extensions().get::<ClientKey>();
        match client {
            Some(client) if ddos.mode() != LimitMode::Off && !access::passes_front(app, request) => {
                Charge::new(ddos.limiter().clone(), RequestKey::verbatim(&client.0)).into()
            }
            _ => Charges::none(),
        }
    }
}
