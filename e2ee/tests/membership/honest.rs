//! What a call does on a good day, and when everyone comes at once.

use std::time::Duration;

use conclave_e2ee::{ChatError, FileKey, FileShareError, HostRequest, LinkSecret, SharedFile};
use conclave_protocol::{Epoch, file::FileId, signal::ServerMessage};
use proptest::prelude::*;

use crate::service::Service;

/// Everyone has the same newest key and sees the same people.
pub(crate) fn assert_agreement(service: &Service, names: &[&str]) {
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let first = service.clients.values().next().unwrap().newest_key();
    for client in service.clients.values() {
        assert_eq!(client.seen.failed, None);
        assert_eq!(client.seen.refused, []);
        assert_eq!(client.newest_key(), first);
        let mut seen = client.names();
        seen.sort_unstable();
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_founder_and_two_who_follow_share_every_epoch() {
    let (service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    assert_agreement(&service, &["Ada", "Grace", "Edsger"]);
    for (leaf, id) in (0..).zip(&ids) {
        let client = service.client(*id);
        assert_eq!(client.seen.joined, 1);
        assert_eq!(client.seen.sealing, Some(Epoch::new(2)));
        let own = client.membership.roster().iter().find(|m| m.is_self);
        assert_eq!(own.unwrap().leaf.get(), leaf);
        assert_eq!(own.unwrap().participant, *id);
    }
    // Whoever was there before has wiped the keys from before.
    assert_eq!(service.client(ids[0]).seen.keys.len(), 1);
}

#[test]
fn every_epoch_has_another_key() {
    let mut service = Service::new();
    let mut keys = std::collections::HashSet::new();
    let ada = service.arrive("Ada");
    service.settle();
    keys.insert(service.client(ada).newest_key().1);
    for name in ["Grace", "Edsger"] {
        service.arrive(name);
        service.settle();
        keys.insert(service.client(ada).newest_key().1);
    }
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_wrong_link_does_not_open_the_group() {
    let (mut service, _) = Service::with(&["Ada", "Grace"]);
    let stranger = service.arrive_with("Mallory", &LinkSecret::from_bytes([8; 32]));
    service.settle();
    let seen = &service.client(stranger).seen;
    assert!(seen.failed.is_some());
    assert!(seen.keys.is_empty());
}

#[test]
fn two_founders_end_in_one_group() {
    let mut service = Service::new();
    service.arrive("Ada");
    service.arrive("Grace");
    service.settle();
    service.wait(Duration::from_secs(2));
    assert_agreement(&service, &["Ada", "Grace"]);
    assert_eq!(service.stale, 1);
}

#[test]
fn chat_reaches_everyone_under_the_authenticated_name() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    service.chat(ids[1], "hello");
    service.settle();
    service.chat(ids[0], "hello yourself");
    service.settle();
    for client in service.clients.values() {
        let chat: Vec<_> = client
            .seen
            .chat
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(chat, [("Grace", "hello"), ("Ada", "hello yourself")]);
    }
}

#[test]
fn a_line_sent_just_before_a_commit_still_arrives() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    service.chat(ids[0], "wait");
    let edsger = service.arrive("Edsger");
    while service.deliver(edsger) | service.hear(edsger) {}
    service.settle();
    assert_eq!(service.client(ids[1]).seen.chat.len(), 1);
    assert_eq!(service.client(ids[0]).seen.chat.len(), 1);
    assert_eq!(
        service.client(edsger).seen.chat.len(),
        0,
        "was not there yet"
    );
}

#[test]
fn lines_are_bounded() {
    let (mut service, ids) = Service::with(&["Ada"]);
    let ada = &mut service.client_mut(ids[0]).membership;
    assert_eq!(ada.send_chat(" \n"), Err(ChatError::Empty));
    assert_eq!(ada.send_chat(&"x".repeat(4001)), Err(ChatError::TooLong));
    let outsider = service.arrive("Grace");
    let grace = &mut service.client_mut(outsider).membership;
    assert_eq!(grace.send_chat("hello"), Err(ChatError::NotInCall));
}

#[test]
fn a_file_is_announced_to_everyone_with_its_key_under_the_authenticated_name() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let file = SharedFile {
        id: FileId::new([3; 16]),
        key: FileKey::generate().unwrap(),
        size: 10 << 30,
        name: "plans.pdf".to_owned(),
        kind: "application/pdf".to_owned(),
    };
    let grace = service.client_mut(ids[1]);
    grace.membership.share_file(file.clone()).unwrap();
    grace.drain();
    service.settle();
    for id in &ids {
        let expected = [("Grace".to_owned(), file.clone())];
        assert_eq!(service.client(*id).seen.files, expected);
    }
    let misleading = SharedFile {
        name: "../plans.pdf".to_owned(),
        ..file
    };
    let refused = service.client_mut(ids[0]).membership.share_file(misleading);
    assert!(
        matches!(refused, Err(FileShareError::Unfit(_))),
        "{refused:?}"
    );
}

#[test]
fn who_leaves_is_removed_at_once_by_the_lowest_leaf() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let before = service.client(ids[0]).newest_key();
    service.leave(ids[2]);
    service.settle();
    assert_agreement(&service, &["Ada", "Grace"]);
    let (epoch, key) = service.client(ids[0]).newest_key();
    assert_eq!(epoch, before.0.next());
    assert_ne!(key, before.1);
    for id in &ids[..2] {
        let sealing = service.client(*id).seen.sealing;
        assert_eq!(sealing, Some(epoch), "no frame more for the leaver");
    }
    assert_eq!(service.stale, 0, "only one member committed");
}

