//! The client against a server that does what a script says: answers, delays, breaks.

#[path = "scripted_server/reading.rs"]
mod reading;
#[path = "scripted_server/retries.rs"]
mod retries;
#[path = "scripted_server/server.rs"]
mod server;
#[path = "scripted_server/session.rs"]
mod session;
#[path = "scripted_server/tls.rs"]
mod tls;
#[path = "scripted_server/writing.rs"]
mod writing;
