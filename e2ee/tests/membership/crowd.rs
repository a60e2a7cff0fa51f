//! Many who come at once, and the members who bring them in.

use std::time::Duration;

use conclave_protocol::ParticipantId;
use proptest::prelude::*;

use crate::{honest::assert_agreement, service::Service};

const SECOND: Duration = Duration::from_secs(1);

/// A room in whose group these people are, and where whoever comes now has to knock.
fn crowded(names: &[&str]) -> (Service, Vec<ParticipantId>) {
    let (mut service, ids) = Service::with(names);
    service.crowd = 1;
    (service, ids)
}

/// Lets everyone but one hear and be heard.
fn settle_without(service: &mut Service, deaf: ParticipantId) {
    let ids: Vec<_> = service.clients.keys().copied().collect();
    let heard = |id: &&ParticipantId| **id != deaf;
    while ids.iter().filter(heard).fold(false, |moved, id| {
        moved | service.deliver(*id) | service.hear(*id)
    }) {}
}

#[test]
fn who_knocks_is_brought_in() {
    let (mut service, ids) = crowded(&["Ada", "Grace"]);
    let before = service.client(ids[0]).newest_key();
    let edsger = service.arrive("Edsger");
    service.settle();
    service.wait(2 * SECOND);
    assert_agreement(&service, &["Ada", "Grace", "Edsger"]);
    assert_eq!(service.client(edsger).seen.joined, 1);
    let key = service.client(edsger).newest_key();
    assert_eq!((key.0, service.stale), (before.0.next(), 0));
    assert_ne!(key.1, before.1);
    service.chat(edsger, "thank you");
    service.settle();
    assert_eq!(service.client(ids[0]).seen.chat[0].0, "Edsger");
}

#[test]
fn all_who_wait_come_in_by_one_commit_and_who_has_left_goes_with_it() {
    let (mut service, ids) = crowded(&["Ada", "Grace"]);
    service.asks_by_turns = false;
    let commits = service.commits.len();
    let names = ["B", "C", "D", "E", "F"];
    for name in names {
        service.arrive(name);
    }
    service.settle();
    assert_eq!(service.knocks.len(), names.len());
    // Grace would wait for Ada to take Edsger out.
    let edsger = service.announce();
    service.dismiss(edsger);
    service.ask(ids[1]);
    service.settle();
    assert_eq!(service.commits.len(), commits + 1);
    assert_agreement(&service, &["Ada", "Grace", "B", "C", "D", "E", "F"]);
}

