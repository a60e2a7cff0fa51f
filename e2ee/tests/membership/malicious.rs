//! What a hostile server, or a hostile holder of the link, can try.

use std::time::Duration;

use conclave_e2ee::{LinkSecret, PolicyViolation, envelope::Kind};
use conclave_protocol::{
    Epoch, Opaque, ParticipantId,
    signal::{ClientMessage, GroupState, ServerMessage},
};

use crate::{
    raw::{RawCommit, RawMember, envelope, link_key},
    service::Service,
};

/// Everyone here refuses this commit for this reason, and the call goes on afterwards.
pub(crate) fn assert_refused(
    mut service: Service,
    author: ParticipantId,
    raw: RawCommit,
    reason: &str,
) {
    let before = service.clients.values().next().unwrap().newest_key();
    service.submit(author, raw);
    service.settle();
    for client in service.clients.values() {
        let (blamed, why) = client.seen.refused.last().expect("has refused it");
        assert_eq!(*blamed, author);
        assert!(why.contains(reason), "{why}");
        assert_eq!(client.newest_key(), before, "nothing has changed");
        assert_eq!(client.seen.failed, None);
    }
    service.dismiss(author);
    service.settle();
    let names = service.clients.len() + 1;
    let late = service.arrive("Latecomer");
    service.settle();
    assert_eq!(service.client(late).seen.joined, 1);
    let key = service.client(late).newest_key();
    for client in service.clients.values() {
        assert_eq!(client.names().len(), names);
        assert_eq!(client.newest_key(), key);
    }
}

pub(crate) fn violation(violation: &PolicyViolation) -> String {
    violation.to_string()
}

#[test]
fn a_ghost_with_a_wrong_key_stays_outside() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let id = service.announce();
    let (label, _) = link_key(&service);
    let (_, raw) = RawMember::knock(&service, id, "Ghost", vec![(label, [9; 32])]);
    assert_refused(service, id, raw, "reading the commit");
}

#[test]
fn a_ghost_without_a_key_stays_outside() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let id = service.announce();
    let (_, raw) = RawMember::knock(&service, id, "Ghost", vec![]);
    assert_refused(service, id, raw, &violation(&PolicyViolation::NoLinkKey));
}

#[test]
fn the_links_key_comes_alone() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let id = service.announce();
    let keys = vec![link_key(&service), link_key(&service)];
    let (_, raw) = RawMember::knock(&service, id, "Ghost", keys);
    assert_refused(service, id, raw, &violation(&PolicyViolation::ForeignKey));
}

#[test]
fn a_ghost_with_another_link_stays_outside() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let id = service.announce();
    let (_, raw) = RawMember::knock(&service, id, "Ghost", vec![link_key(&service)]);
    let bytes = envelope(&service).open(Kind::Commit, &raw.commit).unwrap();
    let ours = std::mem::replace(&mut service.secret, LinkSecret::from_bytes([8; 32]));
    let commit = envelope(&service).seal(Kind::Commit, &bytes).unwrap();
    service.secret = ours;
    let raw = RawCommit { commit, ..raw };
    assert_refused(service, id, raw, "not sealed by someone with this link");
}

#[test]
fn who_is_here_is_not_removed() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let leaf = service.client(ids[0]).member("Grace").leaf.get();
    let raw = insider.remove(&service, leaf);
    let why = violation(&PolicyViolation::RemovedPresent);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn nobody_is_talked_out_of_their_own_place() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let gone = ServerMessage::ParticipantLeft {
        participant: ids[2],
    };
    service.tell_all(&gone);
    service.settle();
    let edsger = service.client(ids[2]);
    assert_eq!(edsger.seen.refused.len(), 1);
    assert_eq!(edsger.names(), ["Ada", "Grace", "Edsger"]);
}

