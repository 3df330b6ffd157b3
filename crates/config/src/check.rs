//! Holds the tree against the table: unknown keys, keys that are not implemented, keys without effect.

use crate::diagnostic::{Origin, Problems};
use crate::keys::{Kind, Safety, Schema, Status};
use crate::suggest::nearest;
use crate::tree::{Entry, Node, Value};

/// Reports what the table says about every key of the tree. `ignore` are the keys of `--ignore-unsupported`.
pub(crate) fn check(root: &Node, ignore: &[String], problems: &mut Problems) {
    let mut checker = Checker { root, ignore, used: vec![false; ignore.len()], problems };
    checker.section(root, Schema::root(), "", false);
    for (name, used) in ignore.iter().zip(&checker.used) {
        if !used {
            let message =
                format!("--ignore-unsupported {name} is not needed: nothing of that name is refused");
            checker.problems.warn(&Origin::Default, "", message);
        }
    }
}

struct Checker<'a> {
    root: &'a Node,
    ignore: &'a [String],
    used: Vec<bool>,
    problems: &'a mut Problems,
}

impl Checker<'_> {
    /// `reported`: the section has a status that was reported; only misspelt keys are of interest below it.
    fn section(&mut self, node: &Node, schema: &Schema, path: &str, reported: bool) {
        for entry in node.entries() {
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            match schema.child(&entry.key) {
                Some(child) => self.key(entry, child, &path, reported),
                None => self.unknown(entry, schema, &path),
            }
        }
    }

    fn key(&mut self, entry: &Entry, schema: &Schema, path: &str, reported: bool) {
        let reported = reported || self.status(entry, schema, path);
        let null = matches!(entry.node.value, Value::Null);
        match schema.kind() {
            Kind::Section | Kind::Driver if matches!(entry.node.value, Value::Map(_)) => {
                self.section(&entry.node, schema, path, reported);
            }
            Kind::Section | Kind::Driver if !null && !reported => {
                self.problems.error(&entry.node.origin, path, "has to be a section with keys of its own");
            }
            Kind::Sections if matches!(entry.node.value, Value::List(_)) => {
                let Some(element) = schema.child("*") else { return };
                for (index, node) in entry.node.elements().iter().enumerate() {
                    self.section(node, element, &format!("{path}.{index}"), reported);
                }
            }
            Kind::Sections if !null && !reported => {
                self.problems.error(&entry.node.origin, path, "has to be a list (lines that begin with -)");
            }
            _ => {}
        }
    }

    /// Reports a key that has no effect; true if it did.
    fn status(&mut self, entry: &Entry, schema: &Schema, path: &str) -> bool {
        let Some(key) = schema.key else { return false };
        if !(key.kind == Kind::Driver || self.in_force(&entry.node, path)) {
            return false;
        }
        let origin = &entry.origin;
        match key.status {
            Status::Supported | Status::Part => return false,
            Status::Ignored { why } => self.problems.warn(origin, path, format!("has no effect here: {why}")),
            Status::NotImplemented { safety: Safety::Harmless, why } => {
                self.ignored(path);
                self.problems.warn(origin, path, format!("ignored: {why}"));
            }
            Status::NotImplemented { safety: Safety::Fatal, why } => {
                self.problems.error(origin, path, format!("not supported: {why}"));
            }
            Status::NotImplemented { safety: Safety::Unsafe, why } if self.ignored(path) => {
                self.problems.warn(origin, path, format!("ignored as asked: {why}"));
            }
            Status::NotImplemented { safety: Safety::Unsafe, why } => {
                let message =
                    format!("not supported: {why} (to go on without it: --ignore-unsupported {path})");
                self.problems.error(origin, path, message);
            }
        }
        true
    }

    /// Whether the value asks for anything.
    fn in_force(&self, node: &Node, path: &str) -> bool {
        match path {
            // Distribution heeds `disabled` here (and nowhere else).
            "notifications.endpoints" | "log.hooks" => node.elements().iter().any(|element| {
                !element.entry("disabled").is_some_and(|disabled| disabled.node.says_something())
            }),
            // With a certificate of its own Distribution does not ask Let's Encrypt.
            "http.tls.letsencrypt" => {
                let own = self.root.find("http.tls.certificate");
                node.says_something() && !own.is_some_and(|own| own.node.says_something())
            }
            _ => node.says_something(),
        }
    }

    /// Whether the operator wants this key, or a section it is in, ignored.
    fn ignored(&mut self, path: &str) -> bool {
        let mut found = false;
        for (name, used) in self.ignore.iter().zip(&mut self.used) {
            let below = path.strip_prefix(name.as_str());
            if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
                *used = true;
                found = true;
            }
        }
        found
    }

    fn unknown(&mut self, entry: &Entry, schema: &Schema, path: &str) {
        // `x-...` at the top is where files keep their anchors.
        if entry.key.starts_with("x-") && !path.contains('.') {
            return;
        }
        let near = nearest(&entry.key, schema.children.iter().map(|(name, _)| *name));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let (section, origin) = (path.split('.').next().unwrap_or(path), &entry.origin);
        match (section, path.matches('.').count()) {
            ("storage", 1) => {
                self.problems.error(
                    origin,
                    path,
                    format!("neither a storage driver nor a setting of storage{hint}"),
                );
            }
            ("auth", 1) => {
                self.problems.error(origin, path, format!("no such way of authentication{hint}"));
            }
            // A misspelt rule would leave something open.
            ("access", _) => self.problems.error(origin, path, format!("unknown key{hint}")),
            _ => self.problems.warn(origin, path, format!("unknown key, ignored{hint}")),
        }
    }
}
