//! Streams a file into an object, and the object back to standard output.
//!
//! - `copy_file put CONTAINER OBJECT FILE`
//! - `copy_file get CONTAINER OBJECT >FILE`

use std::error::Error;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharfinger_swift::{Auth, Client, Container, Options, Put, Read};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["put", container, object, file] => put(&client()?.container(container)?, object, file).await,
        ["get", container, object] => get(&client()?.container(container)?, object).await,
        _ => Err("usage: copy_file put CONTAINER OBJECT FILE | get CONTAINER OBJECT".into()),
    }
}

fn client() -> Result<Client, Box<dyn Error>> {
    let (url, user, key) = (std::env::var("ST_AUTH")?, std::env::var("ST_USER")?, std::env::var("ST_KEY")?);
    Ok(Client::new(Options::new(Auth::V1 { url, user, key: key.into() }))?)
}

async fn put(container: &Container, object: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let mut file = tokio::fs::File::open(file).await?;
    let length = file.metadata().await?.len();
    container.create(&Default::default()).await?;
    let mut writer = container.put_stream(object, Some(length), &Put::default()).await?;
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(64 * 1024);
        if file.read_buf(&mut buffer).await? == 0 {
            break;
        }
        writer.write(buffer.split().freeze()).await?;
    }
    let stored = writer.finish().await?;
    println!("{object}: {length} bytes, ETag {}", stored.etag.unwrap_or_default());
    Ok(())
}

async fn get(container: &Container, object: &str) -> Result<(), Box<dyn Error>> {
    let mut reader = container.get(object, &Read::default()).await?;
    let mut output = tokio::io::stdout();
    while let Some(bytes) = reader.next().await? {
        output.write_all(&bytes).await?;
    }
    output.flush().await?;
    Ok(())
}