#[test]
fn no_frame_more_is_sealed_for_who_was_removed() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let next = service.client(ids[0]).newest_key().0.next();
    service.leave(ids[2]);
    service.deliver(ids[0]);
    service.hear(ids[0]);
    // Nobody has said yet that they have the new key.
    for id in &ids[..2] {
        while service.deliver(*id) {}
        assert_eq!(service.client(*id).seen.sealing, Some(next));
    }
}

#[test]
fn no_frame_more_is_sealed_for_who_was_removed_when_another_gets_their_leaf() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    service.crowd = 1;
    let leaf = service.client(ids[0]).member("Edsger").leaf;
    // Ada has a commit on its way; what comes meanwhile is done by one that follows it.
    let participant = ids[1];
    service
        .host(ids[0], HostRequest::Appoint { participant })
        .unwrap();
    service.leave(ids[2]);
    let barbara = service.arrive("Barbara");
    while service.deliver(barbara) | service.hear(barbara) {}
    let knocks = service.knocks.clone();
    service.tell(ids[0], ServerMessage::Admit { knocks });
    while service.deliver(ids[0]) {}
    let next = service.client(ids[0]).newest_key().0.next().next();
    while service.hear(ids[0]) | service.deliver(ids[0]) {}
    while service.deliver(ids[1]) {}
    for id in &ids[..2] {
        assert_eq!(service.client(*id).member("Barbara").leaf, leaf);
        assert_eq!(service.client(*id).seen.sealing, Some(next));
    }
}

#[test]
fn an_answer_to_an_older_commit_says_nothing_about_a_newer_one() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    let barbara = service.arrive("Barbara");
    service.deliver(barbara);
    service.leave(ids[1]);
    service.deliver(ids[0]);
    service.deliver(ids[0]);
    assert_eq!(service.client(ids[0]).outbox.len(), 1, "removes Grace");
    service.hear(barbara);
    service.deliver(ids[0]);
    assert_eq!(service.client(ids[0]).outbox.len(), 3, "and does so again");
    service.hear(ids[0]);
    assert_eq!(service.stale, 1);
    service.deliver(ids[0]);
    service.settle();
    service.wait(Duration::from_secs(2));
    assert_agreement(&service, &["Ada", "Edsger", "Barbara"]);
}

