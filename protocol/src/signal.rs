//! The WebSocket conversation, at `/ws`. One JSON object a text message.
//!
//! A client opens with [`ClientMessage::Join`]. After [`ServerMessage::Joined`] it joins
//! the room's MLS group by an external commit or knocks to be brought in, or founds the group
//! where there is none, and posts its media offer. The server is the group's delivery service (RFC 9420 §5):
//! it puts commits and messages in one order and lets through one commit an epoch.
//!
//! A client that sends [`ClientMessage::KeepSession`] can come back when its line has broken or
//! the server has restarted: see [`crate::session`].

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    Epoch, InviteToken, Mid, Opaque, ParticipantId, RoomAuth, RoomId, RoomLock, Sequence,
    StateName,
    session::{MessageNumber, Position, SessionToken},
};

/// What a published track shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Source {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A shared screen or window.
    Screen,
    /// The sound of a shared screen.
    ScreenSound,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 4] = [
        Self::Microphone,
        Self::Camera,
        Self::Screen,
        Self::ScreenSound,
    ];

    /// True for the sources that are seen, false for those that are heard.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Camera | Self::Screen)
    }
}

/// A media section of the offer on which the client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct OfferedTrack {
    /// Which media section.
    pub mid: Mid,
    /// What will be sent on it.
    pub source: Source,
}

/// A media section of the offer on which the client receives, with the kind of sources
/// that the SFU will put there. Which participant fills it changes during the call and is
/// told over the control channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct OfferedSlot {
    /// Which media section.
    pub mid: Mid,
    /// What the slot takes: `microphone` slots carry any sound, `camera` slots cameras,
    /// `screen` slots screens.
    pub accepts: Source,
}

/// The group as a newcomer needs it to make an external commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct GroupState {
    /// The epoch that the next commit has to be made in.
    pub epoch: Epoch,
    /// GroupInfo with the ratchet tree, sealed by the members against the server.
    pub group_info: Opaque,
}

/// How a newcomer comes into the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "way", rename_all = "snake_case")]
#[ts(export)]
pub enum GroupDoor {
    /// By an external commit of its own (RFC 9420 §12.4.3.2): the quickest way into a small
    /// group.
    Commit {
        /// What the commit has to be made on.
        group: GroupState,
    },
    /// By [`ClientMessage::Knock`]: a member brings in all who knock, so that a crowd costs
    /// the group few commits.
    Knock {
        /// The epoch that the group is in.
        epoch: Epoch,
    },
}

/// Someone who asks to be brought into the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct Knock {
    /// Who, by the server's word.
    pub participant: ParticipantId,
    /// Their sealed MLS KeyPackage.
    pub key_package: Opaque,
}

/// What a commit that brings people in has for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct Admission {
    /// Whom it brings in.
    pub admitted: Vec<ParticipantId>,
    /// The sealed MLS Welcome for all of them, with the ratchet tree.
    pub welcome: Opaque,
}

/// What the server has to know of a commit by which a host changes the rules of the call.
/// What counts is in the commit; members refuse one that tells the server something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
#[ts(export)]
pub struct RuleChange {
    /// From now on newcomers come in only if a host lets them.
    pub guarded: bool,
    /// Someone who is here and whom the commit removes: they have no say in it, and are to be
    /// shown out once another member has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub removed: Option<ParticipantId>,
    /// The room's new lock, if the commit changes the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub lock: Option<RoomLock>,
}

