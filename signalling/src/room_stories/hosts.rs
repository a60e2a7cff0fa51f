//! What hosts decide, and what becomes of it when members refuse.

use super::*;
use crate::room::house::MOST_WAITING;

impl Stage {
    fn decides(&mut self, who: ParticipantId, epoch: u64, commit: &str, rules: RuleChange) {
        self.says(
            who,
            Saying::Commit {
                epoch: Epoch::new(epoch),
                commit: sealed(commit),
                group_info: Some(sealed(&format!("after {commit}"))),
                admission: None,
                rules: Some(rules),
            },
        );
    }

    /// Alice, Bob and Carol are members at epoch 2. The log is at 2.
    fn with_three_members() -> Self {
        let mut stage = Self::with_two_members();
        stage.enter(CAROL);
        stage.commits(CAROL, 1, "in");
        stage.reaches(ALICE, 2);
        stage.reaches(BOB, 2);
        stage.forget();
        stage
    }

    /// Alice and Bob are members behind a guarded door, at epoch 2.
    fn guarded() -> Self {
        let mut stage = Self::with_two_members();
        stage.decides(ALICE, 1, "guard", guards());
        stage.reaches(BOB, 2);
        stage.forget();
        stage
    }

    fn may_enter(&mut self, who: ParticipantId, key: u8) -> bool {
        let entered = self.room.enter(self.now, who, &RoomAuth::new([key; 32]));
        if entered.is_ok() {
            self.here.insert(who);
            self.heard.insert(who, Vec::new());
        }
        self.listen();
        entered.is_ok()
    }
}

fn guards() -> RuleChange {
    RuleChange {
        guarded: true,
        removed: None,
        lock: None,
    }
}

fn removes(who: ParticipantId) -> RuleChange {
    RuleChange {
        guarded: false,
        removed: Some(who),
        lock: None,
    }
}

/// The room opens to another key from now on.
fn changes_link() -> RuleChange {
    RuleChange {
        guarded: false,
        removed: None,
        lock: Some(RoomLock::for_key(&RoomAuth::new([9; 32]))),
    }
}

#[test]
fn who_is_removed_is_shown_out_once_another_member_has_taken_it() {
    let mut stage = Stage::with_three_members();
    stage.decides(ALICE, 2, "out", removes(CAROL));
    stage.hears(CAROL, &["#3 alice commits out to 3"]);
    stage.refuses(CAROL, 3);
    stage.hears(BOB, &["#3 alice commits out to 3"]);
    stage.reaches(BOB, 3);
    stage.hears(CAROL, &["3 complete", "removed ShownOut"]);
    stage.hears(BOB, &["3 complete", "-carol"]);
    assert!(!stage.room.contains(CAROL));
}

#[test]
fn who_alone_is_left_needs_nobodys_consent() {
    let mut stage = Stage::with_two_members();
    stage.forget();
    stage.decides(ALICE, 1, "out", removes(BOB));
    stage.hears(
        BOB,
        &[
            "#2 alice commits out to 2",
            "2 complete",
            "removed ShownOut",
        ],
    );
}

#[test]
fn nobody_is_shown_out_by_a_commit_that_is_refused() {
    let mut stage = Stage::with_three_members();
    stage.decides(CAROL, 2, "out", removes(BOB));
    stage.refuses(ALICE, 3);
    stage.hears(
        CAROL,
        &["#3 carol commits out to 3", "removed CommitRefused"],
    );
    stage.hears(
        BOB,
        &[
            "#3 carol commits out to 3",
            "annulled carol: back to 2",
            "-carol",
        ],
    );
    assert!(stage.room.is_member(BOB));
}

#[test]
fn a_guarded_door_is_told_of_to_everyone_and_asks_nobody_by_turns() {
    let mut stage = Stage::guarded();
    stage.enter(DAVE);
    let heard = stage.heard[&DAVE].join("");
    assert!(heard.ends_with("Some(\"after guard at 2\")"), "{heard}");
    stage.forget();
    let key_package = sealed("dave's");
    stage.says(DAVE, Saying::Knock { key_package });
    stage.hears(ALICE, &["knocking: dave's"]);
    stage.hears(BOB, &["knocking: dave's"]);
    stage.hears(DAVE, &[]);
    assert_eq!(stage.room.poll_timeout(), None);
}

#[test]
fn whoever_comes_in_meanwhile_learns_who_waits() {
    let mut stage = Stage::guarded();
    stage.enter(DAVE);
    let key_package = sealed("dave's");
    stage.says(DAVE, Saying::Knock { key_package });
    stage.enter(CAROL);
    stage.forget();
    stage.commits(CAROL, 2, "host");
    stage.hears(CAROL, &["#3 carol commits host to 3", "knocking: dave's"]);
}

#[test]
fn a_word_to_who_waits_is_passed_on_and_takes_nobody_away() {
    let mut stage = Stage::guarded();
    stage.enter(DAVE);
    let key_package = sealed("dave's");
    stage.says(DAVE, Saying::Knock { key_package });
    stage.forget();
    let turn_away = |note: &str| Saying::TurnAway {
        participant: DAVE,
        note: sealed(note),
    };
    stage.says(BOB, turn_away("no"));
    stage.hears(DAVE, &["turned away: no"]);
    stage.says(DAVE, turn_away("no"));
    stage.hears(DAVE, &["error OutOfOrder"]);
    stage.says(BOB, turn_away(&"no".repeat(3000)));
    stage.hears(BOB, &["error OutOfOrder"]);
    assert!(stage.room.contains(DAVE));
}

