//! As many members as frames can name, and one more.

use crate::{
    malicious::violation,
    raw::{RawMember, ghost, link_key},
    service::Service,
};
use conclave_e2ee::{LeafIndex, PolicyViolation};

#[test]
fn a_group_has_no_more_members_than_frames_can_name() {
    let (mut service, ids) = Service::with(&["Ada"]);
    let ada = ids[0];
    let mut insider = RawMember::join(&mut service, "Mallory");
    // They are in the room: nobody is to take them out again.
    let crowd = (2..=LeafIndex::LIMIT).map(|_| {
        let id = service.announce();
        ghost(&service, id, "N")
    });
    let mut crowd: Vec<_> = crowd.collect();
    let mut bring_in = |service: &mut Service, crowd: Vec<_>| {
        let (raw, _) = insider.admit(service, crowd, vec![link_key(service)]);
        service.submit(insider.id, raw);
        while service.deliver(ada) {}
        insider.forget();
        service.client(ada).seen.refused.last().cloned()
    };
    // 1,025 with the two who are there.
    let full = violation(&PolicyViolation::Full);
    let refused = bring_in(&mut service, crowd.clone());
    assert_eq!(refused.unwrap().1, full);
    while service.hear(ada) {}
    assert_eq!(service.client(ada).names(), ["Ada", "Mallory"]);

    crowd.pop();
    bring_in(&mut service, crowd);
    assert_eq!(service.client(ada).seen.refused.len(), 1);
    assert_eq!(service.client(ada).names().len(), 1024);
    // One more, by their own commit, on the state as Ada shows it.
    let epoch = service.group.as_ref().unwrap().epoch;
    service.ask_for_state(ada, epoch);
    let late = service.announce();
    let (_, raw) = RawMember::knock(&service, late, "Late", vec![link_key(&service)]);
    service.submit(late, raw);
    while service.deliver(ada) {}
    let refused = &service.client(ada).seen.refused;
    assert_eq!(refused[1..], [(late, full)]);
}
