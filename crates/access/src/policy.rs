//! The policy table, compiled. Its meaning stands at [`PolicyConfig`].

use std::cell::RefCell;
use std::collections::HashSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use wharfinger_oci::{Action, RepositoryName};

use crate::{AccessError, Identity, PolicyConfig, Rule, Who};

/// The compiled table.
#[derive(Debug)]
pub(crate) struct Policy {
    /// `None`: no rules, the method decides.
    tables: Option<Tables>,
    catalog: Option<WhoSet>,
}

/// One table per action that rules can list.
#[derive(Debug)]
struct Tables {
    pull: Table,
    push: Table,
    delete: Table,
}

/// The patterns of one action in their order, each with everyone whom the rules with this pattern name.
#[derive(Debug)]
struct Table {
    patterns: GlobSet,
    who: Vec<WhoSet>,
}

impl Policy {
    /// Checks and compiles the table.
    pub(crate) fn new(config: &PolicyConfig) -> Result<Policy, AccessError> {
        for (index, rule) in config.rules.iter().enumerate() {
            check_rule(rule).map_err(|reason| AccessError::Rule { rule: index, reason })?;
        }
        let tables = match config.rules.as_slice() {
            [] => None,
            rules => Some(Tables {
                pull: Table::new(rules, Action::Pull)?,
                push: Table::new(rules, Action::Push)?,
                delete: Table::new(rules, Action::Delete)?,
            }),
        };
        let catalog = match (config.catalog.as_slice(), &tables) {
            ([], None) => None,
            (who, _) => Some(WhoSet::new(who)),
        };
        Ok(Policy { tables, catalog })
    }

    /// Whether the table allows it; `None` without rules.
    pub(crate) fn repository(
        &self,
        identity: &Identity,
        name: &RepositoryName,
        action: Action,
    ) -> Option<bool> {
        let tables = self.tables.as_ref()?;
        Some(match action {
            Action::Pull => tables.pull.allows(identity, name),
            Action::Push => tables.push.allows(identity, name),
            Action::Delete => tables.delete.allows(identity, name),
            Action::Catalog => false,
        })
    }

    /// Whether the table allows listing the catalog; `None` where the method decides.
    pub(crate) fn catalog(&self, identity: &Identity) -> Option<bool> {
        Some(self.catalog.as_ref()?.contains(identity))
    }

    /// Whether anything at all is open to anonymous callers by a rule.
    pub(crate) fn opens_anything_to_anonymous(&self) -> bool {
        let any = |table: &Table| table.who.iter().any(|who| who.anonymous);
        self.tables.as_ref().is_some_and(|t| any(&t.pull) || any(&t.push) || any(&t.delete))
            || self.catalog.as_ref().is_some_and(|who| who.anonymous)
    }
}

impl Table {
    fn new(rules: &[Rule], action: Action) -> Result<Table, AccessError> {
        let mut order: Vec<&str> = Vec::new();
        let mut who: Vec<WhoSet> = Vec::new();
        let mut patterns = GlobSetBuilder::new();
        for (index, rule) in rules.iter().enumerate() {
            if !rule.actions.contains(&action) {
                continue;
            }
            for pattern in &rule.repositories {
                if let Some(known) = order.iter().position(|known| known == pattern) {
                    who[known].add(&rule.who);
                    continue;
                }
                let glob = GlobBuilder::new(pattern).literal_separator(false).build().map_err(|error| {
                    AccessError::Rule { rule: index, reason: format!("{pattern:?}: {}", error.kind()) }
                })?;
                patterns.add(glob);
                order.push(pattern);
                who.push(WhoSet::new(&rule.who));
            }
        }
        let patterns = patterns.build().map_err(|error| AccessError::Rule {
            rule: 0,
            reason: format!("the patterns of {} together: {}", action.as_str(), error.kind()),
        })?;
        Ok(Table { patterns, who })
    }

    fn allows(&self, identity: &Identity, name: &RepositoryName) -> bool {
        self.first_match(name).is_some_and(|index| self.who[index].contains(identity))
    }

    fn first_match(&self, name: &RepositoryName) -> Option<usize> {
        thread_local! {
            static MATCHES: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
        }
        MATCHES.with_borrow_mut(|matches| {
            self.patterns.matches_into(name.as_str(), matches);
            matches.iter().copied().min()
        })
    }
}

/// Everyone whom some rules name.
#[derive(Debug, Default)]
struct WhoSet {
    anonymous: bool,
    authenticated: bool,
    users: HashSet<Box<str>>,
    tokens: HashSet<Box<str>>,
}

impl WhoSet {
    fn new(who: &[Who]) -> WhoSet {
        let mut set = WhoSet::default();
        set.add(who);
        set
    }

    fn add(&mut self, who: &[Who]) {
        for one in who {
            match one {
                Who::Anonymous => self.anonymous = true,
                Who::Authenticated => self.authenticated = true,
                Who::User(name) => drop(self.users.insert(name.as_str().into())),
                Who::Token(subject) => drop(self.tokens.insert(subject.as_str().into())),
            }
        }
    }

    fn contains(&self, identity: &Identity) -> bool {
        if self.anonymous {
            return true;
        }
        match identity {
            Identity::Anonymous => false,
            Identity::User(name) => self.authenticated || self.users.contains(name.as_ref()),
            // A token without a subject proves only what it grants.
            Identity::Token { subject, .. } if subject.is_empty() => false,
            Identity::Token { subject, .. } => self.authenticated || self.tokens.contains(subject.as_ref()),
        }
    }
}

/// A row that can never apply is a mistake that would show only as a refusal, or as a leak.
fn check_rule(rule: &Rule) -> Result<(), String> {
    if rule.repositories.is_empty() {
        return Err("names no repositories".to_owned());
    }
    if rule.actions.is_empty() {
        return Err("lists no actions".to_owned());
    }
    if rule.actions.contains(&Action::Catalog) {
        return Err(
            "the catalog is no action on a repository; list who may read it in policy.catalog".to_owned()
        );
    }
    for pattern in &rule.repositories {
        if pattern.is_empty() {
            return Err("has an empty pattern; all repositories are \"*\"".to_owned());
        }
        if pattern.starts_with('/') || pattern.ends_with('/') {
            return Err(format!("{pattern:?} matches no repository: names neither start nor end with /"));
        }
        if pattern.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("{pattern:?} matches no repository: names have no upper-case letters"));
        }
        if pattern.starts_with('!') {
            return Err(format!("{pattern:?}: a pattern cannot be negated; put a stricter rule above"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
