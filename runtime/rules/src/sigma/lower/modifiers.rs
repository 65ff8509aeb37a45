//! Modifiers of a field: their names, and which of them contradict each other. What each of them means is in `values.rs`.

use rsigma_parser::Modifier;

use super::error::{LowerError, wrong};

/// What a modifier does. A new one has to be placed here, so that none is read as if it were not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModifierRole {
    /// Says how the field is compared; one of them at most.
    Operator,
    /// Links the values, the fields or the result: `all`, `neq`, `fieldref`.
    Link,
    /// Changes the text that is compared.
    Transform,
    /// A flag of `re`.
    Flag,
    /// Compares with case.
    Case,
    /// Puts other values in place of the text.
    Expand,
}

/// Returns what a modifier does.
pub(super) fn role_of(modifier: Modifier) -> ModifierRole {
    use Modifier as M;
    match modifier {
        M::Contains
        | M::StartsWith
        | M::EndsWith
        | M::Re
        | M::Cidr
        | M::Exists
        | M::Gt
        | M::Gte
        | M::Lt
        | M::Lte
        | M::Minute
        | M::Hour
        | M::Day
        | M::Week
        | M::Month
        | M::Year => ModifierRole::Operator,
        M::All | M::Neq | M::FieldRef => ModifierRole::Link,
        M::Base64 | M::Base64Offset | M::Wide | M::Utf16 | M::Utf16be | M::WindAsh => {
            ModifierRole::Transform
        }
        M::IgnoreCase | M::Multiline | M::DotAll => ModifierRole::Flag,
        M::Cased => ModifierRole::Case,
        M::Expand => ModifierRole::Expand,
    }
}

/// Refuses modifiers that contradict each other.
pub(super) fn check(key: &str, modifiers: &[Modifier]) -> Result<(), LowerError> {
    use Modifier as M;
    let has = |modifier: &Modifier| modifiers.contains(modifier);
    let with_role = |role| {
        let mut all = modifiers.iter().copied();
        all.find(|modifier| role_of(*modifier) == role)
    };
    let operators: Vec<&str> = modifiers
        .iter()
        .filter(|modifier| role_of(**modifier) == ModifierRole::Operator)
        .map(|modifier| name_of(*modifier))
        .collect();
    if operators.len() > 1 {
        return wrong(
            key,
            format!(
                "`{}` contradict each other: a field is compared in one way",
                operators.join("` and `")
            ),
        );
    }
    let is_text = operators
        .first()
        .is_none_or(|name| matches!(*name, "contains" | "startswith" | "endswith"));
    if has(&M::FieldRef) && !is_text {
        return wrong(
            key,
            format!("`fieldref` does not go with `{}`", operators.join("`, `")),
        );
    }
    let encodings = [M::Wide, M::Utf16, M::Utf16be];
    if encodings.iter().filter(|modifier| has(modifier)).count() > 1 {
        return wrong(key, "names more than one of `wide`, `utf16` and `utf16be`");
    }
    if has(&M::Base64) && has(&M::Base64Offset) {
        return wrong(key, "names both `base64` and `base64offset`");
    }
    if (has(&M::Utf16) || has(&M::Utf16be)) && !has(&M::Base64) && !has(&M::Base64Offset) {
        return wrong(
            key,
            "`utf16` and `utf16be` give bytes that are not text: add `base64` or `base64offset`",
        );
    }
    if has(&M::Expand) && (has(&M::Re) || has(&M::FieldRef) || has(&M::Exists)) {
        return wrong(
            key,
            "`expand` puts values in place of text, and does not go with `re`, `fieldref` or `exists`",
        );
    }
    if (!is_text || has(&M::FieldRef))
        && let Some(transform) = with_role(ModifierRole::Transform)
    {
        return wrong(
            key,
            format!(
                "`{}` changes text, and the values here are not compared as text",
                name_of(transform)
            ),
        );
    }
    if !has(&M::Re)
        && let Some(flag) = with_role(ModifierRole::Flag)
    {
        return wrong(
            key,
            format!("`{}` is a flag of `re`, which is not there", name_of(flag)),
        );
    }
    Ok(())
}

/// Returns a modifier as rules write it.
pub(in crate::sigma) fn name_of(modifier: Modifier) -> &'static str {
    match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::All => "all",
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16be => "utf16be",
        Modifier::Utf16 => "utf16",
        Modifier::WindAsh => "windash",
        Modifier::Re => "re",
        Modifier::Cidr => "cidr",
        Modifier::Cased => "cased",
        Modifier::Exists => "exists",
        Modifier::Expand => "expand",
        Modifier::FieldRef => "fieldref",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Neq => "neq",
        Modifier::IgnoreCase => "i",
        Modifier::Multiline => "m",
        Modifier::DotAll => "s",
        Modifier::Minute => "minute",
        Modifier::Hour => "hour",
        Modifier::Day => "day",
        Modifier::Week => "week",
        Modifier::Month => "month",
        Modifier::Year => "year",
    }
}
