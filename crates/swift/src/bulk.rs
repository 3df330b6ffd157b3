//! Deleting many objects, and the reports that Swift writes about such work.
//!
//! Source: <https://docs.openstack.org/swift/latest/middleware.html#bulk-delete>.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use crate::call::{Answer, Target};
use crate::url::{decode, encode};
use crate::{Client, Container, Delete, Error, ErrorKind, Result};

/// Most bytes of a report.
const REPORT: usize = 16 * 1024 * 1024;
/// Deletions at a time where there is no bulk delete.
const AT_A_TIME: usize = 8;
/// Most names in one request, whatever the cluster allows: Swift deletes them one after the other.
const MOST: usize = 1000;

/// How the deletion of one of many objects ended.
#[derive(Clone, Debug)]
pub enum DeleteOutcome {
    /// It is not there any more, or never was.
    Gone,
    /// It may still be there.
    Failed(Error),
}

/// What Swift says at the end of long work, always under a 200 or 202.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// Path (as sent) and what went wrong.
    pub(crate) errors: Vec<(String, String)>,
    pub(crate) deleted: u64,
    pub(crate) not_found: u64,
    pub(crate) etag: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "Response Status")]
    status: String,
    #[serde(rename = "Response Body", default)]
    body: String,
    #[serde(rename = "Errors", default)]
    errors: Vec<(String, String)>,
    #[serde(rename = "Number Deleted", default)]
    deleted: u64,
    #[serde(rename = "Number Not Found", default)]
    not_found: u64,
    #[serde(rename = "Etag", default)]
    etag: Option<String>,
}

impl Report {
    pub(crate) fn read(body: &[u8]) -> Option<Report> {
        let written: Written = serde_json::from_slice(body).ok()?;
        let status = written.status.split(' ').next().and_then(|code| code.parse().ok())?;
        Some(Report {
            status,
            text: written.body,
            errors: written.errors,
            deleted: written.deleted,
            not_found: written.not_found,
            etag: written.etag,
        })
    }

    /// From a whole answer. Where it is missing the work was cut off.
    pub(crate) fn parse(answer: &Answer) -> Result<Report> {
        Report::read(&answer.body).ok_or_else(|| {
            let kind =
                if answer.body.trim_ascii().is_empty() { ErrorKind::ShortBody } else { ErrorKind::Protocol };
            answer.error(kind, "Swift did not say how it ended")
        })
    }

    /// What went wrong, in one line.
    pub(crate) fn message(&self) -> String {
        let mut message = format!("{} in the report", self.status);
        for (path, what) in self.errors.iter().take(5) {
            message = format!("{message}; {}: {what}", decode(path).as_deref().unwrap_or(path));
        }
        if self.errors.len() > 5 {
            message = format!("{message}; and {} more", self.errors.len() - 5);
        }
        if self.errors.is_empty() && !self.text.is_empty() {
            message = format!("{message}: {}", self.text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        message
    }

    /// The report as an error.
    pub(crate) fn error(&self, answer: &Answer) -> Error {
        let error = Error::answer(self.status, &answer.headers, "").saying(self.message());
        if self.errors.is_empty() { error } else { error.of_kind(ErrorKind::Damaged) }
    }
}

impl Client {
    /// Deletes objects of one container: by bulk delete where the cluster has it, else one by one, a few at a time. The
    /// answer has one outcome per name, in the order of `names`.
    ///
    /// # Errors
    /// Only where nothing could be tried; what could not be deleted is an outcome.
    pub async fn bulk_delete(
        &self,
        container: &str,
        names: &[String],
    ) -> Result<Vec<(String, DeleteOutcome)>> {
        let container = self.container(container)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let Some(most) = self.capabilities().await?.bulk_delete else {
            return Ok(one_by_one(&container, names).await);
        };
        let mut outcomes = Vec::with_capacity(names.len());
        for names in names.chunks(most.min(MOST)) {
            outcomes.extend(self.bulk(&container, names).await);
        }
        Ok(outcomes)
    }

    async fn bulk(&self, container: &Container, names: &[String]) -> Vec<(String, DeleteOutcome)> {
        let path = |name: &str| format!("/{}/{}", encode(&container.name), encode(name));
        let mut call = self.call(Method::POST, Target::Account);
        "bulk-delete".clone_into(&mut call.query);
        call.headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("text/plain")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let lines: Vec<String> = names.iter().map(|name| path(name)).collect();
        call.body = Bytes::from(lines.join("\n"));
        call.limit = self.inner.options.timeouts.large;
        let answer = self.inner.fetch(&call, REPORT).await;
        let report = answer.and_then(|answer| {
            let report = Report::parse(&answer).map_err(|error| call.name(error))?;
            let error = call.name(report.error(&answer));
            Ok((report, error))
        });
        match report {
            Ok((report, error)) => {
                // Swift sends paths back as they were sent or decoded, depending on what went wrong.
                let failed: HashMap<String, &String> = report
                    .errors
                    .iter()
                    .map(|(path, what)| (decode(path).unwrap_or_else(|| path.clone()), what))
                    .collect();
                let known = report.deleted + report.not_found + report.errors.len() as u64;
                let all = known >= names.len() as u64;
                let outcome = |name: &String| match failed.get(&format!("/{}/{name}", container.name)) {
                    Some(what) => {
                        let kind = kind_of(what);
                        let error = error.clone().of_kind(kind).saying(what.as_str());
                        DeleteOutcome::Failed(error.tried(&Method::DELETE, Some(&container.name), Some(name)))
                    }
                    None if all => DeleteOutcome::Gone,
                    None => DeleteOutcome::Failed(error.clone()),
                };
                names.iter().map(|name| (name.clone(), outcome(name))).collect()
            }
            Err(error) => {
                names.iter().map(|name| (name.clone(), DeleteOutcome::Failed(error.clone()))).collect()
            }
        }
    }
}

/// The kind of one line of a report, which is a status.
fn kind_of(what: &str) -> ErrorKind {
    let status = what.split(' ').next().and_then(|code| code.parse::<StatusCode>().ok());
    status.map_or(ErrorKind::Protocol, |status| Error::answer(status, &HeaderMap::new(), "").kind())
}

async fn one_by_one(container: &Container, names: &[String]) -> Vec<(String, DeleteOutcome)> {
    stream::iter(names.iter().cloned())
        .map(|name| {
            let container = container.clone();
            async move {
                let outcome = match container.delete(&name, Delete::default()).await {
                    Ok(_) => DeleteOutcome::Gone,
                    Err(error) => DeleteOutcome::Failed(error),
                };
                (name, outcome)
            }
        })
        .buffered(AT_A_TIME)
        .collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_the_head_of_the_answer_does_not() {
        let body = br#"
            {"Number Not Found": 1, "Response Status": "400 Bad Request", "Response Body": "",
             "Errors": [["/c/a%20b", "409 Conflict"]], "Number Deleted": 2}"#;
        let report = Report::read(body).expect("is read");
        assert_eq!((report.status.as_u16(), report.deleted, report.not_found), (400, 2, 1));
        assert_eq!(report.message(), "400 Bad Request in the report; /c/a b: 409 Conflict");
        assert!(Report::read(b"   ").is_none() && Report::read(b"{}").is_none());
        assert_eq!(kind_of("409 Conflict"), ErrorKind::Superseded);
    }
}
