//! The sample file and the reference page, made from the table of keys.

use std::fmt::Write as _;

use crate::keys::{self, Kind, Safety, Schema, Status};

/// A commented configuration file with every key that has an effect. As it stands it yields the defaults; keys
/// without a default are commented out with an example.
pub fn sample() -> String {
    let mut out = String::from(
        "# Configuration of Wharfinger. What stands here uncommented is the default.\n\
         # Every key can be set by an environment variable too: http.addr is REGISTRY_HTTP_ADDR.\n",
    );
    for (name, schema) in &Schema::root().children {
        if supported(schema) {
            out.push('\n');
            write_key(&mut out, name, schema, 0);
        }
    }
    out
}

/// Whether the key or one below it has an effect.
fn supported(schema: &Schema) -> bool {
    match schema.key {
        Some(key) if key.status != Status::Supported => false,
        Some(key) if !key.kind.is_section() || key.example.is_some() => true,
        _ => schema.children.iter().any(|(_, child)| supported(child)),
    }
}

/// Whether the key stands uncommented: it has a default, and so has something below it.
fn live(schema: &Schema) -> bool {
    let Some(key) = schema.key else { return false };
    match key.kind {
        Kind::Driver => key.path == "storage.filesystem",
        Kind::Section => schema.children.iter().any(|(_, child)| supported(child) && live(child)),
        _ => key.default.is_some() || key.path == "version",
    }
}

fn write_key(out: &mut String, name: &str, schema: &Schema, depth: usize) {
    let Some(key) = schema.key else { return };
    let indent = "  ".repeat(depth);
    let words = match key.kind {
        Kind::Choice(names) => format!(" One of {}.", names.join(", ")),
        _ => String::new(),
    };
    let hash = if live(schema) && depth_is_live(key.path) { "" } else { "#" };
    let section = key.kind.is_section() && key.example.is_none();
    let value = if section { "" } else { key.default.or(key.example).unwrap_or("\"\"") };
    let space = if value.is_empty() { "" } else { " " };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{indent}# {}{words}\n{indent}{hash}{name}:{space}{value}", key.doc);
    if section {
        for (name, child) in schema.children.iter().filter(|(_, child)| supported(child)) {
            write_key(out, name, child, depth + 1);
        }
    }
}

/// Whether all sections around a key stand uncommented.
fn depth_is_live(path: &str) -> bool {
    let mut path = path;
    while let Some((parent, _)) = path.rsplit_once('.') {
        if !Schema::root().at(parent).is_some_and(live) {
            return false;
        }
        path = parent;
    }
    true
}

/// The reference of all keys, in Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# Configuration keys\n\n\
         A key's environment variable is `REGISTRY_` and its path in upper case with `_` for the dots, unless the\n\
         table says otherwise; `*` is an element of a list, in a variable its index (0, 1, ...). Durations are\n\
         written `10s`, `1h30m`, `100ms`. Keys marked + are our own; all others are Distribution's.\n",
    );
    for (name, schema) in &Schema::root().children {
        let _ = write!(out, "\n## {name}\n\n| key | holds | default | meaning |\n|---|---|---|---|\n");
        write_rows(&mut out, schema);
    }
    out
}

fn write_rows(out: &mut String, schema: &Schema) {
    if let Some(key) = schema.key.filter(|key| key.status != Status::Part) {
        let ours = if key.ours { " +" } else { "" };
        let default = key.default.map(|text| format!("`{text}`")).unwrap_or_default();
        let note = status_note(key, schema);
        let variable = key.variable();
        let alias = if key.env.is_some() { format!(" Variable: `{variable}`.") } else { String::new() };
        let row =
            format!("`{}`{ours} | {} | {default} | {}{note}{alias}", key.path, key.kind.describe(), key.doc);
        let _ = writeln!(out, "| {row} |");
    }
    // A driver within a list has the keys that it has in `storage`, which has rows for them.
    if schema.key.is_some_and(|key| key.kind == Kind::Driver && key.path.contains('*')) {
        return;
    }
    schema.children.iter().for_each(|(_, child)| write_rows(out, child));
}

fn status_note(key: &keys::Key, schema: &Schema) -> String {
    let parts = parts(schema);
    let with = if parts.is_empty() { String::new() } else { format!(" Keys: {}.", parts.join(", ")) };
    match key.status {
        Status::Supported | Status::Part => String::new(),
        Status::Ignored { why } => format!(" *No effect: {why}.*{with}"),
        Status::NotImplemented { safety: Safety::Harmless, why } => format!(" *Ignored: {why}.*{with}"),
        Status::NotImplemented { safety: Safety::Unsafe, why } => {
            format!(" *An error unless ignored by name: {why}.*{with}")
        }
        Status::NotImplemented { safety: Safety::Fatal, why } => format!(" *An error: {why}.*{with}"),
    }
}

/// The names of the keys below a section that has a status as a whole.
fn parts(schema: &Schema) -> Vec<String> {
    let mut names = Vec::new();
    for (name, child) in &schema.children {
        let below = parts(child);
        if *name == "*" {
            names.extend(below);
        } else if below.is_empty() {
            names.push(format!("`{name}`"));
        } else {
            names.extend(below.iter().map(|below| format!("`{name}.{}", below.trim_start_matches('`'))));
        }
    }
    names
}
