//! Many who come, and the members who bring them in.

use super::*;
use crate::room::house::LONGEST_KEY_PACKAGE;

impl Stage {
    /// So many members that newcomers knock: Alice, Bob, and some who come in one by one.
    pub(super) fn with_a_crowd() -> Self {
        let mut stage = Self::with_two_members();
        let others = (10_u64..).map(ParticipantId::new).take(CROWD - 2);
        for (epoch, other) in (1..).zip(others) {
            stage.enter(other);
            stage.commits(other, epoch, "x");
        }
        let epoch = CROWD as u64 - 1;
        let members = stage.room.present.clone();
        for member in members {
            stage.reaches(member, epoch);
        }
        stage.forget();
        stage
    }

    pub(super) fn knocks(&mut self, who: ParticipantId, package: &str) {
        let key_package = sealed(package);
        self.says(who, Saying::Knock { key_package });
    }

    pub(super) fn brings_in(&mut self, who: ParticipantId, epoch: u64, admitted: &[ParticipantId]) {
        let saying = Saying::Commit {
            epoch: Epoch::new(epoch),
            commit: sealed("add"),
            group_info: Some(sealed("after add")),
            admission: Some(Admission {
                admitted: admitted.to_vec(),
                welcome: sealed("welcome"),
            }),
            rules: None,
        };
        self.says(who, saying);
    }

    pub(super) fn waits(&mut self, time: Duration) {
        self.now += time;
        self.listen();
    }
}

#[test]
fn before_a_crowd_newcomers_knock_and_a_member_brings_them_in() {
    let mut stage = Stage::with_a_crowd();
    stage.enter(DAVE);
    let heard = stage.heard[&DAVE].join("");
    assert!(heard.ends_with("Some(\"knock at 7\")"), "{heard}");
    stage.forget();
    stage.knocks(DAVE, "dave's");
    stage.hears(ALICE, &["admit dave's"]);
    stage.hears(BOB, &[]);
    stage.brings_in(ALICE, 7, &[DAVE]);
    // The welcome comes first, for the commit has the same place in the log.
    stage.hears(DAVE, &["welcome to 8", "#8 alice commits add to 8"]);
    stage.hears(BOB, &["#8 alice commits add to 8"]);
    assert!(stage.room.is_member(DAVE));
    let members = stage.room.present.clone();
    stage.forget();
    for member in members {
        stage.reaches(member, 8);
    }
    stage.hears(DAVE, &["8 complete"]);
}

#[test]
fn members_are_asked_by_turns_and_passed_over_when_they_do_not_answer() {
    let mut stage = Stage::with_a_crowd();
    stage.enter(DAVE);
    stage.forget();
    stage.knocks(DAVE, "dave's");
    stage.hears(ALICE, &["admit dave's"]);
    let due = stage.room.poll_timeout().expect("something is due");
    assert_eq!(due - stage.now, Duration::from_secs(2));
    stage.waits(Duration::from_secs(2));
    stage.hears(BOB, &["admit dave's"]);
    stage.brings_in(BOB, 7, &[DAVE]);
    stage.enter(ERIN);
    stage.forget();
    // The next batch gathers for a moment.
    stage.knocks(ERIN, "erin's");
    stage.hears(ALICE, &[]);
    stage.reaches(ALICE, 8);
    stage.waits(Duration::from_secs(1));
    stage.hears(ALICE, &["admit erin's"]);
}

#[test]
fn who_knocks_and_leaves_is_brought_in_by_nobody() {
    let mut stage = Stage::with_a_crowd();
    stage.enter(DAVE);
    stage.knocks(DAVE, "dave's");
    stage.leaves(DAVE);
    stage.forget();
    stage.brings_in(ALICE, 7, &[DAVE]);
    assert!(!stage.room.is_member(DAVE));
    stage.hears(ALICE, &["#8 alice commits add to 8"]);
    assert_eq!(stage.room.poll_timeout(), None);
}

#[test]
fn who_is_outside_brings_in_nobody_else() {
    let mut stage = Stage::with_a_crowd();
    for outside in [DAVE, ERIN] {
        stage.enter(outside);
    }
    stage.knocks(ERIN, "erin's");
    stage.forget();
    stage.brings_in(DAVE, 7, &[ERIN]);
    assert!(stage.room.is_member(DAVE) && !stage.room.is_member(ERIN));
    stage.hears(ERIN, &["#8 dave commits add to 8"]);
}

#[test]
fn the_impatient_are_given_what_an_external_commit_needs() {
    let mut stage = Stage::with_a_crowd();
    stage.enter(DAVE);
    stage.knocks(DAVE, "dave's");
    stage.forget();
    stage.says(DAVE, Saying::AskGroup { unusable: None });
    stage.hears(DAVE, &["after x at 7"]);
    stage.commits(DAVE, 7, "d");
    stage.hears(DAVE, &["#8 dave commits d to 8"]);
    assert_eq!(stage.room.poll_timeout(), None, "he knocks no longer");
    stage.says(DAVE, Saying::AskGroup { unusable: None });
    stage.hears(DAVE, &["error OutOfOrder"]);
}

#[test]
fn what_is_too_long_for_a_key_package_is_not_kept() {
    let mut stage = Stage::with_a_crowd();
    stage.enter(DAVE);
    stage.forget();
    stage.knocks(DAVE, &"x".repeat(LONGEST_KEY_PACKAGE + 1));
    stage.hears(DAVE, &["error OutOfOrder"]);
    stage.hears(ALICE, &[]);
}

#[test]
fn with_the_group_those_who_knock_are_forgotten() {
    let mut stage = Stage::with_a_crowd();
    stage.enter(DAVE);
    let members: Vec<_> = stage.room.present.iter().copied().collect();
    for member in members.into_iter().filter(|id| *id != DAVE) {
        stage.leaves(member);
    }
    stage.forget();
    // Said before he heard of the loss.
    stage.knocks(DAVE, "dave's");
    stage.founds(DAVE, "anew");
    stage.hears(DAVE, &["group created"]);
    assert_eq!(stage.room.poll_timeout(), None);
}
