//! Predicates become a program.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use yagura_core::FieldPath;

use super::nested::{Group, Inside};
use super::program::{Methods, OtherEvaluator, Pair, Program};
use super::slot::Slot;
use super::tree::{NodeId, Nodes};
use super::values::{self, AtomId, Automata, TestError, ValueEvaluator};
use crate::json_path::JsonPaths;
use crate::predicate::{Atom, FieldNames, FieldReading, OtherExpr, Predicate, Test};
use crate::resolve::{self, Resolved};

/// Why a rule's predicate cannot become part of a program.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct CompileError {
    /// Index of the rule.
    pub rule: usize,
    /// What is wrong.
    #[source]
    pub error: TestError,
}

impl Program {
    /// Compiles the predicates, each of the rule at its index, for batches of `schema`.
    ///
    /// A field that the schema lacks is absent from every event.
    ///
    /// # Errors
    /// [`CompileError`] naming the rule: an expression that is none.
    pub fn compile(
        schema: &Schema,
        rules: &[Predicate],
        methods: Methods,
    ) -> Result<Self, CompileError> {
        let mut build = Build::new(schema);
        let mut roots = Vec::with_capacity(rules.len());
        for predicate in rules {
            let node = build.node(predicate);
            roots.push(node);
        }
        let mut with_others = Vec::new();
        for (rule, predicate) in rules.iter().enumerate() {
            let mut others = Vec::new();
            predicate.others(&mut |other| others.extend(build.other_ids.get(other).copied()));
            if !others.is_empty() {
                with_others.push((rule, others));
            }
        }
        // Errors name the rule: which rule asked is only looked for when something is wrong.
        for (rule, predicate) in rules.iter().enumerate() {
            let mut wrong = None;
            predicate.atoms(&mut |atom| {
                if let Test::Regex(pattern) = &atom.test
                    && wrong.is_none()
                    && build.checked.insert(pattern.clone())
                {
                    wrong = values::regex(pattern).err();
                }
            });
            if let Some(error) = wrong {
                return Err(CompileError { rule, error });
            }
        }
        // The fields with the most tests get the fastest automata.
        let mut order: Vec<usize> = (0..build.slots.len()).collect();
        order.sort_by_key(|slot| std::cmp::Reverse(build.slots[*slot].tests.len()));
        let mut automata = Automata::default();
        let mut evaluates: Vec<Option<ValueEvaluator>> = build.slots.iter().map(|_| None).collect();
        for slot in order {
            let tests = &build.slots[slot].tests;
            let tests = tests.iter().map(|(atom, test)| (*atom, test));
            let evaluate = ValueEvaluator::new(tests, methods.automaton, &mut automata)
                .map_err(|error| CompileError { rule: 0, error })?;
            evaluates[slot] = Some(evaluate);
        }
        let mut slots: Vec<Slot> = Vec::with_capacity(build.slots.len());
        let mut groups: Vec<Group> = Vec::new();
        for (slot, (of_slot, evaluate)) in build.slots.into_iter().zip(evaluates).enumerate() {
            let reading = of_slot.reading;
            let inside = of_slot.inside_by_place();
            let groups = inside.into_iter().map(|(place, atoms)| {
                let field = Inside { slot, atoms };
                group_of(&mut groups, field, place, reading)
            });
            let mut groups: Vec<usize> = groups.collect();
            groups.sort_unstable();
            groups.dedup();
            slots.push(Slot {
                sources: of_slot.sources,
                groups,
                reading,
                evaluate: evaluate.unwrap_or_default(),
                whole: JsonPaths::root(reading),
            });
        }
        Ok(Self {
            slots,
            groups,
            pairs: build.pairs,
            others: build.others,
            nodes: build.nodes,
            roots,
            with_others,
            atoms: build.atoms,
            methods,
        })
    }
}

/// The places where events may have a field: as a value of its own, and inside JSON text.
#[derive(Debug)]
struct Places {
    /// Number among those of the program.
    id: usize,
    whole: Vec<Resolved>,
    inside: Vec<Resolved>,
}

impl Places {
    fn all(&self) -> impl Iterator<Item = &Resolved> {
        self.whole.iter().chain(&self.inside)
    }
}

/// What tests share: the columns where the value stands by itself, else all places inside JSON text.
#[derive(Debug, PartialEq, Eq, Hash)]
enum SlotKey {
    Whole(Vec<Resolved>, FieldReading),
    Inside(usize, FieldReading),
}

