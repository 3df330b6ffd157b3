//! The configuration as a tree of values, each knowing where it was set.

use crate::diagnostic::Origin;

/// A value and where it was set.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// What a node holds. Scalars stay text: what they mean depends on the key, not on how they look.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map; `origin` is where the key stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

impl Node {
    /// A map without entries.
    pub(crate) fn empty(origin: Origin) -> Node {
        Node { value: Value::Map(Vec::new()), origin }
    }

    /// The entries of a map; nothing for every other value.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; nothing for every other value.
    pub(crate) fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => &[],
        }
    }

    /// The entry of that key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entry at a dotted path below this node.
    pub(crate) fn find(&self, path: &str) -> Option<&Entry> {
        let mut parts = path.split('.');
        let mut entry = self.entry(parts.next()?)?;
        for part in parts {
            entry = entry.node.entry(part)?;
        }
        Some(entry)
    }

    /// Whether the value says anything: `null`, `false`, `0`, and what is empty throughout count as not set, as in
    /// Distribution.
    pub(crate) fn says_something(&self) -> bool {
        match &self.value {
            Value::Null => false,
            Value::Scalar(text) => !matches!(text.as_str(), "" | "false" | "no" | "off" | "0"),
            Value::List(nodes) => !nodes.is_empty(),
            Value::Map(entries) => entries.iter().any(|entry| entry.node.says_something()),
        }
    }

    /// The entries of this node, which becomes a map if it was none (a value given by a parent is replaced).
    pub(crate) fn make_map(&mut self, origin: &Origin) -> &mut Vec<Entry> {
        if !matches!(self.value, Value::Map(_)) {
            *self = Node::empty(origin.clone());
        }
        match &mut self.value {
            Value::Map(entries) => entries,
            _ => unreachable!("made a map above"),
        }
    }

    /// The elements of this node, which becomes a list if it was none.
    pub(crate) fn make_list(&mut self, origin: &Origin) -> &mut Vec<Node> {
        if !matches!(self.value, Value::List(_)) {
            *self = Node { value: Value::List(Vec::new()), origin: origin.clone() };
        }
        match &mut self.value {
            Value::List(nodes) => nodes,
            _ => unreachable!("made a list above"),
        }
    }

    /// The value of a key in this node, added as null if it is not there.
    pub(crate) fn child(&mut self, key: &str, origin: &Origin) -> &mut Node {
        let entries = self.make_map(origin);
        let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let node = Node { value: Value::Null, origin: origin.clone() };
            entries.push(Entry { key: key.to_owned(), origin: origin.clone(), node });
            entries.len() - 1
        });
        &mut entries[index].node
    }
}

/// Writes `storage: filesystem` and `auth: none` as the map they stand for, and the keys of `storage.swift`, which
/// Distribution matches without case, in lower case; so too in the stores of other sites.
pub(crate) fn normalise(root: &mut Node) {
    normalise_storage(root);
    if let Some(replication) = entry_mut(root, "replication")
        && let Some(peers) = entry_mut(replication, "peers")
        && let Value::List(peers) = &mut peers.value
    {
        peers.iter_mut().for_each(normalise_storage);
    }
}

fn normalise_storage(root: &mut Node) {
    drivers_named_alone(root);
    if let Some(storage) = entry_mut(root, "storage")
        && let Some(swift) = entry_mut(storage, "swift")
        && let Value::Map(entries) = &mut swift.value
    {
        for index in 0..entries.len() {
            let lower = entries[index].key.to_lowercase();
            if !entries.iter().any(|entry| entry.key == lower) {
                entries[index].key = lower;
            }
        }
    }
}

fn entry_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    let Value::Map(entries) = &mut node.value else { return None };
    entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
}

fn drivers_named_alone(root: &mut Node) {
    let Value::Map(entries) = &mut root.value else { return };
    for entry in entries.iter_mut().filter(|entry| entry.key == "storage" || entry.key == "auth") {
        let Value::Scalar(name) = &entry.node.value else { continue };
        if name.is_empty() {
            continue;
        }
        let origin = entry.node.origin.clone();
        let driver = Entry { key: name.clone(), origin: origin.clone(), node: Node::empty(origin.clone()) };
        entry.node = Node { value: Value::Map(vec![driver]), origin };
    }
}
