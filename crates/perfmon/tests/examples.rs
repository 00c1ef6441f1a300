//! Each example runs, and what it asserts holds.

#[path = "../examples/how_long_did_they_wait.rs"]
mod how_long_did_they_wait;
#[path = "../examples/is_it_healthy.rs"]
mod is_it_healthy;
#[cfg(feature = "tower")]
#[path = "../examples/is_my_handler_slow.rs"]
mod is_my_handler_slow;
#[path = "../examples/what_took_so_long.rs"]
mod what_took_so_long;
#[path = "../examples/when_is_it_full.rs"]
mod when_is_it_full;
#[path = "../examples/which_endpoint_is_slow.rs"]
mod which_endpoint_is_slow;
#[path = "../examples/which_statement_repeats.rs"]
mod which_statement_repeats;
#[path = "../examples/who_should_know.rs"]
mod who_should_know;

#[test]
fn how_long_did_they_wait_runs() {
    how_long_did_they_wait::main();
}

#[test]
fn is_it_healthy_runs() {
    is_it_healthy::main();
}

#[cfg(feature = "tower")]
#[test]
fn is_my_handler_slow_runs() {
    is_my_handler_slow::main().expect("it never fails");
}

#[test]
fn what_took_so_long_runs() {
    what_took_so_long::main();
}

#[test]
fn when_is_it_full_runs() {
    when_is_it_full::main();
}

#[test]
fn which_endpoint_is_slow_runs() {
    which_endpoint_is_slow::main();
}

#[test]
fn which_statement_repeats_runs() {
    which_statement_repeats::main();
}

#[test]
fn who_should_know_runs() {
    who_should_know::main();
}
