//! Options of a job: unique keys' scope, what a taken key means, limits with a cost, parents.

use windlass_core::LimitName;
use windlass_core::job::{OnConflict, OnParent, Parent, UniqueScope};
use windlass_core::limit::LimitUse;

use super::span;

/// Reads how long a unique key stays taken.
///
/// # Errors
/// A sentence with examples.
pub fn unique_scope(text: &str) -> Result<UniqueScope, String> {
    match text {
        "live" => Ok(UniqueScope::WhileLive),
        "until-start" => Ok(UniqueScope::UntilStart),
        _ => span::parse(text)
            .map(|ttl_ms| UniqueScope::For { ttl_ms })
            .map_err(|_| format!("{text:?} is neither a span of time (1h) nor `live` nor `until-start`")),
    }
}

/// The scope as [`unique_scope`] reads it.
pub fn spell_unique_scope(scope: UniqueScope) -> String {
    match scope {
        UniqueScope::WhileLive => "live".to_owned(),
        UniqueScope::UntilStart => "until-start".to_owned(),
        UniqueScope::For { ttl_ms } => span::exact(ttl_ms),
    }
}

/// Reads what a taken key means.
///
/// # Errors
/// The words there are.
pub fn on_conflict(text: &str) -> Result<OnConflict, String> {
    match text {
        "existing" => Ok(OnConflict::Existing),
        "replace" => Ok(OnConflict::Replace),
        "reschedule" => Ok(OnConflict::Reschedule),
        "refuse" => Ok(OnConflict::Refuse),
        _ => Err(format!("{text:?} is none of existing, replace, reschedule, refuse")),
    }
}

/// The policy as [`on_conflict`] reads it.
pub fn spell_on_conflict(policy: OnConflict) -> &'static str {
    match policy {
        OnConflict::Existing => "existing",
        OnConflict::Replace => "replace",
        OnConflict::Reschedule => "reschedule",
        OnConflict::Refuse => "refuse",
    }
}

/// Reads `NAME` or `NAME=COST`.
///
/// # Errors
/// What is wrong with the name or the cost.
pub fn limit_use(text: &str) -> Result<LimitUse, String> {
    let (name, cost) = text.split_once('=').unwrap_or((text, "1"));
    let cost = cost.parse().map_err(|_| format!("{text:?}: the cost {cost:?} is not a whole number"))?;
    LimitName::new(name).map(|name| LimitUse { name, cost }).map_err(|refused| refused.to_string())
}

/// The limit as [`limit_use`] reads it.
pub fn spell_limit_use(limit: &LimitUse) -> String {
    if limit.cost == 1 { limit.name.to_string() } else { format!("{}={}", limit.name, limit.cost) }
}

/// Reads `ID` or `ID=always`.
///
/// # Errors
/// What is wrong with the id or the word.
pub fn parent(text: &str) -> Result<Parent, String> {
    let (id, on) = match text.split_once('=') {
        Some((id, "always")) => (id, OnParent::Always),
        Some((id, "success")) => (id, OnParent::Success),
        Some((_, other)) => return Err(format!("{other:?} is neither `success` nor `always`")),
        None => (text, OnParent::Success),
    };
    id.parse().map(|id| Parent { id, on }).map_err(|refused: windlass_core::Rejection| refused.to_string())
}

/// The parent as [`parent`] reads it.
pub fn spell_parent(parent: &Parent) -> String {
    match parent.on {
        OnParent::Success => parent.id.to_string(),
        OnParent::Always => format!("{}=always", parent.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::{JobId, Time};

    #[test]
    fn an_option_is_read_back_from_its_own_spelling() {
        for text in ["live", "until-start", "1h30m"] {
            assert_eq!(spell_unique_scope(unique_scope(text).expect(text)), text);
        }
        for text in ["existing", "replace", "reschedule", "refuse"] {
            assert_eq!(spell_on_conflict(on_conflict(text).expect(text)), text);
        }
        for text in ["smtp", "smtp=3"] {
            assert_eq!(spell_limit_use(&limit_use(text).expect(text)), text);
        }
        let id = JobId::from_parts(Time(1), 2);
        for text in [format!("{id}"), format!("{id}=always")] {
            assert_eq!(spell_parent(&parent(&text).expect("a parent")), text);
        }
    }

    #[test]
    fn what_is_no_option_is_refused_in_words() {
        assert!(unique_scope("soon").expect_err("no span").contains("until-start"));
        assert!(on_conflict("ignore").expect_err("no policy").contains("refuse"));
        assert!(limit_use("smtp=x").expect_err("no cost").contains("whole number"));
        assert!(parent("x").is_err() && parent("x=never").is_err());
    }
}
