//! One client's WebSocket, from the upgrade to the last byte. What goes wrong here ends
//! this connection and no other.

use std::{sync::Arc, time::Instant};

use conclave_protocol::{
    InviteToken, PROTOCOL_VERSION, ParticipantId, RoomAuth, RoomId,
    session::{MessageNumber, Numbered, Position, SessionToken},
    signal::{ClientMessage, ErrorCode, ServerMessage},
};
use conclave_sfu::Offer;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use governor::DefaultDirectRateLimiter;
use hyper_tungstenite::{
    HyperWebsocketStream,
    tungstenite::{
        Error as SocketError, Message, Utf8Bytes,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use serde::Deserialize;
use tokio::{
    io::AsyncReadExt,
    time::{Duration, MissedTickBehavior, interval, sleep_until, timeout, timeout_at},
};

use crate::{
    door::Door,
    limits::{Limits, Pacer, limiter},
    metrics::{Phase, client_kind},
    outbound::{self, Ending, Inbox, Outbound},
    registry::Seat,
    room::Saying,
};

type Sink = SplitSink<HyperWebsocketStream, Message>;
type Stream = SplitStream<HyperWebsocketStream>;

/// A client that sends too fast is told so at most this often.
const TOO_FAST_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// What the WebSocket layer itself has to enforce.
pub(crate) fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes))
        // These are allocated up front for each connection.
        .read_buffer_size(16 << 10)
        .write_buffer_size(16 << 10)
}

/// Serves one client until it leaves or is shown out.
pub(crate) async fn serve(door: Arc<Door>, socket: HyperWebsocketStream) {
    door.metrics.websockets.inc();
    let (outbound, inbox) = outbound::channel(&door.limits);
    let (sink, stream) = socket.split();
    let writer = door.tasks.spawn(write(Arc::clone(&door), sink, inbox));
    let mut session = Session::new(&door, outbound.clone());
    let mut stream = stream;
    let ending = session.run(&mut stream).await;
    session.part(&ending);
    // The room and the media side hear of it before the farewell.
    drop(session);
    tracing::debug!(reason = ending.label(), "a websocket ends");
    door.metrics.disconnected(ending.label());
    outbound.end(ending);
    if let Ok(Some(sink)) = writer.await {
        linger(sink, stream, door.limits.farewell).await;
    }
    door.metrics.websockets.dec();
}

/// Lets the client read the last words: closing a socket with unread bytes in it would
/// reset the connection and could destroy what is still on its way.
async fn linger(sink: Sink, stream: Stream, farewell: Duration) {
    let Ok(socket) = sink.reunite(stream) else {
        return;
    };
    let mut raw = socket.into_inner().into_inner();
    let drained = async {
        let mut raw = hyper_util::rt::TokioIo::new(&mut raw);
        let mut waste = [0; 4096];
        while matches!(raw.read(&mut waste).await, Ok(read) if read > 0) {}
    };
    // Whether the client took the chance makes no difference.
    timeout(farewell, drained).await.unwrap_or_default();
}

