//! Tells processes apart in time: who may act now, how many, and what was already done.
