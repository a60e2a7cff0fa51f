//! A real server on loopback and clients that speak to it over real sockets.

// Each test file uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use conclave_protocol::{
    Epoch, Opaque, PROTOCOL_VERSION, ParticipantId, RoomAuth, RoomId, Sequence,
    signal::{ClientMessage, ErrorCode, GroupDoor, GroupState, ServerMessage},
};
use conclave_signalling::{FrontDoor, Limits, Server, ServerConfig, files::FilesConfig};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Body, Bytes},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

pub mod daemon;
pub mod line;
pub mod operator;
pub mod running;

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough for something unwanted to arrive on loopback.
const QUIET: Duration = Duration::from_millis(300);

pub const LINK: RoomAuth = RoomAuth::new([7; 32]);
pub const OTHER_LINK: RoomAuth = RoomAuth::new([8; 32]);

pub fn loopback_config() -> ServerConfig {
    ServerConfig {
        front: FrontDoor::Local,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        media_port: 0,
        public_addresses: vec![Ipv4Addr::LOCALHOST.into()],
        media_threads: None,
        data_dir: None,
        files: FilesConfig::default(),
    }
}

pub fn start() -> Server {
    start_with(Limits::default())
}

pub fn start_with(limits: Limits) -> Server {
    Server::start_with_limits(loopback_config(), limits).expect("a server on loopback")
}

pub fn sealed(text: &str) -> Opaque {
    Opaque::from(text.as_bytes().to_vec())
}

pub fn join_as(version: u16, room: &str, link: RoomAuth) -> ClientMessage {
    ClientMessage::Join {
        version,
        room: room.parse::<RoomId>().expect("a room name"),
        room_auth: link,
        invite: None,
    }
}

/// One participant's socket.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.http_address())
            .await
            .expect("the server listens");
        let url = format!("ws://{}/ws", server.http_address());
        let (socket, _) = client_async(url, stream).await.expect("an upgrade");
        Self { socket }
    }

    /// Connects and joins: the client, its own id, who else is there, and the group.
    pub async fn join(
        server: &Server,
        room: &str,
    ) -> (Self, ParticipantId, Vec<ParticipantId>, Option<GroupState>) {
        let mut client = Self::connect(server).await;
        client.say(&join_as(PROTOCOL_VERSION, room, LINK)).await;
        match client.hear().await {
            ServerMessage::Joined {
                participant,
                others,
                group,
            } => (client, participant, others, group.map(alone)),
            other => panic!("not joined: {other:?}"),
        }
    }

    pub async fn say(&mut self, message: &ClientMessage) {
        let text = serde_json::to_string(message).expect("JSON");
        self.say_text(&text).await;
    }

    pub async fn say_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        timeout(PATIENCE, self.socket.send(message))
            .await
            .expect("the server reads")
            .expect("an open socket");
    }

    /// Sends without minding whether the server still listens.
    pub async fn try_send(&mut self, message: Message) -> bool {
        matches!(
            timeout(PATIENCE, self.socket.send(message)).await,
            Ok(Ok(()))
        )
    }

    /// The next message from the server.
    pub async fn hear(&mut self) -> ServerMessage {
        match timeout(PATIENCE, self.next()).await.expect("an answer") {
            Heard::Message(message) => message,
            Heard::Closed(frame) => panic!("closed: {frame:?}"),
        }
    }

    /// What comes, if anything comes soon.
    pub async fn hears_nothing(&mut self) {
        if let Ok(heard) = timeout(QUIET, self.next()).await {
            panic!("heard {heard:?}");
        }
    }

    pub async fn hear_error(&mut self) -> (ErrorCode, String) {
        match self.hear().await {
            ServerMessage::Error { code, detail } => (code, detail),
            other => panic!("not an error: {other:?}"),
        }
    }

    /// Everything up to the close, and how the server closed.
    pub async fn hear_to_the_end(&mut self) -> (Vec<ServerMessage>, Option<CloseCode>) {
        let mut messages = Vec::new();
        loop {
            match timeout(PATIENCE, self.next()).await.expect("an end") {
                Heard::Message(message) => messages.push(message),
                Heard::Closed(frame) => return (messages, frame.map(|f| f.code)),
            }
        }
    }

    async fn next(&mut self) -> Heard {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message = serde_json::from_str(&text).expect("the protocol's JSON");
                    return Heard::Message(message);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return Heard::Closed(frame),
                Some(Ok(other)) => panic!("heard {other:?}"),
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }

    pub async fn found(&mut self, info: &str) {
        let group_info = sealed(info);
        self.say(&ClientMessage::CreateGroup { group_info }).await;
    }

    pub async fn commit(&mut self, epoch: u64, text: &str) {
        self.say(&ClientMessage::Commit {
            epoch: Epoch::new(epoch),
            commit: sealed(text),
            group_info: Some(sealed(&format!("after {text}"))),
            admission: None,
            rules: None,
        })
        .await;
    }

    pub async fn reached(&mut self, epoch: u64) {
        let epoch = Epoch::new(epoch);
        self.say(&ClientMessage::EpochReached { epoch }).await;
    }

    pub async fn refuse(&mut self, sequence: Sequence) {
        self.say(&ClientMessage::CommitRefused { sequence }).await;
    }

    pub async fn chat(&mut self, text: &str) {
        let message = sealed(text);
        self.say(&ClientMessage::Send { message }).await;
    }
}

