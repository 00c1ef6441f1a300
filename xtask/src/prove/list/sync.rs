//! Proofs of locks and reservations.

use crate::prove::proof::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof(
        "lock-fencing",
        "4 processes, 40 holders killed and as many suspended: never two writers past the fencing token",
        "tidegate-sync",
        "processes",
        "killed_and_suspended_holders_never_write_past_a_later_one",
    ),
    proof(
        "lock-overlap",
        "100,000 acquisitions by 4 processes, none overlapping another",
        "tidegate-sync",
        "processes",
        "acquisitions_by_four_processes_never_overlap",
    ),
    proof(
        "transfer",
        "transfers by processes that are killed 200 times: the sum of all accounts never changes",
        "tidegate-sync",
        "processes",
        "the_sum_of_all_accounts_never_changes_also_when_processes_die",
    ),
    proof(
        "stock",
        "a stock of 10,000 sold by 3 processes, one of them killed: sold + released + expired = 10,000",
        "tidegate-sync",
        "processes",
        "ten_thousand_in_stock_are_each_sold_released_or_expired_once",
    ),
    proof(
        "oversold",
        "50,000 orders for a stock of 10,000: 10,000 sold, none twice",
        "tidegate-sync",
        "processes",
        "more_orders_than_stock_sell_no_more_than_there_is",
    ),
];
