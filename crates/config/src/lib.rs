//! One typed [`Config`] from a `config.yml` as Distribution 2.8 and 3.x write it, its `REGISTRY_*` environment,
//! and keys of our own.
//!
//! The way of a value: `yaml` reads the file into a tree that knows file and line of everything,
//! `env` lays the environment over it, `check` holds the tree against the one table of
//! keys ([`keys`]), and `build` reads the typed [`Config`] out of it. The sample file, the
//! reference page and all defaults come from the same table.

mod build;
mod check;
mod config;
mod diagnostic;
mod env;
pub mod keys;
mod read;
mod sample;
mod secret;
mod suggest;
mod tree;
mod value;
mod yaml;

use std::path::Path;

pub use config::access::{Access, Rule, TrustedProxy, Who};
pub use config::activity::Activity;
pub use config::auth::{Auth, Htpasswd, TokenAuth};
pub use config::cache::DiskCache;
pub use config::http::{ClientAuth, Debug, Http, Limits, Listen, Tls, TlsVersion};
pub use config::purge::{FrontKind, Purge, PurgeEndpoint, PurgeUrl};
pub use config::redirect::{Redirect, RedirectRule};
pub use config::redis::{Redis, RedisTls};
pub use config::replication::{Peer, Replication};
pub use config::scrub::Scrub;
pub use config::storage::{
    Cache, CacheKind, Delete, DeleteByDigest, Driver, Filesystem, Storage, StorageMode, UploadPurging,
};
pub use config::swift::{
    LargeObjects, Swift, SwiftAuth, SwiftCredential, SwiftDomain, SwiftInterface, SwiftScope,
};
pub use config::{
    Admin, Config, Health, IndexChildren, Log, LogFormat, LogLevel, Platform, PortCheck, UrlRules, Validation,
};
pub use diagnostic::{ConfigErrors, Diagnostic, Origin};
pub use sample::{reference_markdown, sample};
pub use secret::Secret;
pub use value::parse_duration;

use diagnostic::Problems;
use tree::Node;

/// Files over this size are refused unread: no configuration is that long.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What [`load`] gives: the configuration, and what is worth telling the operator about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration in force.
    pub config: Config,
    /// Unknown keys, keys without effect, and what was ignored on request.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the file at `path` (none: the built-in defaults), lays the `REGISTRY_*` variables of `env` over it and checks it.
///
/// `ignore_unsupported` names keys (or sections) that are not implemented and that the operator wants ignored all
/// the same; their error becomes a warning.
///
/// # Errors
/// Every error that was found, each with file and line or the variable's name. After a YAML syntax error nothing
/// else is checked.
pub fn load(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    ignore_unsupported: &[String],
) -> Result<Loaded, ConfigErrors> {
    let Some(path) = path else {
        return finish(None, Node::empty(Origin::Default), Problems::default(), env, ignore_unsupported);
    };
    let name = path.display().to_string();
    match read_file(path) {
        Ok(text) => load_str(&name, &text, env, ignore_unsupported),
        Err(message) => Err(ConfigErrors(vec![Diagnostic::new(Origin::file(&name), "", message)])),
    }
}

/// As [`load`], from text; `name` stands for the file in messages.
///
/// # Errors
/// As [`load`].
pub fn load_str(
    name: &str,
    text: &str,
    env: impl Iterator<Item = (String, String)>,
    ignore_unsupported: &[String],
) -> Result<Loaded, ConfigErrors> {
    let mut problems = Problems::default();
    match yaml::parse(text, &Origin::file(name), &mut problems) {
        Ok(root) => finish(Some(name), root, problems, env, ignore_unsupported),
        Err(diagnostic) => Err(ConfigErrors(vec![diagnostic])),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let refused = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if metadata.is_dir() {
        return Err("is a directory; give the path of the YAML file".to_owned());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("is {} bytes long; that cannot be a configuration", metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(refused)?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

fn finish(
    file: Option<&str>,
    mut root: Node,
    mut problems: Problems,
    env: impl Iterator<Item = (String, String)>,
    ignore_unsupported: &[String],
) -> Result<Loaded, ConfigErrors> {
    tree::normalise(&mut root);
    env::overlay(&mut root, env, &mut problems);
    check::check(&root, ignore_unsupported, &mut problems);
    let config = build::build(file, &root, &mut problems);
    let (errors, warnings) = problems.into_parts();
    if errors.is_empty() { Ok(Loaded { config, warnings }) } else { Err(ConfigErrors(errors)) }
}
