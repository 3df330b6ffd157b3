//! Reads typed values out of the tree, by the keys of the table.

use crate::diagnostic::{Origin, Problems};
use crate::keys;
use crate::tree::{Node, Value};
use crate::value::FromScalar;

/// A view of the tree (or of one element of a list) that collects what is wrong.
pub(crate) struct Reader<'n, 'p> {
    node: &'n Node,
    /// Path of the node in messages, with a dot at its end; empty for the root.
    shown: String,
    problems: &'p mut Problems,
}

impl<'n, 'p> Reader<'n, 'p> {
    pub(crate) fn new(node: &'n Node, problems: &'p mut Problems) -> Reader<'n, 'p> {
        Reader { node, shown: String::new(), problems }
    }

    /// The value at `path`, if one is set.
    pub(crate) fn node(&self, path: &str) -> Option<&'n Node> {
        self.node.find(path).map(|entry| &entry.node).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Whether the section at `path` is there, be it empty.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.node.find(path).is_some()
    }

    /// A scalar that may be missing; empty counts as missing, as in Distribution.
    pub(crate) fn optional<T: FromScalar>(&mut self, path: &str) -> Option<T> {
        let node = self.node(path)?;
        let shown = format!("{}{path}", self.shown);
        self.scalar(node, &shown)
    }

    /// A scalar with a default in the table.
    #[expect(clippy::expect_used, reason = "a test reads every default of the table")]
    pub(crate) fn value<T: FromScalar>(&mut self, path: &str) -> T {
        self.optional(path).unwrap_or_else(|| {
            let default = keys::find(path).and_then(|key| key.default).expect("the table has a default");
            T::from_scalar(default).expect("the table's default has the key's type")
        })
    }

    /// A scalar that has to be there because `section` is.
    pub(crate) fn required<T: FromScalar>(&mut self, section: &str, name: &str) -> Option<T> {
        let path = format!("{section}.{name}");
        let missing =
            self.node(&path).is_none_or(|node| matches!(&node.value, Value::Scalar(text) if text.is_empty()));
        if missing {
            self.error(&path, format!("has to be given with {section}"));
            return None;
        }
        self.optional(&path)
    }

    /// A list; a single scalar is a list of one. None if nothing is set.
    pub(crate) fn list<T: FromScalar>(&mut self, path: &str) -> Option<Vec<T>> {
        let node = self.node(path)?;
        let shown = format!("{}{path}", self.shown);
        match &node.value {
            Value::List(nodes) => Some(nodes.iter().filter_map(|node| self.scalar(node, &shown)).collect()),
            Value::Map(_) => {
                self.problems.error(&node.origin, &shown, "has to be a list, such as [a, b]");
                None
            }
            Value::Null | Value::Scalar(_) => Some(self.scalar(node, &shown).into_iter().collect()),
        }
    }

    /// A map with any keys: each with its values (a scalar is a list of one). Nothing if it is not set.
    pub(crate) fn map(&mut self, path: &str) -> Vec<(String, Vec<String>)> {
        let Some(node) = self.node(path) else { return Vec::new() };
        let shown = format!("{}{path}", self.shown);
        let Value::Map(entries) = &node.value else {
            self.problems.error(&node.origin, &shown, "has to be a map, such as {name: value}");
            return Vec::new();
        };
        let mut map = Vec::new();
        for entry in entries {
            let shown = format!("{shown}.{}", entry.key);
            let values = match &entry.node.value {
                Value::List(nodes) => nodes.iter().filter_map(|node| self.scalar(node, &shown)).collect(),
                _ => self.scalar(&entry.node, &shown).into_iter().collect(),
            };
            map.push((entry.key.clone(), values));
        }
        map
    }

    /// Reads each element of a list of sections. None if nothing is set.
    pub(crate) fn sections<T>(
        &mut self,
        path: &str,
        mut read: impl FnMut(&mut Reader<'_, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let node = self.node(path)?;
        let mut out = Vec::new();
        for (index, element) in node.elements().iter().enumerate() {
            let shown = format!("{}{path}.{index}", self.shown);
            if !matches!(element.value, Value::Map(_)) {
                self.problems.error(&element.origin, &shown, "has to be a section with keys of its own");
                continue;
            }
            let mut reader =
                Reader { node: element, shown: format!("{shown}."), problems: &mut *self.problems };
            out.extend(read(&mut reader));
        }
        Some(out)
    }

    /// Says that the value at `path` cannot be used.
    pub(crate) fn error(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.origin(path);
        self.problems.error(&origin, &format!("{}{path}", self.shown), message);
    }

    /// Says something about the value at `path`.
    pub(crate) fn warn(&mut self, path: &str, message: impl Into<String>) {
        let origin = self.origin(path);
        self.problems.warn(&origin, &format!("{}{path}", self.shown), message);
    }

    /// Where `path` is set, or else the section that it would be in.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            if let Some(entry) = self.node.find(path) {
                return entry.origin.clone();
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return self.node.origin.clone(),
            }
        }
    }

    fn scalar<T: FromScalar>(&mut self, node: &Node, shown: &str) -> Option<T> {
        let text = match &node.value {
            Value::Null => return None,
            Value::Scalar(text) if text.is_empty() => return None,
            Value::Scalar(text) => text,
            Value::List(_) | Value::Map(_) => {
                self.problems.error(&node.origin, shown, "has to be a single value, not a list or map");
                return None;
            }
        };
        T::from_scalar(text).map_err(|message| self.problems.error(&node.origin, shown, message)).ok()
    }
}
