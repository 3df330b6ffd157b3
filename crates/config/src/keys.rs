//! The one table of keys: what can stand in the file, what it means, and whether it has an effect here.
//!
//! A path is dotted; `*` stands for an element of a list. `check`, the sample file, the reference page and the
//! defaults are all made from it.

mod access;
mod activity;
mod cache;
mod http;
mod log;
mod other;
mod purge;
mod redirect;
mod replication;
mod scrub;
mod storage;
mod swift;

use std::sync::LazyLock;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A map of the keys below it.
    Section,
    /// A list of maps; their keys are below `*`.
    Sections,
    /// A section that chooses something by being there, even when empty.
    Driver,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number of bytes, with or without a unit.
    Size,
    /// A Go duration (`10s`, `1h30m`); a bare number is nanoseconds.
    Duration,
    /// Text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A path of a file or directory.
    Path,
    /// `host:port`; without host: all interfaces.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A map with any keys.
    Map,
}

impl Kind {
    /// The kind in a word or two, for the reference page.
    pub fn describe(self) -> String {
        match self {
            Kind::Section | Kind::Driver => "section".to_owned(),
            Kind::Sections => "list of sections".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Int => "number".to_owned(),
            Kind::Size => "size".to_owned(),
            Kind::Duration => "duration".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Secret => "secret".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Address => "address".to_owned(),
            Kind::Choice(names) => names.join(", "),
            Kind::List => "list".to_owned(),
            Kind::Map => "map".to_owned(),
        }
    }

    /// Whether there are keys below it in the table.
    pub(crate) fn is_section(self) -> bool {
        matches!(self, Kind::Section | Kind::Sections | Kind::Driver)
    }

    /// Whether its value is one scalar.
    pub(crate) fn is_scalar(self) -> bool {
        !self.is_section() && !matches!(self, Kind::List | Kind::Map)
    }
}

/// How bad it is to go on without a key that is not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing is lost or opened: a warning.
    Harmless,
    /// Something the operator relies on would be missing: an error, unless ignored by name.
    Unsafe,
    /// There is nothing to go on with: an error in any case.
    Fatal,
}

/// Whether a key has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has.
    Supported,
    /// As its section.
    Part,
    /// Not yet, or never.
    NotImplemented {
        /// What it means to go on without.
        safety: Safety,
        /// What to tell the operator.
        why: &'static str,
    },
    /// Accepted; there is nothing here that it would change.
    Ignored {
        /// What to tell the operator.
        why: &'static str,
    },
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path, with `*` for the elements of a list.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The default as it would stand in the file; none: not set.
    pub default: Option<&'static str>,
    /// A value other than the default, in YAML; shown in the sample when there is no default.
    pub example: Option<&'static str>,
    /// One line for people.
    pub doc: &'static str,
    /// Whether it has an effect.
    pub status: Status,
    /// Its name in environment variables where Distribution's differs from the key.
    pub env: Option<&'static str>,
    /// Whether it is ours; else it is Distribution's.
    pub ours: bool,
}

impl Key {
    const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Key {
        Key {
            path,
            kind,
            default: None,
            example: None,
            doc,
            status: Status::Supported,
            env: None,
            ours: false,
        }
    }

    const fn default(self, default: &'static str) -> Key {
        Key { default: Some(default), ..self }
    }

    const fn example(self, example: &'static str) -> Key {
        Key { example: Some(example), ..self }
    }

    const fn env(self, env: &'static str) -> Key {
        Key { env: Some(env), ..self }
    }

    const fn ours(self) -> Key {
        Key { ours: true, ..self }
    }

    const fn part(self) -> Key {
        Key { status: Status::Part, ..self }
    }

    const fn ignored(self, why: &'static str) -> Key {
        Key { status: Status::Ignored { why }, ..self }
    }

    const fn missing(self, safety: Safety, why: &'static str) -> Key {
        Key { status: Status::NotImplemented { safety, why }, ..self }
    }

    /// The last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The environment variable that sets it; `N` stands for the index of a list's element.
    pub fn variable(&self) -> String {
        let mut name = "REGISTRY".to_owned();
        let mut schema = Some(Schema::root());
        for part in self.path.split('.') {
            schema = schema.and_then(|schema| schema.child(part));
            let alias = schema.and_then(|schema| schema.key).and_then(|key| key.env);
            name.push('_');
            name.push_str(&if part == "*" { "N".to_owned() } else { alias.unwrap_or(part).to_uppercase() });
        }
        name
    }
}

