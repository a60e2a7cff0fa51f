//! Somebody in a room who sends and fetches files.

use std::time::Duration;

use conclave_protocol::{
    PROTOCOL_VERSION, RoomAuth,
    file::{DeclaredFile, FileProgress, SEALED_CHUNK_BYTES, SealedLength},
    session::SessionToken,
    signal::{ClientMessage, ServerMessage},
};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::rig::request_at;

const PATIENCE: Duration = Duration::from_secs(20);

/// The kind of a problem, without what all have in common.
pub fn problem(response: &Response<Bytes>) -> String {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(problem["status"], response.status().as_u16());
    assert!(problem["detail"].as_str().is_some_and(|it| it.len() > 10));
    let kind = problem["type"].as_str().expect("a type");
    kind.strip_prefix("urn:conclave:problem:")
        .expect("ours")
        .to_owned()
}

/// Somebody in a room.
pub struct Sharer {
    pub address: String,
    pub token: String,
    socket: WebSocketStream<TcpStream>,
}

impl Sharer {
    pub async fn join(address: &str, room: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let url = format!("ws://{address}/ws");
        let (socket, _) = client_async(url, stream).await.expect("an upgrade");
        let mut this = Self {
            address: address.to_owned(),
            token: String::new(),
            socket,
        };
        this.say(&ClientMessage::Join {
            version: PROTOCOL_VERSION,
            room: room.parse().expect("a room"),
            room_auth: RoomAuth::new([7; 32]),
            invite: None,
        })
        .await;
        this.say(&ClientMessage::KeepSession {}).await;
        let token: SessionToken = this
            .hear(|message| match message {
                ServerMessage::Session { token, .. } => Some(token),
                _ => None,
            })
            .await;
        this.token = token.into();
        this
    }

    pub async fn say(&mut self, message: &ClientMessage) {
        let text = serde_json::to_string(message).expect("JSON");
        self.socket
            .send(Message::text(text))
            .await
            .expect("an open socket");
    }

    /// Waits for a message.
    pub async fn hear<T>(&mut self, wanted: impl Fn(ServerMessage) -> Option<T>) -> T {
        let find = async {
            loop {
                let message = self.socket.next().await.expect("open").expect("open");
                if let Message::Text(text) = message
                    && let Some(found) = wanted(serde_json::from_str(&text).expect("JSON"))
                {
                    return found;
                }
            }
        };
        timeout(PATIENCE, find).await.expect("in time")
    }

    pub async fn leave(mut self) {
        self.say(&ClientMessage::Leave {}).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/files{path}"))
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        request_at(&self.address, request).await
    }

    pub async fn declare(&self, bytes: u64) -> Response<Bytes> {
        self.ask(Method::POST, "", &[], json!({ "bytes": bytes }).to_string())
            .await
    }

    /// Declares a file that has a place, and gives its name.
    pub async fn declared(&self, bytes: u64) -> String {
        let response = self.declare(bytes).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{response:?}");
        let declared: DeclaredFile = serde_json::from_slice(response.body()).expect("JSON");
        let length = SealedLength::new(bytes).expect("a length");
        assert_eq!(declared.chunks, length.chunks());
        let location = format!("/api/v1/files/{}", declared.id);
        assert_eq!(response.headers()["location"], location.as_str());
        declared.id.to_string()
    }

    pub async fn put(&self, file: &str, number: u32, bytes: &[u8]) -> Response<Bytes> {
        let path = format!("/{file}/{number}");
        self.ask(Method::PUT, &path, &[], bytes.to_vec()).await
    }

    /// Sends all of a file, and gives its name.
    pub async fn send(&self, sealed: &[u8]) -> String {
        let file = self.declared(sealed.len() as u64).await;
        for (number, chunk) in chunks(sealed).enumerate() {
            let response = self.put(&file, number as u32, chunk).await;
            assert_eq!(response.status(), StatusCode::NO_CONTENT, "{response:?}");
        }
        file
    }

    pub async fn get(&self, file: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.ask(Method::GET, &format!("/{file}"), headers, "")
            .await
    }

    pub async fn delete(&self, file: &str) -> Response<Bytes> {
        self.ask(Method::DELETE, &format!("/{file}"), &[], "").await
    }

    pub async fn missing(&self, file: &str) -> Vec<(u32, u32)> {
        let response = self
            .ask(Method::GET, &format!("/{file}/chunks"), &[], "")
            .await;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        let progress: FileProgress = serde_json::from_slice(response.body()).expect("JSON");
        progress.missing
    }
}

pub fn chunks(sealed: &[u8]) -> std::slice::Chunks<'_, u8> {
    sealed.chunks(SEALED_CHUNK_BYTES as usize)
}

/// Bytes as of a sealed file with so much content.
pub fn sealed(content: u64) -> Vec<u8> {
    let length = SealedLength::of_content(content).expect("a length");
    let mut bytes = vec![0; usize::try_from(length.get()).expect("it fits")];
    // No two chunks are alike.
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (at % 251) as u8 ^ (at >> 20) as u8;
    }
    bytes
}