/// What a client says.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[ts(export)]
pub enum ClientMessage {
    /// The first message: enter a room, or make it if nobody is there.
    Join {
        /// [`crate::PROTOCOL_VERSION`] as the client knows it.
        version: u16,
        /// Which room.
        room: RoomId,
        /// Shows that the client holds the room's link.
        room_auth: RoomAuth,
        /// For rooms that the server lets only those into who were invited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        invite: Option<InviteToken>,
    },
    /// The first message of a client that comes back after its line broke.
    Resume {
        /// [`crate::PROTOCOL_VERSION`] as the client knows it.
        version: u16,
        /// Of the [`ServerMessage::Session`] that was told.
        token: SessionToken,
        /// The last that was heard.
        seen: Position,
    },
    /// Keep this client's place when its line breaks.
    KeepSession {},
    /// "Are you there?"
    Probe {},
    /// Found the group, if nobody has done so yet.
    CreateGroup {
        /// The new group at [`Epoch::FIRST`].
        group_info: Opaque,
    },
    /// Move the group on by one epoch.
    Commit {
        /// The epoch that the commit was made in. It is refused when that has passed.
        epoch: Epoch,
        /// The sealed MLS message.
        commit: Opaque,
        /// The group as it will be after this commit, if it is small; of a larger one a member
        /// is asked for it when somebody needs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        group_info: Option<Opaque>,
        /// Whom it brings in, if anybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        admission: Option<Admission>,
        /// What it changes about the call's rules, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        rules: Option<RuleChange>,
    },
    /// Ask to be brought into the group by a member, or by a host if the door is guarded.
    Knock {
        /// The sealed MLS KeyPackage.
        key_package: Opaque,
    },
    /// Nobody answers the knocking: ask for what an external commit needs.
    AskGroup {
        /// What was shown before and is of no use.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        unusable: Option<StateName>,
    },
    /// The answer to [`ServerMessage::ShowGroup`].
    ShowGroup {
        /// The group as it stands.
        group: GroupState,
    },
    /// "I have the keys of this epoch": senders may begin to use them.
    EpochReached {
        /// Which epoch.
        epoch: Epoch,
    },
    /// "This commit breaks the rules of the group, I stay behind."
    CommitRefused {
        /// The commit's place in the log. The epoch would not do: after an annulled commit
        /// another one leads to the same epoch.
        sequence: Sequence,
    },
    /// "You may not come in", for someone who waits before the guarded door.
    TurnAway {
        /// For whom.
        participant: ParticipantId,
        /// A host's signed word, sealed.
        note: Opaque,
    },
    /// A sealed MLS application message, such as a line of chat.
    Send {
        /// The sealed MLS message.
        message: Opaque,
    },
    /// Begin to exchange media, or begin anew with another offer.
    Offer {
        /// The client's SDP offer.
        sdp: String,
        /// The sections it sends on.
        tracks: Vec<OfferedTrack>,
        /// The sections it receives on.
        slots: Vec<OfferedSlot>,
    },
    /// Leave the room on purpose.
    Leave {},
}

