//! One container of a fake Swift, by its front door and by its back.

use serde_json::{Value, json};
use wharfinger_fake_swift::{FakeSwift, Fault, Kind, Moment, Options, Rule};

use crate::http::{Client, Request, Response};
use crate::swift::quote;

/// The container.
const CONTAINER: &str = "registry";
/// How often something is stored or deleted until the fake does it: it may be told to refuse now and then.
const TRIES: usize = 20;

/// A fake Swift with one container; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeContainer {
    fake: FakeSwift,
    client: Client,
    token: String,
    user: String,
    key: String,
}

impl FakeContainer {
    /// Starts a fake with an empty container.
    pub fn start(options: Options) -> FakeContainer {
        let (user, key) = (options.users[0].name.clone(), options.users[0].key.clone());
        let fake = FakeSwift::start(options);
        let client = Client::plain(fake.port());
        let request =
            Request::new("GET", "/auth/v1.0").header("X-Auth-User", &user).header("X-Auth-Key", &key);
        let answer = client.send(&request).expect("the fake answers").expect(200);
        let token = answer.required("x-auth-token").to_owned();
        let place = FakeContainer { fake, client, token, user, key };
        place.send("PUT", "", None).expect(201);
        place
    }

    /// The fake, to be disturbed.
    pub fn fake(&self) -> &FakeSwift {
        &self.fake
    }

    /// The section `storage.swift` of a registry's configuration.
    pub fn storage_config(&self) -> Value {
        json!({
            "authurl": self.fake.auth_url(),
            "username": self.user,
            "password": self.key,
            "container": CONTAINER,
        })
    }

    fn send(&self, method: &str, name: &str, body: Option<&[u8]>) -> Response {
        let slash = if name.is_empty() { "" } else { "/" };
        let target = format!("/v1/{}/{CONTAINER}{slash}{}", self.fake.account(), quote(name));
        let mut request = Request::new(method, &target).header("X-Auth-Token", &self.token);
        request.body = body.map(<[u8]>::to_vec);
        self.client.send(&request).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    fn insist(&self, method: &str, name: &str, body: Option<&[u8]>, status: u16) {
        let mut answers = (0..TRIES).map(|_| self.send(method, name, body));
        let answer = answers.find(|answer| answer.status != 503);
        answer.unwrap_or_else(|| panic!("{method} {name}: always 503")).expect(status);
    }

    /// Stores an object.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        self.insist("PUT", name, Some(bytes), 201);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, name: &str) {
        self.insist("DELETE", name, None, 204);
    }

    /// Loses an object on the disk: its row stays.
    pub(crate) fn lose(&self, name: &str) {
        self.fake.remove(CONTAINER, name);
    }

    /// Changes a byte in the middle of an object on the disk; ETag and length stay.
    pub(crate) fn rot(&self, name: &str) {
        let length = self.fake.peek(CONTAINER, name).expect("an object that rots").content.len();
        self.fake.corrupt(CONTAINER, name, length / 2);
    }

    /// Takes an object's row out of the listing.
    pub(crate) fn unlist(&self, name: &str) {
        self.fake.hide_row(CONTAINER, name);
    }

    /// Refuses each read of an object, for so long that nobody tries again.
    pub(crate) fn refuse(&self, name: &str) {
        let refuse = Fault::Refuse { status: 503, retry_after: Some(60), moment: Moment::BeforeBody };
        self.fake
            .inject(Rule::new(refuse).on(&[Kind::Get, Kind::Head]).named(&format!("{CONTAINER}/{name}")));
    }

    /// The names of all objects that are there, whatever a listing shows.
    pub(crate) fn names(&self) -> Vec<String> {
        self.fake.objects(CONTAINER)
    }

    /// The bytes of an object, of a large one those of all its segments that are there. No request is made.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let object = self.fake.peek(CONTAINER, name)?;
        if !object.is_slo && !object.headers.contains_key("x-object-manifest") {
            return Some(object.content.to_vec());
        }
        let segments = self.segments_of(name);
        let there = segments.iter().filter_map(|segment| self.fake.peek(CONTAINER, segment));
        Some(there.flat_map(|segment| segment.content).collect())
    }

    /// The names of the segments of a large object, of a dynamic one those that are there; none for a plain one.
    pub(crate) fn segments_of(&self, name: &str) -> Vec<String> {
        let object = self.fake.peek(CONTAINER, name).expect("a large object");
        let within = |path: &str| {
            path.trim_start_matches('/').strip_prefix(CONTAINER).map(|rest| rest[1..].to_owned())
        };
        if let Some(manifest) = object.headers.get("x-object-manifest") {
            let prefix = within(manifest).expect("a prefix in this container");
            return self.names().into_iter().filter(|name| name.starts_with(&prefix)).collect();
        }
        if !object.is_slo {
            return Vec::new();
        }
        let list: Value = serde_json::from_slice(&object.content).expect("the manifest of a large object");
        let names = list.as_array().expect("a list of segments").iter();
        names.map(|entry| within(entry["name"].as_str().expect("a name")).expect("this container")).collect()
    }
}
