//! Reads the environment.

use std::ffi::OsString;

use tidegate_base::similar::most_like;

use super::RawSettings;
use crate::catalogue::CATALOGUE;
use crate::error::SettingsError;
use crate::retired::Retired;
use crate::setting::Setting;
use crate::source::Source;

/// Prefix of most settings' variables.
const PREFIX: &str = "TIDEGATE_";
/// Variables of the command line tool `tidegate`. An operator may have set them in the same shell.
const OF_COMMAND_LINE: [&str; 4] = ["TIDEGATE_CA", "TIDEGATE_TOKEN", "TIDEGATE_TOKEN_FILE", "TIDEGATE_URL"];

impl RawSettings {
    pub(super) fn read_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            let Some(setting) = CATALOGUE.iter().find(|setting| setting.variable == name) else {
                let secret =
                    |setting: &&Setting| setting.is_secret && name.strip_suffix("_FILE") == Some(setting.variable);
                if let Some(secret) = CATALOGUE.iter().find(secret) {
                    let path = value.to_string_lossy();
                    self.set_secret_file(secret, &path, Source::Variable(secret.variable));
                    continue;
                }
                if let Some(retired) = Retired::of_variable(name) {
                    let name = format!("environment variable {name}");
                    self.faults.push(SettingsError::Retired { name, instead: retired.advice() });
                } else if is_meant_for_us(name) {
                    let nearest = nearest_variable(name);
                    self.faults.push(SettingsError::UnknownVariable { name: name.to_owned(), nearest });
                }
                continue;
            };
            let source = Source::Variable(setting.variable);
            let Ok(value) = value.into_string() else {
                let reason = "is not UTF-8".to_owned();
                self.faults.push(SettingsError::Invalid { setting: setting.key, origin: source, reason });
                continue;
            };
            self.set(setting, value, source);
        }
    }
}

/// Whether a variable is probably a misspelt setting. Kubernetes sets its own for a service named
/// `tidegate`, such as `TIDEGATE_SERVICE_HOST` and `TIDEGATE_PORT_8080_TCP`.
fn is_meant_for_us(name: &str) -> bool {
    let is_of_command_line = OF_COMMAND_LINE.contains(&name);
    name.strip_prefix(PREFIX).filter(|_| !is_of_command_line).is_some_and(|rest| {
        !rest.contains("SERVICE_HOST") && !rest.contains("SERVICE_PORT") && !rest.split('_').any(|word| word == "PORT")
    })
}

/// Returns the variable that is most similar to the name. The prefix is not compared, so that
/// `TIDEGATE_REDIS_URL` finds `REDIS_URL`.
fn nearest_variable(name: &str) -> Option<&'static str> {
    let without = |name: &'static str| name.strip_prefix(PREFIX).unwrap_or(name);
    let like = most_like(name.strip_prefix(PREFIX)?, CATALOGUE.iter().map(|setting| without(setting.variable)))?;
    CATALOGUE.iter().map(|setting| setting.variable).find(|variable| without(variable) == like)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_from_what_an_orchestrator_sets() {
        let names =
            ["TIDEGATE_LISTN", "TIDEGATE_SERVICE_HOST", "TIDEGATE_API_PORT_8080_TCP", "TIDEGATE_LISTEN", "HOME"];
        let raw = RawSettings::load(None, names.map(|name| (name.into(), "127.0.0.1:0".into()))).unwrap();
        let faults: Vec<_> = raw.judge().1.iter().map(ToString::to_string).collect();
        assert_eq!(faults, ["unknown environment variable TIDEGATE_LISTN (did you mean TIDEGATE_LISTEN?)"]);
        let like = |name| nearest_variable(name).unwrap_or_default();
        assert_eq!((like("TIDEGATE_REDIS_URL"), like("TIDEGATE_ADMIN_TOKN")), ("REDIS_URL", "TIDEGATE_ADMIN_TOKEN"));
        assert_eq!(nearest_variable("TIDEGATE_SOMETHING_ELSE"), None);
    }

    #[test]
    fn variables_of_the_command_line_do_not_stop_a_start() {
        let names = ["TIDEGATE_CA", "TIDEGATE_TOKEN", "TIDEGATE_TOKEN_FILE", "TIDEGATE_URL"];
        let raw = RawSettings::load(None, names.map(|name| (name.into(), "x".into()))).unwrap();
        let faults: Vec<_> = raw.judge().1.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [""; 0]);
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_not_guessed() {
        let value = std::os::unix::ffi::OsStringExt::from_vec(vec![b'/', 0xff]);
        let error =
            RawSettings::load(None, [("TIDEGATE_DATA_DIR".into(), value)]).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("data_dir") && error.contains("TIDEGATE_DATA_DIR"), "{error}");
    }
}
