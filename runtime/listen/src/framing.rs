//! Where a message of a connection begins and ends.
//!
//! ```text
//! stream  = *(counted | line | LF | CR | NUL)
//! counted = digits SP message                    digits: 1 to 10 of them, the first not 0; the bytes of the message
//! line    = message (LF | NUL | end of the stream)
//! ```
//!
//! Sources: RFC 6587 sections 3.4.1 (octet counting) and 3.4.2 (LF and NUL behind messages), RFC 5425 section 4.3.1.
//!
//! [`Framing::Auto`] decides for each message. It takes digits and a blank for a count only before `<`, with which every priority
//! begins: a line may begin with a number too. Line ends between messages belong to none.

/// How the messages of a connection are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Each message shows it.
    #[default]
    Auto,
    /// All messages have a count. What has none ends the connection: nobody knows where the next one begins.
    OctetCounting,
    /// Each line is a message.
    Newline,
}

/// A message of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// How many bytes at its end were left out, because it was too long.
    pub(crate) cut: u64,
    /// Whether the connection ended within it.
    pub(crate) is_incomplete: bool,
}

/// A connection whose messages must have counts has one without.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoCount;

/// Takes messages out of the bytes of one connection.
#[derive(Debug)]
pub(crate) struct Frames {
    framing: Framing,
    limit: usize,
    state: State,
    /// The message so far; in the state `Start`, what may be its count.
    bytes: Vec<u8>,
    cut: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Line,
    /// So many bytes of the message are still to come.
    Counted(u64),
}

/// What the next byte says of how a message is framed.
enum Next {
    /// Nothing yet: it belongs to what may be a count.
    Open,
    Line,
    /// The message has so many bytes; whether the byte is the first of them.
    Counted(u64, bool),
}

const MOST_DIGITS: usize = 10;

impl Frames {
    /// Returns frames of messages up to `limit` bytes.
    pub(crate) fn new(framing: Framing, limit: usize) -> Self {
        Self {
            framing,
            limit,
            state: State::Start,
            bytes: Vec::new(),
            cut: 0,
        }
    }

