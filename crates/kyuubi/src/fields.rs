//! Every field of a submit of Kyuubi's, and what it means in the model.

use batchlingua_core::{Field, FieldClass};
use batchlingua_wire::{Meaning, WireField};

use crate::convert;

const fn field(name: &'static str, meaning: Meaning, note: &'static str) -> WireField {
    WireField { name, meaning, note }
}

const OWN: Meaning = Meaning::Own(None);
const PLACED: Meaning = Meaning::Own(Some(FieldClass::Placement));

/// Keys of Kyuubi's own that only tell a server how it is to go about the batch.
const WAYS: [&str; 4] = [
    "kyuubi.batch.impl.version",
    "kyuubi.batch.application.check.interval",
    "kyuubi.session.engine.startup.waitCompletion",
    "kyuubi.session.engine.submit.timeout",
];

pub(crate) static FIELDS: [WireField; 30] = [
    field("batchType", OWN, "whether it is a Python program (PYSPARK) or an archive (SPARK)"),
    field("resource", Meaning::Field(Field::File), "without a scheme it is on the Kyuubi's own disk"),
    field(
        "className",
        Meaning::Field(Field::ClassName),
        "passed over for PYSPARK; an empty one is what the archive itself names",
    ),
    field("name", Meaning::Field(Field::Name), ""),
    field(
        "conf",
        Meaning::Field(Field::Conf),
        "a key without `spark.` in front is sent with it, as a Kyuubi hands it to Spark",
    ),
    field("args", Meaning::Field(Field::Args), ""),
    field(
        "extraResourcesMap",
        Meaning::Field(Field::Conf),
        "in a form: to which keys the files that come along are added",
    ),
    field("(form) batchRequest", Meaning::Proxy, "the JSON"),
    field("(form) resourceFile", Meaning::Field(Field::File), "the file itself, whatever `resource` says"),
    field("(form) other parts", Meaning::Field(Field::Conf), "the files that `extraResourcesMap` names"),
    field("(other members)", OWN, "kept for a Kyuubi that knows them"),
    field(
        "conf: kyuubi.batch.id",
        Meaning::Proxy,
        "the batch's id, and the key on which the same submit is the same batch",
    ),
    field("conf: kyuubi.session.proxy.user", Meaning::Field(Field::RunAs), "before the next one"),
    field("conf: hive.server2.proxy.user", Meaning::Field(Field::RunAs), ""),
    field("conf: kyuubi.session.name", Meaning::Field(Field::Name), "where there is no `name`"),
    field("conf: spark.yarn.queue", Meaning::Field(Field::Queue), ""),
    field("conf: kyuubi.client.version", Meaning::Proxy, "what a client's library says of itself: it goes nowhere"),
    field("conf: kyuubi.client.ipAddress", Meaning::Proxy, "a Kyuubi writes over it: it goes nowhere"),
    field("conf: kyuubi.server.ipAddress", Meaning::Proxy, "a Kyuubi writes over it: it goes nowhere"),
    field("conf: kyuubi.session.connection.url", Meaning::Proxy, "a Kyuubi writes over it: it goes nowhere"),
    field("conf: kyuubi.session.real.user", Meaning::Proxy, "a Kyuubi writes over it: it goes nowhere"),
    field("conf: kyuubi.batch.resource.uploaded", Meaning::Proxy, "a Kyuubi writes over it: it goes nowhere"),
    field("conf: kyuubi.batch.impl.version", OWN, "how a Kyuubi goes about it"),
    field("conf: kyuubi.batch.application.check.interval", OWN, "how a Kyuubi goes about it"),
    field("conf: kyuubi.session.engine.startup.waitCompletion", OWN, "how a Kyuubi goes about it"),
    field("conf: kyuubi.session.engine.submit.timeout", OWN, "how a Kyuubi goes about it"),
    field("conf: kyuubi.batch.priority", PLACED, ""),
    field("conf: kyuubi.*", PLACED, "other keys of Kyuubi's own"),
    field("(header) Idempotency-Key", Meaning::Proxy, "where there is no `kyuubi.batch.id`"),
    field("(header) X-Real-IP", Meaning::Proxy, "the client's address, where the listener believes it"),
];

/// What it means that another platform does not get this extension.
pub(crate) fn loss_of(extension: &str) -> Option<FieldClass> {
    // What a Kyuubi passes over says nothing to anybody else, and how keys were written is said by the keys.
    (convert::is_own_key(extension) && !WAYS.contains(&extension)).then_some(FieldClass::Placement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{convert::TAKEN_KEYS, dto::MEMBERS};

    fn meaning(name: &str) -> Option<Meaning> {
        FIELDS.iter().find(|field| field.name == name).map(|field| field.meaning)
    }

    #[test]
    fn everything_that_is_read_is_listed_once() {
        for member in MEMBERS {
            assert!(meaning(member).is_some(), "{member}");
        }
        for key in TAKEN_KEYS.into_iter().flatten() {
            assert!(meaning(&format!("conf: {key}")).is_some(), "{key}");
        }
        let names: std::collections::BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), FIELDS.len());
    }

    #[test]
    fn what_a_loss_means_is_what_the_list_says() {
        for field in &FIELDS {
            let Some(key) = field.name.strip_prefix("conf: kyuubi.") else { continue };
            let Meaning::Own(class) = field.meaning else { continue };
            let key = format!("kyuubi.{key}");
            // These never become an extension.
            if !TAKEN_KEYS.into_iter().flatten().any(|taken| *taken == key) {
                assert_eq!(loss_of(&key), class, "{key}");
            }
        }
        assert_eq!((loss_of("proxyUser"), loss_of(convert::AS_WRITTEN)), (None, None));
    }
}