#[test]
fn who_is_kept_from_the_groups_commits_is_told_that_somebody_stays_outside() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let late = service.arrive("Edsger");
    // Everything but what moves the group on still reaches Ada.
    for _ in 0..20 {
        while service.hear(late) | service.hear(ids[0]) | service.hear(ids[1]) {}
        let inbox = &mut service.client_mut(ids[0]).inbox;
        inbox.retain(|message| !matches!(message, ServerMessage::Committed { .. }));
        while service.deliver(late) | service.deliver(ids[0]) | service.deliver(ids[1]) {}
    }
    assert_eq!(service.client(ids[1]).names().len(), 3);
    service.wait(Duration::from_secs(19));
    assert_eq!(service.client(ids[0]).seen.outsiders, []);
    service.wait(Duration::from_secs(60));
    assert_eq!(service.client(ids[0]).seen.outsiders, [late], "once");
    assert_eq!(service.client(ids[1]).seen.outsiders, []);
}

#[test]
fn the_groups_rules_do_not_change() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let raw = insider.change_extensions(&service);
    let why = violation(&PolicyViolation::NotAHost);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn nobody_becomes_somebody_else() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let raw = insider.rename(&service, "Ada");
    let why = violation(&PolicyViolation::IdentityChanged);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn members_do_not_mix_in_keys() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let raw = insider.mix_in(&service);
    let why = violation(&PolicyViolation::ForeignKey);
    assert_refused(service, insider.id, raw, &why);
}

#[test]
fn a_proposal_is_not_a_commit() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let raw = insider.propose_removal(&service, 0);
    assert_refused(service, insider.id, raw, "another kind of message");
}

#[test]
fn the_base_key_is_the_exporters() {
    let (mut service, ids) = Service::with(&["Ada"]);
    let other = RawMember::join(&mut service, "Grace");
    let (_, key) = service.client(ids[0]).newest_key();
    assert_eq!(other.export("SFrame 1.0 Base Key"), key);
}

#[test]
fn a_refreshing_commit_is_welcome() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let before = service.client(ids[0]).newest_key().0;
    let raw = insider.refresh(&service);
    service.submit(insider.id, raw);
    service.settle();
    for id in ids {
        assert_eq!(service.client(id).seen.refused, []);
        assert_eq!(service.client(id).newest_key().0, before.next());
    }
}

#[test]
fn the_server_cannot_say_whose_commit_it_is() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let (id, other) = (service.announce(), service.announce());
    let (_, raw) = RawMember::knock(&service, id, "Edsger", vec![link_key(&service)]);
    service.submit(other, raw);
    service.settle();
    for id in ids {
        let (_, why) = service.client(id).seen.refused.last().unwrap();
        assert_eq!(*why, violation(&PolicyViolation::AuthorMismatch));
    }
}

#[test]
fn a_participant_is_not_here_twice() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let (_, raw) = RawMember::knock(&service, ids[0], "Ada", vec![link_key(&service)]);
    service.submit(ids[0], raw);
    service.settle();
    let (_, why) = service.client(ids[1]).seen.refused.last().unwrap();
    assert_eq!(*why, violation(&PolicyViolation::DuplicateParticipant));
    assert_eq!(service.client(ids[1]).names(), ["Ada", "Grace"]);
}

#[test]
fn an_old_commit_is_not_taken_again() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let before = service.client(ids[0]).newest_key();
    for epoch in [1, 2, 3] {
        let ServerMessage::Committed { author, commit, .. } = service.commits[0].clone() else {
            unreachable!()
        };
        let replayed = ServerMessage::Committed {
            sequence: service.place(),
            author,
            epoch: Epoch::new(epoch),
            commit,
            rules: None,
        };
        service.tell(ids[0], replayed);
    }
    // Its own place in the log is past already.
    service.tell(ids[0], service.commits[1].clone());
    while service.deliver(ids[0]) {}
    let ada = service.client(ids[0]);
    assert_eq!(ada.seen.refused.len(), 3);
    assert_eq!(ada.newest_key(), before);
    assert_eq!(ada.seen.failed, None);
}

