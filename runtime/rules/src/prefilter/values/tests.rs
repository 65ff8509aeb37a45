use super::*;
use crate::predicate::Number;

fn passed(tests: &[Test], text: &str, kind: ValueKind) -> Vec<AtomId> {
    let evaluate = |automaton| {
        let tests = (0..).zip(tests);
        let evaluate = ValueEvaluator::new(tests, automaton, &mut Automata::default()).unwrap();
        let mut found = PassedTests::default();
        evaluate.evaluate(text, kind, &mut found);
        found.finish().to_vec()
    };
    assert_eq!(
        evaluate(true),
        evaluate(false),
        "the automaton changes nothing"
    );
    evaluate(true)
}

fn text(op: TextOp, value: &str, cased: bool) -> Test {
    Test::Text {
        op,
        value: value.into(),
        cased,
    }
}

#[test]
fn comparisons_of_text_overlap_and_fold_case() {
    let tests = [
        text(TextOp::Contains, "hell", false),
        text(TextOp::Contains, "shell", false),
        text(TextOp::EndsWith, "shell.exe", false),
        text(TextOp::StartsWith, "power", false),
        text(TextOp::StartsWith, "shell", false),
        text(TextOp::Equals, "powershell.exe", false),
        text(TextOp::Equals, "powershell.exe", true),
        text(TextOp::Contains, "Shell", true),
        text(TextOp::Contains, "", false),
        text(TextOp::EndsWith, "größe", false),
    ];
    assert_eq!(
        passed(&tests, "PowerShell.exe", ValueKind::Text),
        [0, 1, 2, 3, 5, 7, 8]
    );
    assert_eq!(
        passed(&tests, "powershell.exe", ValueKind::Text),
        [0, 1, 2, 3, 5, 6, 8]
    );
    assert_eq!(passed(&tests, "Die GRÖSSE, GRÖßE", ValueKind::Text), [8, 9]);
}

#[test]
fn patterns_are_tried_where_their_literal_is() {
    let glob = |parts: &[GlobPart], cased| Test::Glob {
        parts: parts.to_vec(),
        cased,
    };
    let lit = |text: &str| GlobPart::Literal(text.into());
    let tests = [
        glob(&[lit("a"), GlobPart::Any, lit("b")], false),
        glob(&[GlobPart::One, lit("b")], true),
        glob(&[GlobPart::One], false),
        Test::Regex("(?i)pass(word|phrase)".into()),
        Test::Regex("x[0-9]+y".into()),
        Test::Regex("^a.b$".into()),
    ];
    assert_eq!(passed(&tests, "A\nB", ValueKind::Text), [0]);
    assert_eq!(passed(&tests, "aXb", ValueKind::Text), [0, 5]);
    assert_eq!(passed(&tests, "ab", ValueKind::Text), [0, 1]);
    assert_eq!(
        passed(&tests, "the PASSPHRASE x77y", ValueKind::Text),
        [3, 4]
    );
    assert_eq!(passed(&tests, "é", ValueKind::Text), [2]);
    let wrong = regex("a(").unwrap_err().to_string();
    assert!(wrong.contains("unclosed group"), "{wrong}");
}

#[test]
fn numbers_networks_truths_and_moments() {
    let number = |op, value| Test::Number(op, Number::from(value));
    let tests = [
        number(NumberOp::Equal, 5),
        number(NumberOp::Equal, 4),
        number(NumberOp::Greater, 4),
        number(NumberOp::LessOrEqual, 5),
        Test::Truth(true),
        Test::Cidr("10.0.0.0/8".parse().unwrap()),
        Test::Moment(MomentPart::Hour, Number::from(23)),
    ];
    assert_eq!(passed(&tests, "5", ValueKind::Number), [0, 2, 3]);
    assert_eq!(passed(&tests, "5.0", ValueKind::Text), [0, 2, 3]);
    assert_eq!(passed(&tests, "1", ValueKind::Number), [3]);
    assert_eq!(passed(&tests, "1", ValueKind::Text), [3, 4]);
    assert_eq!(passed(&tests, "Yes", ValueKind::Text), [4]);
    assert_eq!(passed(&tests, "true", ValueKind::Bool), [4]);
    assert_eq!(passed(&tests, "10.1.2.3", ValueKind::Text), [5]);
    assert_eq!(passed(&tests, "2024-05-01T23:10:00Z", ValueKind::Text), [6]);
    assert_eq!(
        passed(&tests, "2024-05-02T01:10:00+02:00", ValueKind::Text),
        [6]
    );
}