/// What the server says.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export)]
pub enum ServerMessage {
    /// You are in the room (not yet in its group).
    Joined {
        /// Who you are here.
        participant: ParticipantId,
        /// Everyone else who is here.
        others: Vec<ParticipantId>,
        /// How to come into the group; none when you are to found it.
        group: Option<GroupDoor>,
    },
    /// Your place is kept when your line breaks.
    Session {
        /// What opens the way back.
        token: SessionToken,
        /// For how long after the line has broken, in seconds.
        kept_for: u32,
    },
    /// You are back in your place. What you have not heard follows.
    Resumed {
        /// The last that was heard of you: say again what came after it.
        heard: MessageNumber,
        /// Your media connection is still there, as far as the server knows.
        has_media: bool,
    },
    /// What you said up to here is kept, and need not be said again.
    Heard {
        /// The last that was heard of you.
        number: MessageNumber,
    },
    /// The answer to `probe`.
    Here {},
    /// Someone's line has broken. They may come back.
    ParticipantAway {
        /// Who.
        participant: ParticipantId,
    },
    /// Someone has come back.
    ParticipantBack {
        /// Who.
        participant: ParticipantId,
    },
    /// The group that you founded stands.
    GroupCreated {},
    /// A commit took its place in the log; its author receives it too. The group is now
    /// at `epoch`.
    Committed {
        /// Its place in the log.
        sequence: Sequence,
        /// Who sent it, by the server's word.
        author: ParticipantId,
        /// The epoch that it leads to.
        epoch: Epoch,
        /// The sealed MLS message.
        commit: Opaque,
        /// What it changes about the call's rules, as its author told the server.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        rules: Option<RuleChange>,
    },
    /// Your commit or founding came too late.
    Stale {
        /// The epoch that the group is in. Members have its commit in their log.
        epoch: Epoch,
        /// How to come into the group, for those who are not in it.
        group: Option<GroupDoor>,
    },
    /// The answer to `ask_group`.
    Group {
        /// The group as it stands.
        group: GroupState,
    },
    /// A newcomer needs the group's state: show it, if you are in this epoch. If you have not
    /// done so within two seconds, somebody else is asked.
    ShowGroup {
        /// The epoch that the group is in.
        epoch: Epoch,
    },
    /// Bring these into the group. If you have not done so within two seconds, somebody else
    /// is asked.
    Admit {
        /// Those who knock.
        knocks: Vec<Knock>,
    },
    /// These wait before the guarded door. Everyone in the group is told; a host decides.
    Knocking {
        /// Those who knock.
        knocks: Vec<Knock>,
    },
    /// A member says that you may not come in. Leave if a host has signed it.
    TurnedAway {
        /// A host's signed word, sealed.
        note: Opaque,
    },
    /// A member has brought you into the group.
    Welcomed {
        /// The place in the log of the commit that did so.
        sequence: Sequence,
        /// The epoch that it led to.
        epoch: Epoch,
        /// The sealed MLS Welcome.
        welcome: Opaque,
    },
    /// A member refused the last commit before any other member took it: it is as if it
    /// had not happened, and its author is out of the room.
    CommitAnnulled {
        /// Whose commit it was.
        author: ParticipantId,
        /// The epoch in which the group stands again.
        epoch: Epoch,
    },
    /// Everyone who had the group's keys has left before you were in it. Answer with
    /// `create_group`; until you do, the server takes what you say about the group as said
    /// about the lost one and ignores it.
    GroupLost {},
    /// Every participant has said that it has the keys of this epoch.
    EpochComplete {
        /// Which epoch.
        epoch: Epoch,
    },
    /// A sealed application message took its place in the log; its author receives it
    /// too.
    Delivered {
        /// Its place in the log.
        sequence: Sequence,
        /// Who sent it, by the server's word.
        author: ParticipantId,
        /// The sealed MLS message.
        message: Opaque,
    },
    /// The answer to your offer.
    Answer {
        /// The server's SDP answer.
        sdp: String,
    },
    /// Someone came into the room.
    ParticipantJoined {
        /// Who.
        participant: ParticipantId,
    },
    /// Someone left the room. A member should take them out of the group.
    ParticipantLeft {
        /// Who.
        participant: ParticipantId,
    },
    /// Someone without the right link was turned away at the door.
    StrangerRefused {},
    /// Something that you said was not accepted. What follows depends on the code.
    Error {
        /// What was wrong, for programs.
        code: ErrorCode,
        /// What was wrong and what to do, for people.
        detail: String,
    },
}

/// Why the server did not accept something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ErrorCode {
    /// Not a message of this protocol. The connection stays open.
    Malformed,
    /// Longer than the server takes. The connection is closed.
    TooLarge,
    /// Faster than the server takes. The message was dropped; slow down.
    TooFast,
    /// Said at the wrong time: `join` must be the first message and only the first, and
    /// `send` is for those who are in the group. The message had no effect.
    OutOfOrder,
    /// The server speaks another version. Reload the page.
    UnsupportedVersion,
    /// The link's secret is not the one of this room. The connection is closed.
    WrongSecret,
    /// The room has no place left. The connection is closed.
    RoomFull,
    /// The server has no place left. The connection is closed.
    ServerFull,
    /// Too many come into the room at this moment. The connection is closed; try again in a few
    /// seconds.
    RoomBusy,
    /// The client takes messages too slowly. The connection is closed.
    TooSlow,
    /// The offer cannot be answered.
    UnacceptableOffer,
    /// The server takes no new calls, since it is about to stop: calls that are held go on. The
    /// connection is closed.
    Draining,
    /// There is no room of this name, and this server lets only its operators make some. The
    /// connection is closed.
    NoSuchRoom,
    /// The room takes those who were invited, and the invitation is missing, spent, expired or
    /// revoked. The connection is closed.
    NotInvited,
    /// Who runs the server has closed the room. The connection is closed.
    RoomClosed,
    /// Who runs the server has removed you from the room. The connection is closed.
    Removed,
    /// Members refused your commit. The connection is closed.
    CommitRefused,
    /// A host removed you, as the group's last commit says. The connection is closed.
    ShownOut,
    /// The link was changed before you were in the group. The connection is closed.
    LinkChanged,
    /// Media no longer flows to or from you. Send a new offer.
    MediaLost,
    /// The place is not kept any more, or what was missed is not: join anew. The connection is
    /// closed.
    SessionLost,
    /// The session goes on over another connection. This one is closed.
    Replaced,
    /// The server is shutting down. The connection is closed; try again later.
    ShuttingDown,
}
