//! HTTP Basic against an htpasswd file (bcrypt only).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use crate::keyed_hash::Key;
use crate::watched::Watched;
use crate::{AccessError, Refused};

/// How many verified credentials are remembered.
const REMEMBERED: usize = 1024;
/// The cost that unknown users are checked at when the file names no user: what `htpasswd -B` writes by default.
const DEFAULT_COST: u32 = 5;

/// Checks passwords.
pub(crate) struct Htpasswd {
    users: Arc<Watched<Users>>,
    key: Key,
    /// bcrypt is slow on purpose: as many at once as there are processors, the others wait.
    permits: Semaphore,
}

/// The file, and what was verified against it. Both are replaced together.
pub(crate) struct Users {
    hashes: HashMap<Box<str>, Box<str>>,
    /// A hash that no password has, as costly as the costliest in the file.
    decoy: String,
    verified: Cache<[u8; 32], Arc<str>>,
}

impl Htpasswd {
    /// Reads the file.
    pub(crate) fn new(path: PathBuf) -> Result<Htpasswd, AccessError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let load = {
            let path = path.clone();
            Box::new(move || Users::read(&path))
        };
        Ok(Htpasswd {
            users: Watched::new(vec![path], load)?,
            key: Key::random()?,
            permits: Semaphore::new(processors),
        })
    }

    /// The user's name, if the password is right.
    pub(crate) async fn verify(&self, user: &str, password: Vec<u8>) -> Result<Arc<str>, Refused> {
        let users = self.users.current().await;
        let key = self.key.hash(&[user.as_bytes(), &password]);
        // Parallel requests with one credential wait for one bcrypt; failures are not remembered.
        users.verified.get_or_insert_async(&key, self.verify_slowly(&users, user, password)).await
    }

    async fn verify_slowly(&self, users: &Users, user: &str, password: Vec<u8>) -> Result<Arc<str>, Refused> {
        let (hash, known) = match users.hashes.get(user) {
            Some(hash) => (hash.to_string(), true),
            // As slow as for a known user, so that time does not tell who exists.
            None => (users.decoy.clone(), false),
        };
        let _permit = self.permits.acquire().await;
        let check = move || bcrypt::verify(password, &hash).unwrap_or(false);
        match tokio::task::spawn_blocking(check).await {
            Ok(true) if known => Ok(Arc::from(user)),
            _ => Err(Refused::unauthenticated("wrong user name or password")),
        }
    }

    /// What changes when the user's line does; `None` for a user that is not in the file.
    pub(crate) async fn line_of(&self, user: &str) -> Option<Box<str>> {
        self.users.current().await.hashes.get(user).cloned()
    }

    #[cfg(test)]
    pub(crate) fn expire(&self) {
        self.users.expire();
    }

    #[cfg(test)]
    pub(crate) async fn remembered(&self) -> usize {
        self.users.current().await.verified.len()
    }
}

impl Users {
    fn read(path: &Path) -> Result<Users, AccessError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| AccessError::Htpasswd { path: path.to_owned(), source })?;
        let mut hashes = HashMap::new();
        let mut highest = None;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = match line.split_once(':') {
                Some((user, hash)) if !user.is_empty() => (user, hash),
                _ => return Err(AccessError::HtpasswdLine { path: path.to_owned(), line: number }),
            };
            let Some(cost) = bcrypt_cost(hash) else {
                tracing::warn!(
                    path = %path.display(), line = number, user,
                    "this user cannot log in: the hash is not bcrypt; set it again with htpasswd -B"
                );
                continue;
            };
            highest = highest.max(Some(cost));
            if hashes.insert(Box::from(user), Box::from(hash)).is_some() {
                tracing::warn!(path = %path.display(), line = number, user, "this line replaces an earlier one");
            }
        }
        if hashes.is_empty() {
            tracing::warn!(path = %path.display(), "nobody can log in: the file holds no bcrypt hash");
        }
        Ok(Users { hashes, decoy: decoy(highest.unwrap_or(DEFAULT_COST)), verified: Cache::new(REMEMBERED) })
    }
}

/// The cost of a well-formed bcrypt hash.
fn bcrypt_cost(hash: &str) -> Option<u32> {
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version));
    let parts = bcrypt::HashParts::from_str(hash).ok().filter(|_| known)?;
    Some(parts.get_cost()).filter(|cost| (4..=31).contains(cost))
}

/// Well-formed, of the given cost: 16 bytes of salt and 23 bytes of hash, all zero.
fn decoy(cost: u32) -> String {
    format!("$2b${cost:02}${}", ".".repeat(53))
}

#[cfg(test)]
mod tests;
