//! A request that names a project is about that project.

use serde_json::json;

use crate::house::House;

#[tokio::test(start_paused = true)]
async fn a_project_narrows_what_is_seen_and_names_what_is_submitted() {
    let house = House::new();
    let p = house.post("/jobs?project=p", json!({ "file": "a.py", "name": "in-p" })).await;
    assert_eq!(p.text_of("project"), "p");
    house.post("/jobs?project=q", json!({ "file": "a.py", "name": "in-q" })).await;
    house.post("/jobs", json!({ "file": "a.py", "name": "in-none" })).await;
    let own = house.post("/jobs?project=p", json!({ "file": "a.py", "project": "q" })).await;
    assert_eq!(own.text_of("project"), "q", "what the body says is the dialect's business");

    let id = p.text_of("uuid");
    assert_eq!(house.get(&format!("/jobs/{id}?project=p")).await.status, 200);
    assert_eq!(house.get(&format!("/jobs/{id}?project=q")).await.status, 404);
    assert_eq!(house.get(&format!("/jobs/{id}")).await.status, 200, "a dialect without projects sees all");
    assert_eq!(house.get("/jobs?project=p").await.json["total"], 2, "its own, and those that have none");
    assert_eq!(house.get("/jobs").await.json["total"], 4);
    let elsewhere = house.post("/actions/cancel?project=q", json!({ "ids": [id] })).await;
    assert_eq!(elsewhere.status, 404);
    assert_eq!(house.state(&id).await, "queued");
}
