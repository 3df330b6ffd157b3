//! Debian's real Keystone beside a cluster: sqlite, fernet tokens, uwsgi, everything in the cluster's directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::access::OWN_AGENT;
use crate::http::{Client, Request, Response};
use crate::tools::{run_tool, system_tool};

/// The user that administers Keystone, and as whom Swift's proxy asks about tokens.
const ADMIN: (&str, &str) = ("admin", "admin of the tests");

/// The region of every endpoint.
const REGION: &str = "one";

/// Fernet keys: 32 bytes in base64. Which tokens are good depends on them alone.
const KEYS: [&str; 2] =
    ["d2hhcmZpbmdlciB0ZXN0czogdGhlIHN0YWdlZCBrZXk=", "d2hhcmZpbmdlciB0ZXN0czogdGhlIDFzdCBrZXkuLi4="];

/// A running Keystone: project `registry` and user `wharfinger` in the domain `Default`, and a Swift in its
/// catalogue.
#[derive(Debug)]
pub struct Keystone {
    home: PathBuf,
    client: Client,
    port: u16,
    /// Ids of the project, the user and the user that trusts are for; known once it is set up.
    project_id: String,
    user_id: String,
    trustee_id: String,
}

/// What may be used in place of user and password
/// (<https://docs.openstack.org/keystone/latest/user/application_credentials.html>).
#[derive(Clone, Debug)]
pub struct ApplicationCredential {
    /// Its id, unique in the cloud.
    pub id: String,
    /// Its name, unique among those of the user.
    pub name: String,
    /// Its secret.
    pub secret: String,
}

/// Leave for another user to act as ours in our project
/// (<https://docs.openstack.org/keystone/latest/user/trusts.html>).
#[derive(Clone, Debug)]
pub struct Trust {
    /// Its id.
    pub id: String,
    /// The user, of the domain `Default`, that may use it.
    pub trustee: String,
    /// That user's password.
    pub password: String,
}

impl Keystone {
    /// Makes configuration, keys and database below `home`; the server is not started.
    pub(super) fn prepare(home: &Path, port: u16, token_life: Option<u32>) -> Keystone {
        let directory = home.join("keystone");
        fs::create_dir(&directory).expect("a directory for Keystone");
        let keystone = Keystone {
            home: directory,
            client: Client::plain(port),
            port,
            project_id: String::new(),
            user_id: String::new(),
            trustee_id: String::new(),
        };
        keystone.write_files(token_life.unwrap_or(3600));
        keystone.manage(&["db_sync"]);
        keystone.let_readers_not_block_writers();
        let url = keystone.auth_url();
        let (user, password) = ADMIN;
        keystone.manage(&[
            "bootstrap",
            "--bootstrap-username",
            user,
            "--bootstrap-password",
            password,
            "--bootstrap-region-id",
            REGION,
            "--bootstrap-public-url",
            &url,
            "--bootstrap-internal-url",
            &url,
        ]);
        keystone
    }

