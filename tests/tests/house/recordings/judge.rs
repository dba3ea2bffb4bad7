//! The verdict on one exchange. Equal views are the same, and so are views that what varies by nature explains. Else the rules are asked in
//! their order: each may level what it stands for, and is credited only if less text differs then. If any is left at the
//! end, the exchange is a fault: a rule excuses what it says and nothing beside it.

use super::cases::Case;
use super::compare::{Difference, View};
use super::product::{Level, Product};
use super::rewrite::{Apps, Ids};
use super::rules::Rule;
use crate::wire::{Answer, SILENCE};

#[derive(Debug)]
pub(super) enum Verdict {
    /// Equal, as it stands or but for these entries of the product's `NATURE`.
    Same(Vec<&'static str>),
    ByRule(Vec<&'static str>),
    Fault(Vec<Difference>),
}

/// What came back from the proxy, or why nothing did.
pub(super) type Outcome = Result<Vec<Answer>, String>;

pub(super) fn judge(
    product: &dyn Product,
    rules: &[&[Rule]],
    case: &Case,
    outcome: &Outcome,
    apps: &Apps,
    ids: &Ids,
) -> Verdict {
    let mut pairs = pairs(product, case, outcome, apps, ids);
    let mut left = differences(&pairs);
    let mut varied = Vec::new();
    for nature in product.nature() {
        ease(case, nature.level, &mut pairs, &mut left).then(|| varied.push(nature.name));
    }
    if left.is_empty() {
        return Verdict::Same(varied);
    }
    let mut credited = Vec::new();
    for rule in rules.iter().copied().flatten() {
        ease(case, rule.level, &mut pairs, &mut left).then(|| credited.push(rule.name));
    }
    // What varies may have become comparable by a rule only.
    for nature in product.nature() {
        ease(case, nature.level, &mut pairs, &mut left);
    }
    if left.is_empty() { Verdict::ByRule(credited) } else { Verdict::Fault(left) }
}

/// The recorded answers beside ours; a side that has fewer gets an answer that equals no other.
fn pairs(product: &dyn Product, case: &Case, outcome: &Outcome, apps: &Apps, ids: &Ids) -> Vec<(View, View)> {
    let request = case.request();
    let missing = |why: String| View::missing(&why);
    let recorded =
        case.recorded.iter().map(|answer| View::recorded(answer, request).unwrap_or_else(missing)).collect::<Vec<_>>();
    let ours = match outcome {
        Ok(answers) => {
            let view = |answer| View::ours(answer, request, product, apps, ids).unwrap_or_else(missing);
            answers.iter().map(view).collect()
        }
        // Which is what was recorded.
        Err(why) if why == SILENCE && recorded.is_empty() => Vec::new(),
        Err(why) => vec![View::missing(why)],
    };
    let length = recorded.len().max(ours.len());
    let fill = |mut side: Vec<View>| {
        side.resize_with(length, || View::missing("(no further answer)"));
        side
    };
    fill(recorded).into_iter().zip(fill(ours)).collect()
}

/// Lets one table entry level the pairs; takes it back unless less text differs then. (Text and not places: two lists of different lengths are
/// one difference, and many once they have become comparable.)
fn ease(case: &Case, level: Level, pairs: &mut Vec<(View, View)>, left: &mut Vec<Difference>) -> bool {
    if left.is_empty() {
        return false;
    }
    let mut eased = pairs.clone();
    let mut touched = false;
    for (recorded, ours) in &mut eased {
        touched |= level(case, recorded, ours);
    }
    let remaining = differences(&eased);
    let text = |all: &[Difference]| all.iter().map(Difference::text).sum::<usize>();
    let better = touched && text(&remaining) < text(left);
    if better {
        (*pairs, *left) = (eased, remaining);
    }
    better
}

fn differences(pairs: &[(View, View)]) -> Vec<Difference> {
    pairs.iter().flat_map(|(recorded, ours)| recorded.against(ours)).collect()
}