#[derive(Debug)]
enum Heard {
    Message(ServerMessage),
    Closed(Option<CloseFrame>),
}

/// What a newcomer to a small group is given to come in alone.
fn alone(door: GroupDoor) -> GroupState {
    match door {
        GroupDoor::Commit { group } => group,
        GroupDoor::Knock { epoch } => panic!("asked to knock at {epoch}"),
    }
}

/// The founder of a room's group.
pub async fn founder(server: &Server, room: &str) -> (Client, ParticipantId) {
    let (mut client, id, _, group) = Client::join(server, room).await;
    assert!(group.is_none(), "someone founded before: {group:?}");
    client.found("g0").await;
    assert!(matches!(
        client.hear().await,
        ServerMessage::GroupCreated {}
    ));
    (client, id)
}

/// Someone who has come into the group that `member` is the only one in.
pub async fn second_member(
    server: &Server,
    room: &str,
    member: &mut Client,
) -> (Client, ParticipantId) {
    let (mut client, id, _, group) = Client::join(server, room).await;
    let epoch = group.expect("a group").epoch;
    client.commit(epoch.get(), "second").await;
    assert!(matches!(
        client.hear().await,
        ServerMessage::Committed { .. }
    ));
    assert!(matches!(
        member.hear().await,
        ServerMessage::ParticipantJoined { .. }
    ));
    assert!(matches!(
        member.hear().await,
        ServerMessage::Committed { .. }
    ));
    member.reached(epoch.next().get()).await;
    for both in [&mut client, member] {
        assert!(matches!(
            both.hear().await,
            ServerMessage::EpochComplete { .. }
        ));
    }
    (client, id)
}

pub async fn request(server: &Server, request: Request<Empty<Bytes>>) -> Response<Bytes> {
    request_at(&server.http_address().to_string(), request).await
}

/// A plain request over a connection of its own.
pub async fn request_at<B>(address: &str, request: Request<B>) -> Response<Bytes>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP");
    let driver = tokio::spawn(connection);
    let response = timeout(PATIENCE, sender.send_request(request))
        .await
        .expect("in time")
        .expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    driver.abort();
    Response::from_parts(head, body)
}

pub async fn get(server: &Server, path: &str) -> Response<Bytes> {
    let asked = Request::get(path)
        .header("host", server.http_address().to_string())
        .body(Empty::new())
        .expect("a request");
    request(server, asked).await
}

/// The sum of a metric's series whose line contains `part`.
pub async fn metric(server: &Server, name: &str, part: &str) -> f64 {
    let metrics = get(server, "/metrics").await.into_body();
    let metrics = std::str::from_utf8(&metrics).expect("text");
    metrics
        .lines()
        .filter(|line| {
            line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
        })
        .filter(|line| line.contains(part))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Waits until a metric has a value.
pub async fn metric_becomes(server: &Server, name: &str, part: &str, wanted: f64) {
    let wait = async {
        while metric(server, name, part).await != wanted {
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(PATIENCE, wait).await.is_err() {
        let found = metric(server, name, part).await;
        panic!("{name} {part} is {found}, not {wanted}");
    }
}
