//! What happens in a room, told as stories: who says what, who hears what.

use std::collections::BTreeMap;

use super::*;

const ALICE: ParticipantId = ParticipantId::new(1);
const BOB: ParticipantId = ParticipantId::new(2);
const CAROL: ParticipantId = ParticipantId::new(3);
const DAVE: ParticipantId = ParticipantId::new(90);
const ERIN: ParticipantId = ParticipantId::new(91);
const NAMES: [(ParticipantId, &str); 5] = [
    (ALICE, "alice"),
    (BOB, "bob"),
    (CAROL, "carol"),
    (DAVE, "dave"),
    (ERIN, "erin"),
];

/// A room together with the ears of those in it.
struct Stage {
    room: Room,
    now: Instant,
    /// Those whose connection stands.
    here: BTreeSet<ParticipantId>,
    heard: BTreeMap<ParticipantId, Vec<String>>,
    /// How often something was made ready to be shown, to however many.
    shown: usize,
}

fn key() -> RoomAuth {
    RoomAuth::new([7; 32])
}

fn sealed(text: &str) -> Opaque {
    Opaque::from(text.as_bytes().to_vec())
}

fn name(participant: ParticipantId) -> &'static str {
    NAMES
        .iter()
        .find_map(|(id, name)| (*id == participant).then_some(*name))
        .unwrap_or("someone")
}

fn text(opaque: &Opaque) -> &str {
    std::str::from_utf8(opaque.as_bytes()).expect("text in stories")
}

fn in_words(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Joined { others, group, .. } => {
            let others: Vec<_> = others.iter().map(|o| name(*o)).collect();
            let group = group.as_ref().map(door_in_words);
            format!("joined {others:?} {group:?}")
        }
        ServerMessage::GroupCreated {} => "group created".into(),
        ServerMessage::Committed {
            sequence,
            author,
            epoch,
            commit,
            ..
        } => format!(
            "#{} {} commits {} to {epoch}",
            sequence.get(),
            name(*author),
            text(commit)
        ),
        ServerMessage::Stale { epoch, group } => match group {
            Some(door) => format!("stale: {}", door_in_words(door)),
            None => format!("stale: {epoch}"),
        },
        ServerMessage::Group { group } => {
            format!("{} at {}", text(&group.group_info), group.epoch)
        }
        ServerMessage::ShowGroup { epoch } => format!("show {epoch}"),
        ServerMessage::Admit { knocks } => {
            let knocks = knocks.iter().map(|knock| text(&knock.key_package));
            format!("admit {}", knocks.collect::<Vec<_>>().join(", "))
        }
        ServerMessage::Knocking { knocks } => {
            let knocks = knocks.iter().map(|knock| text(&knock.key_package));
            format!("knocking: {}", knocks.collect::<Vec<_>>().join(", "))
        }
        ServerMessage::TurnedAway { note } => format!("turned away: {}", text(note)),
        ServerMessage::Welcomed { epoch, welcome, .. } => {
            format!("{} to {epoch}", text(welcome))
        }
        ServerMessage::CommitAnnulled { author, epoch } => {
            format!("annulled {}: back to {epoch}", name(*author))
        }
        ServerMessage::GroupLost {} => "group lost".into(),
        ServerMessage::EpochComplete { epoch } => format!("{epoch} complete"),
        ServerMessage::Delivered {
            sequence,
            author,
            message,
        } => format!("#{} {}: {}", sequence.get(), name(*author), text(message)),
        ServerMessage::ParticipantJoined { participant } => format!("+{}", name(*participant)),
        ServerMessage::ParticipantLeft { participant } => format!("-{}", name(*participant)),
        ServerMessage::StrangerRefused {} => "stranger".into(),
        ServerMessage::Error { code, .. } => format!("error {code:?}"),
        ServerMessage::ParticipantAway { participant } => format!("~{}", name(*participant)),
        ServerMessage::ParticipantBack { participant } => format!("!{}", name(*participant)),
        ServerMessage::Answer { .. }
        | ServerMessage::Session { .. }
        | ServerMessage::Resumed { .. }
        | ServerMessage::Heard { .. }
        | ServerMessage::Here {} => panic!("no room says {message:?}"),
    }
}

