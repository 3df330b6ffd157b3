//! Which actions come next: clients that push, pull and delete the same few things.

use std::sync::Arc;

use crate::action::{Action, Ending, Upload};
use crate::known::State;
use crate::pool::Document;
use crate::run::{Run, SESSIONS};

/// Documents made at most; after that they are pushed again and again.
const DOCUMENTS: usize = 60;
/// Sizes of the pieces that a body comes in.
const PIECES: [usize; 4] = [1_000, 16_384, 65_536, 700_000];

impl Run {
    pub(crate) fn draw(&mut self) -> Action {
        let (repository, content, pulls) = self.pushed;
        if pulls > 0 && self.chance(80) {
            self.pushed.2 -= 1;
            let range = 0..self.pool.contents[content].bytes.len() as u64;
            return Action::Pull { repository, content, range };
        }
        let repository = self.repository();
        let tag = self.below(self.pool.tags.len());
        match self.random.below(100) {
            0..9 => {
                let content = self.content();
                self.push(repository, content)
            }
            9..12 => {
                Action::Mount { from: repository, to: self.repository(), content: self.linked(repository) }
            }
            12..20 => self.push_manifest(repository),
            20..52 => self.upload(repository),
            52..55 => Action::DeleteBlob { repository, content: self.linked(repository) },
            55..57 => Action::DeleteManifest { repository, document: self.document(repository) },
            57..60 => Action::DeleteTag { repository, tag },
            60..65 => Action::Stat { repository, content: self.linked(repository) },
            65..77 => self.pull(repository),
            77..83 => Action::PullManifest { repository, document: self.document(repository) },
            83..93 => Action::PullTag { repository, tag },
            93..96 => {
                let last = (self.below(2) == 0).then_some(tag);
                Action::Tags { repository, last, limit: [1, 2, 5, 100][self.below(4)] }
            }
            96 => Action::Catalog { limit: 1 + self.below(4) },
            97 => Action::Refresh,
            98 => Action::Purge,
            _ => Action::PullTag { repository, tag },
        }
    }

    /// Two actions that get in each other's way.
    pub(crate) fn draw_pair(&mut self) -> Option<[Action; 2]> {
        let repository = self.repository();
        let content = self.content();
        let tags = vec![self.below(self.pool.tags.len())];
        let pair = match self.below(7) {
            0 | 1 => [self.push(repository, content), self.push(repository, content)],
            2 => [self.push(repository, content), Action::DeleteBlob { repository, content }],
            3 => [self.tagged(repository, &tags), self.tagged(repository, &tags)],
            4 => [self.tagged(repository, &tags), Action::DeleteTag { repository, tag: tags[0] }],
            5 => {
                let upload = self.idle_upload()?;
                let other = self.push(upload.repository, upload.content);
                [self.close(upload, false), other]
            }
            _ => {
                let upload = self.idle_upload()?;
                let same = |session: &&crate::run::Session| {
                    session.upload.number != upload.number
                        && session.upload.content == upload.content
                        && session.held.is_none()
                };
                let other = self.sessions.iter().find(same)?.upload.clone();
                [self.close(upload, false), self.close(other, false)]
            }
        };
        // Only images and blobs: whatever is missing is told by an error.
        pair.iter().all(|action| !matches!(action, Action::Mount { .. })).then_some(pair)
    }

    /// A content to be pushed.
    fn content(&mut self) -> usize {
        if self.chance(60) {
            return Arc::make_mut(&mut self.pool).fresh(&mut self.random);
        }
        self.pool.draw(&mut self.random)
    }

    fn repository(&mut self) -> usize {
        self.below(self.pool.repositories.len())
    }

    fn piece(&mut self) -> usize {
        PIECES[self.below(PIECES.len())]
    }

    /// A content that is in the repository, most of the time.
    fn linked(&mut self, repository: usize) -> usize {
        let linked = self.present_links(repository);
        if linked.is_empty() || self.chance(15) {
            return self.pool.draw(&mut self.random);
        }
        linked[self.below(linked.len())]
    }

    /// A document that is in the repository, most of the time.
    fn document(&mut self, repository: usize) -> usize {
        let manifests = self.known.manifests.iter();
        let present = manifests.filter(|((of, _), state)| *of == repository && **state == State::Present);
        let present: Vec<usize> = present.map(|((_, document), _)| *document).collect();
        if self.documents.is_empty() {
            let blobs = vec![self.linked(repository)];
            let image = Document::image(&self.pool, blobs, 0);
            Arc::make_mut(&mut self.documents).push(Arc::new(image));
        }
        if present.is_empty() || self.chance(20) {
            return self.below(self.documents.len());
        }
        present[self.below(present.len())]
    }

