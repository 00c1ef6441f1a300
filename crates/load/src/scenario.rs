//! Facts about each example: its requests, the figures to beat, and what must stay true.

mod checkout;
mod coupons;
mod definition;
mod exchange_rate;
mod feed;
mod helpers;
mod leaderboard;
mod payment;
mod points;
mod product_page;
mod time_sale;
mod transfer;

use std::sync::Arc;

pub use self::definition::{Measured, Ratio, Scenario, Target};

/// All scenarios.
pub fn all() -> Vec<Arc<dyn Scenario>> {
    vec![
        Arc::new(time_sale::TimeSale::default()),
        Arc::new(payment::Payment::default()),
        Arc::new(coupons::Coupons::default()),
        Arc::new(product_page::ProductPage::default()),
        Arc::new(transfer::Transfer::default()),
        Arc::new(points::Points::default()),
        Arc::new(exchange_rate::ExchangeRate::default()),
        Arc::new(checkout::Checkout::default()),
        Arc::new(leaderboard::Leaderboard::default()),
        Arc::new(feed::Feed::default()),
    ]
}

/// The scenario of that name.
pub fn find(name: &str) -> Option<Arc<dyn Scenario>> {
    all().into_iter().find(|scenario| scenario.name() == name)
}
