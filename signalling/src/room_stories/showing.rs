//! A group whose state does not come with its commits, and those who need it.

use conclave_protocol::{StateName, signal::GroupState};
use sha2::{Digest as _, Sha256};

use super::*;

impl Stage {
    /// A crowd whose last commit, Alice's, brought no state along, and Dave who has knocked in
    /// vain.
    fn with_dave_outside() -> Self {
        let mut stage = Self::with_a_crowd();
        stage.moves_on(ALICE, 7);
        let members = stage.room.present.clone();
        for member in members {
            stage.reaches(member, 8);
        }
        stage.enter(DAVE);
        stage.forget();
        stage
    }

    /// A commit without the group's state.
    fn moves_on(&mut self, who: ParticipantId, epoch: u64) {
        let saying = Saying::Commit {
            epoch: Epoch::new(epoch),
            commit: sealed("change"),
            group_info: None,
            admission: None,
            rules: None,
        };
        self.says(who, saying);
    }

    fn asks(&mut self, who: ParticipantId, unusable: Option<&str>) {
        let name = |text: &str| StateName::new(Sha256::digest(text.as_bytes()).into());
        let unusable = unusable.map(name);
        self.says(who, Saying::AskGroup { unusable });
    }

    fn shows(&mut self, who: ParticipantId, epoch: u64, info: &str) {
        let group = GroupState {
            epoch: Epoch::new(epoch),
            group_info: sealed(info),
        };
        self.says(who, Saying::ShowGroup { group });
    }
}

#[test]
fn a_member_shows_the_group_to_who_needs_it_and_it_is_kept_until_the_next_commit() {
    let mut stage = Stage::with_dave_outside();
    stage.asks(DAVE, None);
    stage.hears(DAVE, &[]);
    stage.hears(ALICE, &["show 8"]);
    stage.hears(BOB, &[]);
    stage.shows(ALICE, 8, "g8");
    stage.hears(DAVE, &["g8 at 8"]);
    stage.enter(ERIN);
    stage.asks(ERIN, None);
    assert_eq!(stage.heard[&ERIN].last().expect("a word"), "g8 at 8");
    stage.forget();
    stage.moves_on(BOB, 8);
    stage.forget();
    stage.asks(ERIN, None);
    stage.hears(ERIN, &[]);
    stage.hears(BOB, &["show 9"]);
}

#[test]
fn one_member_is_asked_for_all_and_another_if_nothing_comes() {
    let mut stage = Stage::with_dave_outside();
    stage.enter(ERIN);
    stage.forget();
    stage.asks(DAVE, None);
    stage.asks(ERIN, None);
    stage.hears(ALICE, &["show 8"]);
    let due = stage.room.poll_timeout().expect("something is due");
    assert_eq!(due - stage.now, Duration::from_secs(2));
    stage.waits(Duration::from_secs(2));
    stage.hears(BOB, &["show 8"]);
    stage.leaves(BOB);
    stage.hears(CAROL_OR_NEXT, &["-bob", "show 8"]);
    // Alice is slow, and heard all the same.
    stage.shows(ALICE, 8, "g8");
    stage.hears(DAVE, &["-bob", "g8 at 8"]);
    stage.hears(ERIN, &["-bob", "g8 at 8"]);
    stage.shows(CAROL_OR_NEXT, 8, "another");
    stage.asks(ERIN, None);
    stage.hears(ERIN, &["g8 at 8"]);
    assert_eq!(stage.room.poll_timeout(), None);
}

/// The third of the crowd.
const CAROL_OR_NEXT: ParticipantId = ParticipantId::new(10);

#[test]
fn what_nobody_asked_for_or_what_is_old_is_not_shown() {
    let mut stage = Stage::with_dave_outside();
    stage.asks(DAVE, None);
    stage.shows(BOB, 8, "not asked");
    stage.shows(DAVE, 8, "his own");
    stage.shows(ALICE, 7, "older");
    stage.hears(DAVE, &[]);
    stage.moves_on(BOB, 8);
    stage.forget();
    // Alice was asked in the epoch before.
    stage.shows(ALICE, 8, "older");
    stage.shows(ALICE, 9, "she does not have it");
    stage.hears(DAVE, &[]);
    stage.shows(BOB, 9, "g9");
    stage.hears(DAVE, &["g9 at 9"]);
}

#[test]
fn an_unusable_state_is_replaced_by_another_members_but_not_for_ever() {
    let mut stage = Stage::with_dave_outside();
    stage.asks(DAVE, None);
    stage.shows(ALICE, 8, "junk");
    stage.forget();
    stage.asks(DAVE, Some("something else"));
    stage.hears(DAVE, &["junk at 8"]);
    stage.asks(DAVE, Some("junk"));
    stage.hears(DAVE, &[]);
    stage.hears(BOB, &["show 8"]);
    stage.shows(BOB, 8, "g8");
    stage.hears(DAVE, &["g8 at 8"]);
    stage.forget();
    let members = stage.room.present.clone();
    let mut asked = 0;
    for _ in 0..20 {
        stage.asks(DAVE, Some("g8"));
        for member in &members {
            let heard = std::mem::take(stage.heard.get_mut(member).expect("was here"));
            if heard == ["show 8"] {
                asked += 1;
                stage.shows(*member, 8, "g8");
            }
        }
    }
    assert_eq!(asked, 3, "the fourth after Alice's");
}

#[test]
fn who_comes_in_or_goes_needs_no_state_any_more() {
    let mut stage = Stage::with_dave_outside();
    stage.knocks(DAVE, "dave's");
    stage.asks(DAVE, None);
    stage.brings_in(BOB, 8, &[DAVE]);
    stage.moves_on(BOB, 9);
    stage.forget();
    stage.waits(Duration::from_secs(9));
    stage.hears(BOB, &[]);
    stage.enter(ERIN);
    stage.asks(ERIN, None);
    stage.leaves(ERIN);
    assert_eq!(stage.room.poll_timeout(), None);
}

#[test]
fn a_commit_that_is_annulled_leaves_those_who_wait_with_the_state_before() {
    let mut stage = Stage::with_dave_outside();
    stage.asks(DAVE, None);
    stage.shows(ALICE, 8, "g8");
    stage.forget();
    stage.moves_on(BOB, 8);
    stage.enter(ERIN);
    stage.asks(ERIN, None);
    stage.refuses(ALICE, 9);
    assert!(stage.heard[&ERIN].contains(&"g8 at 8".to_owned()));
}

#[test]
fn a_small_group_whose_state_is_not_there_is_knocked_at() {
    let mut stage = Stage::with_two_members();
    stage.moves_on(BOB, 1);
    stage.reaches(ALICE, 2);
    stage.enter(CAROL);
    let heard = stage.heard[&CAROL].join("");
    assert!(heard.ends_with("Some(\"knock at 2\")"), "{heard}");
}