#[test]
fn a_changed_or_older_group_is_not_joined() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let good = service.group.clone().unwrap();
    service.arrive("Edsger");
    service.settle();
    let newest = service.group.clone().unwrap();
    let mut bytes = newest.group_info.as_bytes().to_vec();
    bytes[100] ^= 1;
    let tampered = GroupState {
        group_info: Opaque::from(bytes),
        ..newest
    };
    let older = GroupState {
        epoch: newest.epoch,
        group_info: good.group_info,
    };
    for state in [tampered, older] {
        service.group = Some(state);
        let late = service.arrive("Latecomer");
        service.deliver(late);
        let late = service.client(late);
        assert!(late.seen.failed.is_some());
        assert!(late.outbox.is_empty());
    }
}

#[test]
fn a_newcomer_does_not_take_another_commit_for_its_own() {
    let (mut service, _) = Service::with(&["Ada"]);
    let grace = service.arrive("Grace");
    service.deliver(grace);
    let Some(ClientMessage::Commit { epoch, commit, .. }) =
        service.client_mut(grace).outbox.pop_front()
    else {
        panic!("no commit");
    };
    let mut bytes = commit.as_bytes().to_vec();
    bytes[50] ^= 1;
    let changed = ServerMessage::Committed {
        sequence: service.place(),
        author: grace,
        epoch: epoch.next(),
        commit: Opaque::from(bytes),
        rules: None,
    };
    service.tell(grace, changed);
    service.deliver(grace);
    let seen = &service.client(grace).seen;
    assert!(seen.failed.is_some());
    assert!(seen.keys.is_empty());
}

/// Ada, Grace, Edsger and Barbara. The server tells all but Grace that Barbara is gone, so
/// Ada removes her, Edsger follows and Grace refuses.
fn divided() -> (Service, Vec<ParticipantId>) {
    let (mut service, ids) = Service::with(&["Ada", "Barbara", "Grace", "Edsger"]);
    let ids = vec![ids[0], ids[2], ids[3], ids[1]];
    let gone = ServerMessage::ParticipantLeft {
        participant: ids[3],
    };
    for id in [ids[0], ids[2]] {
        service.tell(id, gone.clone());
    }
    service.deliver(ids[0]);
    assert!(service.hear(ids[0]), "Ada removes Barbara");
    for id in [ids[1], ids[2], ids[3]] {
        while service.deliver(id) {}
    }
    assert_eq!(service.client(ids[1]).seen.refused.len(), 1);
    assert_eq!(service.client(ids[2]).names().len(), 3);
    assert_eq!(service.client(ids[3]).seen.refused.len(), 1, "not herself");
    (service, ids)
}

#[test]
fn an_annulled_commit_is_taken_back_by_those_who_took_it() {
    let (mut service, ids) = divided();
    let before = service.client(ids[1]).newest_key();
    // Grace's refusal is the first that the server hears.
    service.hear(ids[1]);
    while service.deliver(ids[2]) {}
    let edsger = service.client(ids[2]);
    assert_eq!(edsger.newest_key(), before);
    assert_eq!(edsger.seen.sealing, Some(before.0));
    assert_eq!(edsger.names().len(), 4);
    service.settle();
    assert!(service.client(ids[0]).seen.failed.is_some(), "Ada is out");
    service.tell(
        ids[1],
        ServerMessage::ParticipantLeft {
            participant: ids[3],
        },
    );
    service.clients.remove(&ids[3]);
    service.settle();
    service.leave(ids[0]);
    service.settle();
    service.wait(Duration::from_secs(8));
    let late = service.arrive("Latecomer");
    service.settle();
    let key = service.client(late).newest_key();
    for id in [ids[1], ids[2]] {
        assert_eq!(service.client(id).newest_key(), key);
        assert_eq!(service.client(id).seen.failed, None);
    }
}

#[test]
fn who_came_in_on_an_annulled_commit_comes_in_anew() {
    let (mut service, ids) = divided();
    let late = service.arrive("Latecomer");
    service.deliver(late);
    // Grace's refusal is heard before the newcomer's commit.
    service.hear(ids[1]);
    service.settle();
    assert_eq!(service.stale, 1);
    assert_eq!(service.client(late).seen.joined, 1);
    let key = service.client(late).newest_key();
    for id in [ids[1], ids[2]] {
        assert_eq!(service.client(id).newest_key(), key);
        assert_eq!(service.client(id).seen.failed, None);
    }
}

