//! The tree to the typed [`Config`].

mod access;
mod activity;
mod auth;
mod cache;
mod http;
mod purge;
mod redirect;
mod redis;
mod replication;
mod scrub;
mod storage;
mod swift;

use std::collections::BTreeMap;

use std::time::Duration;

use crate::config::auth::Auth;
use crate::config::{
    Admin, Config, Health, IndexChildren, Log, LogFormat, LogLevel, Platform, PortCheck, UrlRules, Validation,
};
use crate::diagnostic::{Origin, Problems};
use crate::read::Reader;
use crate::tree::Node;

/// Reads everything; where a value is wrong the default stands in, and the problem is noted.
/// `file` is the configuration file's name, if there is one.
pub(crate) fn build(file: Option<&str>, root: &Node, problems: &mut Problems) -> Config {
    let mut reader = Reader::new(root, problems);
    version(file, &mut reader);
    let auth = auth::auth(&mut reader);
    let identified = auth != Auth::None;
    let storage = storage::storage(file, &mut reader);
    Config {
        log: log(&mut reader),
        redis: redis::redis(&mut reader, &storage.driver),
        storage,
        auth,
        access: access::access(&mut reader, identified),
        http: http::http(&mut reader),
        catalog_max_entries: page(&mut reader, "catalog.maxentries"),
        tags_max_entries: page(&mut reader, "tags.maxtags"),
        validation: validation(&mut reader),
        health: health(&mut reader),
        cache: cache::cache(&mut reader),
        purge: purge::purge(&mut reader),
        scrub: scrub::scrub(&mut reader),
        activity: activity::activity(&mut reader),
        replication: replication::replication(&mut reader),
        admin: Admin { socket: reader.optional("admin.socket") },
    }
}

/// What holds with no configuration at all.
pub(crate) fn defaults() -> Config {
    build(None, &Node::empty(Origin::Default), &mut Problems::default())
}

fn version(file: Option<&str>, reader: &mut Reader<'_, '_>) {
    match reader.optional::<String>("version").as_deref() {
        Some("0.1") => {}
        Some(other) => reader.error("version", format!("{other:?} is not known; write `version: 0.1`")),
        None if file.is_some() => reader.error("version", "has to be given: `version: 0.1`"),
        None => {}
    }
}

fn log(reader: &mut Reader<'_, '_>) -> Log {
    let old: Option<LogLevel> = reader.optional("loglevel");
    let level = match (reader.has("log.level"), old) {
        (false, Some(old)) => old,
        _ => reader.value("log.level"),
    };
    let mut format = reader.value("log.formatter");
    if format == LogFormat::Logstash {
        reader.warn("log.formatter", "logstash is written as json, without Logstash's own field names");
        format = LogFormat::Json;
    }
    let fields: BTreeMap<String, String> =
        reader.map("log.fields").into_iter().map(|(name, values)| (name, values.join(","))).collect();
    Log { level, format, fields, access_log: !reader.value::<bool>("log.accesslog.disabled") }
}

/// The most entries of a page; like Distribution, 0 and less mean the default.
fn page(reader: &mut Reader<'_, '_>, path: &str) -> u64 {
    let given: i64 = reader.value(path);
    u64::try_from(given).ok().filter(|given| *given > 0).unwrap_or(1000)
}

fn validation(reader: &mut Reader<'_, '_>) -> Validation {
    let enabled: bool = reader.value("validation.enabled");
    let disabled: bool = reader.value("validation.disabled");
    let allow = reader.list("validation.manifests.urls.allow");
    let deny = reader.list("validation.manifests.urls.deny");
    // Distribution allows no address where neither list is given; the specification wants such layers accepted.
    let given = allow.is_some() || deny.is_some();
    let rules = UrlRules { allow: allow.unwrap_or_default(), deny: deny.unwrap_or_default() };
    let index_children = index_children(reader);
    if disabled && !enabled {
        return Validation { blobs: false, manifest_urls: None, index_children: IndexChildren::None };
    }
    Validation { blobs: true, manifest_urls: given.then_some(rules), index_children }
}

fn index_children(reader: &mut Reader<'_, '_>) -> IndexChildren {
    const WHICH: &str = "validation.manifests.indexes.platforms";
    const LIST: &str = "validation.manifests.indexes.platformlist";
    let platforms = reader.sections(LIST, |element| {
        let platform =
            Platform { architecture: element.optional("architecture")?, os: element.optional("os")? };
        Some(platform)
    });
    let complete = platforms.as_ref().map(Vec::len) == reader.node(LIST).map(|node| node.elements().len());
    if !complete {
        reader.error(LIST, "every platform needs architecture and os");
    }
    match reader.value::<String>(WHICH).to_lowercase().as_str() {
        "all" => IndexChildren::All,
        "none" => IndexChildren::None,
        "list" => {
            let platforms = platforms.unwrap_or_default();
            if platforms.is_empty() {
                reader.error(WHICH, format!("list needs platforms in {LIST}"));
            }
            IndexChildren::List(platforms)
        }
        other => {
            reader.error(WHICH, crate::value::not_one_of(other, &["all", "none", "list"]));
            IndexChildren::All
        }
    }
}

fn health(reader: &mut Reader<'_, '_>) -> Health {
    let threshold: u64 = reader.value("health.storagedriver.threshold");
    let mut interval = reader.value("health.storagedriver.interval");
    if interval == Duration::ZERO {
        interval = Duration::from_secs(10);
    }
    let enabled = reader.value("health.storagedriver.enabled");
    let tcp = reader.sections("health.tcp", port).unwrap_or_default();
    Health { enabled, interval, threshold: threshold.max(1), tcp }
}

fn port(reader: &mut Reader<'_, '_>) -> Option<PortCheck> {
    let address: Option<String> = reader.optional("addr");
    if address.is_none() {
        reader.error("addr", "has to be given: host:port");
    }
    let time = |time: Option<Duration>, default| time.filter(|time| !time.is_zero()).unwrap_or(default);
    Some(PortCheck {
        address: address?,
        timeout: time(reader.optional("timeout"), Duration::from_secs(2)),
        interval: time(reader.optional("interval"), Duration::from_secs(10)),
        threshold: reader.optional("threshold").unwrap_or(1).max(1),
    })
}
