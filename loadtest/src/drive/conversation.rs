//! How one bot's messages travel: over a WebSocket, or in single HTTP requests.

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    sync::mpsc,
};
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};
use tungstenite::{
    Message,
    client::IntoClientRequest as _,
    http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    protocol::WebSocketConfig,
};

use super::{
    DriveError,
    http::{self, HttpError},
    server::ServerAddress,
};
use crate::{
    impair::household::Household,
    target::{HttpRequest, Input, Transport},
};

/// Cleared each time that a bot looks whether the server has said something, which is after
/// each datagram: as long as most of what it says, and no longer.
const READ_BUFFER: usize = 4_096;

/// The way to the server.
pub(super) struct Conversation {
    socket: Option<WebSocketStream<TcpStream>>,
    answer: mpsc::UnboundedSender<Result<Input, HttpError>>,
    answers: mpsc::UnboundedReceiver<Result<Input, HttpError>>,
    /// Requests whose answers have not been heard.
    unanswered: usize,
}

impl Conversation {
    /// Opens the way; gives the local address from which the server is reached.
    pub(super) async fn open(
        server: &ServerAddress,
        transport: &Transport,
        household: Option<&Household>,
    ) -> Result<(Self, IpAddr), DriveError> {
        let (socket, local) = match transport {
            Transport::WebSocket { url, subprotocol } => {
                let stream = connect(server, household)
                    .await
                    .map_err(DriveError::Connect)?;
                stream.set_nodelay(true).map_err(DriveError::Connect)?;
                let local = stream.local_addr().map_err(DriveError::Connect)?.ip();
                let mut request = url.as_str().into_client_request()?;
                if let Some(protocol) = subprotocol {
                    let protocol = HeaderValue::from_static(protocol);
                    request
                        .headers_mut()
                        .insert(SEC_WEBSOCKET_PROTOCOL, protocol);
                }
                let settings = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
                let (socket, _) = client_async_with_config(request, stream, Some(settings)).await?;
                (Some(socket), local)
            }
            Transport::Http => (None, facing(server).await.map_err(DriveError::Connect)?),
        };
        let (answer, answers) = mpsc::unbounded_channel();
        let conversation = Self {
            socket,
            answer,
            answers,
            unanswered: 0,
        };
        Ok((conversation, local))
    }

    /// Waits for what the server says.
    pub(super) async fn hear(&mut self) -> Result<Input, DriveError> {
        let message = async {
            match &mut self.socket {
                Some(socket) => socket.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            answer = self.answers.recv() => {
                self.unanswered = self.unanswered.saturating_sub(1);
                Ok(answer.ok_or(DriveError::Closed)??)
            }
            message = message => match message.ok_or(DriveError::Closed)?? {
                Message::Text(text) => Ok(Input::Text(text.as_str().to_owned())),
                Message::Close(_) => Err(DriveError::Closed),
                _ => Ok(Input::Timeout),
            },
        }
    }

    pub(super) async fn say(&mut self, text: String) -> Result<(), DriveError> {
        match &mut self.socket {
            Some(socket) => Ok(socket.send(Message::text(text)).await?),
            None => Err(DriveError::Closed),
        }
    }

    /// Whether the server sees the end of the conversation.
    pub(super) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether an answer to a request is still to be heard.
    pub(super) fn awaits_answer(&self) -> bool {
        self.unanswered > 0
    }

    /// Makes a request; the response is heard.
    pub(super) fn request(&mut self, request: HttpRequest) {
        self.unanswered += 1;
        let answer = self.answer.clone();
        tokio::spawn(async move {
            // Nobody listens any more once the bot has left.
            let _ = answer.send(http::exchange(request).await);
        });
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) -> Result<(), DriveError> {
        match &mut self.socket {
            Some(socket) => Ok(socket.close(None).await?),
            None => Ok(()),
        }
    }
}

/// Connects to a server, from a household if the bot lives in one.
async fn connect(server: &ServerAddress, household: Option<&Household>) -> io::Result<TcpStream> {
    let Some(household) = household else {
        return TcpStream::connect(server.host_and_port()).await;
    };
    let target = lookup(server).await?;
    let socket = household
        .within(TcpSocket::new_v4)
        .map_err(io::Error::other)??;
    socket.connect(target).await
}

async fn lookup(server: &ServerAddress) -> io::Result<SocketAddr> {
    tokio::net::lookup_host(server.host_and_port())
        .await?
        .next()
        .ok_or_else(|| io::Error::other("the host has no address"))
}

/// The address of this machine that a server sees.
async fn facing(server: &ServerAddress) -> io::Result<IpAddr> {
    let target = lookup(server).await?;
    let any: IpAddr = if target.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket.local_addr()?.ip())
}
