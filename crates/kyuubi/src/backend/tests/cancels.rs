//! A batch that is to be ended: what is asked, and what is made of the answer.

use batchlingua_core::{Action, Backend, BatchState, Effect};
use batchlingua_testkit::{Reply, context};
use serde_json::json;

use super::{plain, submit};
use crate::fake::Scene;

#[tokio::test]
async fn a_delete_is_asked_for_in_the_name_of_the_batchs_user() {
    for (settings, user, target) in [
        (json!({}), "anonymous", ""),
        (json!({}), "ann", "?hive.server2.proxy.user=ann"),
        (json!({"auth": {"basic": {"user": "etl@REALM", "password": "p"}}}), "etl", ""),
        (json!({"auth": {"basic": {"user": "etl", "password": "p"}}}), "a&b/c", "?hive.server2.proxy.user=a%26b%2Fc"),
        (json!({"auth": {"bearer": "t"}}), "ann", "?hive.server2.proxy.user=ann"),
    ] {
        let scene = Scene::of("1.8.0", settings).await;
        let batch = submit(&scene, plain()).await.expect("accepted");
        scene.world().batches[0].user = user.to_owned();
        let effect = scene.backend.control(&context(), &batch.id, Action::Cancel).await.expect("ended");
        assert_eq!(effect, Effect::Ended(BatchState::Cancelled));
        let asked = scene.origin.asked();
        let lines: Vec<_> = asked[2..].iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
        let path = format!("/api/v1/batches/{}", batch.id);
        assert_eq!(lines, [format!("GET {path}"), format!("DELETE {path}{target}"), format!("GET {path}")]);
    }
}

/// Texts are those of `delete` and `two` in the recordings.
#[tokio::test]
async fn what_a_delete_did_is_seen_and_not_believed() {
    let closed = |success: bool, msg: &str| Reply::json(200, json!({"success": success, "msg": msg}).to_string());
    let unwatched = "No interface org.apache.kyuubi.engine.ApplicationOperation Service found in ServiceLoader for \
                     ApplicationManagerInfo(Some(local[2]),KubernetesInfo(None,None))";
    let cancelled = Ok(Effect::Ended(BatchState::Cancelled));
    for (word, after, wanted) in [
        (closed(true, "Succeeded to terminate: 1"), "RUNNING", Ok(Effect::Accepted)),
        (closed(false, "APPLICATION_NOT_FOUND"), "CANCELED", cancelled),
        (closed(false, "APPLICATION_NOT_FOUND"), "PENDING", Ok(Effect::Accepted)),
        (closed(false, "org.apache.kyuubi.client.exception.RetryableKyuubiRestException"), "CANCELED", cancelled),
        (closed(false, "batch x is already terminal"), "FINISHED", Ok(Effect::Ended(BatchState::Succeeded))),
        (closed(false, unwatched), "PENDING", Err("backend_rejected")),
        (
            Reply::json(403, r#"{"message":"Failed to validate proxy privilege of bob for ann"}"#),
            "RUNNING",
            Err("forbidden"),
        ),
        (Reply::json(405, "HTTP 405 Method Not Allowed"), "RUNNING", Err("forbidden")),
        (
            Reply::json(405, r#"{"message":"bob is not allowed to close the session belong to ann"}"#),
            "RUNNING",
            Err("forbidden"),
        ),
        (Reply::json(404, r#"{"message":"Invalid batchId: x"}"#), "RUNNING", Err("not_found")),
        (Reply::whole(502, "text/html", "<html>"), "RUNNING", Err("backend_unavailable")),
        (Reply::json(200, r#"{"ok":true}"#), "RUNNING", Err("backend_unavailable")),
        (Reply::nothing().then_close(), "RUNNING", Err("backend_unavailable")),
    ] {
        let scene = Scene::of("1.12.0", json!({})).await;
        let batch = submit(&scene, plain()).await.expect("accepted");
        scene.world().batches[0].ahead = vec!["PENDING", after];
        let shown = format!("{word:?}");
        scene.world().faults.push(("DELETE", word));
        let effect = scene.backend.control(&context(), &batch.id, Action::Cancel).await;
        assert_eq!(effect.map_err(|error| error.kind.as_str()), wanted, "{shown}");
    }
}

#[tokio::test]
async fn what_has_ended_is_left_with_its_log() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let batch = submit(&scene, plain()).await.expect("accepted");
    scene.finish(&batch.id, "FINISHED");
    let effect = scene.backend.control(&context(), &batch.id, Action::Cancel).await.expect("no error");
    assert_eq!(effect, Effect::AlreadyEnded(BatchState::Succeeded));
    assert!(scene.origin.asked().iter().all(|asked| asked.method != "DELETE"));
}
