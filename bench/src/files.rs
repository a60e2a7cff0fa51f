//! How fast files go up and come down, sealed and as they are, for a native client of a running
//! server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use conclave_e2ee::{FileKey, FileStream};
use conclave_protocol::{
    PROTOCOL_VERSION, RoomAuth,
    file::{CHUNK_BYTES, DeclareFile, DeclaredFile, FileId},
    signal::{ClientMessage, ServerMessage},
};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpStream, runtime::Runtime, task::spawn_blocking};
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::{machine, page};

/// As many chunks at a time as the web client has.
const LANES: usize = 4;

/// Measures with files of so many MiB, and gives a table.
pub(crate) fn table(address: &str, mebibytes: u64, rounds: usize) -> Result<String> {
    Runtime::new()?.block_on(measure(address, mebibytes * u64::from(CHUNK_BYTES), rounds))
}

async fn measure(address: &str, size: u64, rounds: usize) -> Result<String> {
    let courier = Courier::join(address).await?;
    let content = Bytes::from(
        (0..CHUNK_BYTES)
            .map(|at| (at % 251) as u8)
            .collect::<Vec<_>>(),
    );
    let mut speeds: [Vec<f64>; 4] = Default::default();
    // What is opened and filled in the first round is not what a file feels.
    let first = if rounds > 1 { 0 } else { 1 };
    for round in first..=rounds {
        let (sealed_up, file, stream) = courier.send_sealed(size, &content).await?;
        let sealed_down = courier.fetch(file, size, Some(&stream), &content).await?;
        courier.delete(file).await?;
        let (plain_up, file) = courier.send_plain(size, &content).await?;
        let plain_down = courier.fetch(file, size, None, &content).await?;
        courier.delete(file).await?;
        if round == 0 {
            continue;
        }
        for (all, took) in speeds
            .iter_mut()
            .zip([sealed_up, plain_up, sealed_down, plain_down])
        {
            all.push(size as f64 / 1e6 / took.as_secs_f64());
        }
    }
    let [sealed_up, plain_up, sealed_down, plain_down] = speeds.map(Spread::of);
    let row = |way: &str, sealed: Spread, plain: Spread| {
        let ratio = format!("{:.2}", sealed.median / plain.median);
        vec![way.to_owned(), sealed.to_text(), plain.to_text(), ratio]
    };
    let table = page::table(
        &[
            "a native client",
            "sealed, MB/s",
            "the same bytes as they are, MB/s",
            "ratio",
        ],
        &[
            row("sends", sealed_up, plain_up),
            row("fetches", sealed_down, plain_down),
        ],
    );
    let mebibytes = size >> 20;
    Ok(format!(
        "{}; files of {mebibytes} MiB, {LANES} chunks at a time, client and server on the same machine; medians of \
         {rounds} with the least and the greatest.\n\n{table}",
        machine::description()
    ))
}

struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            greatest: at(values.len().saturating_sub(1)),
        }
    }

    fn to_text(&self) -> String {
        format!(
            "**{:.0}** ({:.0}–{:.0})",
            self.median, self.least, self.greatest
        )
    }
}

/// Somebody in a room who carries files.
struct Courier {
    address: String,
    token: String,
    http: Client<HttpConnector, Full<Bytes>>,
    _socket: tokio_tungstenite::WebSocketStream<TcpStream>,
}

