//! Configuration files for the servers under test.

use std::path::Path;

use serde_json::{Value, json};

/// A configuration as Distribution's `config.yml` has it. Written as JSON, which is YAML too.
#[derive(Clone, Debug)]
pub struct Config(Value);

impl Config {
    /// A directory and a port, deletes allowed, everything else as it comes.
    pub fn new(root: &Path, port: u16) -> Config {
        Config(json!({
            "version": "0.1",
            "log": { "level": "info", "formatter": "json", "accesslog": { "disabled": true } },
            "storage": {
                "filesystem": { "rootdirectory": root },
                "delete": { "enabled": true },
            },
            "http": { "addr": format!("127.0.0.1:{port}"), "secret": "of the tests" },
        }))
    }

    /// Sets a value by its dotted path, making the mappings above it.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        let mut place = &mut self.0;
        for key in path.split('.') {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[key];
        }
        *place = value.into();
    }

    /// Removes a value by its dotted path.
    pub fn remove(&mut self, path: &str) {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut place = &mut self.0;
        for step in parent.split('.').filter(|step| !step.is_empty()) {
            place = &mut place[step];
        }
        if let Some(map) = place.as_object_mut() {
            map.remove(key);
        }
    }

    /// Stores in Swift, by the driver's section, instead of in a directory; no redirects.
    pub fn use_swift(&mut self, section: Value) {
        self.remove("storage.filesystem");
        self.set("storage.swift", section);
        self.set("storage.redirect.disable", true);
    }

    /// The file's text.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(&self.0).expect("a configuration prints")
    }
}
