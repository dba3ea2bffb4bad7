//! What a Kylin makes of each field of a submit: nothing, since it takes none.
//!
//! Its jobs come of operations on models, tables and snapshots, and none of them runs a program that somebody brings. The table is here for
//! the documentation all the same: who looks for a way finds that there is none.

use batchlingua_core::{ConfFate, Field, Line, Mapping, Place};

/// Why there is no submit.
pub(crate) const NO_SUBMIT: &str = "a Kylin runs jobs of its own models only, and takes no programs";

/// Kylin.
pub(crate) const MAPPING: Mapping = Mapping {
    platform: "Kylin",
    dialect: "",
    lines: &[
        nowhere(Field::File),
        nowhere(Field::ClassName),
        nowhere(Field::Args),
        nowhere(Field::Jars),
        nowhere(Field::PyFiles),
        nowhere(Field::Files),
        nowhere(Field::Archives),
        nowhere(Field::RunAs),
        nowhere(Field::DriverMemory),
        nowhere(Field::DriverCores),
        nowhere(Field::ExecutorMemory),
        nowhere(Field::ExecutorCores),
        nowhere(Field::Executors),
        nowhere(Field::Queue),
        nowhere(Field::Name),
    ],
    conf: &[],
    other_conf: ConfFate::Lost,
};

const fn nowhere(field: Field) -> Line {
    Line { field, place: Place::Nowhere(NO_SUBMIT), note: "" }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{BatchSpec, PathMap};

    use super::*;

    #[test]
    fn every_field_has_one_line_and_nothing_is_carried() {
        for field in Field::ALL {
            let lines = MAPPING.lines.iter().filter(|line| line.field == field).count();
            assert_eq!(lines, usize::from(!matches!(field, Field::Conf | Field::Extension)), "{}", field.as_str());
        }
        let mut spec = BatchSpec { file: Some("a.jar".into()), queue: Some("q".into()), ..BatchSpec::default() };
        spec.conf.set("spark.x", "1");
        let load = MAPPING.load(&spec, &"livy".into(), &PathMap::default()).expect("a load");
        assert!(load.members.is_empty() && load.conf.is_empty());
        assert_eq!((load.fates.len(), load.fates.iter().filter(|fate| fate.is_lost()).count()), (3, 3));
    }
}
