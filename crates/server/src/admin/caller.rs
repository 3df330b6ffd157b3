//! Who changes something through the admin socket, and why.

use http::{HeaderName, Request};
use hyper::body::Incoming;
use wharfinger_maintenance::audit::{self, Entry};

use crate::app::App;
use crate::listen::PeerUser;

/// Header with the reason that the operator gave; UTF-8.
pub static REASON: HeaderName = HeaderName::from_static("wharfinger-reason");
/// Header with who called `sudo`; only told beside the user that the socket tells.
pub static SUDO_USER: HeaderName = HeaderName::from_static("wharfinger-sudo-user");

/// Bytes of each that are kept.
const LONGEST: usize = 500;

/// Whoever sent a request.
pub(super) struct Caller {
    who: String,
    why: Option<String>,
}

impl Caller {
    pub(super) fn of(request: &Request<Incoming>) -> Caller {
        let header = |name| {
            let text = String::from_utf8_lossy(request.headers().get(name)?.as_bytes()).into_owned();
            Some(text.chars().take(LONGEST).collect::<String>()).filter(|text| !text.is_empty())
        };
        let user = request.extensions().get::<PeerUser>();
        let user = user.map_or_else(|| "unknown".to_owned(), |PeerUser(uid)| audit::user(*uid));
        let who = match header(&SUDO_USER) {
            Some(sudo) if sudo != user => format!("{user} ({sudo})"),
            _ => user,
        };
        Caller { who, why: header(&REASON) }
    }

    /// Records what was done. After this the request may be answered.
    pub(super) async fn did(
        self,
        app: &App,
        action: &str,
        what: impl Into<String>,
        result: Result<String, String>,
    ) {
        let entry = Entry::now(self.who, action, what, self.why, result);
        audit::record(app.registry.store(), app.registry.mode(), &entry).await;
    }
}