fn door_in_words(door: &GroupDoor) -> String {
    match door {
        GroupDoor::Commit { group } => format!("{} at {}", text(&group.group_info), group.epoch),
        GroupDoor::Knock { epoch } => format!("knock at {epoch}"),
    }
}

impl Stage {
    fn new() -> Self {
        Self {
            room: Room::new(RoomLock::for_key(&key()), RoomSize::DEFAULT),
            now: Instant::now(),
            here: BTreeSet::new(),
            heard: BTreeMap::new(),
            shown: 0,
        }
    }

    fn enter(&mut self, participant: ParticipantId) {
        self.room
            .enter(self.now, participant, &key())
            .expect("the right key and room for all");
        self.here.insert(participant);
        self.heard.insert(participant, Vec::new());
        self.listen();
    }

    fn listen(&mut self) {
        self.room.tend(self.now);
        while let Some(output) = self.room.poll() {
            match output {
                Output::Tell(audience, message) => {
                    for (id, ears) in &mut self.heard {
                        if audience.includes(*id)
                            && (self.here.contains(id) || audience == Audience::One(*id))
                        {
                            ears.push(in_words(&message));
                        }
                    }
                }
                Output::Show(participants, message) => {
                    self.shown += 1;
                    for (id, ears) in &mut self.heard {
                        if participants.contains(id) && self.here.contains(id) {
                            ears.push(in_words(&message));
                        }
                    }
                }
                Output::Remove {
                    participant, code, ..
                } => {
                    let ears = self.heard.get_mut(&participant).expect("was here");
                    ears.push(format!("removed {code:?}"));
                    self.here.remove(&participant);
                }
            }
        }
    }

    fn says(&mut self, who: ParticipantId, saying: Saying) {
        self.room.hear(who, saying);
        self.listen();
    }

    fn founds(&mut self, who: ParticipantId, info: &str) {
        let group_info = sealed(info);
        self.says(who, Saying::CreateGroup { group_info });
    }

    fn commits(&mut self, who: ParticipantId, epoch: u64, commit: &str) {
        self.says(
            who,
            Saying::Commit {
                epoch: Epoch::new(epoch),
                commit: sealed(commit),
                group_info: Some(sealed(&format!("after {commit}"))),
                admission: None,
                rules: None,
            },
        );
    }

    fn reaches(&mut self, who: ParticipantId, epoch: u64) {
        let epoch = Epoch::new(epoch);
        self.says(who, Saying::EpochReached { epoch });
    }

    fn refuses(&mut self, who: ParticipantId, place: u64) {
        let sequence = (0..place).fold(Sequence::START, |place, _| place.next());
        self.says(who, Saying::CommitRefused { sequence });
    }

    fn leaves(&mut self, who: ParticipantId) {
        self.room.leave(who);
        self.here.remove(&who);
        self.listen();
    }

    /// What someone has heard since the last time.
    #[track_caller]
    fn hears(&mut self, who: ParticipantId, expected: &[&str]) {
        let heard = std::mem::take(self.heard.get_mut(&who).expect("was here"));
        assert_eq!(heard, expected, "{}", name(who));
    }

    fn forget(&mut self) {
        self.heard.values_mut().for_each(Vec::clear);
    }

    /// Alice founded and Bob came in; all is quiet. The log is at 1, the group at 1.
    fn with_two_members() -> Self {
        let mut stage = Self::new();
        stage.enter(ALICE);
        stage.founds(ALICE, "g0");
        stage.enter(BOB);
        stage.commits(BOB, 0, "b");
        stage.reaches(ALICE, 1);
        stage.forget();
        stage
    }
}

#[test]
fn the_first_founds_and_the_second_commits_its_way_in() {
    let mut stage = Stage::new();
    stage.enter(ALICE);
    stage.hears(ALICE, &["joined [] None"]);
    stage.founds(ALICE, "g0");
    stage.hears(ALICE, &["group created"]);
    stage.enter(BOB);
    stage.hears(BOB, &["joined [\"alice\"] Some(\"g0 at 0\")"]);
    stage.commits(BOB, 0, "b");
    stage.hears(BOB, &["#1 bob commits b to 1"]);
    stage.hears(ALICE, &["+bob", "#1 bob commits b to 1"]);
    stage.reaches(ALICE, 1);
    stage.hears(ALICE, &["1 complete"]);
    stage.hears(BOB, &["1 complete"]);
    stage.enter(CAROL);
    stage.hears(
        CAROL,
        &["joined [\"alice\", \"bob\"] Some(\"after b at 1\")"],
    );
}

