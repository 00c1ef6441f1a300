//! End to end: the real binaries, real requests, real faults.

mod backend;
mod document;
mod harness;

mod access_log;
mod accounts;
mod again;
mod alerts;
mod backups;
mod bad_input;
mod bad_start;
mod cached_keys;
mod connections;
mod contract;
mod documented;
mod exports;
mod fleet;
mod fuzz;
mod hostile_clients;
mod imports;
mod limiters;
mod limits;
mod matrix;
mod notifications;
mod numbers;
mod pages;
mod performance;
mod postgres;
mod private_files;
mod processes;
mod queues;
mod readme;
mod reads;
mod redis;
mod request_ids;
mod secrets;
mod sigterm;
mod start;
mod statements;
mod stuck;
#[cfg(feature = "otlp")]
mod traces;
mod unscraped;
mod warm_up;
mod wire;
