//! People who come, break off and come back, told over the registry as connections do it, on a
//! store that can fail.

use std::path::Path;

use conclave_protocol::{
    Epoch, Opaque,
    session::Positioned,
    signal::{RuleChange, ServerMessage},
};
use tokio::time::timeout;

use super::*;
use crate::{
    limits::Limits,
    outbound::{self, Inbox},
    registry::rig,
};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

const KEY: RoomAuth = RoomAuth::new([7; 32]);

/// More than the log of a room holds.
const FLOOD: usize = 10_100;

fn garden() -> RoomId {
    "garden".parse().unwrap()
}

fn sealed(text: &str) -> Opaque {
    Opaque::from(text.as_bytes().to_vec())
}

fn chat(text: &str) -> Saying {
    Saying::Send {
        message: sealed(text),
    }
}

fn is_chat(message: &ServerMessage, text: &str) -> bool {
    matches!(message, ServerMessage::Delivered { message, .. } if *message == sealed(text))
}

/// A server without sockets.
struct House {
    rooms: Arc<Registry>,
    published: prometheus::Registry,
}

impl House {
    fn open(folder: Option<&Path>) -> Self {
        let limits = Limits {
            queued_messages: 1 << 16,
            ..Limits::default()
        };
        let (rooms, published) = rig::open(folder, limits);
        Self { rooms, published }
    }

    /// How often a limit was met.
    fn limited(&self, limit: &str) -> f64 {
        let families = self.published.gather();
        let family = families
            .iter()
            .find(|it| it.name() == "conclave_rate_limited_total");
        let series = family.iter().flat_map(|it| it.get_metric());
        let of_limit = series.filter(|it| it.get_label().iter().any(|it| it.value() == limit));
        of_limit.map(|it| it.get_counter().get_value()).sum()
    }

    /// Has the store do this.
    async fn has(&self, sql: &'static str) {
        let done = self.rooms.store.run(|it| it.execute_batch(sql));
        done.await.unwrap();
    }

    async fn kept_rooms(&self) -> i64 {
        let sql = "SELECT count(*) FROM room";
        let count = self
            .rooms
            .store
            .run(|it| it.query_row(sql, [], |row| row.get(0)));
        count.await.unwrap()
    }

    /// Waits until nobody is there.
    async fn empties(&self) {
        let empty = async {
            while !self.rooms.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, empty).await.expect("they have left");
    }

    /// What is on the disk is there; what is in memory is not.
    async fn crash(self) {
        let store = self.rooms.store.clone();
        tokio::task::spawn_blocking(move || store.close())
            .await
            .unwrap();
    }

    /// Someone comes in, and has their place kept.
    async fn enter(&self, number: u64) -> Person {
        let id = ParticipantId::new(number);
        let token = SessionToken::new([u8::try_from(number).unwrap(); 32]);
        let (outbound, inbox) = outbound::channel(&self.rooms.limits);
        let entered = self.rooms.enter(garden(), KEY, None, id, outbound).await;
        let seat = entered.unwrap();
        assert!(seat.keep(token.clone()).await);
        let mut person = Person {
            id,
            token,
            seat: Some(seat),
            inbox,
            seen: Position::START,
            number: 0,
        };
        person
            .hears(|it| matches!(it, ServerMessage::Joined { .. }))
            .await;
        person
    }

    /// Alice, who has founded a group, and Bob, who is in it.
    async fn with_two_members(&self) -> (Person, Person) {
        let mut alice = self.enter(1).await;
        let group_info = sealed("g0");
        alice.says(Saying::CreateGroup { group_info }).await;
        let mut bob = self.enter(2).await;
        bob.says(commit(Epoch::FIRST, None)).await;
        for one in [&mut alice, &mut bob] {
            one.hears(|it| matches!(it, ServerMessage::Committed { .. }))
                .await;
        }
        (alice, bob)
    }

    /// Someone whose line broke takes their place again.
    async fn take_back(&self, person: &mut Person) -> Result<(), Refused> {
        let (outbound, inbox) = outbound::channel(&self.rooms.limits);
        let back = self.rooms.take_back(&person.token, person.seen, outbound);
        person.seat = Some(back.await?);
        person.inbox = inbox;
        Ok(())
    }
}