impl Courier {
    async fn join(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("is the server up?")?;
        let (mut socket, _) = client_async(format!("ws://{address}/ws"), stream).await?;
        let join = ClientMessage::Join {
            version: PROTOCOL_VERSION,
            room: "bench".parse()?,
            room_auth: RoomAuth::new([7; 32]),
            invite: None,
        };
        for message in [join, ClientMessage::KeepSession {}] {
            socket
                .send(Message::text(serde_json::to_string(&message)?))
                .await?;
        }
        let token = loop {
            let message = socket.next().await.context("the server hung up")??;
            if let Message::Text(text) = message
                && let ServerMessage::Session { token, .. } = serde_json::from_str(&text)?
            {
                break String::from(token);
            }
        };
        Ok(Self {
            address: address.to_owned(),
            token,
            http: Client::builder(TokioExecutor::new()).build_http(),
            _socket: socket,
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        range: Option<String>,
        body: Bytes,
    ) -> Result<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}/api/v1/files{path}", self.address))
            .header("authorization", format!("Bearer {}", self.token));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let response = self.http.request(request.body(Full::new(body))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }

    async fn declare(&self, stream: &FileStream) -> Result<FileId> {
        let asked = serde_json::to_vec(&DeclareFile {
            bytes: stream.sealed(),
        })?;
        let answer = self.ask(Method::POST, "", None, asked.into()).await?;
        Ok(serde_json::from_slice::<DeclaredFile>(&answer)?.id)
    }

    async fn delete(&self, file: FileId) -> Result<()> {
        self.ask(Method::DELETE, &format!("/{file}"), None, Bytes::new())
            .await?;
        Ok(())
    }

    async fn put(&self, file: FileId, number: u32, bytes: Bytes) -> Result<()> {
        self.ask(Method::PUT, &format!("/{file}/{number}"), None, bytes)
            .await?;
        Ok(())
    }

    async fn send_sealed(
        &self,
        size: u64,
        content: &Bytes,
    ) -> Result<(Duration, FileId, Arc<FileStream>)> {
        let key = FileKey::generate().map_err(|error| anyhow::anyhow!("{error}"))?;
        let stream = Arc::new(FileStream::new(&key, size)?);
        let file = self.declare(&stream).await?;
        let began = Instant::now();
        stream::iter((0..stream.sealed().chunks()).map(Ok))
            .try_for_each_concurrent(LANES, async |number| {
                let (sealer, content) = (Arc::clone(&stream), content.clone());
                let sealed = spawn_blocking(move || sealer.seal(number, &content)).await??;
                self.put(file, number, sealed.into()).await
            })
            .await?;
        Ok((began.elapsed(), file, stream))
    }

    /// Sends bytes of the same lengths that nobody has sealed.
    async fn send_plain(&self, size: u64, content: &Bytes) -> Result<(Duration, FileId)> {
        let key = FileKey::generate().map_err(|error| anyhow::anyhow!("{error}"))?;
        let stream = FileStream::new(&key, size)?;
        let file = self.declare(&stream).await?;
        let bytes = Bytes::from([content.as_ref(), &[0; 16]].concat());
        let began = Instant::now();
        stream::iter((0..stream.sealed().chunks()).map(Ok))
            .try_for_each_concurrent(LANES, async |number| {
                self.put(file, number, bytes.clone()).await
            })
            .await?;
        Ok((began.elapsed(), file))
    }

    async fn fetch(
        &self,
        file: FileId,
        size: u64,
        opener: Option<&Arc<FileStream>>,
        content: &Bytes,
    ) -> Result<Duration> {
        let key = FileKey::from_bytes(&[0; 39]);
        let length = FileStream::new(&key, size)?.sealed();
        let began = Instant::now();
        stream::iter((0..length.chunks()).map(Ok))
            .try_for_each_concurrent(LANES, async |number| {
                let place = length.chunk(number).context("no such chunk")?;
                let range = format!("bytes={}-{}", place.start, place.end - 1);
                let bytes = self
                    .ask(Method::GET, &format!("/{file}"), Some(range), Bytes::new())
                    .await?;
                if let Some(opener) = opener {
                    let opener = Arc::clone(opener);
                    let opened = spawn_blocking(move || opener.open(number, &bytes)).await??;
                    ensure!(opened == *content, "another content than was sent");
                }
                anyhow::Ok(())
            })
            .await?;
        Ok(began.elapsed())
    }
}
