//! Lays `REGISTRY_*` variables over the file's tree, by Distribution's rules.
//!
//! Variables apply in the order of their names, so that `REGISTRY_STORAGE` comes before what lies below it. A value
//! is YAML and replaces what was there. Names are matched without case against the table of keys; below a list a
//! number is an index, and the number after the last one appends.

use crate::diagnostic::{Origin, Problems};
use crate::keys::{Kind, Schema};
use crate::suggest::nearest;
use crate::tree::{Node, Value, normalise};
use crate::yaml;

const PREFIX: &str = "REGISTRY_";
/// Names the file itself; read by the command line.
const FILE_VARIABLE: &str = "REGISTRY_CONFIGURATION_PATH";

/// One step from a node to what lies below it.
enum Step {
    Key(String),
    Index(usize),
}

/// Where a variable's name leads, and what is expected there.
struct Target {
    steps: Vec<Step>,
    kind: Kind,
}

/// Applies all `REGISTRY_*` variables of `env`.
pub(crate) fn overlay(root: &mut Node, env: impl Iterator<Item = (String, String)>, problems: &mut Problems) {
    let mut variables: Vec<_> =
        env.filter(|(name, _)| name.starts_with(PREFIX) && name != FILE_VARIABLE).collect();
    variables.sort();
    for (name, text) in variables {
        let origin = Origin::Env(name.as_str().into());
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        match resolve(Some(root), Schema::root(), rest) {
            Ok(Some(target)) => set(root, &target, &text, &origin, problems),
            Ok(None) => problems.warn(&origin, "", unknown(&name)),
            Err(message) => problems.error(&origin, "", message),
        }
        normalise(root);
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<String> = crate::keys::all()
        .iter()
        .filter(|key| !key.path.contains('*'))
        .map(crate::keys::Key::variable)
        .collect();
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("no configuration key has this name, ignored; did you mean {near}?"),
        None => "no configuration key has this name, ignored".to_owned(),
    }
}

/// Finds what `rest` names below `schema`; `node` is what the tree has there so far.
fn resolve(node: Option<&Node>, schema: &Schema, rest: &str) -> Result<Option<Target>, String> {
    let kind = schema.kind();
    if rest.is_empty() {
        return Ok(Some(Target { steps: Vec::new(), kind }));
    }
    match kind {
        Kind::Section | Kind::Driver => {
            let Some((name, child, rest)) = step(schema, rest) else { return Ok(None) };
            let below = node.and_then(|node| node.entry(name)).map(|entry| &entry.node);
            Ok(resolve(below, child, rest)?.map(|target| target.after(Step::Key(name.to_owned()))))
        }
        Kind::Sections => {
            let (index, rest) = index(node, rest)?;
            let Some(child) = schema.child("*") else { return Ok(None) };
            let below = node.and_then(|node| node.elements().get(index));
            Ok(resolve(below, child, rest)?.map(|target| target.after(Step::Index(index))))
        }
        Kind::List => {
            let (index, rest) = index(node, rest)?;
            Ok(rest.is_empty().then(|| Target { steps: vec![Step::Index(index)], kind: Kind::Text }))
        }
        Kind::Map => {
            let known = node.into_iter().flat_map(Node::entries).find(|e| e.key.eq_ignore_ascii_case(rest));
            let key = known.map_or_else(|| rest.to_lowercase(), |entry| entry.key.clone());
            Ok(Some(Target { steps: vec![Step::Key(key)], kind: Kind::Map }))
        }
        _ => Ok(None),
    }
}

impl Target {
    fn after(mut self, step: Step) -> Target {
        self.steps.insert(0, step);
        self
    }
}

/// The child of `schema` that `rest` begins with, and what follows. The longest name wins, as ours contain `_`.
fn step<'s, 'r>(schema: &'s Schema, rest: &'r str) -> Option<(&'static str, &'s Schema, &'r str)> {
    let mut best: Option<(&'static str, &'s Schema, &'r str)> = None;
    for (name, child) in &schema.children {
        let alias = child.key.and_then(|key| key.env);
        for spelling in [Some(*name), alias].into_iter().flatten() {
            let Some(tail) = strip_word(rest, spelling) else { continue };
            if best.is_none_or(|(_, _, old)| tail.len() < old.len()) {
                best = Some((name, child, tail));
            }
        }
    }
    best
}

/// What follows `word` (in upper case) and an underscore; empty at the end of the name.
fn strip_word<'r>(rest: &'r str, word: &str) -> Option<&'r str> {
    let tail = rest.strip_prefix(word.to_uppercase().as_str())?;
    if tail.is_empty() { Some(tail) } else { tail.strip_prefix('_').filter(|tail| !tail.is_empty()) }
}

fn index<'r>(node: Option<&Node>, rest: &'r str) -> Result<(usize, &'r str), String> {
    let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
    let index: usize = number
        .parse()
        .map_err(|_| format!("{number:?} has to be the index of a list's element (0, 1, ...)"))?;
    let length = node.map_or(0, |node| node.elements().len());
    if index > length {
        return Err(format!(
            "the list has {length} elements so far, so the next index is {length}, not {index}"
        ));
    }
    Ok((index, rest))
}

fn set(root: &mut Node, target: &Target, text: &str, origin: &Origin, problems: &mut Problems) {
    let value = match (yaml::parse_value(text, origin, problems), target.kind.is_scalar()) {
        (Ok(node), true) if matches!(node.value, Value::Scalar(_) | Value::Null) => node,
        // Passwords may look like anything: what is no YAML scalar is taken as it stands.
        (_, true) => Node { value: Value::Scalar(text.to_owned()), origin: origin.clone() },
        (Ok(node), false) => node,
        (Err(diagnostic), false) => return problems.error(origin, "", diagnostic.message),
    };
    let mut at = root;
    for step in &target.steps {
        at = match step {
            Step::Key(key) => at.child(key, origin),
            Step::Index(index) => {
                let elements = at.make_list(origin);
                if *index >= elements.len() {
                    elements.push(Node { value: Value::Null, origin: origin.clone() });
                }
                let last = elements.len() - 1;
                &mut elements[(*index).min(last)]
            }
        };
    }
    *at = value;
}