fn commit(epoch: Epoch, rules: Option<RuleChange>) -> Saying {
    Saying::Commit {
        epoch,
        commit: sealed("commit"),
        group_info: Some(sealed("state")),
        admission: None,
        rules,
    }
}

/// Someone with a place that is kept.
struct Person {
    id: ParticipantId,
    token: SessionToken,
    seat: Option<Seat>,
    inbox: Inbox,
    seen: Position,
    number: u32,
}

impl Person {
    async fn knocks(&mut self) {
        let key_package = sealed("package");
        self.says(Saying::Knock { key_package }).await;
    }

    async fn says(&mut self, saying: Saying) {
        self.number += 1;
        let number = MessageNumber::new(self.number);
        let seat = self.seat.as_ref().expect("a line");
        assert!(seat.say(Some(number), saying).await);
    }

    /// The next thing that is told.
    async fn hear(&mut self) -> ServerMessage {
        let parcel = timeout(PATIENCE, self.inbox.next()).await;
        let parcel = parcel.expect("in time").expect("the line stands");
        let Positioned { at, message } = serde_json::from_str(&parcel.text).unwrap();
        self.seen = at.unwrap_or(self.seen);
        message
    }

    /// Everything up to the first that is wanted.
    async fn hears(&mut self, wanted: impl Fn(&ServerMessage) -> bool) -> Vec<ServerMessage> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.hear().await);
            if heard.last().is_some_and(&wanted) {
                return heard;
            }
        }
    }

    fn leaves(&mut self) {
        let mut seat = self.seat.take().expect("a line");
        seat.leave();
    }

    /// The line breaks; this one hears of it.
    async fn breaks_off(&mut self, witness: &mut Self) {
        self.seat = None;
        let id = self.id;
        witness
            .hears(|it| matches!(it, ServerMessage::ParticipantAway { participant } if *participant == id))
            .await;
    }

    /// Has the room answer so often that its log is full of answers to this one.
    async fn floods(&mut self) {
        for _ in 0..FLOOD {
            let group_info = sealed("late");
            self.says(Saying::CreateGroup { group_info }).await;
        }
        for _ in 0..FLOOD {
            self.hears(|it| matches!(it, ServerMessage::Stale { .. }))
                .await;
        }
    }
}

#[tokio::test]
async fn who_misses_nothing_comes_back_however_much_the_others_were_told() {
    let house = House::open(None);
    let (mut alice, mut bob) = house.with_two_members().await;
    alice.floods().await;
    bob.breaks_off(&mut alice).await;
    house.take_back(&mut bob).await.expect("nothing is missing");
    alice.says(chat("welcome back")).await;
    bob.hears(|it| is_chat(it, "welcome back")).await;
}

#[tokio::test]
async fn who_misses_what_was_given_up_does_not_come_back() {
    let house = House::open(None);
    let (mut alice, mut bob) = house.with_two_members().await;
    bob.breaks_off(&mut alice).await;
    alice.says(chat("nobody keeps this")).await;
    alice.floods().await;
    let refused = house.take_back(&mut bob).await;
    assert_eq!(refused, Err(Refused::NotKept));
}

#[tokio::test]
async fn what_was_given_up_is_known_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(Some(folder.path()));
    let (mut alice, mut bob) = house.with_two_members().await;
    let mut carol = house.enter(3).await;
    bob.hears(|it| matches!(it, ServerMessage::ParticipantJoined { .. }))
        .await;
    carol.breaks_off(&mut bob).await;
    alice.says(chat("nobody keeps this")).await;
    bob.hears(|it| is_chat(it, "nobody keeps this")).await;
    alice.floods().await;
    house.crash().await;
    let house = House::open(Some(folder.path()));
    house.take_back(&mut bob).await.expect("nothing is missing");
    let refused = house.take_back(&mut carol).await;
    assert_eq!(refused, Err(Refused::NotKept));
}

/// Alice and Bob behind a guarded door at which Dave waits.
async fn guarded(house: &House) -> (Person, Person, Person) {
    let (mut alice, mut bob) = house.with_two_members().await;
    let guards = RuleChange {
        guarded: true,
        removed: None,
        lock: None,
    };
    alice.says(commit(Epoch::new(1), Some(guards))).await;
    bob.hears(|it| matches!(it, ServerMessage::Committed { .. }))
        .await;
    let mut dave = house.enter(4).await;
    dave.knocks().await;
    for one in [&mut alice, &mut bob] {
        one.hears(|it| matches!(it, ServerMessage::Knocking { .. }))
            .await;
    }
    (alice, bob, dave)
}

