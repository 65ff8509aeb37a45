//! Which versions of packs fit together.
//!
//! A search with steps back: the newest version first (or the one that a lock file has), until every requirement is met.
//! It asks for what it does not know yet, so the same code works over a registry and over a list in a test.

use std::collections::BTreeMap;
use std::fmt;

use semver::{Version, VersionReq};

/// Choices that are tried before the search gives up: far beyond what packs of one team need.
const CHOICES: usize = 100_000;

/// What is known of packs.
#[derive(Debug, Clone, Default)]
pub struct Universe {
    /// The versions that there are, by pack.
    pub versions: BTreeMap<String, Vec<Version>>,
    /// What a version needs.
    pub needs: BTreeMap<(String, Version), Vec<(String, VersionReq)>>,
}

/// What the search has to know before it can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingFact {
    /// The versions of a pack.
    Versions(String),
    /// What a version of a pack needs.
    Needs(String, Version),
}

/// How far the search came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// These versions fit together.
    Complete(BTreeMap<String, Version>),
    /// The search has to know this first; then it is called again.
    Unknown(MissingFact),
}

/// Why no versions fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// No version of a pack meets all requirements.
    #[error("no version of `{pack}` meets all requirements: {}; there {}", listed(.asks), there(.versions))]
    NoVersion {
        /// The pack.
        pack: String,
        /// Who needs which versions.
        asks: Vec<(Asker, VersionReq)>,
        /// The versions that there are.
        versions: Vec<Version>,
    },
    /// There are too many choices.
    #[error(
        "the packs can be combined in too many ways to find one that fits: require exact versions of some"
    )]
    TooMany,
}

/// Who needs a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Who called.
    You,
    /// A version of a pack.
    Pack(String, Version),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::You => write!(f, "you ask for"),
            Self::Pack(name, version) => write!(f, "`{name}` {version} needs"),
        }
    }
}

fn listed(asks: &[(Asker, VersionReq)]) -> String {
    let asks = asks
        .iter()
        .map(|(who, versions)| format!("{who} `{versions}`"));
    asks.collect::<Vec<_>>().join(", ")
}

fn there(versions: &[Version]) -> String {
    match versions {
        [] => "is none".to_owned(),
        versions => {
            let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
            format!("are {}", versions.join(", "))
        }
    }
}

/// Finds versions for all that `roots` need, directly and through others; versions in `locked` have priority.
///
/// # Errors
/// The conflict that the search got furthest with.
pub fn resolve(
    universe: &Universe,
    roots: &[(String, VersionReq)],
    locked: &BTreeMap<String, Version>,
) -> Result<Resolution, Conflict> {
    let mut search = VersionSearch {
        universe,
        locked,
        choices: 0,
        deepest: None,
    };
    let mut asked = Requirements::new();
    for (pack, versions) in roots {
        let entry = asked.entry(pack.clone()).or_default();
        entry.push((Asker::You, versions.clone()));
    }
    match search.choose(&asked, &BTreeMap::new()) {
        Ok(found) => Ok(Resolution::Complete(found)),
        Err(SearchStop::Missing(missing)) => Ok(Resolution::Unknown(missing)),
        Err(SearchStop::Conflict(depth, conflict)) => {
            Err(search.deepest.unwrap_or((depth, conflict)).1)
        }
    }
}

type Requirements = BTreeMap<String, Vec<(Asker, VersionReq)>>;

enum SearchStop {
    Missing(MissingFact),
    Conflict(usize, Conflict),
}

struct VersionSearch<'a> {
    universe: &'a Universe,
    locked: &'a BTreeMap<String, Version>,
    choices: usize,
    /// The conflict with the most packs chosen: the one that says most.
    deepest: Option<(usize, Conflict)>,
}