#[test]
fn an_annulled_commit_does_not_come_back() {
    annulled_commit_comes_back(|_, commit| commit);
}

#[test]
fn an_annulled_commit_does_not_come_back_in_another_envelope() {
    annulled_commit_comes_back(|service, commit| {
        let bytes = envelope(service).open(Kind::Commit, &commit).unwrap();
        envelope(service).seal(Kind::Commit, &bytes).unwrap()
    });
}

fn annulled_commit_comes_back(wrap: impl FnOnce(&Service, Opaque) -> Opaque) {
    let (mut service, ids) = divided();
    service.hear(ids[1]);
    while service.deliver(ids[2]) {}
    let Some(ServerMessage::Committed {
        author,
        epoch,
        commit,
        ..
    }) = service.commits.last().cloned()
    else {
        unreachable!()
    };
    let again = ServerMessage::Committed {
        sequence: service.place(),
        author,
        epoch,
        commit: wrap(&service, commit),
        rules: None,
    };
    service.tell(ids[2], again);
    service.deliver(ids[2]);
    let edsger = &service.client(ids[2]).seen;
    assert!(edsger.refused.last().unwrap().1.contains("taken back"));
    assert_eq!(edsger.keys.len(), 1);
}

#[test]
fn what_is_settled_is_not_taken_back() {
    let (mut service, ids) = divided();
    service.now = service.now + Duration::from_secs(5);
    let now = service.now;
    service.client_mut(ids[2]).membership.handle_timeout(now);
    service.hear(ids[1]);
    while service.deliver(ids[2]) {}
    assert!(service.client(ids[2]).seen.failed.is_some());
    assert!(service.client(ids[2]).seen.keys.is_empty());
}

#[test]
fn what_is_settled_is_not_taken_back_after_the_line_was_broken() {
    let (mut service, ids) = divided();
    service.hear(ids[1]);
    // Edsger's line was broken: no time passed for the group, and then all comes at once.
    service.now = service.now + Duration::from_secs(5);
    while service.deliver(ids[2]) {}
    assert!(service.client(ids[2]).seen.failed.is_some());
    assert!(service.client(ids[2]).seen.keys.is_empty());
}

#[test]
fn old_keys_are_wiped_while_the_line_is_broken() {
    let (mut service, ids) = divided();
    let (epoch, said) = (
        service.client(ids[2]).newest_key().0,
        service.client(ids[2]).outbox.len(),
    );
    let edsger = service.client_mut(ids[2]);
    for _ in 0..3 {
        let Some(due) = edsger.membership.poll_expiry() else {
            break;
        };
        edsger.membership.expire(due);
        edsger.drain();
    }
    assert_eq!(edsger.membership.poll_expiry(), None);
    assert_eq!(edsger.seen.keys.keys().collect::<Vec<_>>(), [&epoch]);
    assert_eq!(edsger.outbox.len(), said, "nothing is said into the void");
}

#[test]
fn who_refuses_alone_is_left_behind() {
    let (mut service, ids) = divided();
    // Edsger's word comes first, so the removal stands.
    while service.hear(ids[2]) {}
    service.settle();
    assert_eq!(service.client(ids[1]).seen.failed, None);
    service.arrive("Latecomer");
    service.settle();
    assert!(service.client(ids[1]).seen.failed.is_some());
    assert_eq!(service.client(ids[0]).seen.failed, None);
}

#[test]
fn who_was_removed_learns_nothing_more() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let before = service.client(ids[0]).newest_key();
    service.dismiss(insider.id);
    service.settle();
    assert_ne!(service.client(ids[0]).newest_key(), before);
    assert_eq!(service.client(ids[0]).names(), ["Ada", "Grace"]);
    service.chat(ids[0], "alone at last");
    let Some(ClientMessage::Send { message }) = service.client(ids[0]).outbox.back().cloned()
    else {
        panic!("nothing sent");
    };
    assert!(!insider.can_read(&service, &message));
}

