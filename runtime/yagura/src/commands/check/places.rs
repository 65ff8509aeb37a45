//! Where in its file a diagnostic belongs that a check of rules has no key for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use yagura_core::diagnostic::{Code, Diagnostic, Key};
use yagura_core::files;
use yagura_core::source::SourceText;
use yagura_rules::sigma::{Load, SigmaSource, span_in};

/// Returns diagnostics with their spans: that of their key or, without one, that of the part of the rule that the code is about.
pub(super) fn placed(found: Vec<Diagnostic>, load: &Load) -> Vec<Diagnostic> {
    let mut lines: BTreeMap<(PathBuf, String), usize> = BTreeMap::new();
    for source in &load.rules {
        for id in ids(source) {
            lines
                .entry((source.file.clone(), id))
                .or_insert(source.line);
        }
    }
    for source in &load.correlations {
        let own = [source.rule.id.clone(), Some(source.rule.title.clone())];
        for id in own.into_iter().flatten().chain([source.id()]) {
            lines
                .entry((source.file.clone(), id))
                .or_insert(source.line);
        }
    }
    let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
    let place = |diagnostic: Diagnostic| {
        let Some(file) = diagnostic
            .file
            .clone()
            .filter(|_| diagnostic.span.is_none())
        else {
            return diagnostic;
        };
        if let Some(rule) = &diagnostic.rule
            && let Some(line) = lines.get(&(file.clone(), rule.clone()))
        {
            let key = diagnostic
                .key
                .clone()
                .or_else(|| sigma_part(diagnostic.code));
            return diagnostic.with_span(span_in(&file, *line, key.as_ref()));
        }
        if file.extension().is_none_or(|end| end != "toml") {
            return diagnostic;
        }
        let text = texts
            .entry(file.clone())
            .or_insert_with(|| files::read_text(&file).unwrap_or_default());
        let source = SourceText::new(&file, text);
        match diagnostic.key {
            Some(_) => source.place(diagnostic),
            None => {
                let part =
                    Diagnostic::note(diagnostic.code, String::new()).at(part(diagnostic.code));
                let span = source.place(part).span;
                diagnostic.with_span(span)
            }
        }
    };
    found.into_iter().map(place).collect()
}

/// Returns the names by which a check may call a Sigma rule.
fn ids(source: &SigmaSource) -> Vec<String> {
    let own = [source.rule.id.clone(), Some(source.rule.title.clone())];
    let mut ids: Vec<String> = own.into_iter().flatten().collect();
    ids.extend([source.id(), source.events_id()]);
    ids
}

/// Returns the key of a rule file that a code is about.
fn part(code: Code) -> Key {
    Key::written(match code {
        Code::NeverMatches
        | Code::AlwaysMatches
        | Code::Expensive
        | Code::TypeMismatch
        | Code::UnknownField
        | Code::InvalidCondition
        | Code::DuplicateRule => "rule.where",
        Code::UnknownTable => "rule.table",
        Code::StateWithoutEnd => "rule.partition_by",
        Code::MissingAttackTag => "rule.tags",
        Code::PluginLacksRule | Code::PluginNotBuilt => "rule.plugin",
        Code::CorrelationNotRunning
        | Code::CorrelationField
        | Code::CircularCorrelation
        | Code::MissingGeolocation => "rule.correlation",
        Code::InvalidDependency => "pack",
        _ => "rule",
    })
}

/// Returns the key of a Sigma rule that a code is about.
fn sigma_part(code: Code) -> Option<Key> {
    let key = match code {
        Code::NeverMatches
        | Code::AlwaysMatches
        | Code::Expensive
        | Code::TypeMismatch
        | Code::UnknownField
        | Code::DuplicateRule => "detection",
        Code::UnusedDetection => "detection.condition",
        Code::UnknownTable => "logsource",
        Code::CorrelationNotRunning => "correlation",
        Code::MissingAttackTag => "tags",
        _ => return None,
    };
    Some(Key::written(key))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use yagura_rules::sigma::load_file;

    use super::*;

    #[test]
    fn what_has_no_key_is_brought_to_the_part_that_it_is_about() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("a.toml");
        fs::write(
            &own,
            "[rule]\nid = \"a\"\ntable = \"t\"\nwhere = \"x = 1\"\n",
        )
        .unwrap();
        let sigma = dir.path().join("b.yml");
        let text =
            "title: b\nid: b\nlogsource: {product: x}\ndetection:\n  s: {a: b}\n  condition: s\n";
        fs::write(&sigma, text).unwrap();
        let load = load_file(&sigma);
        let found = vec![
            Diagnostic::warning(Code::Expensive, "x")
                .in_file(&own)
                .of_rule("a"),
            Diagnostic::note(Code::MissingAttackTag, "x")
                .in_file(&own)
                .of_rule("a"),
            Diagnostic::warning(Code::Expensive, "x")
                .in_file(&sigma)
                .of_rule("b"),
            Diagnostic::note(Code::MissingAttackTag, "x")
                .in_file(&sigma)
                .of_rule("b"),
            Diagnostic::warning(Code::UnknownTable, "x"),
        ];
        let lines: Vec<Option<usize>> = placed(found, &load).iter().map(Diagnostic::line).collect();
        assert_eq!(lines, [Some(4), Some(1), Some(4), Some(1), None]);
    }
}
