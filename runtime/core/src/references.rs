//! What correlations refer to: the rules that an entry of `correlation.rules` stands for, and an order in which
//! correlations of correlations can be evaluated.

use std::collections::BTreeSet;

use crate::Rule;

/// Returns the places among `rules` of those that `entry` stands for: the rule with that id or, where there is none,
/// each rule that is named `ENTRY.TABLE` after the table it reads, as Sigma rules over several tables are.
pub fn members<'a>(entry: &str, rules: impl IntoIterator<Item = &'a Rule>) -> Vec<usize> {
    let mut placed = Vec::new();
    for (place, rule) in rules.into_iter().enumerate() {
        if rule.id == entry {
            return vec![place];
        }
        let table = rule
            .id
            .strip_prefix(entry)
            .and_then(|rest| rest.strip_prefix('.'));
        if table.is_some_and(|table| !table.is_empty() && table == rule.table) {
            placed.push(place);
        }
    }
    placed
}

/// An order of things that need each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Those that can be done, each after all that it needs; otherwise in their own order.
    pub possible: Vec<usize>,
    /// Those that need themselves, or something that does, in their own order.
    pub circular: Vec<usize>,
}

/// Orders things by what each of them needs.
pub fn in_order(needs: &[Vec<usize>]) -> Order {
    let mut missing: Vec<BTreeSet<usize>> = needs
        .iter()
        .map(|needs| needs.iter().copied().collect())
        .collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (place, of) in missing.iter().enumerate() {
        for need in of {
            if let Some(list) = needed_by.get_mut(*need) {
                list.push(place);
            }
        }
    }
    let free = |(place, missing): (usize, &BTreeSet<usize>)| missing.is_empty().then_some(place);
    let mut ready: BTreeSet<usize> = missing.iter().enumerate().filter_map(free).collect();
    let mut possible = Vec::with_capacity(needs.len());
    while let Some(place) = ready.pop_first() {
        possible.push(place);
        for user in &needed_by[place] {
            missing[*user].remove(&place);
            if missing[*user].is_empty() {
                ready.insert(*user);
            }
        }
    }
    let circular = (0..needs.len())
        .filter(|place| !missing[*place].is_empty())
        .collect();
    Order { possible, circular }
}

/// Returns the circle that `place`, one of the circular, is in or leads to, from one of its members back to the same.
pub fn circle_of(place: usize, needs: &[Vec<usize>], order: &Order) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut next = Some(place);
    while let Some(at) = next {
        let seen = path.iter().position(|known| *known == at);
        path.push(at);
        if let Some(start) = seen {
            return path.split_off(start);
        }
        next = needs[at]
            .iter()
            .copied()
            .find(|need| order.circular.binary_search(need).is_ok());
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_before_wholes_and_circles_are_named() {
        let needs = [vec![2], vec![], vec![1, 1], vec![4], vec![3, 1], vec![3]];
        let order = in_order(&needs);
        assert_eq!(order.possible, [1, 2, 0]);
        assert_eq!(order.circular, [3, 4, 5]);
        assert_eq!(circle_of(3, &needs, &order), [3, 4, 3]);
        assert_eq!(circle_of(5, &needs, &order), [3, 4, 3]);
        assert_eq!(in_order(&[vec![0]]).circular, [0]);
    }

    #[test]
    fn an_entry_is_a_rule_or_its_placements() {
        let rule = |id: &str, table: &str| -> Rule {
            toml::from_str(&format!(
                "id = \"{id}\"\ntitle = \"t\"\ntable = \"{table}\"\nwhere = \"true\""
            ))
            .unwrap()
        };
        let rules = [
            rule("a.dns", "dns"),
            rule("a.web", "web"),
            rule("a.b", "web"),
            rule("b", "web"),
            rule("b.web", "web"),
        ];
        assert_eq!(members("a", &rules), [0, 1]);
        assert_eq!(members("b", &rules), [3]);
        assert_eq!(members("a.dns", &rules), [0]);
        assert!(members("c", &rules).is_empty());
    }
}