/// A random sequence that is the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pieces(&mut self, from: &[&str], most: usize) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| from[self.below(from.len())]).collect()
    }
}

/// Pieces of texts: letters whose cases are several, or of other lengths, and what is no letter.
const LETTERS: [&str; 28] = [
    "a", "A", "b", "B", "s", "S", "ſ", "k", "K", "\u{212a}", "σ", "ς", "Σ", "ß", "ẞ", "ss", "İ",
    "i", "ı", "I", "é", "É", "ö", "Ⅷ", "ⅷ", "\n", "-", "漢",
];

/// The reference: the folding of the library of regular expressions.
#[test]
fn text_without_case_is_that_of_regular_expressions() {
    let mut random = Random(1);
    let mut tests = Vec::new();
    let mut references = Vec::new();
    for _ in 0..400 {
        let value = random.pieces(&LETTERS, 4);
        let (op, start, end) = [
            (TextOp::Equals, "^", "$"),
            (TextOp::Contains, "", ""),
            (TextOp::StartsWith, "^", ""),
            (TextOp::EndsWith, "", "$"),
        ][random.below(4)];
        let cased = random.below(4) == 0;
        let flags = if cased { "(?s)" } else { "(?si)" };
        let one = format!("{flags}{start}{}{end}", regex::escape(&value));
        references.push(Regex::new(&one).unwrap());
        tests.push(text(op, &value, cased));
        let (more, other) = (random.pieces(&LETTERS, 3), random.pieces(&LETTERS, 2));
        let pattern = format!(
            "{flags}^{}.*{}.$",
            regex::escape(&more),
            regex::escape(&other)
        );
        references.push(Regex::new(&pattern).unwrap());
        let parts = vec![
            GlobPart::Literal(more),
            GlobPart::Any,
            GlobPart::Literal(other),
            GlobPart::One,
        ];
        tests.push(Test::Glob { parts, cased });
    }
    let texts: Vec<String> = (0..300).map(|_| random.pieces(&LETTERS, 6)).collect();
    compare_with(&tests, &references, &texts);
}

/// What guards an expression never hides a text that it matches, wherever its flags begin and end.
#[test]
fn guards_of_expressions_with_flags_inside_hide_nothing() {
    const PIECES: [&str; 24] = [
        "abc",
        "aBc",
        "(?i:abc)",
        "(?i)",
        "(?-i)",
        "(?i:ab)c",
        "(x|yz)",
        "(?i:sk)",
        "k",
        "ß",
        "(?i:ß)",
        "(?i:σa)",
        "[0-9]{2}",
        ".*",
        "\\d+",
        "(?:abc)?",
        "^",
        "$",
        "\\b",
        "(?s:.)",
        "(?i:[a-c]{3})",
        "(abc|ABC|sss)",
        "(?m)^",
        "(?x) a b c ",
    ];
    const TEXTS: [&str; 18] = [
        "abc",
        "ABC",
        "aBc",
        "x",
        "yz",
        "YZ",
        "sk",
        "SK",
        "ſ\u{212a}",
        "ß",
        "ẞ",
        "σa",
        "ΣA",
        "ςa",
        "12",
        " ",
        "\n",
        "sss",
    ];
    let mut random = Random(2);
    let mut tests = Vec::new();
    let mut references = Vec::new();
    while tests.len() < 600 {
        let pattern = random.pieces(&PIECES, 5);
        if let Ok(reference) = Regex::new(&pattern) {
            references.push(reference);
            tests.push(Test::Regex(pattern));
        }
    }
    let guarded = tests.iter().filter(|test| match test {
        Test::Regex(pattern) => required_literals(pattern).is_some(),
        _ => false,
    });
    assert!(guarded.count() > 100);
    let texts: Vec<String> = (0..300).map(|_| random.pieces(&TEXTS, 5)).collect();
    compare_with(&tests, &references, &texts);
}

fn compare_with(tests: &[Test], references: &[Regex], texts: &[String]) {
    let mut matched = 0;
    for automaton in [true, false] {
        let numbered = (0..).zip(tests);
        let evaluate = ValueEvaluator::new(numbered, automaton, &mut Automata::default()).unwrap();
        let mut found = PassedTests::default();
        for text in texts {
            found.clear();
            evaluate.evaluate(text, ValueKind::Text, &mut found);
            let passed = found.finish().to_vec();
            for (at, reference) in (0..).zip(references) {
                assert_eq!(
                    passed.contains(&at),
                    reference.is_match(text),
                    "{text:?} and {:?}",
                    tests[at as usize]
                );
            }
            matched += passed.len();
        }
    }
    assert!(matched > texts.len(), "{matched}");
}
