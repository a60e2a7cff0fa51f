//! A client that comes back when its line breaks, as the browser's does: what it says is
//! numbered and said again until it was heard, what it hears is counted.

use std::{collections::VecDeque, time::Duration};

use conclave_protocol::{
    PROTOCOL_VERSION, ParticipantId,
    session::{MessageNumber, Numbered, Position, Positioned, SessionToken},
    signal::{ClientMessage, ErrorCode, ServerMessage},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{LINK, join_as};

type Socket = WebSocketStream<TcpStream>;

/// A participant who does not mind a broken line.
pub struct Staying {
    address: String,
    socket: Option<Socket>,
    pub participant: ParticipantId,
    pub token: SessionToken,
    pub seen: Position,
    number: u32,
    /// What the server has not said that it has heard.
    pub unheard: VecDeque<(u32, ClientMessage)>,
    /// What was heard and not asked for yet.
    waiting: VecDeque<ServerMessage>,
    pub resumptions: u32,
    pub has_media: Option<bool>,
}

/// The place was not kept.
#[derive(Debug)]
pub struct Lost;

async fn dial(address: &str) -> Option<Socket> {
    let stream = TcpStream::connect(address).await.ok()?;
    let url = format!("ws://{address}/ws");
    client_async(url, stream)
        .await
        .ok()
        .map(|(socket, _)| socket)
}

impl Staying {
    /// Comes into a room with its place kept.
    pub async fn join(address: &str, room: &str) -> Self {
        let mut socket = dial(address).await.expect("the server listens");
        for message in [
            join_as(PROTOCOL_VERSION, room, LINK),
            ClientMessage::KeepSession {},
        ] {
            let text = serde_json::to_string(&message).expect("JSON");
            socket.send(Message::text(text)).await.expect("sent");
        }
        let mut waiting = VecDeque::new();
        let mut participant = None;
        let mut seen = Position::START;
        let token = loop {
            let Some(Positioned { at, message }) = read(&mut socket).await else {
                panic!("the line broke before the place was kept");
            };
            seen = at.unwrap_or(seen);
            match message {
                ServerMessage::Session { token, .. } => break token,
                ServerMessage::Joined {
                    participant: id, ..
                } => participant = Some(id),
                message => waiting.push_back(message),
            }
        };
        Self {
            address: address.to_owned(),
            socket: Some(socket),
            participant: participant.expect("joined before"),
            token,
            seen,
            number: 0,
            unheard: VecDeque::new(),
            waiting,
            resumptions: 0,
            has_media: None,
        }
    }

    /// Says something that the room is to hear, whatever happens to the line.
    pub async fn say(&mut self, message: ClientMessage) {
        self.number += 1;
        self.unheard.push_back((self.number, message.clone()));
        self.write(self.number, message).await;
    }

    async fn write(&mut self, number: u32, message: ClientMessage) {
        let number = Some(MessageNumber::new(number));
        let text = serde_json::to_string(&Numbered { number, message }).expect("JSON");
        if let Some(socket) = &mut self.socket
            && socket.send(Message::text(text)).await.is_err()
        {
            self.socket = None;
        }
    }

    /// The next thing that the room tells, over this line or the next.
    pub async fn hear(&mut self) -> Result<ServerMessage, Lost> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            let Some(socket) = &mut self.socket else {
                self.come_back().await?;
                continue;
            };
            let read = read(socket).await;
            if let Some(message) = self.take(read) {
                return Ok(message);
            }
        }
    }

    /// What was read, less what concerns the line.
    fn take(&mut self, read: Option<Positioned>) -> Option<ServerMessage> {
        let Some(Positioned { at, message }) = read else {
            self.socket = None;
            return None;
        };
        if let Some(at) = at {
            assert!(at > self.seen, "told twice: {message:?}");
            self.seen = at;
        }
        match message {
            ServerMessage::Heard { number } => {
                self.forget(number);
                None
            }
            ServerMessage::Error {
                code: ErrorCode::ShuttingDown | ErrorCode::TooSlow,
                ..
            } => None,
            message => Some(message),
        }
    }

    /// The next thing that the room tells, if anything comes for so long. Coming back takes the
    /// time that it takes.
    pub async fn hear_within(&mut self, time: Duration) -> Option<Result<ServerMessage, Lost>> {
        if self.socket.is_none()
            && let Err(lost) = self.come_back().await
        {
            return Some(Err(lost));
        }
        let deadline = tokio::time::Instant::now() + time;
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(Ok(message));
            }
            let socket = self.socket.as_mut()?;
            let read = tokio::time::timeout_at(deadline, read(socket)).await.ok()?;
            if let Some(message) = self.take(read) {
                return Some(Ok(message));
            }
        }
    }

    /// Breaks the line without a word.
    pub fn break_off(&mut self) {
        self.socket = None;
    }

    /// Closes the line as a page that is closed does, or a proxy that starts anew.
    pub async fn go_away(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            let frame = CloseFrame {
                code: CloseCode::Away,
                reason: "".into(),
            };
            socket.close(Some(frame)).await.expect("sent");
        }
    }

    /// Dials until the server is there, and takes the place again.
    pub async fn come_back(&mut self) -> Result<(), Lost> {
        for _ in 0..600 {
            let Some(mut socket) = dial(&self.address).await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let resume = ClientMessage::Resume {
                version: PROTOCOL_VERSION,
                token: self.token.clone(),
                seen: self.seen,
            };
            let text = serde_json::to_string(&resume).expect("JSON");
            if socket.send(Message::text(text)).await.is_err() {
                continue;
            }
            match read(&mut socket).await.map(|it| it.message) {
                Some(ServerMessage::Resumed { heard, has_media }) => {
                    self.socket = Some(socket);
                    self.resumptions += 1;
                    self.has_media = Some(has_media);
                    self.forget(heard);
                    for (number, message) in self.unheard.clone() {
                        self.write(number, message).await;
                    }
                    return Ok(());
                }
                Some(ServerMessage::Error {
                    code: ErrorCode::SessionLost,
                    ..
                }) => return Err(Lost),
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("the server does not come back");
    }

    fn forget(&mut self, heard: MessageNumber) {
        self.unheard.retain(|(number, _)| *number > heard.get());
    }
}

/// Why somebody may not come into a room.
pub async fn refusal(address: &str, room: &str) -> ErrorCode {
    let mut socket = dial(address).await.expect("the server listens");
    let join = join_as(PROTOCOL_VERSION, room, LINK);
    let text = serde_json::to_string(&join).expect("JSON");
    socket.send(Message::text(text)).await.expect("sent");
    match read(&mut socket).await.map(|it| it.message) {
        Some(ServerMessage::Error { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

async fn read(socket: &mut Socket) -> Option<Positioned> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => {
                return Some(serde_json::from_str(&text).expect("the protocol's JSON"));
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            _ => return None,
        }
    }
}