/// Tests of values that are looked at together. Where values stand by themselves all tests apply; inside JSON text those of the
/// fields that may be there.
#[derive(Debug)]
struct SlotTests {
    sources: Vec<Resolved>,
    /// The tests of each field that may also be inside JSON text.
    inside: Vec<(Rc<Places>, Vec<AtomId>)>,
    reading: FieldReading,
    tests: Vec<(AtomId, Test)>,
}

impl SlotTests {
    /// Returns the places inside JSON text with the tests that apply there; nothing for all of the slot's.
    fn inside_by_place(&self) -> Vec<(Resolved, Option<Arc<[AtomId]>>)> {
        let mut found: Vec<(&Resolved, Vec<AtomId>)> = Vec::new();
        let mut at: HashMap<&Resolved, usize> = HashMap::new();
        for (places, atoms) in &self.inside {
            for place in &places.inside {
                let at = *at.entry(place).or_insert_with(|| {
                    found.push((place, Vec::new()));
                    found.len() - 1
                });
                found[at].1.extend(atoms);
            }
        }
        let mut shared: HashMap<Vec<AtomId>, Arc<[AtomId]>> = HashMap::new();
        let found = found.into_iter().map(|(place, mut atoms)| {
            atoms.sort_unstable();
            atoms.dedup();
            let some = (atoms.len() < self.tests.len()).then(|| {
                let of_place = Arc::from(atoms.as_slice());
                Arc::clone(shared.entry(atoms).or_insert(of_place))
            });
            (place.clone(), some)
        });
        found.collect()
    }
}

/// Adds a field inside JSON text to the group of that text, and returns the group.
fn group_of(
    groups: &mut Vec<Group>,
    field: Inside,
    place: Resolved,
    reading: FieldReading,
) -> usize {
    let path = place.json;
    let source = Resolved {
        json: Vec::new(),
        ..place
    };
    let is_same = |group: &Group| {
        group.source.column == source.column && group.source.fields == source.fields
    };
    let at = match groups.iter().position(is_same) {
        Some(at) => at,
        None => {
            groups.push(Group {
                source,
                paths: JsonPaths::default(),
                fields: Vec::new(),
            });
            groups.len() - 1
        }
    };
    let group = &mut groups[at];
    group.paths.add(group.fields.len(), &path, reading);
    group.fields.push(field);
    at
}

/// A program in the making.
struct Build<'s> {
    schema: &'s Schema,
    slots: Vec<SlotTests>,
    slot_ids: HashMap<SlotKey, usize>,
    places: HashMap<FieldPath, Vec<Resolved>>,
    /// The places of the fields of atoms, by all their names and whether they are searched.
    of_names: HashMap<(FieldNames, bool), Rc<Places>>,
    pairs: Vec<Pair>,
    others: Vec<OtherEvaluator>,
    other_ids: HashMap<OtherExpr, usize>,
    nodes: Nodes,
    atom_nodes: HashMap<Arc<Atom>, NodeId>,
    atoms: usize,
    checked: HashSet<String>,
}

