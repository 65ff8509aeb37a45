//! Recordings of calls, and answers from them.

use std::sync::Arc;

use yagura_http::{HttpRequest, RecordingTransport, Replay};

use yagura_http_testing::server::{Server, answer, answer_with, resetting};
use yagura_http_testing::{Rig, caller, denied, failed, live};

#[test]
fn a_recording_answers_as_the_servers_did_and_holds_no_secret() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/moved" => answer_with(302, "location", "/found"),
        _ => answer(201, format!("{} {}", seen.header("x-token"), seen.body)),
    });
    let broken = resetting();
    let granted = format!(
        "http = [\"{}\", \"{broken}\"]\nnetworks = [\"127.0.0.1/32\"]\nsecrets.TOKEN = [\"127.0.0.1\"]",
        server.url()
    );
    let caller = caller(&granted);
    let requests = |rig: &mut Rig| {
        let mut request = HttpRequest {
            method: "POST".to_owned(),
            body: b"a {{secret:TOKEN}}".to_vec(),
            ..HttpRequest::get(&format!("{}/{{{{secret:TOKEN}}}}", server.url()))
        };
        let token = ("x-token".to_owned(), "{{secret:TOKEN}}".to_owned());
        request.headers.push(token);
        let mut answers = vec![
            rig.send(&caller, request),
            rig.get(&caller, &format!("{}/moved", server.url())),
            rig.get(&caller, &broken),
        ];
        for answer in answers.iter_mut().flatten() {
            answer.headers.retain(|(name, _)| name != "date");
        }
        answers
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let record = RecordingTransport::create(live(Arc::default()), file.path()).unwrap();
    let recorded = requests(&mut Rig::new(Arc::new(record)));
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(
        !text.contains("0123456789") && text.contains("{{secret:TOKEN}}"),
        "{text}"
    );

    let seen = server.seen().len();
    let replay = Arc::new(Replay::read(file.path()).unwrap());
    let mut rig = Rig::new(replay.clone());
    assert_eq!(requests(&mut rig), recorded);
    assert!(replay.unmatched().is_empty() && replay.unused().is_empty());
    assert_eq!(server.seen().len(), seen, "nothing was sent");

    // The checks that need no server are made all the same.
    assert!(
        denied(rig.get(&yagura_http_testing::caller(""), &server.url())).contains("is not granted")
    );
    let mut other = HttpRequest::get(&server.url());
    other
        .headers
        .push(("a".to_owned(), "{{secret:OTHER}}".to_owned()));
    assert!(denied(rig.send(&caller, other)).contains("`OTHER` is not granted"));
    let unknown = failed(rig.get(&caller, &format!("{}/mooved", server.url())));
    assert!(unknown.contains("/moved"), "{unknown}");
    assert_eq!(replay.unmatched().len(), 1);
}
