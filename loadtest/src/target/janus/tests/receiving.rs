//! What viewers ask for, and when.

use super::*;

#[test]
fn a_viewer_receives_what_its_view_asks_for() {
    let mut rig = Rig::joined(&viewer(), &json!([feed(1), feed(2), feed(3)]));
    assert!(!rig.reached(Milestone::InCall));
    let request =
        rig.answer(json!({"janus": "success", "session_id": SESSION, "data": {"id": SUBSCRIBER}}));
    assert_eq!(request["janus"], "attach");
    let body = rig.offer(
        SUBSCRIBER,
        &subscription("attached", &[(1, "0"), (2, "0"), (1, "1"), (2, "1")]),
    );
    // Two microphones, for which there are slots, and the two cameras of the first page.
    let streams = json!([
        {"feed": 1, "mid": "0"}, {"feed": 2, "mid": "0"},
        {"feed": 1, "mid": "1"}, {"feed": 2, "mid": "1"},
    ]);
    let expected = json!({
        "request": "join", "ptype": "subscriber", "room": 1234, "private_id": 3_234_013_427_u64, "streams": streams,
    });
    assert_eq!(body, expected);
    rig.accept();
    assert!(!rig.reached(Milestone::InCall));
    rig.input(Input::Connected(RECEIVING));
    assert!(rig.reached(Milestone::InCall));

    rig.input(Input::View(view(1, 2, 360)));
    let body = rig.offer(
        SUBSCRIBER,
        &subscription("updated", &[(1, "0"), (2, "0"), (3, "1")]),
    );
    let expected = json!({
        "request": "update", "subscribe": [{"feed": 3, "mid": "1"}],
        "unsubscribe": [{"feed": 1, "mid": "1"}, {"feed": 2, "mid": "1"}],
    });
    assert_eq!(body, expected);
    rig.accept();
    assert!(rig.requests.is_empty() && rig.actions.is_empty());
}

#[test]
fn a_viewer_alone_in_the_room_is_in_the_call_and_hears_of_the_first_publisher() {
    let mut rig = Rig::joined(&viewer(), &json!([]));
    assert!(rig.reached(Milestone::InCall));
    rig.hear(&published(&json!([feed(7)])));
    assert_eq!(rig.request()["janus"], "attach");
}

#[test]
fn publishers_come_and_go() {
    let mut rig = Rig::receiving();
    // A screen is shown beside the page.
    let mut screen = feed(3);
    screen["streams"] = json!([{"type": "video", "mindex": 0, "mid": "s", "codec": "vp8", "description": "screen"}]);
    rig.hear(&published(&json!([screen])));
    // While that is under way, Janus takes a publisher out of the subscription by itself.
    rig.hear(&unpublished(1));
    let offered = subscription("updated", &[(2, "0"), (2, "1"), (3, "s")]);
    let body = rig.offer(SUBSCRIBER, &offered);
    assert_eq!(
        body,
        json!({"request": "update", "subscribe": [{"feed": 3, "mid": "s"}]})
    );
    rig.accept();
    assert!(rig.requests.is_empty(), "{:?}", rig.requests);

    rig.hear(&unpublished(1));
    rig.hear(&unpublished(3));
    let body = rig.body(SUBSCRIBER);
    assert_eq!(
        body,
        json!({"request": "update", "unsubscribe": [{"feed": 3, "mid": "s"}]})
    );
}

#[test]
fn a_request_that_is_put_off_is_not_made_twice() {
    let mut rig = Rig::receiving();
    rig.hear(&published(&json!([feed(3)])));
    rig.input(Input::View(view(0, 3, 360)));
    // Janus' own offer crosses the request.
    let mut own = event(
        SUBSCRIBER,
        &subscription("updated", &[(1, "0"), (2, "0"), (1, "1"), (2, "1")]),
    );
    own["jsep"] = json!({"type": "offer", "sdp": "v=0 Janus' offer"});
    let update = rig.requests[0].clone();
    assert_eq!(
        update["body"]["subscribe"],
        json!([{"feed": 3, "mid": "1"}])
    );
    rig.hear(&own);
    let updating = json!({"videoroom": "updating", "room": 1234});
    rig.answer_with(SUBSCRIBER, &updating);
    rig.accept();
    assert!(rig.requests.is_empty(), "{:?}", rig.requests);
    // Nor is anything else asked for before it comes.
    rig.input(Input::View(view(0, 2, 360)));
    assert!(rig.requests.is_empty(), "{:?}", rig.requests);
    let lines = [(1, "0"), (2, "0"), (1, "1"), (2, "1"), (3, "1")];
    let mut deferred = event(SUBSCRIBER, &subscription("updated", &lines));
    deferred["jsep"] = json!({"type": "offer", "sdp": "v=0 Janus' offer"});
    rig.hear(&deferred);
    rig.accept();
    let body = rig.offer(SUBSCRIBER, &subscription("updated", &lines[..4]));
    let unwanted = json!([{"feed": 3, "mid": "1"}]);
    assert_eq!(body, json!({"request": "update", "unsubscribe": unwanted}));
    rig.accept();
    assert!(rig.requests.is_empty(), "{:?}", rig.requests);
}

