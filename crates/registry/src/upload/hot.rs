//! Upload sessions that this process wrote last, so that the next request of the same client need not read the record.
//!
//! Only a hint: an entry is used where the client names the very state that it holds, and everything in it is in
//! the record too.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::budget::Held;

use super::session::{Session, SessionId, SessionRef};

/// Sessions remembered at most.
const MOST: usize = 256;
/// How long.
const LIFE: Duration = Duration::from_secs(60);

/// What is remembered.
#[derive(Default)]
pub(crate) struct HotSessions {
    known: Mutex<HashMap<SessionId, Known>>,
}

struct Known {
    session: Session,
    /// The share of the byte budget that the held bytes take.
    share: Option<Held>,
    at: Instant,
}

impl HotSessions {
    /// Takes a session out, if it is remembered in the state that the reference names.
    pub(crate) fn take(&self, reference: SessionRef) -> Option<(Session, Option<Held>)> {
        let known = self.known.lock().remove(&reference.id)?;
        let current = reference.generation == Some(known.session.generation) && known.at.elapsed() < LIFE;
        current.then_some((known.session, known.share))
    }

    /// Remembers a session whose record was written.
    pub(crate) fn keep(&self, id: SessionId, session: Session, share: Option<Held>) {
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.retain(|_, known| known.at.elapsed() < LIFE);
        }
        if known.len() < MOST {
            known.insert(id, Known { session, share, at: Instant::now() });
        }
    }

    /// Forgets a session.
    pub(crate) fn forget(&self, id: SessionId) {
        self.known.lock().remove(&id);
    }

    /// Forgets what nobody came back for; gives its bytes back to the budget.
    pub(crate) fn sweep(&self) {
        self.known.lock().retain(|_, known| known.at.elapsed() < LIFE);
    }
}
