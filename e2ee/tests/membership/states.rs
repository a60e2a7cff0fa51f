//! The state of a group that does not come with its commits: shown when it is asked for, and
//! what a server or a member can do with that.

use std::time::Duration;

use conclave_e2ee::{
    UnusableGroup,
    envelope::{EnvelopeError, Kind},
};
use conclave_protocol::{
    Epoch, Opaque, ParticipantId, StateName,
    signal::{ClientMessage, GroupState, ServerMessage},
};
use sha2::{Digest as _, Sha256};

use crate::{honest::assert_agreement, raw::envelope, service::Service};

const SECOND: Duration = Duration::from_secs(1);

/// Ada and Grace, whose group's state the server does not have, and Edsger who has knocked and
/// whom nobody brings in.
fn outside() -> (Service, Vec<ParticipantId>, ParticipantId) {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    service.crowd = 1;
    service.asks_by_turns = false;
    service.group.as_mut().unwrap().group_info = Opaque::from(Vec::new());
    let edsger = service.arrive("Edsger");
    service.settle();
    (service, ids, edsger)
}

/// The state as a member shows it.
fn state_of(service: &mut Service, member: ParticipantId) -> GroupState {
    let epoch = service.group.as_ref().unwrap().epoch;
    service.tell(member, ServerMessage::ShowGroup { epoch });
    while service.deliver(member) {}
    let Some(ClientMessage::ShowGroup { group }) = service.client_mut(member).outbox.pop_back()
    else {
        panic!("{member} shows nothing");
    };
    group
}

fn name_of(state: &GroupState) -> StateName {
    StateName::new(Sha256::digest(state.group_info.as_bytes()).into())
}

/// Edsger is shown this whenever he asks, until he gives up: what does he say then?
fn shown_to_edsger(make: impl FnOnce(&mut Service, ParticipantId) -> GroupState) -> String {
    let (mut service, ids, edsger) = outside();
    service.asks_for_state = false;
    let state = make(&mut service, ids[0]);
    service.group.as_mut().unwrap().group_info = Opaque::from(Vec::new());
    service.wait(5 * SECOND);
    for time in 1..=3 {
        assert_eq!(service.client(edsger).seen.failed, None);
        let group = state.clone();
        service.tell(edsger, ServerMessage::Group { group });
        service.settle();
        let refused = &service.refused_states;
        assert_eq!(*refused, vec![name_of(&state); time.min(2)]);
    }
    let edsger = service.client(edsger);
    assert_eq!((edsger.outbox.len(), edsger.seen.joined), (0, 0));
    assert!(edsger.seen.keys.is_empty());
    edsger.seen.failed.clone().unwrap()
}

#[test]
fn who_comes_alone_is_shown_the_group_by_a_member() {
    let (mut service, _, edsger) = outside();
    service.wait(6 * SECOND);
    assert_eq!(service.client(edsger).seen.joined, 1);
    assert_agreement(&service, &["Ada", "Grace", "Edsger"]);
}

#[test]
fn the_state_of_a_large_group_does_not_come_with_its_commits() {
    let (mut service, ids) = Service::with(&["Ada"]);
    service.crowd = 1;
    service.asks_by_turns = false;
    let mut names = vec!["Ada".to_owned()];
    let mut ask = |service: &mut Service, count: usize| {
        for _ in 0..count {
            names.push(format!("N{}", names.len()));
            service.arrive(names.last().unwrap());
        }
        service.settle();
        service.ask(ids[0]);
        service.settle();
    };
    let carried = |service: &Service| !service.group.as_ref().unwrap().group_info.is_empty();
    ask(&mut service, 25);
    ask(&mut service, 6);
    assert!(carried(&service), "32 members");
    ask(&mut service, 1);
    assert!(!carried(&service), "33 members");
    // The next one nobody brings in.
    let last = service.arrive("Last");
    service.wait(6 * SECOND);
    assert_eq!(service.client(last).seen.joined, 1);
    assert!(!carried(&service), "34 members");
    let leavers: Vec<_> = service.clients.keys().copied().skip(20).collect();
    leavers.iter().for_each(|id| service.leave(*id));
    service.settle();
    service.wait(6 * SECOND);
    assert!(carried(&service), "20 members");
    let names: Vec<&str> = names[..20].iter().map(String::as_str).collect();
    assert_agreement(&service, &names);
}

