//! Short ways to load a text.
#![allow(dead_code, reason = "each test file uses its own part")]

use wharfinger_config::{ConfigErrors, Loaded, load_str};

/// A file that names nothing but the store.
pub(crate) const PLAIN: &str = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /data\n";

/// Variables as the operating system gives them.
pub(crate) fn vars(env: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> + use<> {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    env.into_iter()
}

/// Loads `config.yml` with this text.
pub(crate) fn load(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load_str("config.yml", text, vars(env), &[])
}

/// Loads [`PLAIN`] with more lines behind it.
pub(crate) fn plain_and(more: &str) -> Result<Loaded, ConfigErrors> {
    load(&format!("{PLAIN}{more}"), &[])
}

/// The warnings as lines.
pub(crate) fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

/// The errors as lines.
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) fn errors(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}