#[test]
fn two_found_at_once_and_the_second_is_shown_the_first_ones_group() {
    let mut stage = Stage::new();
    stage.enter(ALICE);
    stage.enter(BOB);
    stage.forget();
    stage.founds(BOB, "bob's");
    stage.founds(ALICE, "alice's");
    stage.hears(BOB, &["group created"]);
    stage.hears(ALICE, &["stale: bob's at 0"]);
}

#[test]
fn two_commit_at_once_and_the_second_is_shown_the_new_state() {
    let mut stage = Stage::with_two_members();
    stage.enter(CAROL);
    stage.forget();
    stage.commits(CAROL, 1, "c");
    stage.commits(BOB, 1, "b2");
    stage.hears(CAROL, &["#2 carol commits c to 2"]);
    stage.hears(BOB, &["#2 carol commits c to 2", "stale: 2"]);
    stage.commits(BOB, 2, "b2");
    stage.hears(BOB, &["#3 bob commits b2 to 3"]);
}

#[test]
fn a_newcomer_in_the_hall_does_not_hold_up_an_epoch() {
    let mut stage = Stage::with_two_members();
    stage.enter(CAROL);
    stage.forget();
    stage.commits(ALICE, 1, "a");
    stage.reaches(BOB, 2);
    stage.hears(ALICE, &["#2 alice commits a to 2", "2 complete"]);
}

#[test]
fn the_only_member_completes_an_epoch_alone() {
    let mut stage = Stage::with_two_members();
    stage.leaves(BOB);
    stage.commits(ALICE, 1, "remove b");
    stage.hears(
        ALICE,
        &["-bob", "#2 alice commits remove b to 2", "2 complete"],
    );
}

#[test]
fn a_leaver_is_not_waited_for() {
    let mut stage = Stage::with_two_members();
    stage.commits(ALICE, 1, "a");
    stage.forget();
    stage.leaves(BOB);
    stage.hears(ALICE, &["-bob", "2 complete"]);
}

#[test]
fn a_refused_newcomer_is_shown_out_and_the_epoch_is_open_again() {
    let mut stage = Stage::with_two_members();
    stage.enter(CAROL);
    stage.commits(CAROL, 1, "forged");
    stage.forget();
    stage.refuses(ALICE, 2);
    stage.hears(CAROL, &["removed CommitRefused"]);
    for inside in [ALICE, BOB] {
        stage.hears(inside, &["annulled carol: back to 1", "-carol"]);
    }
    assert!(!stage.room.contains(CAROL));
    // Bob's refusal of the same commit was on its way and changes nothing.
    stage.refuses(BOB, 2);
    stage.hears(BOB, &[]);
    stage.commits(BOB, 1, "b2");
    stage.hears(ALICE, &["#3 bob commits b2 to 2"]);
}

#[test]
fn who_refuses_what_another_took_stays_behind_alone() {
    let mut stage = Stage::with_two_members();
    stage.enter(CAROL);
    stage.commits(CAROL, 1, "c");
    stage.reaches(BOB, 2);
    stage.forget();
    stage.refuses(ALICE, 2);
    stage.hears(CAROL, &["2 complete"]);
    stage.says(
        ALICE,
        Saying::Send {
            message: sealed("hello?"),
        },
    );
    stage.hears(ALICE, &["2 complete", "error OutOfOrder"]);
    stage.hears(BOB, &["2 complete"]);
}

#[test]
fn chat_is_put_in_one_order_with_the_commits() {
    let mut stage = Stage::with_two_members();
    stage.says(
        ALICE,
        Saying::Send {
            message: sealed("hi"),
        },
    );
    stage.commits(BOB, 1, "b2");
    let both = ["#2 alice: hi", "#3 bob commits b2 to 2"];
    stage.hears(ALICE, &both);
    stage.hears(BOB, &both);
}