    fn write_files(&self, token_life: u32) {
        let home = self.home.display();
        let file = |name: &str, text: &str| {
            fs::write(self.home.join(name), text).expect("Keystone's files are written");
        };
        // Few rounds of bcrypt: the passwords are known anyway.
        file(
            "keystone.conf",
            &format!(
                "[DEFAULT]\nuse_stderr = true\n[database]\nconnection = sqlite:///{home}/keystone.db\n\
                 [token]\nprovider = fernet\nexpiration = {token_life}\n\
                 [fernet_tokens]\nkey_repository = {home}/keys\n\
                 [fernet_receipts]\nkey_repository = {home}/keys\n[identity]\npassword_hash_rounds = 4\n\
                 [cache]\nenabled = false\n"
            ),
        );
        file(
            "uwsgi.ini",
            &format!(
                "[uwsgi]\nplugins = python3\nhttp-socket = 127.0.0.1:{port}\n\
                 wsgi-file = /usr/bin/keystone-wsgi-public\nneed-app = true\n\
                 buffer-size = 65535\nenv = OS_KEYSTONE_CONFIG_FILES={home}/keystone.conf\n",
                port = self.port
            ),
        );
        let keys = self.home.join("keys");
        fs::create_dir(&keys).expect("a directory for keys");
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).expect("a private directory");
        for (number, key) in KEYS.iter().enumerate() {
            file(&format!("keys/{number}"), key);
        }
    }

    /// Keystone leaves read transactions open for a while; with a rollback journal the next write would fail.
    fn let_readers_not_block_writers(&self) {
        let program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode=WAL')";
        let mut command = Command::new("/usr/bin/python3");
        run_tool(command.args(["-c", program]).arg(self.home.join("keystone.db")));
    }

    fn manage(&self, arguments: &[&str]) {
        let mut command = Command::new(system_tool("keystone-manage").path);
        run_tool(command.arg("--config-file").arg(self.home.join("keystone.conf")).args(arguments));
    }

    /// The command of the server.
    pub(super) fn command(&self) -> [String; 3] {
        let uwsgi = system_tool("uwsgi").path;
        let ini = self.home.join("uwsgi.ini");
        [uwsgi.to_string_lossy().into_owned(), "--ini".into(), ini.to_string_lossy().into_owned()]
    }

    /// Makes project, users, and the catalogue's entry for the Swift at `swift`, on the running server.
    pub(super) fn set_up(&mut self, swift: &str) {
        let admin = self.admin_token();
        let post = |path: &str, body: Value| self.post(&admin, path, &body);
        let id = |answer: &Value, what: &str| answer[what]["id"].as_str().expect("an id").to_owned();

        let service = post("/services", json!({ "service": { "type": "object-store", "name": "swift" } }));
        for interface in ["public", "internal", "admin"] {
            let endpoint = json!({
                "service_id": id(&service, "service"),
                "interface": interface,
                "region_id": REGION,
                "url": format!("{swift}/v1/AUTH_$(project_id)s"),
            });
            post("/endpoints", json!({ "endpoint": endpoint }));
        }
        let project =
            post("/projects", json!({ "project": { "name": self.project(), "domain_id": "default" } }));
        let user = |name: &str, password: &str| {
            let user = json!({ "name": name, "password": password, "domain_id": "default" });
            id(&post("/users", json!({ "user": user })), "user")
        };
        let (user_id, trustee_id) = (user(self.user(), self.password()), user("trustee", "of the trust"));
        let project_id = id(&project, "project");
        let roles = self.send(Request::new("GET", "/roles?name=member").header("X-Auth-Token", &admin));
        let role = roles.expect(200).json()["roles"][0]["id"].as_str().expect("a role's id").to_owned();
        let grant = format!("/projects/{project_id}/users/{user_id}/roles/{role}");
        self.send(Request::new("PUT", &grant).header("X-Auth-Token", &admin).body("")).expect(204);
        (self.project_id, self.user_id, self.trustee_id) = (project_id, user_id, trustee_id);
    }
}

/// The proxy's filters `authtoken` and `keystoneauth`, for the Keystone on `port`.
pub(super) fn filters(port: u16) -> String {
    let (url, (user, password)) = (url(port), ADMIN);
    // Keystone's answers are remembered in memcached for five minutes, as the documentation of Swift advises.
    format!(
        "[filter:authtoken]\npaste.filter_factory = keystonemiddleware.auth_token:filter_factory\n\
         www_authenticate_uri = {url}\nauth_url = {url}\nauth_type = password\nproject_domain_id = default\n\
         user_domain_id = default\nproject_name = admin\nusername = {user}\npassword = {password}\n\
         delay_auth_decision = true\ncache = swift.cache\n\
         [filter:keystoneauth]\nuse = egg:swift#keystoneauth\noperator_roles = member\n"
    )
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/v3")
}

/// What a client is configured with.
impl Keystone {
    /// Where tokens are issued: `http://127.0.0.1:PORT/v3`.
    pub fn auth_url(&self) -> String {
        url(self.port)
    }

