//! One run: draws actions, lets an instance do them, and compares what came with what may come.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use wharfinger_fake_swift::{FakeSwift, Fault, Moment, Rule};
use wharfinger_registry::{Error, UploadWriter};
use wharfinger_test_support::Rng;

use crate::action::{Action, Ending, Report, Upload};
use crate::audit::Audit;
use crate::known::{Known, Scene, State};
use crate::pool::{Document, Pool};
use crate::world::{Instance, Interrupt, Setup};

/// How many requests a failure tells of, whatever they were about.
const LAST_REQUESTS: usize = 12;
/// Actions told of when a run fails.
const TRAIL: usize = 60;
/// Steps between two looks at everything.
const AUDIT_EVERY: u64 = 8;
/// How often a client pulls what it has pushed.
const PULLS_AFTER_PUSH: usize = 3;
/// Uploads under way at a time.
pub(crate) const SESSIONS: usize = 6;

/// An upload under way.
pub(crate) struct Session {
    pub(crate) upload: Upload,
    /// Whether the client knows where it stands.
    pub(crate) sure: bool,
    /// Whether it may be gone: purged, or ended by a request whose answer did not come.
    pub(crate) gone: bool,
    /// Whether the client has tried to close it.
    pub(crate) closing: bool,
    /// Whether a request of it has failed: the client goes on with smaller ones.
    pub(crate) careful: bool,
    /// A request that is still open: with its instance and which life of it.
    pub(crate) held: Option<(Box<UploadWriter>, usize, u64)>,
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: HashMap<&'static str, usize>,
    pub(crate) failed: usize,
    pub(crate) interrupted: usize,
}

pub(crate) struct Run {
    pub(crate) setup: Setup,
    pub(crate) fake: FakeSwift,
    pub(crate) instances: [Instance; 2],
    pub(crate) pool: Arc<Pool>,
    pub(crate) documents: Arc<Vec<Arc<Document>>>,
    pub(crate) known: Known,
    pub(crate) sessions: Vec<Session>,
    pub(crate) random: Rng,
    pub(crate) audit: Audit,
    /// What was pushed last, and how often its client will pull it to see that it is well.
    pub(crate) pushed: (usize, usize, usize),
    pub(crate) counts: Counts,
    /// Whether requests may fail.
    pub(crate) faults: bool,
    /// Sessions that were purged while a request wrote to them.
    pub(crate) purged_open: HashSet<String>,
    /// Sessions that were closed while another push ran.
    pub(crate) closed_shared: HashSet<String>,
    step: u64,
    trail: VecDeque<String>,
    /// Whether every action is printed.
    told: bool,
}

impl Run {
    pub(crate) fn new(setup: Setup) -> Run {
        let mut random = Rng::new(setup.seed);
        let fake = setup.cluster();
        let instance = |front_end| Instance::start(&fake, front_end, BUDGETS[front_end]);
        let instances = [instance(0), instance(1)];
        let pool = Arc::new(Pool::new(&mut random));
        Run {
            setup,
            fake,
            instances,
            pool,
            documents: Arc::default(),
            known: Known::default(),
            sessions: Vec::new(),
            random,
            audit: Audit::new(setup.rot),
            pushed: (0, 0, 0),
            counts: Counts::default(),
            faults: true,
            purged_open: HashSet::new(),
            closed_shared: HashSet::new(),
            step: 0,
            trail: VecDeque::new(),
            told: std::env::var_os("WHARFINGER_TEST_SEED").is_some(),
        }
    }