#[test]
fn an_opened_door_has_those_who_wait_brought_in() {
    let mut stage = Stage::guarded();
    stage.enter(DAVE);
    let key_package = sealed("dave's");
    stage.says(DAVE, Saying::Knock { key_package });
    stage.forget();
    stage.decides(ALICE, 2, "open", removes(ERIN));
    stage.reaches(BOB, 3);
    let heard = stage.heard[&ALICE].join("; ");
    assert!(heard.contains("admit dave's"), "{heard}");
}

#[test]
fn another_link_opens_the_room_and_shows_out_who_waits_with_the_old_one() {
    let mut stage = Stage::with_two_members();
    stage.enter(DAVE);
    stage.forget();
    stage.decides(ALICE, 1, "link", changes_link());
    stage.reaches(BOB, 2);
    stage.hears(
        DAVE,
        &[
            "#2 alice commits link to 2",
            "2 complete",
            "removed LinkChanged",
        ],
    );
    assert!(!stage.may_enter(ERIN, 7));
    assert!(stage.may_enter(ERIN, 9));
    assert!(stage.room.is_member(ALICE) && stage.room.is_member(BOB));
}

#[test]
fn what_a_refused_commit_changed_about_the_room_is_as_before() {
    let mut stage = Stage::with_three_members();
    let rules = RuleChange {
        guarded: true,
        ..changes_link()
    };
    stage.decides(CAROL, 2, "mine", rules);
    stage.refuses(ALICE, 3);
    stage.forget();
    assert!(!stage.may_enter(ERIN, 9));
    assert!(stage.may_enter(ERIN, 7));
    stage.commits(ERIN, 2, "erin in");
    stage.reaches(ALICE, 3);
    stage.reaches(BOB, 3);
    stage.enter(DAVE);
    stage.forget();
    let key_package = sealed("dave's");
    stage.says(DAVE, Saying::Knock { key_package });
    stage.hears(ALICE, &["admit dave's"]);
}

#[test]
fn who_is_outside_decides_nothing() {
    let mut stage = Stage::with_two_members();
    stage.enter(DAVE);
    stage.forget();
    stage.decides(
        DAVE,
        1,
        "dave in",
        RuleChange {
            removed: Some(BOB),
            ..changes_link()
        },
    );
    stage.reaches(ALICE, 2);
    assert!(stage.room.is_member(BOB));
    assert!(stage.may_enter(ERIN, 7));
}

#[test]
fn a_knock_is_made_ready_once_for_however_many() {
    let mut stage = Stage::with_a_crowd();
    stage.decides(ALICE, 7, "guard", guards());
    stage.reaches(BOB, 8);
    stage.enter(DAVE);
    stage.forget();
    stage.knocks(DAVE, "dave's");
    stage.hears(ALICE, &["knocking: dave's"]);
    stage.hears(BOB, &["knocking: dave's"]);
    assert_eq!(stage.shown, 1);
}

#[test]
fn a_door_that_is_guarded_from_now_on_shows_once_who_waits_and_sends_the_rest_away() {
    let mut stage = Stage::with_a_crowd();
    let crowd = (1_000_u64..).map(ParticipantId::new).take(MOST_WAITING + 3);
    let crowd: Vec<_> = crowd.collect();
    for visitor in &crowd {
        stage.enter(*visitor);
        stage.knocks(*visitor, "x");
    }
    stage.forget();
    stage.decides(ALICE, 7, "guard", guards());
    let knocking = format!("knocking: {}", vec!["x"; MOST_WAITING].join(", "));
    for member in [ALICE, BOB] {
        stage.hears(member, &["#8 alice commits guard to 8", &knocking]);
    }
    assert_eq!(stage.shown, 1);
    for (place, visitor) in crowd.iter().enumerate() {
        let told = stage.heard[visitor].contains(&"error OutOfOrder".to_owned());
        assert_eq!(told, place >= MOST_WAITING, "{place}");
        assert_eq!(stage.room.is_waiting(*visitor), place < MOST_WAITING);
    }
}

#[test]
fn who_comes_back_is_shown_who_waits_now() {
    let mut stage = Stage::guarded();
    stage.room.lose(BOB);
    stage.here.remove(&BOB);
    stage.enter(DAVE);
    stage.knocks(DAVE, "dave's");
    stage.forget();
    stage.here.insert(BOB);
    stage.room.find(BOB);
    stage.listen();
    stage.hears(BOB, &["knocking: dave's"]);
    stage.hears(ALICE, &["!bob"]);
    // Also who was not missed: something may have got lost on the old line.
    stage.room.find(BOB);
    stage.listen();
    stage.hears(BOB, &["knocking: dave's"]);
    // Who waits outside is shown nothing.
    stage.room.find(DAVE);
    stage.listen();
    stage.hears(DAVE, &["!bob"]);
}

#[test]
fn what_was_carried_out_is_not_carried_out_again_after_a_restart() {
    let mut stage = Stage::with_two_members();
    stage.decides(ALICE, 1, "link", changes_link());
    stage.room.take_memory().expect("JSON");
    stage.reaches(BOB, 2);
    let memory = stage.room.take_memory().expect("JSON");
    let memory = memory.expect("that it was carried out is to be kept");
    stage.room = Room::recall(&memory, RoomSize::DEFAULT).expect("as it was kept");
    assert!(stage.may_enter(ERIN, 9));
    stage.reaches(BOB, 2);
    assert!(stage.room.contains(ERIN), "shown out by an old decision");
}
