//! What takes effect later: rows on their way to a listing, and requests whose answer went before their effect.

use crate::clock::Timestamp;
use crate::faults::Due;
use crate::state::{Object, Row, RowFate, State};

/// An effect that is still to come.
#[derive(Debug)]
enum Effect {
    Row { container: String, name: String, row: Box<Row> },
    Put { container: String, name: String, object: Box<Object> },
    Delete { container: String, name: String, timestamp: Option<Timestamp> },
}

/// All effects that are still to come, in the order in which they were caused.
#[derive(Debug, Default)]
pub(crate) struct Later {
    effects: Vec<(Due, Effect)>,
}

impl Later {
    /// A row that shows at `due`.
    pub(crate) fn row(&mut self, due: Due, container: &str, name: &str, row: Row) {
        let (container, name) = (container.to_owned(), name.to_owned());
        self.effects.push((due, Effect::Row { container, name, row: Box::new(row) }));
    }

    /// A PUT that lands at `due`: as of its timestamp, or, where that is zero, as of then.
    pub(crate) fn put(&mut self, due: Due, container: &str, name: &str, object: Object) {
        let (container, name) = (container.to_owned(), name.to_owned());
        self.effects.push((due, Effect::Put { container, name, object: Box::new(object) }));
    }

    /// A DELETE that is carried out at `due`: as of `timestamp`, or as of then.
    pub(crate) fn delete(&mut self, due: Due, container: &str, name: &str, timestamp: Option<Timestamp>) {
        let (container, name) = (container.to_owned(), name.to_owned());
        self.effects.push((due, Effect::Delete { container, name, timestamp }));
    }

    /// How many effects are still to come.
    pub(crate) fn len(&self) -> usize {
        self.effects.len()
    }
}

impl State {
    /// Carries out everything that is due.
    pub(crate) fn catch_up(&mut self) {
        let (now, number) = (self.clocks.true_time(), self.requests);
        self.carry_out(|due| due.reached(now, number));
    }

    /// Carries out everything that is still to come, due or not.
    pub(crate) fn settle(&mut self) {
        self.carry_out(|_| true);
    }

    /// Shows all rows, late and lost ones, as the updater of a healthy cluster does in the end.
    pub(crate) fn heal_listings(&mut self) {
        let effects = std::mem::take(&mut self.later.effects);
        for (due, effect) in effects {
            match effect {
                Effect::Row { container, name, row } => self.merge(&container, &name, *row),
                other => self.later.effects.push((due, other)),
            }
        }
        for container in self.containers.keys().cloned().collect::<Vec<_>>() {
            let lost = self.containers.get_mut(&container).map(|place| std::mem::take(&mut place.lost));
            for (name, row) in lost.unwrap_or_default() {
                self.merge(&container, &name, row);
            }
        }
    }

    fn carry_out(&mut self, ready: impl Fn(Due) -> bool) {
        if self.later.effects.iter().all(|(due, _)| !ready(*due)) {
            return;
        }
        let effects = std::mem::take(&mut self.later.effects);
        for (due, effect) in effects {
            if ready(due) {
                self.carry_out_one(effect);
            } else {
                self.later.effects.push((due, effect));
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Row { container, name, row } => self.merge(&container, &name, *row),
            Effect::Put { container, name, mut object } => {
                if object.timestamp == Timestamp::default() {
                    object.timestamp = self.clocks.now(0);
                    object.changed = object.timestamp;
                }
                self.land(&container, &name, *object, RowFate::Shown);
            }
            Effect::Delete { container, name, timestamp } => {
                let timestamp = timestamp.unwrap_or_else(|| self.clocks.now(0));
                self.bury(&container, &name, timestamp, RowFate::Shown);
            }
        }
    }
}
