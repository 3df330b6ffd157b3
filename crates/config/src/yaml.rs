//! YAML text to a [`Node`] tree with line numbers. The only place that knows the YAML library.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Diagnostic, Origin, Problems};
use crate::tree::{Entry, Node, Value};

/// Deeper nesting than any configuration has; bounds every recursion over the tree.
const MAX_DEPTH: usize = 32;
/// More values than any configuration has; bounds what aliases can blow up to.
const MAX_NODES: usize = 100_000;

/// Parses the first document of a file. An empty document is an empty map.
///
/// # Errors
/// A syntax error, with line and column, or a document that is no map.
pub(crate) fn parse(text: &str, source: &Origin, problems: &mut Problems) -> Result<Node, Diagnostic> {
    let root = parse_value(text, source, problems)?;
    match root.value {
        Value::Map(_) => Ok(root),
        Value::Null => Ok(Node::empty(source.clone())),
        _ => Err(Diagnostic::new(root.origin, "", "has to be a map of keys, such as `version: 0.1`")),
    }
}

/// Parses one value of any kind, as it stands in an environment variable.
///
/// # Errors
/// A syntax error.
pub(crate) fn parse_value(text: &str, source: &Origin, problems: &mut Problems) -> Result<Node, Diagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        source,
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            let origin = source.at(mark.line(), Some(mark.col() + 1));
            Diagnostic::new(origin, "", format!("not valid YAML: {}", error.info()))
        })?;
        builder.event(event, span)?;
    }
    Ok(builder.root.unwrap_or_else(|| Node { value: Value::Null, origin: source.clone() }))
}

/// A list or map that has begun and not ended.
struct Open {
    node: Node,
    /// The key that waits for its value, in a map.
    key: Option<(String, Origin)>,
    /// Values of the merge key `<<`; they yield to what the map says itself.
    merged: Vec<Node>,
    anchor: usize,
}

struct Builder<'a> {
    source: &'a Origin,
    problems: &'a mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let origin = self.source.at(span.start.line(), None);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    self.problems.warn(&origin, "", "only the first YAML document of a file is read");
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, _tag) => {
                self.finished(Node { value: scalar(text, style), origin }, anchor)
            }
            Event::SequenceStart(anchor, _tag) => self.begin(Value::List(Vec::new()), origin, anchor),
            Event::MappingStart(anchor, _tag) => self.begin(Value::Map(Vec::new()), origin, anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(mut open) => {
                    if let Value::Map(entries) = &mut open.node.value {
                        open.merged.into_iter().for_each(|node| merge(entries, node));
                    }
                    self.finished(open.node, open.anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.nodes += size(&node);
                    self.within_depth(&origin, depth(&node))?;
                    self.finished(Node { origin, ..node }, 0)
                }
                None => Err(Diagnostic::new(origin, "", "an alias of an anchor that is not complete yet")),
            },
        }
    }

    fn begin(&mut self, value: Value, origin: Origin, anchor: usize) -> Result<(), Diagnostic> {
        self.within_depth(&origin, 1)?;
        self.open.push(Open { node: Node { value, origin }, key: None, merged: Vec::new(), anchor });
        Ok(())
    }

    fn within_depth(&self, origin: &Origin, more: usize) -> Result<(), Diagnostic> {
        if self.open.len() + more > MAX_DEPTH {
            return Err(Diagnostic::new(origin.clone(), "", "nested too deeply for a configuration"));
        }
        Ok(())
    }

    /// Puts a complete node where it belongs: as key or value of the open map, into the open list, or as the root.
    fn finished(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::new(node.origin, "", "too many values for a configuration"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if self.documents <= 1 {
                self.root = Some(node);
            }
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(nodes) => nodes.push(node),
            Value::Map(entries) => match open.key.take() {
                None => open.key = Some((key_text(node.value, &node.origin)?, node.origin)),
                Some((key, _)) if key == "<<" => open.merged.push(node),
                Some((key, origin)) => insert(entries, Entry { key, origin, node }, self.problems),
            },
            Value::Null | Value::Scalar(_) => {}
        }
        Ok(())
    }
}

fn key_text(value: Value, origin: &Origin) -> Result<String, Diagnostic> {
    match value {
        Value::Scalar(text) => Ok(text),
        Value::Null => Ok("null".to_owned()),
        _ => Err(Diagnostic::new(origin.clone(), "", "a key has to be plain text")),
    }
}

/// Adds an entry; a key given twice warns, and the last one counts (as in Distribution).
fn insert(entries: &mut Vec<Entry>, entry: Entry, problems: &mut Problems) {
    if let Some(old) = entries.iter_mut().find(|old| old.key == entry.key) {
        problems.warn(
            &entry.origin,
            &entry.key,
            format!("given twice in the same place; this one counts, not the one at {}", old.origin),
        );
        *old = entry;
    } else {
        entries.push(entry);
    }
}

/// Takes over what is not there yet.
fn merge(entries: &mut Vec<Entry>, node: Node) {
    match node.value {
        Value::Map(merged) => {
            for entry in merged {
                if !entries.iter().any(|old| old.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
        Value::List(nodes) => nodes.into_iter().for_each(|node| merge(entries, node)),
        Value::Null | Value::Scalar(_) => {}
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    let null = matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
    if null && style == ScalarStyle::Plain { Value::Null } else { Value::Scalar(text.into_owned()) }
}

fn size(node: &Node) -> usize {
    1 + node.elements().iter().map(size).sum::<usize>()
        + node.entries().iter().map(|entry| size(&entry.node)).sum::<usize>()
}

fn depth(node: &Node) -> usize {
    let children = node.elements().iter().chain(node.entries().iter().map(|entry| &entry.node));
    1 + children.map(depth).max().unwrap_or(0)
}
