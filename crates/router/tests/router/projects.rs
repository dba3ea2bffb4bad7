//! A request that names a project is about that project.

use batchlingua_router::Scoping;
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

/// Those that have no project are shown in one that is none, and found by its name: also where projects are configured and it is not among
/// them, and where who names another project does not see them.
#[tokio::test(start_paused = true)]
async fn what_has_no_project_is_found_by_the_one_that_it_is_shown_in() {
    for known in [None, Some(vec!["p".to_owned()])] {
        let house = House::with(|plans| {
            plans.limits.scoping = Scoping { projects: known.clone(), show_unscoped: false, ..Scoping::default() };
        });
        let (id, _) = house.running("in-none").await;
        house.post("/jobs?project=p", json!({ "file": "a.py", "name": "in-p" })).await;
        let total = async |project: &str| house.get(&format!("/jobs?project={project}")).await.json["total"].as_u64();
        assert_eq!((total("p").await, total("none").await), (Some(1), Some(1)), "{known:?}");
        assert_eq!(house.get(&format!("/jobs/{id}?project=none")).await.status, 200);
        assert_eq!(house.get(&format!("/jobs/{id}?project=p")).await.status, 404);
        let done = house.post("/actions/cancel", json!({ "project": "none" })).await;
        assert_eq!((done.json.as_array().map(Vec::len), &done.json[0]["uuid"]), (Some(1), &json!(id)));
        let unknown = if known.is_some() { 404 } else { 200 };
        assert_eq!(house.get("/jobs?project=ghost").await.status, unknown, "any other name is one or is none");
    }
}
