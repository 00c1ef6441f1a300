//! Flags that set settings for one run. They take precedence over the environment.

use clap::{Arg, ArgMatches, Command};
use tidegate_model::queues::{ALL, QUEUES};
use tidegate_settings::{RawSettings, SettingsError, Source};

/// A flag with a value, and the settings that it changes.
#[derive(Debug)]
pub struct Flag {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    lay_over: fn(&mut RawSettings, &str) -> Result<(), SettingsError>,
}

/// `--queues email,report`: the queues that the process serves.
pub const SERVED: Flag = Flag {
    name: "--queues",
    value: "NAMES",
    help: "Queues to serve, separated by commas, instead of TIDEGATE_QUEUES",
    lay_over: |raw, text| {
        raw.lay_over("queues", text, Source::Flag(SERVED.name));
        Ok(())
    },
};

/// `--concurrency email=4,report=1`, or `--concurrency 4` for each queue: the number of concurrent
/// jobs.
pub const CONCURRENCY: Flag = Flag {
    name: "--concurrency",
    value: "JOBS",
    help: "Concurrent jobs: one number for every queue, or queue=number, separated by commas",
    lay_over: concurrency,
};

impl Flag {
    pub(super) fn add(&self, command: Command) -> Command {
        let long = self.name.trim_start_matches('-');
        command.arg(Arg::new(self.name).long(long).value_name(self.value).help(self.help))
    }

    /// Applies its value to the settings. An invalid value is added to their faults.
    pub(super) fn apply(&self, arguments: &ArgMatches, raw: &mut RawSettings) {
        if let Some(text) = arguments.get_one::<String>(self.name)
            && let Err(fault) = (self.lay_over)(raw, text)
        {
            raw.add_fault(fault);
        }
    }
}

fn concurrency(raw: &mut RawSettings, text: &str) -> Result<(), SettingsError> {
    let origin = Source::Flag(CONCURRENCY.name);
    if !text.contains('=') {
        ALL.iter().for_each(|queue| raw.lay_over(queue.concurrency, text, origin.clone()));
        return Ok(());
    }
    for part in text.split(',') {
        let unfit = |reason: String| SettingsError::Invalid { setting: "concurrency", origin: origin.clone(), reason };
        let (name, number) = part.split_once('=').ok_or_else(|| unfit(format!("`{part}` is not queue=number")))?;
        let queue = ALL.iter().find(|queue| queue.name == name.trim());
        let queue =
            queue.ok_or_else(|| unfit(format!("there is no queue `{name}`; there is {}", QUEUES.join(", "))))?;
        raw.lay_over(queue.concurrency, number, origin.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::ServedQueue;

    fn served(flags: &[(&Flag, &str)]) -> Result<Vec<ServedQueue>, String> {
        let mut raw = RawSettings::default();
        let laid = flags.iter().try_for_each(|(flag, text)| (flag.lay_over)(&mut raw, text));
        laid.and_then(|()| raw.check()).map(|settings| settings.queue.served).map_err(|error| error.to_string())
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
            (&CONCURRENCY, "many", "(--concurrency): `many` is not a whole number from 1 to 64"),
            (&CONCURRENCY, "import=0", "(--concurrency): `0` is not a whole number from 1 to 64"),
            (&CONCURRENCY, "import=1,2", "(--concurrency): `2` is not queue=number"),
            (&CONCURRENCY, "nope=1", "(--concurrency): there is no queue `nope`; there is "),
        ] {
            let message = served(&[(flag, text)]).unwrap_err();
            assert!(message.contains(told), "{text}: {message}");
        }
    }
}