    /// A user that may do everything in [`Keystone::project`].
    pub fn user(&self) -> &'static str {
        "wharfinger"
    }

    /// The user's password.
    pub fn password(&self) -> &'static str {
        "password of the tests"
    }

    /// The project's name.
    pub fn project(&self) -> &'static str {
        "registry"
    }

    /// The project's id; the account is `AUTH_` and this.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// The name of the domain of project and users; its id is `default`.
    pub fn domain(&self) -> &'static str {
        "Default"
    }

    /// The region of the endpoints.
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// A fresh token of the user for the project.
    pub fn token(&self) -> String {
        self.issue(&json!({
            "identity": password(self.user(), self.password()),
            "scope": { "project": { "id": self.project_id } },
        }))
    }

    /// A token for the body's member `auth`
    /// (<https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management>).
    pub fn issue(&self, auth: &Value) -> String {
        let answer = self.authenticate(auth).expect(201);
        answer.required("x-subject-token").to_owned()
    }

    /// Asks for a token, whatever the answer.
    pub fn authenticate(&self, auth: &Value) -> Response {
        let body = json!({ "auth": auth }).to_string();
        self.send(Request::new("POST", "/auth/tokens").header("Content-Type", "application/json").body(body))
    }

    /// An application credential of the user for the project.
    pub fn application_credential(&self) -> ApplicationCredential {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let name = format!("credential-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = format!("/users/{}/application_credentials", self.user_id);
        let answer = self.post(&self.token(), &path, &json!({ "application_credential": { "name": name } }));
        let credential = &answer["application_credential"];
        let text = |key: &str| credential[key].as_str().expect("a text").to_owned();
        ApplicationCredential { id: text("id"), name: text("name"), secret: text("secret") }
    }

    /// A trust of the user, for the project, to another user that has no rights of its own.
    pub fn trust(&self) -> Trust {
        let trust = json!({
            "trustor_user_id": self.user_id,
            "trustee_user_id": self.trustee_id,
            "project_id": self.project_id,
            "impersonation": true,
            "roles": [{ "name": "member" }],
        });
        let answer = self.post(&self.token(), "/OS-TRUST/trusts", &json!({ "trust": trust }));
        let id = answer["trust"]["id"].as_str().expect("a trust's id").to_owned();
        Trust { id, trustee: "trustee".into(), password: "of the trust".into() }
    }

    /// Adds an endpoint of the object store to the catalogue, as of another region or interface.
    pub fn add_endpoint(&self, region: &str, interface: &str, url: &str) {
        let admin = self.admin_token();
        let services =
            self.send(Request::new("GET", "/services?type=object-store").header("X-Auth-Token", &admin));
        let service = services.expect(200).json()["services"][0]["id"].clone();
        // A region that is there already is as good.
        let body = json!({ "region": { "id": region } }).to_string();
        let request = Request::new("POST", "/regions").header("X-Auth-Token", &admin);
        self.send(request.header("Content-Type", "application/json").body(body));
        let endpoint =
            json!({ "service_id": service, "interface": interface, "region_id": region, "url": url });
        self.post(&admin, "/endpoints", &json!({ "endpoint": endpoint }));
    }

    /// Makes every token worthless: Keystone knows the keys no longer that they were made with.
    pub(super) fn forget_tokens(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        for (place, key) in KEYS.iter().enumerate() {
            // Any 43 characters and `=` are 32 bytes; the last of them carries four bits, two must be zero.
            let fresh = format!("{number:08}{}", &key[8..]);
            let file = self.home.join(format!("keys/{place}"));
            fs::write(file, fresh).expect("the keys are written");
        }
    }
}

impl Keystone {
    fn admin_token(&self) -> String {
        let (user, secret) = ADMIN;
        let project = json!({ "name": "admin", "domain": { "id": "default" } });
        self.issue(&json!({ "identity": password(user, secret), "scope": { "project": project } }))
    }

    fn post(&self, token: &str, path: &str, body: &Value) -> Value {
        let request = Request::new("POST", path).header("X-Auth-Token", token);
        let request = request.header("Content-Type", "application/json").body(body.to_string());
        self.send(request).expect(201).json()
    }

    fn send(&self, mut request: Request) -> Response {
        request.target = format!("/v3{}", request.target);
        self.client.send(&request.header("User-Agent", OWN_AGENT)).expect("Keystone answers")
    }
}

fn password(user: &str, password: &str) -> Value {
    let user = json!({ "name": user, "password": password, "domain": { "id": "default" } });
    json!({ "methods": ["password"], "password": { "user": user } })
}