#[test]
fn who_is_not_in_the_group_cannot_write_to_it() {
    let mut stage = Stage::with_two_members();
    stage.enter(CAROL);
    stage.forget();
    stage.says(
        CAROL,
        Saying::Send {
            message: sealed("hi"),
        },
    );
    stage.hears(CAROL, &["error OutOfOrder"]);
    stage.hears(ALICE, &[]);
}

#[test]
fn when_all_members_leave_those_in_the_hall_found_anew() {
    let mut stage = Stage::with_two_members();
    stage.leaves(BOB);
    stage.enter(BOB);
    stage.enter(CAROL);
    stage.forget();
    stage.leaves(ALICE);
    stage.hears(BOB, &["-alice", "group lost"]);
    stage.hears(CAROL, &["-alice", "group lost"]);
    stage.founds(CAROL, "carol's");
    stage.hears(CAROL, &["group created"]);
    // Bob's commit to the lost group, on its way, must not count in Carol's, although hers
    // may by now be in the epoch that it was made in.
    stage.commits(BOB, 0, "to the lost one");
    stage.hears(BOB, &[]);
    stage.hears(CAROL, &[]);
    stage.founds(BOB, "bob's");
    stage.hears(BOB, &["stale: carol's at 0"]);
    stage.commits(BOB, 0, "b");
    stage.hears(CAROL, &["#2 bob commits b to 1"]);
}

#[test]
fn who_comes_after_the_group_was_lost_is_not_mistaken_for_bereft() {
    let mut stage = Stage::with_two_members();
    stage.enter(CAROL);
    stage.leaves(ALICE);
    stage.leaves(BOB);
    stage.enter(ALICE);
    stage.founds(CAROL, "carol's");
    stage.forget();
    stage.commits(ALICE, 0, "a");
    stage.hears(CAROL, &["#2 alice commits a to 1"]);
}

#[test]
fn a_commit_without_a_group_is_out_of_order() {
    let mut stage = Stage::new();
    stage.enter(ALICE);
    stage.forget();
    stage.commits(ALICE, 0, "a");
    stage.hears(ALICE, &["error OutOfOrder"]);
}

#[test]
fn strangers_are_refused_and_those_inside_told_but_not_flooded() {
    let mut stage = Stage::with_two_members();
    let knock = |stage: &mut Stage| {
        let wrong = RoomAuth::new([8; 32]);
        let answer = stage.room.enter(stage.now, CAROL, &wrong);
        assert_eq!(answer, Err(EntryRefused::WrongSecret));
        stage.listen();
    };
    for _ in 0..100 {
        knock(&mut stage);
    }
    stage.hears(ALICE, &["stranger"]);
    stage.hears(BOB, &["stranger"]);
    assert!(!stage.room.contains(CAROL));
    stage.now += STRANGER_NOTICE_INTERVAL;
    knock(&mut stage);
    stage.hears(ALICE, &["stranger"]);
}

#[test]
fn a_full_room_takes_nobody() {
    let mut stage = Stage::new();
    let most = RoomSize::new(3).expect("is a size");
    stage.room.capacity = most;
    for participant in [ALICE, BOB, CAROL] {
        stage.enter(participant);
    }
    stage.forget();
    let late = ParticipantId::new(4);
    assert_eq!(
        stage.room.enter(stage.now, late, &key()),
        Err(EntryRefused::RoomFull { most })
    );
    let words = EntryRefused::RoomFull { most }.to_string();
    assert!(words.contains("takes 3 participants"), "{words}");
    stage.listen();
    stage.hears(ALICE, &[]);
}

#[test]
fn the_room_is_empty_when_the_last_has_left() {
    let mut stage = Stage::with_two_members();
    stage.leaves(ALICE);
    assert!(!stage.room.is_empty());
    stage.leaves(BOB);
    assert!(stage.room.is_empty());
}

#[test]
fn who_is_not_here_is_not_heard() {
    let mut stage = Stage::with_two_members();
    stage.room.hear(
        CAROL,
        Saying::Commit {
            epoch: Epoch::new(1),
            commit: sealed("c"),
            group_info: Some(sealed("c")),
            admission: None,
            rules: None,
        },
    );
    stage.leaves(CAROL);
    stage.hears(ALICE, &[]);
}

#[path = "room_stories/crowd.rs"]
mod crowd;

#[path = "room_stories/hosts.rs"]
mod hosts;
#[path = "room_stories/showing.rs"]
mod showing;