    /// Takes bytes, and adds the messages that they complete.
    ///
    /// # Errors
    /// [`NoCount`]; the messages before are in `found`.
    pub(crate) fn push(&mut self, mut input: &[u8], found: &mut Vec<Frame>) -> Result<(), NoCount> {
        while let Some(&byte) = input.first() {
            match self.state {
                State::Start if self.bytes.is_empty() && is_between(byte) => input = &input[1..],
                State::Start => match self.next(byte)? {
                    Next::Open => {
                        self.bytes.push(byte);
                        input = &input[1..];
                    }
                    Next::Line => self.state = State::Line,
                    Next::Counted(bytes, is_first) => {
                        self.bytes.clear();
                        self.state = State::Counted(bytes);
                        input = if is_first { input } else { &input[1..] };
                    }
                },
                State::Line => match memchr::memchr2(b'\n', 0, input) {
                    Some(end) => {
                        self.keep(&input[..end]);
                        input = &input[end + 1..];
                        self.finish(false, found);
                    }
                    None => {
                        self.keep(input);
                        input = &[];
                    }
                },
                State::Counted(left) => {
                    let count = usize::try_from(left).map_or(input.len(), |of| of.min(input.len()));
                    let (own, rest) = input.split_at(count);
                    self.keep(own);
                    input = rest;
                    let left = left - count as u64;
                    self.state = State::Counted(left);
                    if left == 0 {
                        self.finish(false, found);
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the connection, and adds what had come of a message.
    pub(crate) fn end(&mut self, found: &mut Vec<Frame>) {
        let is_incomplete = matches!(self.state, State::Counted(_));
        self.finish(is_incomplete, found);
    }

    fn next(&self, byte: u8) -> Result<Next, NoCount> {
        let digits = self.bytes.strip_suffix(b" ").unwrap_or(&self.bytes);
        let has_blank = digits.len() < self.bytes.len();
        let count = || {
            let digits = std::str::from_utf8(digits).ok()?;
            digits.parse::<u64>().ok()
        };
        let is_digit = match digits.is_empty() {
            true => matches!(byte, b'1'..=b'9'),
            false => byte.is_ascii_digit(),
        };
        match self.framing {
            Framing::Newline => Ok(Next::Line),
            _ if !has_blank && is_digit && digits.len() < MOST_DIGITS => Ok(Next::Open),
            Framing::OctetCounting => match count() {
                Some(count) if byte == b' ' => Ok(Next::Counted(count, false)),
                _ => Err(NoCount),
            },
            Framing::Auto if !has_blank && byte == b' ' && !digits.is_empty() => Ok(Next::Open),
            Framing::Auto => match count() {
                Some(count) if has_blank && byte == b'<' => Ok(Next::Counted(count, true)),
                _ => Ok(Next::Line),
            },
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        let kept = room.min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.cut += (bytes.len() - kept) as u64;
    }

    fn finish(&mut self, is_incomplete: bool, found: &mut Vec<Frame>) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let cut = std::mem::take(&mut self.cut);
        self.state = State::Start;
        while bytes.last().is_some_and(|last| is_between(*last)) {
            bytes.pop();
        }
        if !bytes.is_empty() || cut > 0 {
            found.push(Frame {
                bytes,
                cut,
                is_incomplete,
            });
        }
    }
}

/// Says whether a byte between two messages belongs to none of them.
fn is_between(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(framing: Framing, limit: usize, parts: &[&[u8]]) -> (Vec<(String, u64, bool)>, bool) {
        let mut frames = Frames::new(framing, limit);
        let mut found = Vec::new();
        let is_right = parts
            .iter()
            .all(|part| frames.push(part, &mut found).is_ok());
        if is_right {
            frames.end(&mut found);
        }
        let shown = found.into_iter().map(|frame| {
            let text = String::from_utf8_lossy(&frame.bytes).into_owned();
            (text, frame.cut, frame.is_incomplete)
        });
        (shown.collect(), is_right)
    }

    fn texts(framing: Framing, stream: &str) -> Vec<String> {
        let (found, _) = frames(framing, 1_000, &[stream.as_bytes()]);
        found.into_iter().map(|(text, ..)| text).collect()
    }

    #[test]
    fn counts_and_lines_are_told_apart_message_by_message() {
        for (stream, expected) in [
            ("<1>a\n<2>b\r\n<3>c", vec!["<1>a", "<2>b", "<3>c"]),
            ("4 <1>a5 <2>bb", vec!["<1>a", "<2>bb"]),
            // Line ends within and between counted messages.
            ("6 <1>a\nb\n4 <2>c\n", vec!["<1>a\nb", "<2>c"]),
            ("4 <1>a<2>b\n4 <3>c", vec!["<1>a", "<2>b", "<3>c"]),
            ("<1>a\0<2>b\0\n", vec!["<1>a", "<2>b"]),
            // Numbers that are no counts.
            (
                "12 monkeys\n2026-01-02 x\n",
                vec!["12 monkeys", "2026-01-02 x"],
            ),
            ("12345678901 <x\n7\n", vec!["12345678901 <x", "7"]),
            ("0 <1>a\n", vec!["0 <1>a"]),
            ("12  <1>a\n", vec!["12  <1>a"]),
            ("", vec![]),
            ("\n\r\n\0", vec![]),
        ] {
            assert_eq!(texts(Framing::Auto, stream), expected, "{stream:?}");
        }
        assert_eq!(texts(Framing::Newline, "4 <1>a\nb\n"), ["4 <1>a", "b"]);
        assert_eq!(
            texts(Framing::OctetCounting, "3 a b5 <2>bb"),
            ["a b", "<2>bb"]
        );
    }

    #[test]
    fn what_must_have_a_count_and_has_none_is_an_error_behind_what_came_before() {
        for stream in ["3 a b<1>c\n", "3 a b12345678901 x", "3 a b4x", "3 a b 4 x"] {
            let (found, is_right) = frames(Framing::OctetCounting, 1_000, &[stream.as_bytes()]);
            assert!(!is_right, "{stream}");
            assert_eq!(found, [("a b".to_owned(), 0, false)], "{stream}");
        }
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_the_next_one_is_found() {
        let stream = b"<1>aaaaaaaaaa\n14 <2>bbbbbbbbbbb<3>c\n9999999999 <4>never there";
        let (found, _) = frames(Framing::Auto, 8, &[stream]);
        assert_eq!(
            found,
            [
                ("<1>aaaaa".to_owned(), 5, false),
                ("<2>bbbbb".to_owned(), 6, false),
                ("<3>c".to_owned(), 0, false),
                ("<4>never".to_owned(), 6, true),
            ]
        );
    }

    proptest! {
        #[test]
        fn where_a_stream_is_split_changes_nothing(
            stream in proptest::collection::vec(
                prop_oneof![
                    Just(b'\n'), Just(b' '), Just(b'<'), Just(b'1'), Just(b'3'), Just(0u8), any::<u8>(),
                ],
                0..60,
            ),
            splits in proptest::collection::vec(0_usize..60, 0..6),
            framing in prop_oneof![
                Just(Framing::Auto), Just(Framing::OctetCounting), Just(Framing::Newline),
            ],
            limit in 1_usize..20,
        ) {
            let whole = frames(framing, limit, &[&stream]);
            let mut at: Vec<usize> = splits.iter().map(|at| (*at).min(stream.len())).collect();
            at.sort_unstable();
            let mut parts = Vec::new();
            let mut start = 0;
            for end in at.into_iter().chain([stream.len()]) {
                parts.push(&stream[start..end]);
                start = end;
            }
            prop_assert_eq!(frames(framing, limit, &parts), whole);
        }

        #[test]
        fn no_byte_of_a_line_is_lost(
            lines in proptest::collection::vec("[^\\x00\\r\\n]{1,30}", 0..8),
            limit in 1_usize..20,
        ) {
            let stream = lines.join("\n");
            let (found, _) = frames(Framing::Newline, limit, &[stream.as_bytes()]);
            prop_assert_eq!(found.len(), lines.len());
            for ((text, cut, _), line) in found.iter().zip(&lines) {
                let bytes = line.as_bytes();
                let kept = bytes.len().min(limit);
                prop_assert_eq!(text, &String::from_utf8_lossy(&bytes[..kept]));
                prop_assert_eq!(*cut, (bytes.len() - kept) as u64);
            }
        }
    }
}
