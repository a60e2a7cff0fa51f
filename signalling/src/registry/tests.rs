use std::time::Duration;

use tokio::time::timeout;

use super::*;

fn registry() -> Arc<Registry> {
    rig::open(None, Limits::default()).0
}

/// The door had let them through at `came`; they come into the room only now.
async fn come_in(rooms: &Arc<Registry>, room: &RoomId, came: Instant) -> Option<Refused> {
    let (outbound, _inbox) = crate::outbound::channel(&rooms.limits);
    let newcomer = Newcomer {
        key: RoomAuth::new([7; 32]),
        participant: ParticipantId::new(1),
        outbound,
        came,
    };
    let (answer, answered) = oneshot::channel();
    match rooms.knock(room, RoomSize::DEFAULT, newcomer, answer) {
        Ok(()) => answered.await.unwrap().err(),
        Err(refused) => Some(refused),
    }
}

#[tokio::test]
async fn a_room_is_closed_even_if_whoever_asks_for_it_hangs_up() {
    let rooms = registry();
    let room: RoomId = "garden".parse().unwrap();
    let (outbound, _inbox) = crate::outbound::channel(&rooms.limits);
    let (key, ada) = (RoomAuth::new([7; 32]), ParticipantId::new(1));
    let entered = rooms.enter(room.clone(), key, None, ada, outbound).await;
    let _seat = entered.unwrap();
    tokio::select! {
        biased;
        _ = rooms.shut(&room) => panic!("it took no time"),
        () = std::future::ready(()) => {}
    }
    let closed = async {
        while !rooms.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), closed).await.unwrap();
}

#[tokio::test]
async fn who_was_on_the_way_into_a_room_that_is_closed_does_not_open_it_again() {
    let rooms = registry();
    let (room, other) = ("garden".parse().unwrap(), "roof".parse().unwrap());
    let came = Instant::now();
    rooms.shut(&room).await.unwrap();
    assert_eq!(come_in(&rooms, &room, came).await, Some(Refused::Closed));
    assert!(rooms.is_empty(), "it is open again");
    // Neither other rooms nor those who come later are meant.
    assert_eq!(come_in(&rooms, &other, came).await, None);
    assert_eq!(come_in(&rooms, &room, Instant::now()).await, None);
}