#[test]
fn a_commit_brings_in_twenty_five_at_most() {
    let (mut service, ids) = crowded(&["Ada"]);
    service.asks_by_turns = false;
    let mut names: Vec<String> = (0..30).map(|number| format!("N{number}")).collect();
    for name in &names {
        service.arrive(name);
    }
    service.settle();
    service.ask(ids[0]);
    service.settle();
    let joined = |service: &Service| {
        let clients = service.clients.values();
        clients.filter(|client| client.seen.joined == 1).count()
    };
    assert_eq!((joined(&service), service.commits.len()), (31, 2));
    names.push("Ada".to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_agreement(&service, &names);
}

#[test]
fn another_member_takes_over_and_nobody_comes_in_twice() {
    let (mut service, ids) = crowded(&["Ada", "Grace"]);
    let edsger = service.arrive("Edsger");
    settle_without(&mut service, ids[0]);
    assert_eq!(service.client(edsger).seen.joined, 0, "Ada does not listen");
    service.ask(ids[1]);
    settle_without(&mut service, ids[0]);
    assert_eq!(service.client(edsger).seen.joined, 1);
    service.settle();
    service.wait(2 * SECOND);
    assert_agreement(&service, &["Ada", "Grace", "Edsger"]);
}

#[test]
fn where_nobody_is_asked_the_link_alone_opens_the_door() {
    let (mut service, _) = crowded(&["Ada"]);
    service.asks_by_turns = false;
    let grace = service.arrive("Grace");
    service.wait(4 * SECOND);
    assert_eq!(service.client(grace).seen.joined, 0, "still knocks");
    service.wait(2 * SECOND);
    assert_eq!(service.client(grace).seen.joined, 1);
    assert_agreement(&service, &["Ada", "Grace"]);
}

#[test]
fn who_knocks_waits_as_long_as_others_come_in() {
    let (mut service, ids) = crowded(&["Ada"]);
    service.asks_by_turns = false;
    let last = service.arrive("Last");
    service.settle();
    let knock = service.knocks.pop().unwrap();
    for name in ["B", "C", "D"] {
        service.wait(4 * SECOND);
        service.arrive(name);
        service.settle();
        service.ask(ids[0]);
        service.settle();
    }
    assert_eq!(service.client(last).seen.joined, 0);
    service.knocks.push(knock);
    service.ask(ids[0]);
    service.settle();
    assert_agreement(&service, &["Ada", "B", "C", "D", "Last"]);
}

#[test]
fn who_is_brought_in_while_coming_in_alone_is_in_once() {
    let (mut service, ids) = crowded(&["Ada"]);
    service.asks_by_turns = false;
    let grace = service.arrive("Grace");
    while service.deliver(grace) | service.hear(grace) {}
    // Grace loses patience, and her own commit is on its way when Ada brings her in.
    service.now = service.now + 5 * SECOND;
    let now = service.now;
    service.client_mut(grace).membership.handle_timeout(now);
    service.client_mut(grace).drain();
    service.hear(grace);
    service.deliver(grace);
    assert_eq!(service.client(grace).outbox.len(), 1);
    service.ask(ids[0]);
    while service.deliver(ids[0]) | service.hear(ids[0]) {}
    service.settle();
    service.wait(6 * SECOND);
    assert_eq!(service.stale, 1);
    assert_eq!(service.client(grace).seen.joined, 1);
    assert_agreement(&service, &["Ada", "Grace"]);
}

#[test]
fn who_comes_in_alone_is_not_brought_in_as_well() {
    let (mut service, ids) = crowded(&["Ada"]);
    service.asks_by_turns = false;
    let grace = service.arrive("Grace");
    while service.deliver(grace) | service.hear(grace) {}
    service.ask(ids[0]);
    service.deliver(ids[0]);
    service.deliver(ids[0]);
    // Ada's commit is on its way when Grace's own comes first.
    service.now = service.now + 5 * SECOND;
    let now = service.now;
    service.client_mut(grace).membership.handle_timeout(now);
    service.client_mut(grace).drain();
    for _ in 0..2 {
        service.hear(grace);
        while service.deliver(grace) {}
    }
    service.settle();
    service.wait(6 * SECOND);
    assert_eq!(service.client(grace).seen.joined, 1);
    assert_agreement(&service, &["Ada", "Grace"]);
}

#[test]
fn a_lost_group_is_not_knocked_at() {
    let (mut service, ids) = crowded(&["Ada"]);
    service.asks_by_turns = false;
    service.arrive("Grace");
    service.arrive("Edsger");
    service.settle();
    service.leave(ids[0]);
    service.asks_by_turns = true;
    service.settle();
    service.wait(12 * SECOND);
    assert_agreement(&service, &["Grace", "Edsger"]);
}

#[test]
fn a_founding_that_crosses_the_loss_of_the_group_is_the_only_one() {
    let mut service = Service::new();
    let [ada, grace, edsger] = ["Ada", "Grace", "Edsger"].map(|name| service.arrive(name));
    // All three are told to found the group. Ada is first, and gone again at once.
    for id in [ada, grace, edsger] {
        service.deliver(id);
    }
    service.hear(ada);
    service.leave(ada);
    // The server hears Grace's founding, which she sent before she heard of the loss.
    service.hear(grace);
    service.settle();
    service.wait(20 * SECOND);
    assert_agreement(&service, &["Grace", "Edsger"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Some come in by themselves, some knock, some leave, at any moment.
    #[test]
    fn whoever_stays_ends_in_one_group(
        steps in prop::collection::vec(any::<u16>(), 500),
        leavers in prop::collection::btree_set(0..10_usize, 0..4),
        crowd in 1..5_usize,
    ) {
        let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];
        let mut service = Service::new();
        service.crowd = crowd;
        let ids: Vec<_> = names.iter().map(|name| service.arrive(name)).collect();
        let mut leaving = leavers.iter().copied();
        for (number, step) in steps.iter().enumerate() {
            let id = ids[usize::from(step >> 1) % ids.len()];
            let _ = if step & 1 == 0 { service.deliver(id) } else { service.hear(id) };
            if number % 120 == 119 && let Some(leaver) = leaving.next() {
                service.leave(ids[leaver]);
            }
        }
        for leaver in leaving {
            service.leave(ids[leaver]);
        }
        service.settle();
        service.wait(20 * SECOND);
        let stay = (0..10).filter(|number| !leavers.contains(number));
        let stay: Vec<_> = stay.map(|number| names[number]).collect();
        assert_agreement(&service, &stay);
    }
}