impl VersionSearch<'_> {
    fn choose(
        &mut self,
        asked: &Requirements,
        chosen: &BTreeMap<String, Version>,
    ) -> Result<BTreeMap<String, Version>, SearchStop> {
        // A choice that was made before somebody asked for another version is withdrawn.
        let broken = chosen.iter().find(|(pack, version)| {
            let asks = asked.get(*pack).into_iter().flatten();
            !asks
                .map(|(_, versions)| versions)
                .all(|versions| versions.matches(version))
        });
        if let Some((pack, _)) = broken {
            return Err(self.conflict(pack, asked, chosen.len()));
        }
        let Some((pack, asks)) = asked.iter().find(|(pack, _)| !chosen.contains_key(*pack)) else {
            return Ok(chosen.clone());
        };
        let Some(versions) = self.universe.versions.get(pack) else {
            return Err(SearchStop::Missing(MissingFact::Versions(pack.clone())));
        };
        let mut fit: Vec<&Version> = versions
            .iter()
            .filter(|version| asks.iter().all(|(_, wanted)| wanted.matches(version)))
            .collect();
        fit.sort_by(|a, b| b.cmp(a));
        if let Some(locked) = self.locked.get(pack) {
            fit.sort_by_key(|version| *version != locked);
        }
        let mut last = None;
        for version in fit {
            self.choices += 1;
            if self.choices > CHOICES {
                self.deepest = None;
                return Err(SearchStop::Conflict(usize::MAX, Conflict::TooMany));
            }
            let key = (pack.clone(), version.clone());
            let Some(needs) = self.universe.needs.get(&key) else {
                return Err(SearchStop::Missing(MissingFact::Needs(key.0, key.1)));
            };
            let (mut asked, mut chosen) = (asked.clone(), chosen.clone());
            chosen.insert(pack.clone(), version.clone());
            for (needed, versions) in needs {
                let who = Asker::Pack(pack.clone(), version.clone());
                let entry = asked.entry(needed.clone()).or_default();
                entry.push((who, versions.clone()));
            }
            match self.choose(&asked, &chosen) {
                Err(SearchStop::Conflict(depth, conflict)) if depth != usize::MAX => {
                    last = Some((depth, conflict));
                }
                other => return other,
            }
        }
        match last {
            Some((depth, conflict)) => Err(SearchStop::Conflict(depth, conflict)),
            None => Err(self.conflict(pack, asked, chosen.len())),
        }
    }

    fn conflict(&mut self, pack: &str, asked: &Requirements, depth: usize) -> SearchStop {
        let versions = self.universe.versions.get(pack);
        let mut versions = versions.cloned().unwrap_or_default();
        versions.sort();
        let conflict = Conflict::NoVersion {
            pack: pack.to_owned(),
            asks: asked.get(pack).cloned().unwrap_or_default(),
            versions,
        };
        if self
            .deepest
            .as_ref()
            .is_none_or(|(deepest, _)| depth > *deepest)
        {
            self.deepest = Some((depth, conflict.clone()));
        }
        SearchStop::Conflict(depth, conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pack<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    fn universe(packs: &[Pack<'_>]) -> Universe {
        let mut universe = Universe::default();
        for (name, version, needs) in packs {
            let version = Version::parse(version).unwrap();
            let versions = universe.versions.entry((*name).to_owned()).or_default();
            versions.push(version.clone());
            let needs = needs
                .iter()
                .map(|(name, versions)| ((*name).to_owned(), versions.parse().unwrap()));
            universe
                .needs
                .insert(((*name).to_owned(), version), needs.collect());
        }
        universe
    }

    fn run(universe: &Universe, roots: &[(&str, &str)], locked: &[(&str, &str)]) -> String {
        let roots: Vec<(String, VersionReq)> = roots
            .iter()
            .map(|(name, versions)| ((*name).to_owned(), versions.parse().unwrap()))
            .collect();
        let locked = locked
            .iter()
            .map(|(name, version)| ((*name).to_owned(), version.parse().unwrap()));
        match resolve(universe, &roots, &locked.collect()) {
            Ok(Resolution::Complete(found)) => {
                let found = found
                    .iter()
                    .map(|(name, version)| format!("{name} {version}"));
                found.collect::<Vec<_>>().join(", ")
            }
            Ok(Resolution::Unknown(missing)) => format!("{missing:?}"),
            Err(conflict) => conflict.to_string(),
        }
    }

    #[test]
    fn the_newest_that_fit_are_taken_and_locked_ones_stay() {
        let packs = universe(&[
            ("aws", "1.0.0", &[("base", "^1")]),
            ("aws", "1.1.0", &[("base", "^1.2")]),
            ("aws", "2.0.0-rc.1", &[("base", "*")]),
            ("base", "1.1.0", &[]),
            ("base", "1.2.0", &[]),
            ("base", "2.0.0", &[]),
        ]);
        assert_eq!(run(&packs, &[("aws", "*")], &[]), "aws 1.1.0, base 1.2.0");
        let locked = [("aws", "1.0.0"), ("base", "1.1.0")];
        assert_eq!(
            run(&packs, &[("aws", "*")], &locked),
            "aws 1.0.0, base 1.1.0"
        );
        assert_eq!(
            run(&packs, &[("aws", ">=1.1")], &locked),
            "aws 1.1.0, base 1.2.0"
        );
    }

    #[test]
    fn a_choice_is_withdrawn_where_another_fits() {
        let packs = universe(&[
            ("a", "1.0.0", &[("c", "^1")]),
            ("a", "2.0.0", &[("c", "^2")]),
            ("b", "1.0.0", &[("c", "^1")]),
            ("c", "1.0.0", &[]),
            ("c", "2.0.0", &[]),
        ]);
        assert_eq!(
            run(&packs, &[("a", "*"), ("b", "*")], &[]),
            "a 1.0.0, b 1.0.0, c 1.0.0"
        );
    }

    #[test]
    fn a_conflict_says_who_needs_what() {
        let packs = universe(&[
            ("a", "1.0.0", &[("c", "^1")]),
            ("b", "1.0.0", &[("c", "^2")]),
            ("c", "1.0.0", &[]),
            ("c", "2.1.0", &[]),
        ]);
        assert_eq!(
            run(&packs, &[("a", "*"), ("b", "^1")], &[]),
            "no version of `c` meets all requirements: `a` 1.0.0 needs `^1`, `b` 1.0.0 needs `^2`; there are 1.0.0, 2.1.0"
        );
        assert_eq!(
            run(&packs, &[("a", "^3")], &[]),
            "no version of `a` meets all requirements: you ask for `^3`; there are 1.0.0"
        );
    }

    #[test]
    fn what_is_missing_is_asked_for_and_circles_end() {
        let mut packs = Universe::default();
        assert_eq!(run(&packs, &[("a", "*")], &[]), "Versions(\"a\")");
        packs
            .versions
            .insert("a".to_owned(), vec![Version::new(1, 0, 0)]);
        assert!(run(&packs, &[("a", "*")], &[]).starts_with("Needs(\"a\""));
        let circle = universe(&[
            ("a", "1.0.0", &[("b", "*")]),
            ("b", "1.0.0", &[("a", "^1")]),
        ]);
        assert_eq!(run(&circle, &[("a", "*")], &[]), "a 1.0.0, b 1.0.0");
    }

    #[test]
    fn a_search_without_end_is_given_up() {
        let names: Vec<String> = (0..8).map(|number| format!("p{number}")).collect();
        let versions: Vec<String> = (0..8).map(|number| format!("1.{number}.0")).collect();
        let never = [("z", "^9")];
        let mut packs = vec![("z", "1.0.0", &[][..])];
        for name in &names {
            let needs: &[(&str, &str)] = if name == "p7" { &never } else { &[] };
            packs.extend(
                versions
                    .iter()
                    .map(|version| (name.as_str(), version.as_str(), needs)),
            );
        }
        let roots: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "*")).collect();
        assert!(run(&universe(&packs), &roots, &[]).contains("in too many ways"));
    }
}
