//! Configuration files and the environment over them.

use wharfinger_config::{Diagnostic, load_str};

/// `data` is a file, then, after a zero byte, lines of `NAME=value` as environment. The answer is a configuration
/// or errors that say something, and the same answer each time.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let load = |ignored: &[String]| {
        let variables = variables.lines().filter_map(|line| line.split_once('='));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        load_str("config.yml", file, variables, ignored)
    };
    match load(&[]) {
        Ok(loaded) => check_messages(&loaded.warnings),
        Err(errors) => {
            assert!(!errors.0.is_empty(), "refused without a reason");
            check_messages(&errors.0);
            let again = load(&[]).err().map(|again| again.to_string());
            assert_eq!(again, Some(errors.to_string()), "two answers for one file");
        }
    }
    let _ = load(&["storage".to_owned(), "auth".to_owned(), "notifications".to_owned()]);
}

fn check_messages(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(!diagnostic.to_string().trim().is_empty(), "an empty message");
    }
}