/// Writes what waits, pings, and says farewell. Gives the sink back if it still works.
async fn write(door: Arc<Door>, mut sink: Sink, mut inbox: Inbox) -> Option<Sink> {
    let mut ended = std::pin::pin!(inbox.ended());
    let mut ping = interval(door.limits.ping_every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ending = loop {
        let message = tokio::select! {
            biased;
            ending = &mut ended => break ending,
            _ = ping.tick() => Message::Ping(bytes::Bytes::new()),
            parcel = inbox.next() => match parcel {
                Some(parcel) => {
                    door.metrics.sent(parcel.kind);
                    Message::Text(parcel.text)
                }
                None => break Ending::Failed,
            },
        };
        // Who does not read holds up its own writer only, and not beyond its ending.
        tokio::select! {
            biased;
            ending = &mut ended => break ending,
            sent = sink.send(message) => if sent.is_err() {
                // The reader notices the same.
                return None;
            },
        }
    };
    let farewell = say_farewell(&door, &mut sink, &mut inbox, &ending);
    timeout(door.limits.farewell, farewell).await.ok()?.ok()?;
    Some(sink)
}

async fn say_farewell(
    door: &Door,
    sink: &mut Sink,
    inbox: &mut Inbox,
    ending: &Ending,
) -> Result<(), SocketError> {
    while let Some(parcel) = inbox.waiting() {
        door.metrics.sent(parcel.kind);
        sink.feed(Message::Text(parcel.text)).await?;
    }
    if let Some(words) = ending.last_words()
        && let Ok(parcel) = outbound::Parcel::pack(&words)
    {
        door.metrics.sent(parcel.kind);
        sink.feed(Message::Text(parcel.text)).await?;
    }
    let frame = CloseFrame {
        code: ending.close_code(),
        reason: ending.label().into(),
    };
    match sink.send(Message::Close(Some(frame))).await {
        // The client closed first.
        Err(SocketError::ConnectionClosed | SocketError::Protocol(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The version alone, as any version's `join` has it.
#[derive(Deserialize)]
struct Greeting {
    version: u16,
}

/// What one client says and what comes of it.
struct Session<'a> {
    door: &'a Arc<Door>,
    outbound: Outbound,
    opened: Instant,
    seat: Option<Seat>,
    messages: Pacer,
    offers: DefaultDirectRateLimiter,
    bytes: Pacer,
    dropped: u32,
    too_fast_said: Option<Instant>,
    malformed: u32,
}

/// Goes on, or ends the connection.
type Step = Result<(), Ending>;

impl<'a> Session<'a> {
    fn new(door: &'a Arc<Door>, outbound: Outbound) -> Self {
        let opened = Instant::now();
        Self {
            messages: Pacer::new(door.limits.messages, opened),
            offers: limiter(door.limits.offers),
            bytes: Pacer::new(door.limits.bytes, opened),
            door,
            outbound,
            opened,
            seat: None,
            dropped: 0,
            too_fast_said: None,
            malformed: 0,
        }
    }

    async fn run(&mut self, stream: &mut Stream) -> Ending {
        let limits = Arc::clone(&self.door.limits);
        let mut ended = std::pin::pin!(self.outbound.ended());
        let join_by = tokio::time::Instant::from_std(self.opened) + limits.join_within;
        let stopping = self.door.stopping.clone();
        let mut read_from = tokio::time::Instant::now();
        loop {
            let read_by = read_from + limits.silence;
            let next = async {
                sleep_until(read_from).await;
                timeout_at(read_by, stream.next()).await
            };
            let read = tokio::select! {
                biased;
                ending = &mut ended => return ending,
                () = stopping.cancelled() => return Ending::shown_out(
                    ErrorCode::ShuttingDown,
                    "the server is shutting down: try again later",
                ),
                () = sleep_until(join_by), if self.seat.is_none() => {
                    self.door.metrics.joined("never");
                    return Ending::shown_out(
                        ErrorCode::OutOfOrder,
                        "the first message must be join, soon after the connection opens",
                    );
                }
                read = next => read,
            };
            let message = match read {
                Err(_elapsed) => return Ending::Silent,
                Ok(None) => return Ending::Gone,
                Ok(Some(Err(SocketError::Capacity(_)))) => {
                    return Ending::shown_out(
                        ErrorCode::TooLarge,
                        format!("a message may have {} bytes", limits.message_bytes),
                    );
                }
                Ok(Some(Err(_))) => return Ending::Gone,
                Ok(Some(Ok(message))) => message,
            };
            let bytes = message.len();
            if let Err(ending) = self.take(message).await {
                return ending;
            }
            read_from = self.pace(bytes).into();
        }
    }

    /// When the next message is read, after one of so many bytes. Nothing is dropped: a client
    /// that numbers what it says would take it for heard once something later is.
    fn pace(&mut self, bytes: usize) -> Instant {
        let now = Instant::now();
        let from = self.messages.take(now, 1);
        if from > now {
            self.door.metrics.limited("messages");
        }
        from.max(self.bytes.take(now, bytes))
    }

    async fn take(&mut self, message: Message) -> Step {
        match message {
            Message::Text(text) => self.read(&text).await,
            Message::Binary(_) => self.malformed("only text messages are understood"),
            Message::Close(frame) => {
                if let Some(seat) = &mut self.seat {
                    match frame.map(|frame| frame.code) {
                        None | Some(CloseCode::Normal) => seat.leave(),
                        // Pages that are closed, but also proxies that start anew.
                        Some(CloseCode::Away) => seat.go_away(),
                        Some(_) => {}
                    }
                }
                Err(Ending::Gone)
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn read(&mut self, text: &Utf8Bytes) -> Step {
        match serde_json::from_str(text) {
            Ok(Numbered { number, message }) => {
                self.door.metrics.received(client_kind(&message));
                self.act(number, message).await
            }
            Err(error) => {
                let other_version = self.seat.is_none()
                    && serde_json::from_str(text)
                        .is_ok_and(|Greeting { version }| version != PROTOCOL_VERSION);
                if other_version {
                    self.door.metrics.received("join");
                    return Err(self.unsupported_version());
                }
                self.malformed(&error.to_string())
            }
        }
    }

    async fn act(&mut self, number: Option<MessageNumber>, message: ClientMessage) -> Step {
        let Some(seat) = &self.seat else {
            return match message {
                ClientMessage::Join {
                    version,
                    room,
                    room_auth,
                    invite,
                } => self.join(version, room, room_auth, invite).await,
                ClientMessage::Resume {
                    version,
                    token,
                    seen,
                } => self.resume(version, &token, seen).await,
                ClientMessage::Probe {} => {
                    self.outbound.say(&ServerMessage::Here {});
                    Ok(())
                }
                _ => {
                    self.out_of_order("the first message must be join");
                    Ok(())
                }
            };
        };
        let saying = match message {
            ClientMessage::Join { .. } | ClientMessage::Resume { .. } => {
                self.out_of_order("you are in the room already");
                return Ok(());
            }
            ClientMessage::Leave {} => return Err(Ending::Left),
            ClientMessage::Probe {} => {
                self.outbound.say(&ServerMessage::Here {});
                return Ok(());
            }
            ClientMessage::KeepSession {} => {
                let token = draw_token().ok_or(Ending::Failed)?;
                let kept = seat.keep(token).await;
                return kept.then_some(()).ok_or(Ending::Failed);
            }
            ClientMessage::Offer { .. } if self.offers.check().is_err() => {
                return self.too_fast("offers");
            }
            ClientMessage::Offer { sdp, tracks, slots } => {
                let offer = Offer { sdp, tracks, slots };
                seat.offer(&self.outbound, offer, &self.door.limits).await;
                return Ok(());
            }
            ClientMessage::CreateGroup { group_info } => Saying::CreateGroup { group_info },
            ClientMessage::Commit {
                epoch,
                commit,
                group_info,
                admission,
                rules,
            } => Saying::Commit {
                epoch,
                commit,
                group_info,
                admission,
                rules,
            },
            ClientMessage::Knock { key_package } => Saying::Knock { key_package },
            ClientMessage::AskGroup { unusable } => Saying::AskGroup { unusable },
            ClientMessage::ShowGroup { group } => Saying::ShowGroup { group },
            ClientMessage::EpochReached { epoch } => Saying::EpochReached { epoch },
            ClientMessage::CommitRefused { sequence } => Saying::CommitRefused { sequence },
            ClientMessage::TurnAway { participant, note } => Saying::TurnAway { participant, note },
            ClientMessage::Send { message } => Saying::Send { message },
        };
        if seat.say(number, saying).await {
            Ok(())
        } else {
            Err(Ending::Failed)
        }
    }

    async fn join(
        &mut self,
        version: u16,
        room: RoomId,
        key: RoomAuth,
        invite: Option<InviteToken>,
    ) -> Step {
        if version != PROTOCOL_VERSION {
            return Err(self.unsupported_version());
        }
        let participant = draw_id().ok_or(Ending::Failed)?;
        let outbound = self.outbound.clone();
        let rooms = &self.door.rooms;
        let entered = rooms.enter(room, key, invite.as_ref(), participant, outbound);
        match entered.await {
            Ok(seat) => {
                tracing::debug!(participant = %seat.participant(), "joined");
                self.seat = Some(seat);
                self.door.metrics.joined("ok");
                self.door.metrics.took(Phase::Room, self.opened.elapsed());
                Ok(())
            }
            Err(refused) => {
                let ending = refused.ending();
                self.door.metrics.joined(ending.label());
                Err(ending)
            }
        }
    }

    async fn resume(&mut self, version: u16, token: &SessionToken, seen: Position) -> Step {
        if version != PROTOCOL_VERSION {
            return Err(self.unsupported_version());
        }
        let outbound = self.outbound.clone();
        match self.door.rooms.take_back(token, seen, outbound).await {
            Ok(seat) => {
                tracing::debug!(participant = %seat.participant(), "came back");
                self.seat = Some(seat);
                self.door.metrics.resumed("ok");
                Ok(())
            }
            Err(refused) => {
                let ending = refused.ending();
                self.door.metrics.resumed(ending.label());
                Err(ending)
            }
        }
    }

    /// Who breaks the rules, or is told why it must go, is not waited for.
    fn part(&mut self, ending: &Ending) {
        let may_return = match ending {
            Ending::Left => false,
            Ending::Gone | Ending::Silent | Ending::Failed => true,
            Ending::ShownOut { code, .. } => matches!(
                code,
                ErrorCode::TooSlow | ErrorCode::Replaced | ErrorCode::ShuttingDown
            ),
        };
        if !may_return && let Some(seat) = &mut self.seat {
            seat.leave();
        }
    }

    fn unsupported_version(&self) -> Ending {
        let ending = Ending::shown_out(
            ErrorCode::UnsupportedVersion,
            format!("this server speaks version {PROTOCOL_VERSION}: reload the page"),
        );
        self.door.metrics.joined(ending.label());
        ending
    }

    fn out_of_order(&self, detail: &str) {
        self.error(ErrorCode::OutOfOrder, detail.to_owned());
    }

    fn malformed(&mut self, what: &str) -> Step {
        self.door.metrics.received("malformed");
        self.malformed += 1;
        let most = self.door.limits.malformed_messages;
        let detail = format!(
            "not a message of this protocol: {what} ({} of {most}, then the connection is closed)",
            self.malformed
        );
        if self.malformed >= most {
            return Err(Ending::shown_out(ErrorCode::Malformed, detail));
        }
        self.error(ErrorCode::Malformed, detail);
        Ok(())
    }

    fn too_fast(&mut self, limit: &'static str) -> Step {
        self.door.metrics.limited(limit);
        self.dropped += 1;
        let detail = format!("your {limit} come too fast and are dropped: slow down");
        if self.dropped >= self.door.limits.dropped_messages {
            return Err(Ending::shown_out(ErrorCode::TooFast, detail));
        }
        let now = Instant::now();
        let quiet = self
            .too_fast_said
            .is_none_or(|last| now.duration_since(last) >= TOO_FAST_NOTICE_INTERVAL);
        if quiet {
            self.too_fast_said = Some(now);
            self.error(ErrorCode::TooFast, detail);
        }
        Ok(())
    }

    fn error(&self, code: ErrorCode, detail: String) {
        self.outbound.say(&ServerMessage::Error { code, detail });
    }
}

/// Opens the way back to one place.
fn draw_token() -> Option<SessionToken> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .inspect_err(|error| tracing::error!(%error, "the system gives no random numbers"))
        .ok()
        .map(|()| SessionToken::new(bytes))
}

/// A participant's number, which nobody can guess.
fn draw_id() -> Option<ParticipantId> {
    getrandom::u64()
        .inspect_err(|error| tracing::error!(%error, "the system gives no random numbers"))
        .ok()
        .map(ParticipantId::new)
}