impl<'s> Build<'s> {
    fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            slots: Vec::new(),
            slot_ids: HashMap::new(),
            places: HashMap::new(),
            of_names: HashMap::new(),
            pairs: Vec::new(),
            others: Vec::new(),
            other_ids: HashMap::new(),
            nodes: Nodes::default(),
            atom_nodes: HashMap::new(),
            atoms: 0,
            checked: HashSet::new(),
        }
    }

    fn node(&mut self, predicate: &Predicate) -> NodeId {
        match predicate {
            Predicate::Always(truth) => self.nodes.always(*truth),
            Predicate::Atom(atom) => self.atom(atom),
            Predicate::Other(other) => {
                let id = match self.other_ids.get(other) {
                    Some(id) => *id,
                    None => {
                        let columns = other.columns.iter();
                        let columns = columns
                            .filter_map(|name| self.schema.index_of(name).ok())
                            .collect();
                        self.others.push(OtherEvaluator {
                            expr: other.clone(),
                            columns,
                        });
                        self.other_ids.insert(other.clone(), self.others.len() - 1);
                        self.others.len() - 1
                    }
                };
                self.nodes.other(id)
            }
            Predicate::Not(inner) => {
                let inner = self.node(inner);
                self.nodes.not(inner)
            }
            Predicate::All(parts) => {
                let parts = parts.iter().map(|part| self.node(part)).collect();
                self.nodes.all(parts)
            }
            Predicate::Any(parts) => {
                let parts = parts.iter().map(|part| self.node(part)).collect();
                self.nodes.any(parts)
            }
            Predicate::AtLeast(wanted, parts) => {
                let parts = parts.iter().map(|part| self.node(part)).collect();
                self.nodes.at_least(*wanted, parts)
            }
        }
    }

    /// Returns the places where events may have the field, as a reading sees them.
    fn places(&mut self, field: &FieldPath, reading: FieldReading) -> Vec<Resolved> {
        if reading == FieldReading::Anywhere {
            // A search is over columns that are named one by one.
            return resolve::find(self.schema, field).into_iter().collect();
        }
        if let Some(known) = self.places.get(field) {
            return known.clone();
        }
        let found = resolve::places(self.schema, field);
        self.places.insert(field.clone(), found.clone());
        found
    }

    fn atom(&mut self, atom: &Arc<Atom>) -> NodeId {
        if let Some(node) = self.atom_nodes.get(atom) {
            return *node;
        }
        let node = self.new_atom(atom);
        self.atom_nodes.insert(Arc::clone(atom), node);
        node
    }

    /// Returns the places of the field that an atom tests, under all its names.
    fn places_of(&mut self, atom: &Atom) -> Rc<Places> {
        let key = (atom.names.clone(), atom.reading == FieldReading::Anywhere);
        if let Some(known) = self.of_names.get(&key) {
            return Rc::clone(known);
        }
        let mut seen = HashSet::new();
        let (mut whole, mut inside) = (Vec::new(), Vec::new());
        for name in atom.names.all() {
            for place in self.places(name, atom.reading) {
                if seen.insert(place.clone()) {
                    match place.json.is_empty() {
                        true => whole.push(place),
                        false => inside.push(place),
                    }
                }
            }
        }
        let places = Rc::new(Places {
            id: self.of_names.len(),
            whole,
            inside,
        });
        self.of_names.insert(key, Rc::clone(&places));
        places
    }

    fn new_atom(&mut self, atom: &Atom) -> NodeId {
        let places = self.places_of(atom);
        if places.all().next().is_none() {
            return self.nodes.always(false);
        }
        match &atom.test {
            Test::Exists => {
                let whole = places.whole.iter();
                let mut any: Vec<NodeId> = whole.map(|place| self.nodes.exists(place)).collect();
                if !places.inside.is_empty() {
                    any.push(self.test(&[], &places, atom.reading, &atom.test));
                }
                self.nodes.any(any)
            }
            Test::Field { op, other, cased } => {
                let right = self.places(other, atom.reading);
                if right.is_empty() {
                    return self.nodes.always(false);
                }
                self.pairs.push(Pair {
                    left: places.all().cloned().collect(),
                    right,
                    op: *op,
                    cased: *cased,
                });
                self.nodes.pair(self.pairs.len() - 1)
            }
            test => self.test(&places.whole, &places, atom.reading, test),
        }
    }

    fn test(
        &mut self,
        whole: &[Resolved],
        places: &Rc<Places>,
        reading: FieldReading,
        test: &Test,
    ) -> NodeId {
        // A field that holds no text is read the same both ways.
        let reading = match whole {
            [place] if places.inside.is_empty() => match &place.data_type {
                DataType::Dictionary(_, value) if !value.is_string() => FieldReading::One,
                other if other.is_primitive() || *other == DataType::Boolean => FieldReading::One,
                _ => reading,
            },
            _ => reading,
        };
        let key = match whole {
            [] => SlotKey::Inside(places.id, reading),
            whole => SlotKey::Whole(whole.to_vec(), reading),
        };
        let slot = *self.slot_ids.entry(key).or_insert_with(|| {
            self.slots.push(SlotTests {
                sources: whole.to_vec(),
                inside: Vec::new(),
                reading,
                tests: Vec::new(),
            });
            self.slots.len() - 1
        });
        let id = u32::try_from(self.atoms).unwrap_or(AtomId::MAX);
        self.atoms += 1;
        let of_slot = &mut self.slots[slot];
        of_slot.tests.push((id, test.clone()));
        let mut inside = of_slot.inside.iter_mut();
        match inside.find(|(known, _)| known.id == places.id) {
            Some((_, atoms)) => atoms.push(id),
            None => of_slot.inside.push((Rc::clone(places), vec![id])),
        }
        self.nodes.atom(id, slot, test)
    }
}
