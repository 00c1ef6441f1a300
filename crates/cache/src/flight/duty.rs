//! Who sees to a load that its first caller tries to spare: that caller, until somebody else waits for it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Has the load made in a task of its own.
pub(crate) type GoOn = Box<dyn FnOnce() + Send>;

/// A future is driven by whoever polls it, and may be held without being polled. So what others wait for must not be left to the
/// future of one caller: the first of them has it made by a task.
#[derive(Default)]
pub(super) struct Duty(Mutex<State>);

#[derive(Default)]
enum State {
    /// Nobody waits, and nobody has begun to look.
    #[default]
    Open,
    Led(GoOn),
    /// Somebody waits, or sees to it.
    Taken,
}

impl Duty {
    /// The first caller looks by itself. Should somebody wait already, it is done in a task at once, and false.
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

    /// Takes it over, from whoever leads.
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
