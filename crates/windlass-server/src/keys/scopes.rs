//! What a key may do, as a set.

use serde::{Deserialize, Serialize};

use crate::answer::Fault;
use crate::routes::Scope;

/// The scopes that keys have, with what each lets them do.
pub(crate) const ALL: [(Scope, &str); 6] = [
    (Scope::Produce, "enqueue jobs"),
    (Scope::Work, "claim jobs, with their payloads, and settle them"),
    (Scope::Read, "look at everything but what jobs hold"),
    (Scope::Payloads, "look at everything, payloads, results, errors and logs included"),
    (Scope::Operate, "change jobs, queues, limits and schedules"),
    (Scope::Admin, "everything, keys included"),
];

/// Some scopes. `payloads` includes `read`, and `admin` all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub(crate) const EVERY: Scopes = Scopes(u8::MAX);

    /// The scopes of those words.
    pub(crate) fn parse<T: AsRef<str>>(words: &[T]) -> Result<Self, Fault> {
        let known = || ALL.map(|(scope, _)| scope.as_str()).join(", ");
        let mut scopes = Self::default();
        for word in words {
            let word = word.as_ref();
            let Some((scope, _)) = ALL.iter().find(|(scope, _)| scope.as_str() == word) else {
                return Err(Fault::bad_request(format!("there is no scope {word:?}; there are {}", known())));
            };
            scopes.0 |= bit(*scope);
        }
        if scopes.0 == 0 {
            return Err(Fault::bad_request("a key without a scope may do nothing")
                .hint(format!("say what it may do: {}", known())));
        }
        Ok(scopes)
    }

    /// Whether it lets somebody do that.
    pub(crate) fn has(self, scope: Scope) -> bool {
        let enough = match scope {
            Scope::Open => return true,
            Scope::Read => bit(Scope::Read) | bit(Scope::Payloads) | bit(Scope::Admin),
            other => bit(other) | bit(Scope::Admin),
        };
        self.0 & enough != 0
    }

    /// The words that it was made of.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        ALL.iter().filter(move |(scope, _)| self.0 & bit(*scope) != 0).map(|(scope, _)| scope.as_str())
    }
}

const fn bit(scope: Scope) -> u8 {
    match scope {
        Scope::Open => 0,
        Scope::Produce => 1,
        Scope::Work => 2,
        Scope::Read => 4,
        Scope::Payloads => 8,
        Scope::Operate => 16,
        Scope::Admin => 32,
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = String;
    fn try_from(words: Vec<String>) -> Result<Self, String> {
        Self::parse(&words).map_err(|fault| fault.0.detail.clone())
    }
}

impl From<Scopes> for Vec<String> {
    fn from(scopes: Scopes) -> Self {
        scopes.words().map(ToOwned::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_lets_do_what_it_says_and_nothing_else() {
        for (scope, _) in ALL {
            let one = Scopes::parse(&[scope.as_str()]).expect("a scope");
            for (other, _) in ALL {
                let expected = scope == other
                    || scope == Scope::Admin
                    || (scope == Scope::Payloads && other == Scope::Read);
                assert_eq!(one.has(other), expected, "{} for {}", scope.as_str(), other.as_str());
            }
            assert_eq!(one.words().collect::<Vec<_>>(), [scope.as_str()]);
        }
        assert!(Scopes::parse(&["open"]).is_err() && Scopes::parse::<&str>(&[]).is_err());
        assert!(!Scopes::default().has(Scope::Read) && Scopes::default().has(Scope::Open));
    }
}
