//! Someone who got past the door without holding the link's secret: a malicious server
//! could let them in. They must not come into the group, and must hear nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conclave_e2ee::{
    BaseKey, DeviceProof, FrameOpener, Identity, LinkSecret, OpenError,
    envelope::{Envelope, Kind},
    group::{BASE_KEY_LABEL, SUITE, psk_id},
    rules::RULES_EXTENSION,
};
use conclave_loadtest::{
    bot::peer::{Channel, IncomingPacket, Layout, Peer, PeerOutput},
    media::Codec,
    report::Verdict,
};
use conclave_protocol::{
    Epoch, Opaque, PROTOCOL_VERSION, ParticipantId, RoomId,
    control::CHANNEL_LABEL,
    signal::{ClientMessage, ErrorCode, GroupDoor, GroupState, OfferedSlot, ServerMessage, Source},
};
use futures_util::{SinkExt as _, StreamExt as _};
use openmls::{
    prelude::{
        BasicCredential, Capabilities, CredentialType, CredentialWithKey, ExtensionType,
        LeafNodeParameters, MlsGroup, MlsMessageBodyIn, MlsMessageIn, OpenMlsCrypto as _,
        OpenMlsProvider as _, PreSharedKeyProposal, tls_codec::DeserializeBytes as _,
    },
    schedule::PreSharedKeyId,
};
use openmls_libcrux_crypto::Provider;
use openmls_traits::{
    random::OpenMlsRand as _,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use stage::Stage;
use tokio::{
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

struct Key {
    provider: Provider,
    secret: Vec<u8>,
    public: Vec<u8>,
}

impl Signer for Key {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.provider
            .crypto()
            .sign(SignatureScheme::ED25519, payload, &self.secret)
            .map_err(SignerError::CryptoError)
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl Key {
    /// A ghost's, for which a device of its own vouches as it should.
    fn identity(&self, room: &RoomId, participant: ParticipantId) -> Identity {
        let crypto = self.provider.crypto();
        let scheme = SignatureScheme::ED25519;
        let (secret, public) = crypto.signature_key_gen(scheme).unwrap();
        let claim = format!("conclave 1 device {room} ");
        let claim = [claim.as_bytes(), &self.public].concat();
        let signature = crypto.sign(scheme, &claim, &secret).unwrap();
        Identity {
            participant,
            name: "Ghost".parse().unwrap(),
            device: DeviceProof::from_bytes(&public, &signature).unwrap(),
        }
    }
}

/// An external commit that is in order but for the bytes of the pre-shared key, and the
/// key of the epoch that it would lead to.
fn forged_commit(
    secret: &LinkSecret,
    room: &RoomId,
    participant: ParticipantId,
    state: &GroupState,
) -> (ClientMessage, BaseKey) {
    let envelope = Envelope::new(&secret.keys(room), room.clone());
    let bytes = envelope.open(Kind::GroupInfo, &state.group_info).unwrap();
    let message = MlsMessageIn::tls_deserialize_exact_bytes(&bytes).unwrap();
    let MlsMessageBodyIn::GroupInfo(info) = message.extract() else {
        panic!("not a GroupInfo");
    };
    let provider = Provider::new().unwrap();
    let (private, public) = provider
        .crypto()
        .signature_key_gen(SignatureScheme::ED25519)
        .unwrap();
    let key = Key {
        provider,
        secret: private,
        public,
    };
    let provider = &key.provider;
    let identity = key.identity(room, participant);
    let credential = CredentialWithKey {
        credential: BasicCredential::new(serde_json::to_vec(&identity).unwrap()).into(),
        signature_key: key.public.clone().into(),
    };
    let nonce = provider.rand().random_vec(SUITE.hash_length()).unwrap();
    let psk = PreSharedKeyId::external(psk_id(room, &secret.keys(room)), nonce);
    psk.store(provider, &[0; 32]).unwrap();
    let capabilities = Capabilities::new(
        None,
        Some(&[SUITE]),
        Some(&[ExtensionType::Unknown(RULES_EXTENSION)]),
        None,
        Some(&[CredentialType::Basic]),
    );
    let leaf = LeafNodeParameters::builder()
        .with_capabilities(capabilities)
        .build();
    let (group, bundle) = MlsGroup::external_commit_builder()
        .build_group(provider, info, credential)
        .unwrap()
        .add_psk_proposal(PreSharedKeyProposal::new(psk))
        .leaf_node_parameters(leaf)
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &key, |_| true)
        .unwrap()
        .finalize(provider)
        .unwrap();
    let seal = |kind, bytes: Vec<u8>| -> Opaque { envelope.seal(kind, &bytes).unwrap() };
    let group_info = group
        .export_group_info(provider.crypto(), &key, true)
        .unwrap();
    let commit = ClientMessage::Commit {
        epoch: state.epoch,
        commit: seal(Kind::Commit, bundle.commit().to_bytes().unwrap()),
        group_info: Some(seal(Kind::GroupInfo, group_info.to_bytes().unwrap())),
        admission: None,
        rules: None,
    };
    let base_key = group
        .export_secret(provider.crypto(), BASE_KEY_LABEL, &[], BaseKey::LENGTH)
        .unwrap();
    (commit, BaseKey::from_slice(&base_key).unwrap())
}

struct Ghost {
    signal: WebSocketStream<MaybeTlsStream<TcpStream>>,
    socket: UdpSocket,
    peer: Peer,
    sounds: Vec<IncomingPacket>,
}

impl Ghost {
    async fn say(&mut self, message: &ClientMessage) {
        let text = serde_json::to_string(message).unwrap();
        self.signal.send(Message::text(text)).await.unwrap();
    }

    /// The next thing that the server says; none once it has hung up.
    async fn hear(&mut self) -> Option<ServerMessage> {
        let hear = async {
            loop {
                match self.signal.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Some(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        timeout(Duration::from_secs(10), hear)
            .await
            .expect("the ghost was let in: nobody threw it out")
    }

    /// Keeps the media connection going for a while and collects sounds.
    async fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut buffer = [0; 2_048];
        while Instant::now() < end {
            while let Some(output) = self.peer.poll() {
                match output {
                    PeerOutput::Transmit { to, datagram } => {
                        self.socket.send_to(&datagram, to).await.unwrap();
                    }
                    PeerOutput::Packet(packet) if !packet.is_video() => self.sounds.push(packet),
                    _ => {}
                }
            }
            let due = self.peer.poll_timeout().min(end);
            let wait = due.saturating_duration_since(Instant::now());
            match timeout(wait, self.socket.recv_from(&mut buffer)).await {
                Ok(received) => {
                    let (len, from): (usize, SocketAddr) = received.unwrap();
                    let now = Instant::now();
                    let datagram = &buffer[..len];
                    self.peer.handle_datagram(now, from, datagram).unwrap();
                }
                Err(_) => self.peer.handle_timeout(Instant::now()).unwrap(),
            }
        }
    }
}

/// What became of the ghost.
struct Haunting {
    sounds_received: usize,
    opened: Vec<Result<(), OpenError>>,
    sounds_after_the_end: usize,
    annulled: bool,
    thrown_out: bool,
}

async fn haunt(server: String, secret: LinkSecret, room: RoomId) -> Haunting {
    let url = server.replace("http://", "ws://") + "/ws";
    let (signal, _) = connect_async(url).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let layout = Layout {
        tracks: Vec::new(),
        slots: vec![Source::Microphone; 2],
        codecs: vec![Codec::Vp8],
        channel: Some(Channel::text(CHANNEL_LABEL)),
        largest_first: false,
    };
    let local = socket.local_addr().unwrap();
    let (peer, sdp, sections) = Peer::offer(&layout, local, Instant::now()).unwrap();
    let slots = sections
        .slots
        .into_iter()
        .map(|(accepts, mid)| OfferedSlot {
            mid: mid.parse().unwrap(),
            accepts,
        });
    let offer = ClientMessage::Offer {
        sdp,
        tracks: Vec::new(),
        slots: slots.collect(),
    };
    let mut ghost = Ghost {
        signal,
        socket,
        peer,
        sounds: Vec::new(),
    };

    // The door opens to whoever shows what the server keeps a hash of.
    let room_auth = secret.keys(&room).room_auth();
    let join = ClientMessage::Join {
        version: PROTOCOL_VERSION,
        room: room.clone(),
        room_auth,
        invite: None,
    };
    ghost.say(&join).await;
    let Some(ServerMessage::Joined {
        participant,
        group: Some(GroupDoor::Commit { group: state }),
        ..
    }) = ghost.hear().await
    else {
        panic!("the door stayed shut");
    };
    ghost.say(&offer).await;
    while let Some(message) = ghost.hear().await {
        if let ServerMessage::Answer { sdp } = message {
            ghost.peer.accept_answer(Instant::now(), &sdp).unwrap();
            break;
        }
    }
    ghost.listen(Duration::from_secs(2)).await;

    let (commit, base_key) = forged_commit(&secret, &room, participant, &state);
    ghost.say(&commit).await;
    let (mut annulled, mut thrown_out) = (false, false);
    while let Some(message) = ghost.hear().await {
        match message {
            ServerMessage::CommitAnnulled { author, .. } => annulled = author == participant,
            ServerMessage::Error { code, .. } => thrown_out = code == ErrorCode::CommitRefused,
            _ => {}
        }
    }
    // What was on its way may still come.
    ghost.listen(Duration::from_millis(500)).await;
    let sounds_received = ghost.sounds.len();
    ghost.listen(Duration::from_secs(1)).await;

    let opened = ghost.sounds.iter().map(|sound| {
        // The forged epoch's key under every number that a frame could name.
        let mut opener = FrameOpener::new();
        (0..256).for_each(|epoch| opener.install(Epoch::new(epoch), &base_key));
        opener
            .open(conclave_e2ee::Codec::Opus, &sound.payload)
            .map(|_| ())
    });
    Haunting {
        sounds_received,
        opened: opened.collect(),
        sounds_after_the_end: ghost.sounds.len() - sounds_received,
        annulled,
        thrown_out,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_links_key_nobody_comes_into_the_group_or_hears() {
    let stage = Stage::set();
    let mut plan = stage.plan(1, 2);
    plan.scenario.duration = Duration::from_secs(6);
    let (room, secret) = stage::call(&plan);
    let ghost = haunt(stage.address(), secret, room);
    let (report, haunting) = stage.run_with(&plan, ghost).await;

    assert!(haunting.sounds_received > 50, "the SFU forwards, sealed");
    assert!(
        haunting
            .opened
            .iter()
            .all(|opened| *opened == Err(OpenError::Forged)),
        "{:?}",
        haunting.opened
    );
    assert!(haunting.annulled || haunting.thrown_out);
    assert!(haunting.thrown_out, "the server did not say why");
    assert_eq!(haunting.sounds_after_the_end, 0);

    assert_eq!(report.verdict, Verdict::Ok, "{report}");
    let encryption = report.encryption.yes().unwrap();
    assert_eq!(
        encryption.commits_refused, 3,
        "every member refused, and told"
    );
    assert_eq!(encryption.group_size, 3, "{report}");
    assert!(
        *report.loss.delivered_ratio.yes().unwrap() > 0.99,
        "{report}"
    );
    stage.strike().await;
}