#[test]
fn what_somebody_without_the_link_made_up_is_not_joined() {
    let why = shown_to_edsger(|service, ada| {
        let mut state = state_of(service, ada);
        state.group_info = Opaque::from(vec![7; 4000]);
        state
    });
    assert_eq!(
        why,
        UnusableGroup::Foreign(EnvelopeError::Forged).to_string()
    );
}

#[test]
fn a_state_that_the_server_changed_is_not_joined() {
    let why = shown_to_edsger(|service, ada| {
        let state = state_of(service, ada);
        let mut bytes = state.group_info.as_bytes().to_vec();
        bytes[100] ^= 1;
        let group_info = Opaque::from(bytes);
        GroupState {
            group_info,
            ..state
        }
    });
    assert_eq!(
        why,
        UnusableGroup::Foreign(EnvelopeError::Forged).to_string()
    );
}

#[test]
fn a_state_that_somebody_with_the_link_changed_is_not_joined() {
    // Each place is one that another check of MLS is about.
    for part in [10, 2, 1] {
        let why = shown_to_edsger(|service, ada| {
            let state = state_of(service, ada);
            let envelope = envelope(service);
            let mut bytes = envelope.open(Kind::GroupInfo, &state.group_info).unwrap();
            let place = bytes.len() - bytes.len() / part;
            let place = place.min(bytes.len() - 1).max(60);
            bytes[place] ^= 1;
            GroupState {
                group_info: envelope.seal(Kind::GroupInfo, &bytes).unwrap(),
                ..state
            }
        });
        assert!(why.starts_with("the group that the server shows:"), "{why}");
        let forged = UnusableGroup::Foreign(EnvelopeError::Forged).to_string();
        assert_ne!(why, forged);
    }
}

#[test]
fn the_state_of_an_older_epoch_is_not_joined() {
    let why = shown_to_edsger(|service, ada| {
        let older = state_of(service, ada);
        service.crowd = usize::MAX;
        service.group = Some(older.clone());
        service.arrive("Barbara");
        service.settle();
        GroupState {
            epoch: older.epoch.next(),
            ..older
        }
    });
    assert_eq!(why, UnusableGroup::OtherEpoch.to_string());
}

#[test]
fn who_is_shown_nothing_gives_up() {
    let (mut service, _, edsger) = outside();
    service.asks_for_state = false;
    service.wait(30 * SECOND);
    assert_eq!(service.client(edsger).seen.failed, None);
    service.wait(5 * SECOND);
    let why = service.client(edsger).seen.failed.clone();
    assert_eq!(why, Some(UnusableGroup::Withheld.to_string()));
}

#[test]
fn one_member_who_shows_junk_does_not_keep_anybody_out() {
    let (mut service, _, edsger) = outside();
    let epoch = service.group.as_ref().unwrap().epoch;
    let junk = envelope(&service).seal(Kind::GroupInfo, b"junk").unwrap();
    let junk = GroupState {
        epoch,
        group_info: junk,
    };
    service.group = Some(junk.clone());
    service.wait(6 * SECOND);
    assert_eq!(service.refused_states, [name_of(&junk)]);
    assert_eq!(service.client(edsger).seen.joined, 1);
    assert_agreement(&service, &["Ada", "Grace", "Edsger"]);
}

#[test]
fn a_member_shows_no_other_epoch_than_its_own() {
    let (mut service, ids, edsger) = outside();
    let epoch = service.group.as_ref().unwrap().epoch;
    for epoch in [Epoch::FIRST, epoch.next()] {
        service.tell(ids[0], ServerMessage::ShowGroup { epoch });
    }
    service.tell(edsger, ServerMessage::ShowGroup { epoch });
    for id in [ids[0], edsger] {
        while service.deliver(id) {}
        assert!(service.client(id).outbox.is_empty());
    }
}
