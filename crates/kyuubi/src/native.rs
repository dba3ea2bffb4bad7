//! A Kyuubi's own object on its way to a client that speaks Kyuubi: everything stays as it came, its order, its numbers and members that
//! nobody here knows, but for three. The id is the one that the client holds. And `kyuubiInstance` is this proxy: `kyuubi-ctl` dials that
//! address for the log, and would else go past the proxy, or nowhere. An instance that is not there yet stays so: then the client asks where
//! it asked before. And `user` is who submitted the batch to this proxy, or whom it runs as: the Kyuubi knows the proxy's own account, and
//! filters and rights go by the other.

use std::borrow::Cow;

use batchlingua_core::{Batch, BatchId, BatchState};
use batchlingua_wire::NativeObject;

use crate::{
    NAME,
    convert::Shown,
    dto::{BatchInfo, FIRST_MEMBERS},
    state,
};

/// The object as it is shown. `None`: there is none of a Kyuubi's, or it says something else than is known by now.
pub(crate) fn object(batch: &Batch<BatchId>, shown: &Shown<'_>) -> Option<Vec<u8>> {
    let native = batch.native.as_ref().filter(|native| native.dialect.as_str() == NAME)?;
    let object = NativeObject::read(&native.object)?;
    let app_word = object.get("appState").map(|text| text.trim_matches('"'));
    if state::read(&native.word, app_word).unwrap_or(BatchState::Running) != batch.state {
        return None;
    }
    let mut changes: Vec<(&str, Cow<'_, str>)> = vec![("id", format!("\"{}\"", batch.id.uuid).into())];
    if object.get("kyuubiInstance").is_some_and(|instance| instance != "null") {
        let instance = shown.instance.as_deref().map_or(serde_json::Value::Null, serde_json::Value::from);
        changes.push(("kyuubiInstance", instance.to_string().into()));
    }
    if let Some(user) = batch.user().filter(|_| object.get("user").is_some()) {
        changes.push(("user", serde_json::Value::from(user).to_string().into()));
    }
    if shown.info == BatchInfo::Duplicated && !shown.is_strict {
        changes.push(("batchInfo", r#"{"kyuubi.batch.duplicated":"true"}"#.into()));
    }
    if !shown.is_strict {
        return Some(object.with(&changes));
    }
    // A client that fails on members that it does not know gets those that there were at first.
    let first = FIRST_MEMBERS.map(|name| {
        let change = changes.iter().find(|(changed, _)| *changed == name).map(|(_, text)| text.clone());
        (name, change.or_else(|| object.get(name).map(Cow::Borrowed)).unwrap_or("null".into()))
    });
    Some(NativeObject::default().with(&first))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use batchlingua_core::{Native, Uuid};

    use super::*;

    const CAME: &str = r#"{"id":"00000000-0000-0000-0000-000000000009","new":1.50,"state":"RUNNING","appState":"PENDING","kyuubiInstance":"10.0.0.9:10099","batchInfo":{},"user":"etl"}"#;

    fn batch(object: &str, word: &str, state: BatchState) -> Batch<BatchId> {
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
        let native =
            Native { dialect: NAME.into(), word: word.to_owned(), object: object.to_owned().into(), status: None };
        Batch { native: Some(native), ..Batch::new(id, state, Arc::default()) }
    }

    fn show(batch: &Batch<BatchId>, is_strict: bool, info: BatchInfo, instance: Option<&str>) -> Option<String> {
        let shown = Shown { instance: instance.map(|text| text.to_owned().into()), is_strict, info };
        object(batch, &shown).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn all_but_the_id_and_the_address_stays_as_it_came() {
        let running = batch(CAME, "RUNNING", BatchState::Starting);
        let shown = show(&running, false, BatchInfo::Nothing, Some("proxy:8998")).expect("an object");
        let wanted = CAME.replace("000009", "000007").replace("10.0.0.9:10099", "proxy:8998");
        assert_eq!(shown, wanted);
        let flagged = show(&running, false, BatchInfo::Duplicated, None).expect("an object");
        assert!(
            flagged.contains(r#""kyuubiInstance":null,"batchInfo":{"kyuubi.batch.duplicated":"true"}"#),
            "{flagged}"
        );
        let unpicked = CAME.replace("\"10.0.0.9:10099\"", "null").replace("RUNNING", "INITIALIZED");
        let unpicked = batch(&unpicked, "INITIALIZED", BatchState::Queued);
        let shown = show(&unpicked, false, BatchInfo::Nothing, Some("proxy:8998")).expect("an object");
        assert!(shown.contains(r#""state":"INITIALIZED""#) && shown.contains(r#""kyuubiInstance":null"#), "{shown}");
    }

    #[test]
    fn a_batch_is_its_submitters_and_no_account_of_the_proxy() {
        use batchlingua_core::{BatchSpec, Principal};
        let running = batch(CAME, "RUNNING", BatchState::Starting);
        let ours = Batch { owner: Some(Principal::unverified("ann")), ..running };
        let shown = |batch: &Batch<BatchId>| show(batch, false, BatchInfo::Nothing, None).expect("an object");
        assert!(shown(&ours).ends_with(r#""user":"ann"}"#), "{}", shown(&ours));
        let spec = BatchSpec { run_as: Some("sales".into()), ..BatchSpec::default() };
        assert!(shown(&Batch { spec: Arc::new(spec), ..ours }).ends_with(r#""user":"sales"}"#));
    }

    #[test]
    fn what_is_known_better_is_not_shown_in_older_words() {
        assert_eq!(show(&batch(CAME, "RUNNING", BatchState::Succeeded), false, BatchInfo::Nothing, None), None);
        assert_eq!(show(&batch("[]", "RUNNING", BatchState::Running), false, BatchInfo::Nothing, None), None);
        let foreign = batch(CAME, "RUNNING", BatchState::Starting);
        let native = foreign.native.clone().map(|native| Native { dialect: "livy".into(), ..native });
        assert_eq!(show(&Batch { native, ..foreign }, false, BatchInfo::Nothing, None), None);
        assert!(show(&batch(CAME, "PAUSED", BatchState::Running), false, BatchInfo::Nothing, None).is_some());
    }

    #[test]
    fn an_old_client_gets_the_members_that_it_knows() {
        let shown = show(&batch(CAME, "RUNNING", BatchState::Starting), true, BatchInfo::Duplicated, Some("p:1"));
        let shown: serde_json::Value = serde_json::from_str(&shown.expect("an object")).expect("JSON");
        let names: Vec<_> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, FIRST_MEMBERS);
        assert_eq!(
            (&shown["user"], &shown["kyuubiInstance"], &shown["name"]),
            (&"etl".into(), &"p:1".into(), &().into())
        );
    }
}