/// Keys of a section that is not implemented or ignored as a whole: known by name, without lines of their own.
struct Parts(&'static str, &'static [(&'static str, Kind)]);

impl Parts {
    /// The keys, with paths; leaked once, as the table lives as long as the program.
    fn keys(&self) -> impl Iterator<Item = Key> {
        self.1.iter().map(|(name, kind)| {
            let path: &'static str = format!("{}.{name}", self.0).leak();
            Key::new(path, *kind, "").part()
        })
    }
}

static TABLE: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut table: Vec<Key> = Vec::new();
    for section in [
        log::KEYS,
        storage::KEYS,
        redirect::KEYS,
        swift::KEYS,
        replication::KEYS,
        cache::KEYS,
        access::KEYS,
        http::KEYS,
        purge::KEYS,
        scrub::KEYS,
        activity::KEYS,
        other::KEYS,
    ] {
        table.extend_from_slice(section);
    }
    table.extend(replication::drivers());
    for parts in [storage::PARTS, other::PARTS].into_iter().flatten() {
        table.extend(parts.keys());
    }
    table
});

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut root = Schema::default();
    for key in TABLE.iter() {
        let mut at = &mut root;
        for part in key.path.split('.') {
            at = at.child_mut(part);
        }
        at.key = Some(key);
    }
    root
});

/// Every key, in the order of the sample file.
pub fn all() -> &'static [Key] {
    &TABLE
}

/// The key of that path (`*` for list elements).
pub fn find(path: &str) -> Option<&'static Key> {
    Schema::root().at(path).and_then(|schema| schema.key)
}

/// The table as a tree.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) key: Option<&'static Key>,
    pub(crate) children: Vec<(&'static str, Schema)>,
}

impl Schema {
    pub(crate) fn root() -> &'static Schema {
        &SCHEMA
    }

    /// What is known of the key `name` below this one.
    pub(crate) fn child(&self, name: &str) -> Option<&Schema> {
        self.children.iter().find(|(child, _)| *child == name).map(|(_, schema)| schema)
    }

    pub(crate) fn at(&self, path: &str) -> Option<&Schema> {
        path.split('.').try_fold(self, |schema, part| schema.child(part))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.key.map_or(Kind::Section, |key| key.kind)
    }

    fn child_mut(&mut self, name: &'static str) -> &mut Schema {
        let index = self.children.iter().position(|(child, _)| *child == name).unwrap_or_else(|| {
            self.children.push((name, Schema::default()));
            self.children.len() - 1
        });
        &mut self.children[index].1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_stands_in_the_table_once() {
        let mut seen = BTreeSet::new();
        for key in all() {
            assert!(seen.insert(key.path), "{} stands twice", key.path);
        }
    }

    #[test]
    fn every_part_of_a_path_is_a_section_of_its_own() {
        for key in all() {
            let Some((parent, _)) = key.path.rsplit_once('.') else { continue };
            let parent = parent.strip_suffix(".*").unwrap_or(parent);
            let kind = find(parent).unwrap_or_else(|| panic!("{parent} has no line (for {})", key.path)).kind;
            let list = key.path.contains(&format!("{parent}.*."));
            assert_eq!(kind == Kind::Sections, list, "{}", key.path);
            assert!(kind.is_section(), "{}", key.path);
        }
    }

    #[test]
    fn keys_that_are_parts_belong_to_a_section_with_a_status() {
        for key in all().iter().filter(|key| key.status == Status::Part) {
            let mut path = key.path;
            let found = loop {
                let Some((parent, _)) = path.rsplit_once('.') else { break false };
                path = parent;
                match find(parent).map(|key| key.status) {
                    Some(Status::NotImplemented { .. } | Status::Ignored { .. }) => break true,
                    _ => continue,
                }
            };
            assert!(found, "{}", key.path);
        }
    }

    #[test]
    fn every_documented_key_has_one_line_of_text() {
        for key in all().iter().filter(|key| key.status != Status::Part) {
            assert!(!key.doc.is_empty() && !key.doc.contains('\n'), "{}", key.path);
            assert!(key.doc.ends_with('.'), "{}", key.path);
        }
    }
}