#[tokio::test]
async fn who_comes_back_sees_who_waits_and_it_is_kept_for_nobody() {
    let house = House::open(None);
    let (mut alice, mut bob, _dave) = guarded(&house).await;
    let read = |connection: &rusqlite::Connection| {
        let sql = "SELECT count(*) FROM entry WHERE text LIKE '%knocking%'";
        connection.query_row(sql, [], |row| row.get(0))
    };
    let kept: i64 = house.rooms.store.run(read).await.unwrap();
    assert_eq!(kept, 0);
    bob.breaks_off(&mut alice).await;
    house.take_back(&mut bob).await.expect("nothing is missing");
    bob.hears(|it| matches!(it, ServerMessage::Knocking { knocks } if knocks.len() == 1))
        .await;
}

#[tokio::test]
async fn who_waits_and_knocks_all_the_time_is_not_listened_to() {
    let house = House::open(None);
    let (mut alice, _bob, mut dave) = guarded(&house).await;
    dave.knocks().await;
    dave.hears(|it| matches!(it, ServerMessage::Error { .. }))
        .await;
    alice.says(chat("quiet")).await;
    let heard = alice.hears(|it| is_chat(it, "quiet")).await;
    let knocked = |it: &&ServerMessage| matches!(it, ServerMessage::Knocking { .. });
    assert_eq!(heard.iter().filter(knocked).count(), 0);
    assert_eq!(house.limited("knocks"), 1.0);
}

/// From now on the disk takes nothing, as far as rooms are concerned.
const FULL: &str = "
    CREATE TRIGGER no_entry BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'full'); END;
    CREATE TRIGGER no_end BEFORE DELETE ON room BEGIN SELECT RAISE(ABORT, 'full'); END;
";

/// It does again.
const FREE: &str = "DROP TRIGGER no_entry; DROP TRIGGER no_end;";

#[tokio::test]
async fn what_was_not_kept_once_is_forgotten_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(Some(folder.path()));
    let (mut alice, mut bob) = house.with_two_members().await;
    house.has(FULL).await;
    alice.says(chat("told, not kept")).await;
    bob.hears(|it| is_chat(it, "told, not kept")).await;
    house.has(FREE).await;
    alice.leaves();
    bob.leaves();
    house.empties().await;
    house.crash().await;
    let house = House::open(Some(folder.path()));
    assert!(house.rooms.is_empty(), "a room of nobody is back");
}

#[tokio::test]
async fn what_could_not_be_forgotten_is_forgotten_later() {
    let house = House::open(None);
    let (mut alice, mut bob) = house.with_two_members().await;
    house.has(FULL).await;
    alice.leaves();
    bob.leaves();
    house.empties().await;
    house.has(FREE).await;
    let forgotten = async {
        while house.kept_rooms().await > 0 {
            house.rooms.tidy();
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, forgotten).await.expect("in the end");
}

#[tokio::test]
async fn who_heard_what_was_not_kept_is_not_taken_into_another_past() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(Some(folder.path()));
    let (mut alice, mut bob) = house.with_two_members().await;
    let mut carol = house.enter(3).await;
    carol.says(commit(Epoch::new(1), None)).await;
    bob.hears(|it| matches!(it, ServerMessage::Committed { .. }))
        .await;
    carol
        .hears(|it| matches!(it, ServerMessage::Committed { .. }))
        .await;
    carol.breaks_off(&mut bob).await;
    house.has(FULL).await;
    for text in ["one", "two", "three"] {
        alice.says(chat(text)).await;
        bob.hears(|it| is_chat(it, text)).await;
    }
    house.crash().await;
    let house = House::open(Some(folder.path()));
    house.has(FREE).await;
    house.take_back(&mut carol).await.expect("all is kept");
    for text in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        carol.says(chat(text)).await;
        carol.hears(|it| is_chat(it, text)).await;
    }
    let refused = house.take_back(&mut bob).await;
    assert_eq!(refused, Err(Refused::NotKept));
}