    /// Runs so many steps under faults.
    pub(crate) fn storm(&mut self, steps: u64) {
        for rule in self.setup.rules() {
            self.fake.inject(rule);
        }
        while self.step < steps {
            self.step += 1;
            self.next_step();
            if self.step.is_multiple_of(AUDIT_EVERY) {
                self.look_at_everything();
            }
        }
        self.look_at_everything();
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    /// Ends the test with what led here.
    pub(crate) fn fail(&self, problem: &str) -> ! {
        let trail: Vec<&str> = self.trail.iter().map(String::as_str).collect();
        panic!(
            "{problem}\nat step {} of {:?}, after\n{}\n{}\nreplay with WHARFINGER_TEST_SEED={}",
            self.step,
            self.setup,
            trail.join("\n"),
            self.asked_about(problem),
            self.setup.seed
        );
    }

    /// The requests about the upload or blob that a problem names and the last ones, with what struck them.
    fn asked_about(&self, problem: &str) -> String {
        let is_id = |part: &&str| part.len() == 36 || part.len() >= 64;
        let id = problem.split(['/', ' ', ':', '"']).find(is_id);
        let events = self.fake.events();
        let requests = self.fake.requests();
        let told = |path: &str| id.is_some_and(|id| path.contains(id));
        let last = requests.len().saturating_sub(LAST_REQUESTS);
        let about =
            requests.iter().enumerate().filter(|(index, request)| *index >= last || told(&request.path));
        let lines = about.map(|(index, request)| {
            let number = index as u64 + 1;
            let struck = events.iter().filter(|event| event.request == number).map(|event| event.fault);
            let struck = struck.collect::<Vec<_>>();
            format!("{number:6} {} {} {:?} {struck:?}", request.method, request.path, request.status)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn note(&mut self, what: String) {
        if self.trail.len() == TRAIL {
            self.trail.pop_front();
        }
        let line = format!("{:5} {:6} {what}", self.step, self.fake.request_count());
        if self.told {
            println!("{line}");
        }
        self.trail.push_back(line);
    }

    pub(crate) fn look_at_everything(&mut self) {
        let looked = self.audit.everything(&self.fake, &self.known, &self.pool, &self.documents);
        if let Err(problem) = looked {
            self.fail(&problem);
        }
    }

    fn next_step(&mut self) {
        match self.random.below(1_000) {
            0..8 => self.crash_between(),
            8..20 => {
                self.note("time passes".to_owned());
                self.fake.advance(self.setup.skew * 2 + std::time::Duration::from_secs(1));
            }
            20..25 => self.fake.expire_tokens(),
            25..27 => self.hang(),
            27..33 if self.setup.rot => self.rot(),
            33..80 => self.two_at_once(),
            _ => {
                let action = self.draw();
                self.act(action);
            }
        }
    }

    fn crash_between(&mut self) {
        let which = self.below(2);
        self.note(format!("instance {which} is started again"));
        self.restart(which);
    }

    fn restart(&mut self, which: usize) {
        let budget = BUDGETS[self.below(BUDGETS.len())];
        self.instances[which].restart(budget);
        for session in &mut self.sessions {
            if session.held.as_ref().is_some_and(|(_, on, _)| *on == which) {
                session.held = None;
                session.sure = false;
            }
        }
    }

    fn hang(&mut self) {
        let fault = [Fault::Hang(Moment::BeforeBody), Fault::AnswerHung, Fault::HungBody { at: None }];
        let fault = fault[self.below(3)];
        self.note(format!("{fault:?} strikes next"));
        self.fake.inject(Rule::new(fault).next(1));
    }

    fn rot(&mut self) {
        let content = self.pool.draw(&mut self.random);
        let draw = self.random.number();
        if self.audit.corrupt(&self.fake, &self.pool, content, draw) {
            self.note(format!("a byte of content {content} flips on the disk"));
        }
    }

    /// One action, by one instance.
    pub(crate) fn act(&mut self, action: Action) -> Option<()> {
        let which = self.instance_for(&action);
        let interrupt = if self.faults && action.writes() && self.chance(8) {
            let longest = if matches!(action, Action::Close { .. }) { 40 } else { 14 };
            let polls = 1 + self.random.below(longest) as u32;
            if self.chance(50) { Interrupt::Cancel(polls) } else { Interrupt::Crash(polls) }
        } else {
            Interrupt::Never
        };
        let held = self.take_held(&action);
        let (pool, documents) = (self.pool.clone(), self.documents.clone());
        let doing = action.clone();
        let running =
            self.instances[which].begin(interrupt, |registry| doing.perform(registry, pool, documents, held));
        let report = running.wait();
        self.note(format!("{which}: {action:?}: {report:?} {}", told(interrupt, report.is_none())));
        self.judge(which, &action, report.as_ref(), false);
        self.known.learn(&action, report.as_ref());
        let ended = report.is_some();
        self.follow(which, &action, report, false);
        if !ended && matches!(interrupt, Interrupt::Crash(_)) {
            self.restart(which);
        }
        let writers = self.sessions.iter().filter(|s| s.held.as_ref().is_some_and(|(_, on, _)| *on == which));
        self.instances[which].wait_idle(writers.count());
        ended.then_some(())
    }

    /// How often a blob came to stand at its name since that many requests, or may have: a manifest of segments is
    /// answered with 202 before it is looked at.
    fn published_since(&self, asked: usize) -> usize {
        let requests = self.fake.requests();
        let stands =
            |path: &str| path.contains("/files/docker/registry/v2/blobs/") && path.ends_with("/data");
        let published = requests[asked..].iter().filter(|request| {
            request.method == "PUT"
                && stands(&request.path)
                && matches!(request.status, None | Some(201 | 202))
        });
        published.count()
    }

    /// Two actions at the same time, one by each instance.
    fn two_at_once(&mut self) {
        let Some(actions) = self.draw_pair() else { return };
        let held = actions.each_ref().map(|action| self.take_held(action));
        let before = self.audit.staged(&self.fake);
        let asked = self.fake.requests().len();
        let mut running = Vec::new();
        for ((which, action), held) in actions.iter().enumerate().zip(held) {
            let (pool, documents, doing) = (self.pool.clone(), self.documents.clone(), action.clone());
            running.push(
                self.instances[which]
                    .begin(Interrupt::Never, |registry| doing.perform(registry, pool, documents, held)),
            );
        }
        let mut reports: Vec<Option<Report>> = running.into_iter().map(|running| running.wait()).collect();
        if self.published_since(asked) > 1 {
            // Of two that published the same, one was replaced, and nobody saw it stand.
            self.closed_shared.extend(self.audit.staged(&self.fake).difference(&before).cloned());
        }
        for which in 0..2 {
            self.note(format!("both, {which}: {:?}: {:?}", actions[which], reports[which]));
            self.judge(which, &actions[which], reports[which].as_ref(), true);
        }
        let learnt = |first: usize, second: usize| {
            let mut known = self.known.clone();
            known.learn(&actions[first], reports[first].as_ref());
            known.learn(&actions[second], reports[second].as_ref());
            known
        };
        self.known = learnt(0, 1).or(&learnt(1, 0));
        for which in 0..2 {
            let report = reports[which].take();
            self.follow(which, &actions[which], report, true);
        }
        for which in 0..2 {
            let writers =
                self.sessions.iter().filter(|s| s.held.as_ref().is_some_and(|(_, on, _)| *on == which));
            self.instances[which].wait_idle(writers.count());
        }
        self.look_at_everything();
    }

    pub(crate) fn judge(&mut self, which: usize, action: &Action, report: Option<&Report>, shared: bool) {
        let Some(report) = report else {
            self.counts.interrupted += 1;
            return;
        };
        let session = upload_of(action).and_then(|upload| self.session(upload.number));
        if let (Some(session), Report::Status(status)) = (session, report)
            && session.sure
            && !session.closing
            && status.length < session.upload.offset
        {
            let known = session.upload.offset;
            self.fail(&format!("{known} bytes were acknowledged, {} are there", status.length));
        }
        let scene = Scene {
            pool: &self.pool,
            documents: &self.documents,
            faults: self.faults,
            rot: self.setup.rot,
            shared,
            gone: session.is_some_and(|session| session.gone),
            linked: &self.instances[which].linked,
        };
        if let Err(problem) = self.known.check(action, report, &scene) {
            self.fail(&problem);
        }
        if !self.setup.rot && self.instances[which].damaged_count() > 0 {
            self.fail("a blob is called damaged, though no byte ever changed");
        }
        match report {
            Report::Failed(_) | Report::Broken(_) => self.counts.failed += 1,
            _ => {
                let name = format!("{action:?}");
                let name = NAMES.iter().find(|known| name.starts_with(**known)).unwrap();
                *self.counts.acknowledged.entry(name).or_default() += 1;
            }
        }
    }

    pub(crate) fn session(&self, number: u64) -> Option<&Session> {
        self.sessions.iter().find(|session| session.upload.number == number)
    }

    /// What the client makes of it: for the uploads, and for what instances remember.
    fn follow(&mut self, which: usize, action: &Action, report: Option<Report>, shared: bool) {
        if let Action::Push { content, .. } | Action::Close { upload: Upload { content, .. }, .. } = action {
            self.audit.see(&self.fake, &self.pool.contents[*content].digest);
        }
        match (action, &report) {
            (Action::Push { repository, content, .. }, Some(Report::Done))
            | (Action::Mount { to: repository, content, .. }, Some(Report::Found(true))) => {
                self.instances[which].linked.insert((*repository, *content));
            }
            (Action::Close { upload, .. }, Some(Report::Done)) => {
                self.instances[which].linked.insert((upload.repository, upload.content));
                self.pushed = (upload.repository, upload.content, PULLS_AFTER_PUSH);
            }
            (Action::DeleteBlob { repository, content }, _) => {
                self.instances[which].linked.remove(&(*repository, *content));
            }
            (Action::Begin { repository, content }, Some(Report::Begun(session))) => {
                let (repository, content, session) = (*repository, *content, *session);
                let number = self.random.number();
                let upload = Upload { number, repository, content, session, offset: 0 };
                let (sure, gone, closing, careful) = (true, false, false, false);
                self.sessions.push(Session { upload, sure, gone, closing, careful, held: None });
            }
            (Action::Purge, _) => self.purged(),
            _ => {}
        }
        let Some(number) = upload_of(action).map(|upload| upload.number) else { return };
        if shared && let Action::Close { upload, .. } = action {
            self.closed_shared.insert(upload.session.id.to_string());
        }
        let closes = matches!(action, Action::Close { .. } | Action::Cancel { .. });
        let Some(index) = self.sessions.iter().position(|session| session.upload.number == number) else {
            return;
        };
        let life = self.instances[which].life;
        let session = &mut self.sessions[index];
        session.closing |= matches!(action, Action::Close { .. });
        match report {
            Some(Report::Status(status)) => {
                (session.upload.session, session.upload.offset) = (status.session, status.length);
                session.sure = true;
            }
            Some(Report::Offset(offset)) => {
                // The next request asks first.
                session.upload.offset = offset;
                session.sure = false;
            }
            Some(Report::Held(writer)) => session.held = Some((writer, which, life)),
            Some(Report::Failed(Error::UploadUnknown | Error::DigestMismatch { .. })) => {
                self.sessions.remove(index);
            }
            Some(Report::Done) if closes => drop(self.sessions.remove(index)),
            _ => {
                session.sure = false;
                session.careful = true;
                session.gone |= closes;
            }
        }
    }

    /// All sessions may be gone, also those that a request is writing to.
    fn purged(&mut self) {
        for session in &mut self.sessions {
            session.gone = true;
            if session.held.is_some() {
                self.purged_open.insert(session.upload.session.id.to_string());
            }
        }
    }

    fn take_held(&mut self, action: &Action) -> Option<Box<UploadWriter>> {
        let number = upload_of(action)?.number;
        let session = self.sessions.iter_mut().find(|session| session.upload.number == number)?;
        session.held.take().map(|(writer, _, _)| writer)
    }

    /// A request that is open stays where it is; others go anywhere.
    fn instance_for(&mut self, action: &Action) -> usize {
        let held = upload_of(action).and_then(|upload| self.session(upload.number)?.held.as_ref());
        match held {
            Some((_, which, _)) => *which,
            None => self.below(2),
        }
    }

    /// A state for the drawing of actions.
    pub(crate) fn present_links(&self, repository: usize) -> Vec<usize> {
        let links = self.known.links.iter();
        links
            .filter(|((of, _), state)| *of == repository && **state == State::Present)
            .map(|((_, c), _)| *c)
            .collect()
    }

    /// How much is written before a chunk ends.
    pub(crate) fn ending(&mut self) -> Ending {
        match self.below(10) {
            0 => Ending::BreakOff,
            1 => Ending::Hold,
            _ => Ending::Pause,
        }
    }
}

/// Bytes that an instance may hold: so few that all but the smallest is staged, or enough.
const BUDGETS: [usize; 5] = [1, 2_500_000, 64 * 1024 * 1024, 1, 1];

const NAMES: [&str; 19] = [
    "PushManifest",
    "Push",
    "Mount",
    "Begin",
    "Patch",
    "Close",
    "Cancel",
    "Status",
    "DeleteBlob",
    "DeleteManifest",
    "DeleteTag",
    "Stat",
    "PullManifest",
    "PullTag",
    "Pull",
    "Tags",
    "Catalog",
    "Purge",
    "Refresh",
];

fn told(interrupt: Interrupt, interrupted: bool) -> String {
    if interrupted { format!("{interrupt:?}") } else { String::new() }
}

pub(crate) fn upload_of(action: &Action) -> Option<&Upload> {
    match action {
        Action::Patch { upload, .. }
        | Action::Close { upload, .. }
        | Action::Cancel { upload }
        | Action::Status { upload } => Some(upload),
        _ => None,
    }
}
