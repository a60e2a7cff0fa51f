//! Large groups, whose members fill the tree when it is quiet.

use std::time::Duration;

use conclave_protocol::{ParticipantId, signal::ServerMessage};

use crate::{client::Client, honest::assert_agreement, raw::RawMember, service::Service};

const SECOND: Duration = Duration::from_secs(1);

/// So many, brought in by the first, as nobody has had time to do anything else.
fn gathered(count: usize) -> (Service, Vec<ParticipantId>) {
    let mut service = Service::new();
    service.arrive("N0");
    service.settle();
    service.crowd = 1;
    service.asks_by_turns = false;
    for number in 1..count {
        service.arrive(&format!("N{number}"));
    }
    service.settle();
    let ids: Vec<_> = service.clients.keys().copied().collect();
    while !service.knocks.is_empty() {
        service.ask(ids[0]);
        service.settle();
    }
    service.asks_by_turns = true;
    (service, ids)
}

fn assert_whole(service: &Service) {
    let first = service.clients.values().next().unwrap();
    assert_agreement(service, &first.names());
    assert_eq!(first.names().len(), service.clients.len());
}

/// How many bytes the commit has by which this one is taken out.
fn removal(service: &mut Service, id: ParticipantId) -> usize {
    let commits = service.commits.len();
    service.leave(id);
    service.settle();
    service.wait(SECOND);
    assert_eq!(service.commits.len(), commits + 1);
    assert_whole(service);
    let Some(ServerMessage::Committed { commit, .. }) = service.commits.last() else {
        unreachable!()
    };
    commit.len()
}

#[test]
fn after_a_crowd_and_a_quiet_time_a_removal_is_light() {
    let count = 40;
    let (mut service, ids) = gathered(count);
    let heavy = removal(&mut service, ids[25]);
    assert!(heavy > 1_100 * (count - 2), "{heavy} bytes");

    let (mut service, ids) = gathered(count);
    service.wait(9 * SECOND);
    let commits = service.commits.len();
    service.wait(60 * SECOND);
    let renewals = service.commits.len() - commits;
    assert!((4..=14).contains(&renewals), "{renewals} commits");
    assert_whole(&service);
    // One after the other goes: as it is at the end of a call.
    for (number, id) in ids[20..30].iter().enumerate() {
        let light = removal(&mut service, *id);
        assert!(light < 24_000, "{number}: {light} bytes");
    }
    let commits = service.commits.len();
    service.wait(60 * SECOND);
    service.wait(60 * SECOND);
    assert!(
        service.commits.len() <= commits + 2,
        "there is an end to it"
    );
    assert_eq!(service.stale, 0, "one at a time");
}

#[test]
fn a_small_group_is_left_alone() {
    let (mut service, _) = gathered(15);
    let commits = service.commits.len();
    service.wait(120 * SECOND);
    assert_eq!(service.commits.len(), commits);
}

fn wake(service: &mut Service, id: ParticipantId) -> &mut Client {
    let now = service.now;
    let client = service.client_mut(id);
    client.membership.handle_timeout(now);
    client.drain();
    client
}

#[test]
fn of_two_who_fill_at_once_the_second_is_too_late_and_no_harm_done() {
    let (mut service, ids) = gathered(20);
    service.now = service.now + 11 * SECOND;
    for id in &ids {
        wake(&mut service, *id);
    }
    let says = |service: &Service, id: &ParticipantId| !service.client(*id).outbox.is_empty();
    let saying = |service: &Service| ids.iter().filter(|id| says(service, id)).count();
    assert_eq!(saying(&service), 1);
    // The server is slow, and the next one takes over.
    service.now = service.now + 4 * SECOND;
    for id in &ids {
        wake(&mut service, *id);
    }
    assert_eq!(saying(&service), 2);
    let commits = service.commits.len();
    service.settle();
    assert_eq!((service.commits.len(), service.stale), (commits + 1, 1));
    assert_whole(&service);
}

#[test]
fn a_member_may_renew_its_keys_unasked() {
    let (mut service, ids) = Service::with(&["Ada", "Grace"]);
    let mut insider = RawMember::join(&mut service, "Mallory");
    let before = service.client(ids[0]).newest_key();
    let raw = insider.refresh(&service);
    service.submit(insider.id, raw);
    service.settle();
    for id in &ids {
        let client = service.client(*id);
        assert_eq!(client.seen.refused, []);
        assert_eq!(client.newest_key().0, before.0.next());
        assert_ne!(client.newest_key().1, before.1);
    }
}

/// People come and go in any order, and in between it is quiet for a while.
#[test]
fn the_group_stays_whole_whoever_comes_goes_and_fills() {
    for seed in 1..=3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut service, _) = gathered(17);
        let mut renewals = 0;
        for number in 0..30 {
            let ids: Vec<_> = service.clients.keys().copied().collect();
            if ids.len() > 18 || (ids.len() > 14 && random.bool()) {
                service.leave(ids[random.usize(..ids.len())]);
            } else {
                service.arrive(&format!("S{number}"));
            }
            // Some are slow.
            for _ in 0..random.usize(..40) {
                let id = ids[random.usize(..ids.len())];
                let _ = if random.bool() {
                    service.deliver(id)
                } else {
                    service.hear(id)
                };
            }
            if random.u8(..3) == 0 {
                service.wait(10 * SECOND);
                let commits = service.commits.len();
                service.wait(SECOND * random.u32(1..9));
                renewals += service.commits.len() - commits;
            }
        }
        service.settle();
        service.wait(20 * SECOND);
        assert!(renewals > 0, "seed {seed}: nobody has filled anything");
        assert_whole(&service);
    }
}