#[test]
fn the_next_rank_takes_over_from_a_silent_one() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger", "Barbara"]);
    service.leave(ids[3]);
    // Edsger, whose leaf is nearest, hears nothing and says nothing.
    let others = [ids[0], ids[1]];
    let deaf = |service: &mut Service| {
        for _ in 0..8 {
            for id in others {
                while service.deliver(id) | service.hear(id) {}
            }
        }
    };
    deaf(&mut service);
    assert_eq!(service.client(ids[1]).names().len(), 4, "too early");
    service.now = service.now + Duration::from_secs(2);
    let now = service.now;
    for id in others {
        service.client_mut(id).membership.handle_timeout(now);
        service.client_mut(id).drain();
    }
    deaf(&mut service);
    assert_eq!(service.client(ids[1]).names(), ["Ada", "Grace", "Edsger"]);
    assert_eq!(service.client(ids[0]).names(), ["Ada", "Grace", "Edsger"]);
    // Edsger's own removal comes too late, and she follows the others.
    service.settle();
    service.wait(Duration::from_secs(2));
    assert_agreement(&service, &["Ada", "Grace", "Edsger"]);
}

#[test]
fn a_freed_leaf_is_given_again_to_someone_with_another_name() {
    let (mut service, ids) = Service::with(&["Ada", "Grace", "Edsger"]);
    service.leave(ids[1]);
    service.settle();
    let barbara = service.arrive("Barbara");
    service.settle();
    service.wait(Duration::from_secs(2));
    assert_agreement(&service, &["Ada", "Edsger", "Barbara"]);
    assert_eq!(service.client(ids[0]).member("Barbara").leaf.get(), 1);
    assert_eq!(service.client(barbara).seen.joined, 1);
}

#[test]
fn a_lost_group_is_founded_anew() {
    let (mut service, ids) = Service::with(&["Ada"]);
    let old = service.client(ids[0]).newest_key();
    let grace = service.arrive("Grace");
    service.deliver(grace);
    service.leave(ids[0]);
    service.client_mut(grace).outbox.clear();
    service.settle();
    service.wait(Duration::from_secs(20));
    assert_agreement(&service, &["Grace"]);
    let (epoch, key) = service.client(grace).newest_key();
    assert_eq!(epoch, Epoch::FIRST);
    assert_ne!(key, old.1);
    assert_eq!(service.client(grace).seen.sealing, Some(Epoch::FIRST));
}

#[test]
fn an_unanswered_commit_is_sent_again() {
    let (mut service, _) = Service::with(&["Ada"]);
    let grace = service.arrive("Grace");
    service.deliver(grace);
    assert_eq!(service.client_mut(grace).outbox.drain(..).count(), 1);
    service.settle();
    assert_eq!(service.client(grace).seen.joined, 0);
    service.wait(Duration::from_secs(6));
    assert_agreement(&service, &["Ada", "Grace"]);
}

#[test]
fn strangers_at_the_door_are_told_of() {
    let (mut service, ids) = Service::with(&["Ada"]);
    service.tell(
        ids[0],
        conclave_protocol::signal::ServerMessage::StrangerRefused {},
    );
    service.settle();
    assert_eq!(service.client(ids[0]).seen.strangers, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Ten people at once, and every message at a random moment, in every client's order.
    #[test]
    fn ten_who_come_at_once_end_in_one_group(steps in prop::collection::vec(any::<u16>(), 600)) {
        let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];
        let mut service = Service::new();
        let ids: Vec<_> = names.iter().map(|name| service.arrive(name)).collect();
        for step in steps {
            let id = ids[usize::from(step >> 1) % ids.len()];
            let _ = if step & 1 == 0 { service.deliver(id) } else { service.hear(id) };
        }
        service.settle();
        service.wait(Duration::from_secs(12));
        assert_agreement(&service, &names);
    }
}
