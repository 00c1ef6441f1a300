//! Proofs of the examples and the fleet under load.

use crate::prove::proof::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof(
        "scenario-checkout",
        "coupons, points and orders while one of three processes is killed each second and Redis is restarted: all sums agree, \
         and a slow service does not slow the others",
        "tidegate-load",
        "scenarios",
        "under_faults::checkout",
    ),
    proof(
        "scenario-coupons",
        "users want coupons while one of three processes is killed each second and Redis is restarted: one each, SQL and Redis agree",
        "tidegate-load",
        "scenarios",
        "under_faults::coupons",
    ),
    proof(
        "scenario-exchange_rate",
        "rates of a service that fails and is slow, while one of three processes is killed each second and Redis is restarted: \
         none older than it says, and the service's quota is kept",
        "tidegate-load",
        "scenarios",
        "under_faults::exchange_rate",
    ),
    proof(
        "scenario-leaderboard",
        "awards while one of three processes is killed each second and Redis is restarted: all are on the board, in the right order",
        "tidegate-load",
        "scenarios",
        "under_faults::leaderboard",
    ),
    proof(
        "scenario-feed",
        "posts, of an author with 100,000 followers too, and readers while one of three processes is killed each second and Redis is \
         restarted: every acknowledged post is in every feed, pages have no gap and no repeat",
        "tidegate-load",
        "scenarios",
        "under_faults::feed",
    ),
    proof(
        "scenario-payment",
        "50 callers pay for one order at once while one of three processes is killed each second and Redis is restarted: paid once",
        "tidegate-load",
        "scenarios",
        "under_faults::payment",
    ),
    proof(
        "scenario-time_sale",
        "10,000 pieces sold while one of three processes is killed each second and Redis is restarted: none sold twice",
        "tidegate-load",
        "scenarios",
        "under_faults::time_sale",
    ),
    proof(
        "scenario-points",
        "points are earned and used while one of three processes is killed each second and Redis is restarted: the balance is the sum",
        "tidegate-load",
        "scenarios",
        "under_faults::points",
    ),
    proof(
        "scenario-product_page",
        "updates and reads while one of three processes is killed each second and Redis is restarted: no page older than its reader knows",
        "tidegate-load",
        "scenarios",
        "under_faults::product_page",
    ),
    proof(
        "scenario-transfer",
        "accounts send to one another while one of three processes is killed each second and Redis is restarted: both sides or neither, once",
        "tidegate-load",
        "scenarios",
        "under_faults::transfer",
    ),
];
