//! Which caller runs a load: the first caller, until another one waits for the load.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Starts the load in a task of its own.
pub(crate) type GoOn = Box<dyn FnOnce() + Send>;

/// A future runs only while it is polled, and its owner may hold it without polling it. So a load
/// that others wait for must not depend on the future of one caller. The first waiter starts a
/// task.
#[derive(Default)]
pub(super) struct Duty(Mutex<State>);

#[derive(Default)]
enum State {
    /// No caller waits, and none has begun to query.
    #[default]
    Open,
    Led(GoOn),
    /// A caller waits, or takes care of it.
    Taken,
}

impl Duty {
    /// Lets the first caller query by itself. If another caller waits already, a task starts at
    /// once and the result is `false`.
    pub(super) fn lead(&self, go_on: GoOn) -> bool {
        {
            let mut state = self.state();
            if matches!(*state, State::Open) {
                *state = State::Led(go_on);
                return true;
            }
        }
        go_on();
        false
    }

    /// Takes the duty over from the leader.
    pub(super) fn take(&self) -> Option<GoOn> {
        match std::mem::replace(&mut *self.state(), State::Taken) {
            State::Led(go_on) => Some(go_on),
            State::Open | State::Taken => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.state() {
            State::Open => "Open",
            State::Led(_) => "Led",
            State::Taken => "Taken",
        })
    }
}
