//! Flags that set settings for one run. They take precedence over the environment.

use clap::{Arg, ArgMatches, Command};
use tidegate_settings::{RawSettings, Source};

/// A flag with a value, and the setting that it replaces.
#[derive(Debug)]
pub struct Flag {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    setting: &'static str,
}

/// `--queues email,report`: the queues that the process serves.
pub const SERVED: Flag = Flag {
    name: "--queues",
    value: "NAMES",
    help: "Queues to serve, separated by commas, instead of TIDEGATE_QUEUES",
    setting: "queues",
};

/// `--concurrency email=4,report=1`, or `--concurrency 4` for each queue: the number of concurrent
/// jobs.
pub const CONCURRENCY: Flag = Flag {
    name: "--concurrency",
    value: "JOBS",
    help: "Concurrent jobs, instead of TIDEGATE_QUEUE_CONCURRENCY: one number for every queue, \
           or queue=number, separated by commas",
    setting: "queue.concurrency",
};

impl Flag {
    pub(super) fn add(&self, command: Command) -> Command {
        let long = self.name.trim_start_matches('-');
        command.arg(Arg::new(self.name).long(long).value_name(self.value).help(self.help))
    }

    /// Applies its value to the settings.
    pub(super) fn apply(&self, arguments: &ArgMatches, raw: &mut RawSettings) {
        if let Some(text) = arguments.get_one::<String>(self.name) {
            self.lay_over(raw, text);
        }
    }

    fn lay_over(&self, raw: &mut RawSettings, text: &str) {
        raw.lay_over(self.setting, text, Source::Flag(self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::ServedQueue;

    fn served(flags: &[(&Flag, &str)]) -> Result<Vec<ServedQueue>, String> {
        let mut raw = RawSettings::default();
        flags.iter().for_each(|(flag, text)| flag.lay_over(&mut raw, text));
        raw.check().map(|settings| settings.queue.served).map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_is_for_each_queue_and_a_name_for_one() {
        let at_once = |text| served(&[(&CONCURRENCY, text)]).unwrap().into_iter().map(|queue| queue.concurrency);
        assert!(at_once("7").all(|concurrency| concurrency == 7));
        let some = served(&[(&SERVED, "import"), (&CONCURRENCY, "import=5")]).unwrap();
        assert_eq!(
            some.iter().map(|served| (served.queue.name, served.concurrency)).collect::<Vec<_>>(),
            [("import", 5)]
        );
    }

    #[test]
    fn a_flag_error_names_the_flag() {
        for (flag, text, told) in [
            (&SERVED, "imports", "queues (--queues): `imports` is not `all`, or some of "),
            (&CONCURRENCY, "many", "(--concurrency): `analytics`: `many` is not a whole number from 1 to 64"),
            (&CONCURRENCY, "import=0", "(--concurrency): `import`: `0` is not a whole number from 1 to 64"),
            (&CONCURRENCY, "import=1,2", "(--concurrency): `2` is not `name=value` with one of the names "),
            (&CONCURRENCY, "nope=1", "(--concurrency): `nope=1` is not `name=value` with one of the names "),
        ] {
            let message = served(&[(flag, text)]).unwrap_err();
            assert!(message.contains(told), "{text}: {message}");
        }
    }
}
