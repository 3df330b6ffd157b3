//! A front that hands on what the registry says, but for its lies.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use wharfinger_test_support::{Client, Request, Response};

struct Lie {
    answer: Response,
    /// How many bytes of the body go out; then the connection is closed.
    cut: Option<usize>,
    once: bool,
}

type Lies = Arc<Mutex<HashMap<String, Lie>>>;

/// Ends when dropped.
pub(crate) struct LyingFront {
    port: u16,
    registry: u16,
    lies: Lies,
    ended: Arc<AtomicBool>,
}

impl LyingFront {
    /// Before the registry on that port; `via` is how it calls itself.
    pub(crate) fn start(registry: u16, via: &'static str) -> LyingFront {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (lies, ended) = (Lies::default(), Arc::new(AtomicBool::new(false)));
        let (shared, until) = (lies.clone(), ended.clone());
        thread::spawn(move || {
            for socket in listener.incoming() {
                if until.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(socket), lies) = (socket, shared.clone()) else { continue };
                thread::spawn(move || serve(socket, registry, via, &lies));
            }
        });
        LyingFront { port, registry, lies, ended }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers this to every request of a path; or is honest again.
    pub(crate) fn lie(&self, path: &str, answer: Option<Response>) {
        let mut lies = self.lies.lock();
        match answer {
            Some(answer) => drop(lies.insert(path.into(), Lie { answer, cut: None, once: false })),
            None => drop(lies.remove(path)),
        }
    }

    /// Answers this to the next request of a path.
    pub(crate) fn lie_once(&self, path: &str, answer: Response) {
        self.lies.lock().insert(path.into(), Lie { answer, cut: None, once: true });
    }

    /// Closes the connection in the middle of every body of a path.
    pub(crate) fn cut(&self, path: &str) {
        let answer = Client::plain(self.registry).send(&Request::new("GET", path)).unwrap();
        let cut = Some(answer.body.len() / 2);
        self.lies.lock().insert(path.into(), Lie { answer, cut, once: false });
    }
}

impl Drop for LyingFront {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request on a connection.
fn serve(mut socket: TcpStream, registry: u16, via: &str, lies: &Lies) {
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let mut request = Request::new(&method, &path);
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("accept")
        {
            request = request.header(name, value);
        }
    }
    let lie = {
        let mut lies = lies.lock();
        let lie = lies.get(&path).map(|lie| (lie.answer.clone(), lie.cut));
        if lies.get(&path).is_some_and(|lie| lie.once) {
            lies.remove(&path);
        }
        lie
    };
    let lying = lie.is_some();
    let (answer, cut) = lie.unwrap_or_else(|| (Client::plain(registry).send(&request).unwrap(), None));
    let length = answer.header("content-length").map_or(answer.body.len().to_string(), str::to_owned);
    let mut head = format!(
        "HTTP/1.1 {} x\r\ncontent-length: {length}\r\nconnection: close\r\nvia: {via}\r\n",
        answer.status
    );
    for name in ["docker-content-digest", "content-type"] {
        if let Some(value) = answer.header(name) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    if lying {
        head += "x-cache: HIT\r\nage: 86400\r\n";
    }
    let body = &answer.body[..cut.unwrap_or(answer.body.len())];
    let body = if method == "HEAD" { &[] } else { body };
    let _ = socket.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| socket.write_all(body));
}
