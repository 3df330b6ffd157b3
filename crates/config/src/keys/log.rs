//! `version`, `log`.

use super::{Key, Kind, Safety};
use crate::LogLevel;

const FORMATS: &[&str] = crate::LogFormat::NAMES;

pub(super) const KEYS: &[Key] = &[
    Key::new("version", Kind::Text, "Version of the file's format; 0.1 is the only one.").example("0.1"),
    Key::new("log", Kind::Section, "What is logged, and how."),
    Key::new("log.level", Kind::Choice(LogLevel::NAMES), "The least severe level that is written.")
        .default("info"),
    Key::new("log.formatter", Kind::Choice(FORMATS), "Form of a line; logstash is written as json.")
        .default("text"),
    Key::new("log.fields", Kind::Map, "Fields added to every line.").example("{service: registry}"),
    Key::new("log.accesslog", Kind::Section, "The Apache access log on standard output."),
    Key::new("log.accesslog.disabled", Kind::Bool, "Write no access log.").default("false"),
    Key::new("log.reportcaller", Kind::Bool, "Name the line of code in each log line.")
        .ignored("log lines name the module that wrote them"),
    Key::new("log.hooks", Kind::Sections, "Mail for log lines.").missing(
        Safety::Harmless,
        "no mail is sent for log lines; let the log collector or an alert on the metrics do it",
    ),
    Key::new("log.hooks.*.disabled", Kind::Bool, "").part(),
    Key::new("log.hooks.*.type", Kind::Text, "").part(),
    Key::new("log.hooks.*.levels", Kind::List, "").part(),
    Key::new("log.hooks.*.options", Kind::Section, "").env("MAILOPTIONS").part(),
    Key::new("log.hooks.*.options.smtp", Kind::Section, "").part(),
    Key::new("log.hooks.*.options.smtp.addr", Kind::Text, "").part(),
    Key::new("log.hooks.*.options.smtp.username", Kind::Text, "").part(),
    Key::new("log.hooks.*.options.smtp.password", Kind::Secret, "").part(),
    Key::new("log.hooks.*.options.smtp.insecure", Kind::Bool, "").part(),
    Key::new("log.hooks.*.options.from", Kind::Text, "").part(),
    Key::new("log.hooks.*.options.to", Kind::List, "").part(),
    Key::new("loglevel", Kind::Choice(LogLevel::NAMES), "Old name of log.level, which wins.").example("warn"),
];