    fn push(&mut self, repository: usize, content: usize) -> Action {
        Action::Push { repository, content, announce: self.chance(60), piece: self.piece() }
    }

    fn push_manifest(&mut self, repository: usize) -> Action {
        let count = [0, 1, 1, 1, 2][self.below(5)];
        let tags: Vec<usize> = (0..count).map(|_| self.below(self.pool.tags.len())).collect();
        self.tagged(repository, &tags)
    }

    fn tagged(&mut self, repository: usize, tags: &[usize]) -> Action {
        let document = if self.documents.len() < DOCUMENTS && self.chance(60) {
            self.make_document(repository)
        } else {
            self.document(repository)
        };
        let mut tags = tags.to_vec();
        tags.dedup();
        Action::PushManifest { repository, document, tags }
    }

    fn make_document(&mut self, repository: usize) -> usize {
        let variant = self.random.number();
        let document = if !self.documents.is_empty() && self.chance(20) {
            let children = (0..1 + self.below(2)).map(|_| self.document(repository)).collect();
            Document::index(&self.documents, children, variant)
        } else {
            let blobs = (0..1 + self.below(3)).map(|_| self.linked(repository)).collect();
            Document::image(&self.pool, blobs, variant)
        };
        Arc::make_mut(&mut self.documents).push(Arc::new(document));
        self.documents.len() - 1
    }

    fn pull(&mut self, repository: usize) -> Action {
        let content = self.linked(repository);
        let size = self.pool.contents[content].bytes.len() as u64;
        let range = if size == 0 || self.chance(60) {
            0..size
        } else {
            let start = self.random.below(size);
            start..start + 1 + self.random.below((size - start).min(1_500_000))
        };
        Action::Pull { repository, content, range: range.start..range.end.min(size) }
    }

    /// An upload that no request is writing to.
    fn idle_upload(&mut self) -> Option<Upload> {
        let idle: Vec<&Upload> =
            self.sessions.iter().filter(|s| s.held.is_none() && s.sure).map(|s| &s.upload).collect();
        let index = self.random.below(idle.len() as u64) as usize;
        idle.get(index).map(|upload| (*upload).clone())
    }

    /// The next request of an upload, or a first one.
    fn upload(&mut self, repository: usize) -> Action {
        if self.sessions.is_empty() || (self.sessions.len() < SESSIONS && self.chance(15)) {
            // Two clients push the same now and then.
            let same = self.sessions.first().map(|session| session.upload.content);
            let content = match same.filter(|_| self.chance(30)) {
                Some(same) => same,
                None => self.content(),
            };
            return Action::Begin { repository, content };
        }
        let index = self.below(self.sessions.len());
        let longer = self.pool.contents[self.sessions[index].upload.content].longer;
        if self.sessions[index].closing
            && self.chance(40)
            && let Some(longer) = longer
        {
            // A client that could not close goes on writing instead.
            self.sessions[index].upload.content = longer;
        }
        let (sure, held) = (self.sessions[index].sure, self.sessions[index].held.is_some());
        let upload = self.sessions[index].upload.clone();
        if !sure && !held {
            return if self.chance(90) { Action::Status { upload } } else { Action::Cancel { upload } };
        }
        let size = self.pool.contents[upload.content].bytes.len();
        let left = size.saturating_sub(usize::try_from(upload.offset).unwrap());
        if self.sessions[index].careful && !self.sessions[index].closing && left > 0 && self.chance(70) {
            self.sessions[index].careful = false;
            let length = 1 + self.below(left);
            return Action::Patch { upload, length, piece: self.piece(), ending: Ending::Pause };
        }
        match self.below(20) {
            0 if !held => Action::Cancel { upload },
            1 if !held => Action::Status { upload },
            2 => self.close(upload, true),
            3..10 => self.close(upload, false),
            _ if left == 0 && !held => self.close(upload, false),
            _ => {
                let length = 1 + self.below(left.clamp(1, 2_500_000));
                Action::Patch { upload, length, piece: self.piece(), ending: self.ending() }
            }
        }
    }

    fn close(&mut self, upload: Upload, wrong: bool) -> Action {
        Action::Close { upload, piece: self.piece(), wrong }
    }
}
