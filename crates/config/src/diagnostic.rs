//! Where a value came from, and what is to be said about it.

use std::fmt;
use std::sync::Arc;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the built-in default.
    Default,
    /// In the configuration file.
    File {
        /// The file's name as the operator gave it.
        path: Arc<str>,
        /// Line, from 1; none when the whole file is meant.
        line: Option<usize>,
        /// Column, from 1; given for YAML syntax errors.
        column: Option<usize>,
    },
    /// In the environment variable of this name.
    Env(Arc<str>),
}

impl Origin {
    /// The file of that name as a whole.
    pub fn file(path: &str) -> Origin {
        Origin::File { path: path.into(), line: None, column: None }
    }

    /// The same file at a line; a variable or the default stays what it is.
    pub(crate) fn at(&self, line: usize, column: Option<usize>) -> Origin {
        match self {
            Origin::File { path, .. } => Origin::File { path: path.clone(), line: Some(line), column },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("configuration"),
            Origin::Env(name) => write!(f, "environment variable {name}"),
            Origin::File { path, line, column } => {
                f.write_str(path)?;
                for number in [line, column].into_iter().flatten() {
                    write!(f, ":{number}")?;
                }
                Ok(())
            }
        }
    }
}

/// One thing to tell the operator: `config.yml:12: storage.swift: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is.
    pub origin: Origin,
    /// The key, dotted; empty when the file or variable as a whole is meant.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Diagnostic {
    pub(crate) fn new(origin: Origin, key: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { origin, key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that keeps a configuration from being used; one line each when displayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<Diagnostic>);

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects errors and warnings on the way, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Problems {
    pub(crate) fn error(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        push_once(&mut self.errors, Diagnostic::new(origin.clone(), key, message));
    }

    pub(crate) fn warn(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        push_once(&mut self.warnings, Diagnostic::new(origin.clone(), key, message));
    }

    /// The errors and the warnings, each in the order of the file, then what is not from the file.
    pub(crate) fn into_parts(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        for list in [&mut self.errors, &mut self.warnings] {
            list.sort_by_key(|diagnostic| match diagnostic.origin {
                Origin::File { line, .. } => line.unwrap_or(0),
                Origin::Env(_) | Origin::Default => usize::MAX,
            });
        }
        (self.errors, self.warnings)
    }
}

fn push_once(list: &mut Vec<Diagnostic>, diagnostic: Diagnostic) {
    if !list.contains(&diagnostic) {
        list.push(diagnostic);
    }
}
