//! The end of a run: the faults are over, and everything that was promised is looked at from every instance.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::action::{Action, Report};
use crate::audit::Leftovers;
use crate::known::State;
use crate::run::Run;

impl Run {
    /// Ends the faults, looks at everything from the instances as they are and from new ones, purges what is left of
    /// uploads, and says what remains.
    pub(crate) fn calm(&mut self) -> Leftovers {
        self.fake.clear_faults();
        self.fake.settle();
        self.fake.heal_listings();
        self.fake.advance(self.setup.skew * 2 + Duration::from_secs(1));
        for session in std::mem::take(&mut self.sessions) {
            // Its client does not come back.
            drop(session.held);
        }
        self.faults = false;
        self.note("the faults are over".to_owned());
        self.read_everything();
        self.instances.iter_mut().for_each(crate::world::Instance::restart_calm);
        self.note("both instances are started again".to_owned());
        self.read_everything();
        self.list_everything();
        self.act(Action::Purge);
        self.look_at_everything();
        match self.audit.leftovers(&self.fake, &self.purged_open, &self.closed_shared) {
            Ok(left) => left,
            Err(problem) => self.fail(&problem),
        }
    }

    /// By both instances: whatever was acknowledged is right, whatever was deleted is not there.
    fn read_everything(&mut self) {
        for which in 0..2 {
            self.ask(which, Action::Refresh);
        }
        let mut pulled = BTreeSet::new();
        for (repository, content) in self.known.links.clone().into_keys() {
            for which in 0..2 {
                self.ask(which, Action::Stat { repository, content });
                let state = self.known.link(repository, content);
                if state != State::Present || pulled.insert((content, which)) {
                    let range = 0..self.pool.contents[content].bytes.len() as u64;
                    self.mend(which, repository, content);
                    self.ask(which, Action::Pull { repository, content, range });
                }
            }
        }
        for (repository, document) in self.known.manifests.clone().into_keys() {
            for which in 0..2 {
                self.ask(which, Action::PullManifest { repository, document });
            }
        }
        for (repository, tag) in self.known.tags.clone().into_keys() {
            let found: Vec<String> = (0..2)
                .map(|which| format!("{:?}", self.ask(which, Action::PullTag { repository, tag })))
                .collect();
            if found[0] != found[1] && !found.iter().any(|found| found.contains("failed")) {
                self.fail(&format!("the instances do not agree on a tag: {found:?}"));
            }
        }
        self.look_at_everything();
    }

    /// Where bytes may have changed: a client that finds a blob absent or broken pushes it again, and then it is well.
    fn mend(&mut self, which: usize, repository: usize, content: usize) {
        if !self.setup.rot || self.known.link(repository, content) != State::Present {
            return;
        }
        let range = 0..self.pool.contents[content].bytes.len() as u64;
        let pull = Action::Pull { repository, content, range };
        if matches!(self.ask(which, pull.clone()), Report::Right) {
            return;
        }
        let push = Action::Push { repository, content, announce: true, piece: 65_536 };
        for action in [push, pull] {
            let report = self.ask(which, action.clone());
            if !matches!(report, Report::Done | Report::Right) {
                self.fail(&format!("a damaged blob is not mended: {action:?}: {report:?}"));
            }
        }
        self.audit.rotten.remove(&content);
        for which in 0..2 {
            let stat = Action::Stat { repository, content };
            let report = self.ask(which, stat);
            if !matches!(report, Report::Size(_)) {
                self.fail(&format!("a blob that was mended is not offered by instance {which}: {report:?}"));
            }
        }
    }

    /// Pages of tags and of repositories are complete and in order.
    fn list_everything(&mut self) {
        let mut repositories = BTreeSet::new();
        for repository in 0..self.pool.repositories.len() {
            let mut surely = BTreeSet::new();
            let mut perhaps = BTreeSet::new();
            for tag in 0..self.pool.tags.len() {
                let points = self.known.tag(repository, tag);
                let name = self.pool.tags[tag].to_string();
                if !points.contains(&None) {
                    surely.insert(name.clone());
                }
                if points.iter().any(Option::is_some) {
                    perhaps.insert(name);
                }
            }
            if !surely.is_empty() {
                repositories.insert(self.pool.repositories[repository].to_string());
            }
            for limit in [1, 2, 5] {
                let mut found = BTreeSet::new();
                let mut last = None;
                loop {
                    let Report::Names(names, more) = self.ask(0, Action::Tags { repository, last, limit })
                    else {
                        break;
                    };
                    let position = |name: &String| self.pool.tags.iter().position(|tag| tag.as_str() == name);
                    last = names.last().and_then(position);
                    found.extend(names);
                    if !more || last.is_none() {
                        break;
                    }
                }
                if !found.is_superset(&surely) || !found.is_subset(&perhaps) {
                    self.fail(&format!(
                        "pages of {limit} tags: {found:?}, not {surely:?} and of {perhaps:?}"
                    ));
                }
            }
        }
        let Report::Names(names, _) = self.ask(1, Action::Catalog { limit: 100 }) else {
            self.fail("no catalog");
        };
        if let Some(missing) = repositories.iter().find(|name| !names.contains(name)) {
            self.fail(&format!("{missing} is not in the catalog {names:?}"));
        }
    }

    /// An action by that instance.
    fn ask(&mut self, which: usize, action: Action) -> Report {
        let (pool, documents) = (self.pool.clone(), self.documents.clone());
        let doing = action.clone();
        let report = self.instances[which].run(|registry| doing.perform(registry, pool, documents, None));
        self.note(format!("{which}: {action:?}: {report:?}"));
        self.judge(which, &action, Some(&report), false);
        self.known.learn(&action, Some(&report));
        report
    }
}