#[test]
fn a_commit_that_comes_as_a_message_does_nothing() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let before = service.client(ids[0]).newest_key();
    let raw = insider.refresh(&service);
    let bytes = envelope(&service).open(Kind::Commit, &raw.commit).unwrap();
    for message in [
        raw.commit,
        envelope(&service).seal(Kind::Message, &bytes).unwrap(),
    ] {
        let smuggled = ServerMessage::Delivered {
            sequence: service.place(),
            author: insider.id,
            message,
        };
        service.tell_all(&smuggled);
    }
    service.settle();
    assert_eq!(service.client(ids[0]).newest_key(), before);
    assert_eq!(service.client(ids[0]).seen.chat, []);
}

#[test]
fn a_line_is_not_shown_twice() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    service.chat(ids[0], "once");
    let Some(ClientMessage::Send { message }) = service.client(ids[0]).outbox.back().cloned()
    else {
        panic!("nothing sent");
    };
    service.settle();
    let again = ServerMessage::Delivered {
        sequence: service.place(),
        author: ids[0],
        message,
    };
    service.tell_all(&again);
    service.settle();
    for id in ids {
        assert_eq!(service.client(id).seen.chat.len(), 1);
    }
}

#[test]
fn a_line_is_not_shown_again_after_a_commit_was_taken_back() {
    let (mut service, ids) = divided();
    // Grace, who has refused the commit, writes in the epoch before it.
    service.chat(ids[1], "once");
    let Some(ClientMessage::Send { message }) = service.client_mut(ids[1]).outbox.pop_back() else {
        panic!("nothing sent");
    };
    let deliver = |service: &mut Service| {
        let delivered = ServerMessage::Delivered {
            sequence: service.place(),
            author: ids[1],
            message: message.clone(),
        };
        service.tell(ids[2], delivered);
        while service.deliver(ids[2]) {}
    };
    deliver(&mut service);
    assert_eq!(service.client(ids[2]).seen.chat.len(), 1);
    service.hear(ids[1]);
    while service.deliver(ids[2]) {}
    assert_eq!(service.client(ids[2]).names().len(), 4, "it is taken back");
    deliver(&mut service);
    assert_eq!(service.client(ids[2]).seen.chat.len(), 1);
    // The same in another envelope, and then something new.
    let bytes = envelope(&service).open(Kind::Message, &message).unwrap();
    let message = envelope(&service).seal(Kind::Message, &bytes).unwrap();
    let delivered = ServerMessage::Delivered {
        sequence: service.place(),
        author: ids[1],
        message,
    };
    service.tell(ids[2], delivered);
    service.chat(ids[1], "twice");
    while service.hear(ids[1]) {}
    while service.deliver(ids[2]) {}
    let chat = &service.client(ids[2]).seen.chat;
    let texts: Vec<_> = chat.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["once", "twice"]);
}

#[test]
fn two_halves_of_a_forked_call_do_not_share_keys() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let (left, right) = (service.announce(), service.announce());
    for (to, id, name) in [(ids[0], left, "Left"), (ids[1], right, "Right")] {
        let (_, raw) = RawMember::knock(&service, id, name, vec![link_key(&service)]);
        let epoch = service.group.as_ref().unwrap().epoch.next();
        let commit = ServerMessage::Committed {
            sequence: service.place(),
            author: id,
            epoch,
            commit: raw.commit,
            rules: None,
        };
        service.tell(to, commit);
    }
    for id in &ids {
        while service.deliver(*id) {}
    }
    let [ada, grace] = [ids[0], ids[1]].map(|id| service.client(id).newest_key());
    assert_eq!(ada.0, grace.0);
    assert_ne!(ada.1, grace.1);
    // Which Ada and Grace can find out by reading to each other.
    let [ada, grace] = [ids[0], ids[1]].map(|id| service.client(id).seen.call_code);
    assert_ne!(ada, grace);
}
