//! What clients are shown of a batch that runs on a DLI: that DLI's own object, as it came, but for its id, which is the proxy's, and its
//! owner where he has proven to the proxy who he is: to that DLI all are the user whose credentials the proxy has, and lists that are asked for
//! an owner go by the one that is known here.
//!
//! Its words and members are passed on whatever they are. Only where a state is asked for alone a word that is known is in small letters: the
//! reference has it with a capital in one place, and Terraform waits for the other for ever.

use std::borrow::Cow;

use batchlingua_core::{Batch, BatchId, BatchState, Log, Native, Uuid};
use batchlingua_wire::NativeObject;

use crate::{
    NAME,
    convert::{NAME_LENGTH, View},
    state,
};

fn of_dli(native: Option<&Native>) -> Option<&Native> {
    native.filter(|native| native.dialect.as_str() == NAME)
}

/// The word for a batch's state, where that is all that is asked for.
pub(crate) fn word(batch: &Batch<BatchId>) -> &str {
    match of_dli(batch.native.as_ref()).filter(|native| is_as_far(native, batch.state)) {
        Some(native) => state::known(&native.word).unwrap_or(&native.word),
        None => state::word(batch.state),
    }
}

/// The object of a batch that runs on a DLI. `None`: there is none, or it says less than is known by now.
pub(crate) fn object(batch: &Batch<BatchId>) -> Option<Vec<u8>> {
    let native = of_dli(batch.native.as_ref()).filter(|native| is_as_far(native, batch.state))?;
    let object = NativeObject::read(&native.object)?;
    let mut changes = vec![("id", id(batch.id.uuid))];
    if let Some(name) = object.get("name").and_then(|name| whole_name(batch, name)) {
        changes.push(("name", name.into()));
    }
    if let Some(owner) = batch.owner.as_ref().filter(|owner| owner.verified) {
        changes.push(("owner", serde_json::to_string(&*owner.name).ok()?.into()));
    }
    Some(object.with(&changes))
}

/// The status that this object is answered with: to a create the one that the DLI answered with.
pub(crate) fn status(batch: &Batch<BatchId>, view: View) -> u16 {
    match view {
        View::Created => of_dli(batch.native.as_ref()).and_then(|native| native.status).unwrap_or(200),
        View::Shown | View::Listed => 200,
    }
}

/// A page of a log on a DLI.
pub(crate) fn log(uuid: Uuid, log: &Log) -> Option<Vec<u8>> {
    let object = NativeObject::read(&of_dli(log.native.as_ref())?.object)?;
    Some(object.with(&[("id", id(uuid))]))
}

fn id(uuid: Uuid) -> Cow<'static, str> {
    format!("\"{uuid}\"").into()
}

/// DLI has one word for both bad ends.
fn is_as_far(native: &Native, state: BatchState) -> bool {
    let state = if state == BatchState::Cancelled { BatchState::Failed } else { state };
    state::meant(&native.word).unwrap_or(BatchState::Running) == state
}

/// The client's own name, where it was cut to make room for the proxy's id.
fn whole_name(batch: &Batch<BatchId>, text: &str) -> Option<String> {
    let name: Cow<'_, str> = serde_json::from_str(text).ok()?;
    let given = batch.spec.name.as_deref()?;
    let is_cut = !name.is_empty() && given.len() > name.len() && given.starts_with(&*name);
    let fits = given.chars().count() <= NAME_LENGTH;
    serde_json::to_string(given).ok().filter(|_| is_cut && fits)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use batchlingua_core::{BatchSpec, Principal};

    use super::*;

    const CAME: &str = r#"{"new":{"b":1.50},"id":"00000000-0000-0000-0000-000000000009","state":"Running","name":"nightly","create_time":1767225600123,"big":1e3}"#;

    fn batch(word: &str, state: BatchState) -> Batch<BatchId> {
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
        let native = Native { dialect: NAME.into(), word: word.to_owned(), object: CAME.into(), status: None };
        let spec = BatchSpec { name: Some("nightly".to_owned()), ..BatchSpec::default() };
        Batch { native: Some(native), ..Batch::new(id, state, Arc::new(spec)) }
    }

    fn text(batch: &Batch<BatchId>) -> Option<String> {
        object(batch).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn all_but_the_id_stays_as_it_came() {
        let running = batch("Running", BatchState::Running);
        assert_eq!(text(&running).expect("an object"), CAME.replace("000009", "000007"));
        let mut named = running.clone();
        Arc::make_mut(&mut named.spec).name = Some("nightly run of the whole house".to_owned());
        assert!(text(&named).expect("an object").contains(r#""name":"nightly run of the whole house""#));
        Arc::make_mut(&mut named.spec).name = Some("another".to_owned());
        assert_eq!(text(&named), text(&running), "what DLI says counts");
        let owned = |owner| Batch { owner: Some(owner), ..running.clone() };
        assert_eq!(text(&owned(Principal::unverified("ana"))), text(&running));
        let proven = Principal { verified: true, ..Principal::unverified("ana") };
        assert!(text(&owned(proven)).expect("an object").ends_with(r#","owner":"ana"}"#));
    }

    #[test]
    fn a_word_alone_is_in_small_letters_if_it_is_known() {
        for (native, state, shown) in [
            ("Success", BatchState::Succeeded, "success"),
            ("recovering", BatchState::Running, "recovering"),
            ("Cancelling", BatchState::Running, "Cancelling"),
            ("dead", BatchState::Cancelled, "dead"),
            ("dead", BatchState::Failed, "dead"),
            ("running", BatchState::Succeeded, "success"),
        ] {
            assert_eq!(word(&batch(native, state)), shown, "{native} {state}");
        }
    }

    #[test]
    fn what_is_known_better_is_not_shown_in_older_words() {
        assert_eq!(text(&batch("running", BatchState::Succeeded)), None);
        let mut foreign = batch("running", BatchState::Running);
        foreign.native = foreign.native.map(|native| Native { dialect: "livy".into(), ..native });
        assert_eq!(text(&foreign), None);
    }
}