#[test]
fn a_change_of_nothing_is_through_at_once() {
    let mut rig = Rig::receiving();
    rig.hear(&unpublished(1));
    assert_eq!(
        rig.answer_with(SUBSCRIBER, &json!({"videoroom": "updated", "room": 1234}))["request"],
        "update"
    );
    rig.hear(&published(&json!([feed(3)])));
    assert_eq!(rig.body(SUBSCRIBER)["request"], "update");
}

#[test]
fn a_first_feed_that_is_gone_is_waited_out() {
    let mut rig = Rig::joined(&viewer(), &json!([feed(1)]));
    rig.answer(json!({"janus": "success", "session_id": SESSION, "data": {"id": SUBSCRIBER}}));
    let gone = json!({"videoroom": "event", "error_code": 428, "error": "No such feed (1)"});
    rig.answer_with(SUBSCRIBER, &gone);
    assert!(
        rig.requests.is_empty(),
        "it asked again: {:?}",
        rig.requests
    );
    rig.hear(&unpublished(1));
    assert!(rig.reached(Milestone::InCall));
    rig.hear(&published(&json!([feed(2)])));
    assert_eq!(rig.body(SUBSCRIBER)["request"], "join");
}

#[test]
fn a_stream_that_is_off_is_not_asked_for() {
    let mut without_camera = feed(1);
    without_camera["streams"][1] =
        json!({"type": "video", "mindex": 1, "mid": "1", "disabled": true});
    let mut rig = Rig::joined(&viewer(), &json!([without_camera]));
    rig.answer(json!({"janus": "success", "session_id": SESSION, "data": {"id": SUBSCRIBER}}));
    assert_eq!(
        rig.body(SUBSCRIBER)["streams"],
        json!([{"feed": 1, "mid": "0"}])
    );
}

#[test]
fn a_feed_that_is_gone_is_left_out_once_janus_says_so() {
    let mut rig = Rig::receiving();
    rig.hear(&published(&json!([feed(3)])));
    rig.input(Input::View(view(0, 3, 360)));
    let gone = json!({"videoroom": "event", "error_code": 428, "error": "No such feed (3)"});
    rig.answer_with(SUBSCRIBER, &gone);
    assert!(
        rig.requests.is_empty(),
        "it asked again: {:?}",
        rig.requests
    );
    rig.hear(&unpublished(3));
    assert!(rig.requests.is_empty(), "{:?}", rig.requests);
    rig.hear(&published(&json!([feed(4)])));
    assert_eq!(
        rig.body(SUBSCRIBER)["subscribe"],
        json!([{"feed": 4, "mid": "1"}])
    );
}

#[test]
fn the_layer_of_a_simulcast_camera_follows_the_size() {
    let mut camera = feed(1);
    camera["streams"] = json!([{"type": "video", "mindex": 0, "mid": "c", "codec": "vp8", "description": "camera", "simulcast": true}]);
    let mut rig = Rig::joined(&viewer(), &json!([camera]));
    rig.answer(json!({"janus": "success", "session_id": SESSION, "data": {"id": SUBSCRIBER}}));
    let body = rig.offer(SUBSCRIBER, &subscription("attached", &[(1, "c")]));
    assert_eq!(
        body["streams"],
        json!([{"feed": 1, "mid": "c", "substream": 1}])
    );
    rig.accept();
    rig.input(Input::View(view(0, 2, 720)));
    let body = rig.body(SUBSCRIBER);
    assert_eq!(
        body,
        json!({"request": "configure", "streams": [{"mid": "0", "substream": 2}]})
    );
    rig.input(Input::View(view(0, 2, 720)));
    assert!(rig.requests.is_empty());
    rig.input(Input::View(view(0, 2, 360)));
    let back = json!([{"mid": "0", "substream": 1}]);
    assert_eq!(rig.body(SUBSCRIBER)["streams"], back);
}
