//! What will be different for this site, and what to do next.

use std::path::Path;

use serde::Serialize;
use wharfinger_config::{CacheKind, Config, Diagnostic, StorageMode};
use wharfinger_maintenance::adopt::survey::Survey;

use crate::page::count;

/// One thing that Distribution does and this does not, or not so.
#[derive(Serialize)]
pub(super) struct Difference {
    /// File and line, or the variable, where the configuration asks for it.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    pub(super) text: String,
}

/// Everything that is known to be different.
pub(super) fn differences(config: &Config, remarks: &[Diagnostic], survey: &Survey) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |text: String| found.push(Difference { place: None, text });
    if survey.schema1 > 0 {
        add(format!(
            "{}: answered as they are; new ones are refused",
            count(survey.schema1 as u64, "schema1 manifest")
        ));
    }
    if !survey.uploads.is_empty() {
        add(format!(
            "{} of Distribution: their clients get a clean 404 and push that layer again",
            count(survey.uploads.len() as u64, "upload")
        ));
    }
    if survey.other_algorithms > 0 {
        add(format!(
            "{} to content under sha512: served here, also where Distribution answers an error",
            count(survey.other_algorithms, "link")
        ));
    }
    if matches!(config.storage.driver, wharfinger_config::Driver::Swift(_)) {
        add("the empty blob (sha256:e3b0c442...) can be pushed, which Distribution on Swift cannot"
            .to_owned());
        if !config.storage.redirect.disabled && config.storage.redirect.rules.is_empty() {
            add("blobs are sent from here: no client is redirected to Swift (storage.redirect.rules)"
                .to_owned());
        }
    }
    if config.storage.cache.kind == CacheKind::Redis {
        add("Distribution's keys in Redis are neither read nor written; they grow stale meanwhile, see \
             `adopt --back --check` before you go back"
            .to_owned());
    }
    found.extend(remarks.iter().map(|remark| Difference {
        place: Some(remark.origin.to_string()),
        text: format!("{}{}{}", remark.key, if remark.key.is_empty() { "" } else { ": " }, remark.message),
    }));
    found
}

/// What to do next, a step a line.
pub(super) fn next(file: Option<&Path>, config: &Config, survey: &Survey) -> Vec<String> {
    let file = file.map_or_else(|| "CONFIG".to_owned(), |file| file.display().to_string());
    let mut steps = Vec::new();
    if !survey.findings.is_empty() {
        steps.push(
            "what is damaged is so under Distribution too; pushing these images again to Wharfinger mends them"
                .to_owned(),
        );
    }
    if matches!(config.storage.driver, wharfinger_config::Driver::Filesystem(_)) {
        steps.push(format!("stop Distribution, then: wharfinger serve {file}"));
        steps.push(format!("prove what it wrote, beside the running server: wharfinger adopt {file}"));
        return steps;
    }
    let command =
        |mode: StorageMode| format!("REGISTRY_STORAGE_MODE={} wharfinger serve {file}", mode.as_str());
    steps.push(format!("observe, not one write, beside Distribution: {}", command(StorageMode::Observe)));
    steps.push(format!(
        "trial, writes what Distribution finds and deletes nothing; let one instance take all writes: {}",
        command(StorageMode::Trial)
    ));
    steps.push(format!(
        "adopted, Distribution is stopped: wharfinger serve {file}; then, beside it: wharfinger adopt {file}"
    ));
    steps.push(format!("and back at any time: wharfinger adopt {file} --back --check"));
    steps
}
