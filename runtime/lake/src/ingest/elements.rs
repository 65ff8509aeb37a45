//! Bytes to events' source texts: the elements `<Event>` of XML, on one line or many, in a document or one after another.

use std::io::{self, BufRead, Read};

use super::kinds::bare;
use super::split::{KEPT_CAPACITY, Passed, Piece, Prefix, SHOWN, SplitError};

/// How much is read at once while no tag ends.
const LONGEST_STEP: u64 = 1 << 20;
/// What begins a stretch in which tags mean nothing, and what ends it.
const SPECIAL: [(&[u8], &[u8]); 3] = [
    (b"<!--", b"-->"),
    (b"<![CDATA[", CHARACTER_DATA_END),
    (b"<?", b"?>"),
];
const CHARACTER_DATA_END: &[u8] = b"]]>";
/// What stands for a damaged record: see [`yagura_formats::Evtx`].
const DAMAGED: &[u8] = b"<?damaged ";

/// Gives each element `<Event>` to `each`, and what stands between them unless it is a declaration, a comment, `<Events>` or `</Events>`.
///
/// An `<Event>` within another one ends it: then the end of the first was lost. This holds in a comment and in a processing
/// instruction, too, because Windows writes none: where text of an event was written as it is, `<!--` would hide the events behind it. In
/// character data `<Event>` is text.
pub(crate) fn elements<E>(
    bytes: &mut dyn BufRead,
    limit: usize,
    each: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Passed, SplitError<E>> {
    let mut elements = Elements {
        bytes,
        limit,
        each,
        prefix: Prefix::default(),
        passed: Passed::default(),
        at: (1, 1),
        start: (1, 1),
        text: Vec::new(),
        is_in_event: false,
        is_too_long: false,
        until: None,
        tail: Vec::new(),
    };
    elements.run()?;
    Ok(elements.passed)
}

struct Elements<'r, F> {
    bytes: &'r mut dyn BufRead,
    limit: usize,
    each: F,
    /// What was read up to here.
    prefix: Prefix,
    passed: Passed,
    /// Line and column.
    at: (u64, u64),
    /// Where the text began.
    start: (u64, u64),
    /// The element that is being read, or else what is none; of one that is too long, its start.
    text: Vec<u8>,
    is_in_event: bool,
    is_too_long: bool,
    /// What ends a comment or the like.
    until: Option<&'static [u8]>,
    /// The last bytes of the step before, within a comment or the like.
    tail: Vec<u8>,
}

type Step<E> = Result<(), SplitError<E>>;

impl<E, F: FnMut(Piece<'_>) -> Result<(), E>> Elements<'_, F> {
    fn run(&mut self) -> Step<E> {
        let mut step = Vec::new();
        loop {
            step.clear();
            let read = self.read(&mut step);
            read.map_err(|source| SplitError::Read {
                line: self.at.0,
                source,
            })?;
            if step.is_empty() {
                return self.finish();
            }
            if self.is_in_event {
                self.inside(&step)?;
            } else {
                self.outside(&step)?;
            }
        }
    }

    /// Reads up to the end of the next tag.
    fn read(&mut self, step: &mut Vec<u8>) -> io::Result<()> {
        let mut limited = (&mut *self.bytes).take(LONGEST_STEP);
        limited.read_until(b'>', step).map(drop)
    }

    /// Takes a step within an event.
    fn inside(&mut self, step: &[u8]) -> Step<E> {
        let at = last_tag(step);
        let (before, tag) = step.split_at(at);
        if self.is_special(step) {
            let is_text = self.until.is_none_or(|end| end == CHARACTER_DATA_END);
            if is_text || !is_tag(tag, b"<Event") {
                self.append(step);
                return Ok(());
            }
            self.until = None;
            self.tail.clear();
        }
        if is_tag(tag, b"<Event") {
            self.append(before);
            self.give()?;
            return self.begin(tag);
        }
        self.append(step);
        if is_tag(tag, b"</Event") {
            self.give()?;
        }
        Ok(())
    }

    /// Takes a step between events.
    fn outside(&mut self, step: &[u8]) -> Step<E> {
        let blanks = if self.text.is_empty() && self.until.is_none() {
            let bare = bare(step);
            let before = match bare {
                [] => step.len(),
                _ => bare.as_ptr() as usize - step.as_ptr() as usize,
            };
            self.pass(&step[..before]);
            before
        } else {
            0
        };
        let step = &step[blanks..];
        let is_damage = step.starts_with(DAMAGED) && step.ends_with(b"?>");
        if is_damage && self.text.is_empty() && self.until.is_none() {
            self.append(step);
            return self.give();
        }
        let begins = self.until.is_none();
        if self.is_special(step) {
            // Character data is text, and belongs to an event.
            let is_text = begins && !self.text.is_empty() || step.starts_with(b"<![CDATA[");
            if is_text {
                self.append(step);
            } else {
                self.pass(step);
            }
            return Ok(());
        }
        let (before, tag) = step.split_at(last_tag(step));
        let is_event = is_tag(tag, b"<Event");
        let is_around = [b"<Events".as_slice(), b"</Events", b"<!DOCTYPE"]
            .iter()
            .any(|name| is_tag(tag, name));
        if !is_event && !is_around {
            self.append(step);
            return Ok(());
        }
        self.append(before);
        if !self.text.is_empty() {
            self.give()?;
        }
        if is_event {
            return self.begin(tag);
        }
        self.pass(tag);
        Ok(())
    }

    /// Says whether a step is of a comment, of character data or of a processing instruction, and notes whether it goes on.
    fn is_special(&mut self, step: &[u8]) -> bool {
        let end = match self.until {
            Some(end) => end,
            None => {
                let begins = SPECIAL.iter().filter_map(|(begin, end)| {
                    let at = find(step, begin)?;
                    Some((at, *end))
                });
                match begins.min_by_key(|(at, _)| *at) {
                    Some((_, end)) => end,
                    None => return false,
                }
            }
        };
        // A step may begin within what ends the stretch.
        let last = [self.tail.as_slice(), step].concat();
        self.until = (!last.ends_with(end)).then_some(end);
        let kept = last.len().saturating_sub(2);
        self.tail.clear();
        if self.until.is_some() {
            self.tail.extend_from_slice(&last[kept..]);
        }
        true
    }

    fn begin(&mut self, tag: &[u8]) -> Step<E> {
        self.is_in_event = true;
        self.append(tag);
        if tag.ends_with(b"/>") {
            return self.give();
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.text.is_empty() {
            self.start = self.at;
        }
        self.count(bytes);
        if self.is_too_long {
            return;
        }
        self.text.extend_from_slice(bytes);
        if self.text.len() > self.limit {
            self.is_too_long = true;
            self.text.truncate(SHOWN);
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.passed.zeros += bytes.iter().filter(|byte| **byte == 0).count() as u64;
        self.count(bytes);
    }

    fn count(&mut self, bytes: &[u8]) {
        self.prefix.extend(bytes);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => self.at = (self.at.0 + lines, (bytes.len() - last) as u64),
            None => self.at.1 += bytes.len() as u64,
        }
    }

    fn give(&mut self) -> Step<E> {
        let given = (self.each)(Piece {
            bytes: &self.text,
            line: self.start.0,
            column: self.start.1,
            prefix: &self.prefix,
            within: None,
            is_last: false,
            is_too_long: self.is_too_long,
        });
        self.text.clear();
        if self.text.capacity() > KEPT_CAPACITY {
            self.text = Vec::new();
        }
        (self.is_in_event, self.is_too_long) = (false, false);
        given.map_err(SplitError::Receiver)
    }

    /// At the end of the file, more may be written of an event, or of a tag.
    fn finish(&mut self) -> Step<E> {
        let is_torn = self.is_in_event || self.text.starts_with(b"<");
        if self.text.is_empty() && self.until.is_some() {
            // A comment that is not closed hides what is behind it.
            return Err(SplitError::Torn {
                line: self.at.0,
                column: self.at.1,
            });
        }
        match self.text.is_empty() {
            true => Ok(()),
            false if is_torn => Err(SplitError::Torn {
                line: self.start.0,
                column: self.start.1,
            }),
            false => self.give(),
        }
    }
}

/// Returns where the last tag of a step begins; its end if there is none.
fn last_tag(step: &[u8]) -> usize {
    let at = step.iter().rposition(|byte| *byte == b'<');
    at.unwrap_or(step.len())
}

fn is_tag(tag: &[u8], name: &[u8]) -> bool {
    let next = tag.strip_prefix(name).and_then(<[u8]>::first);
    next.is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut tags = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<');
    tags.find_map(|(at, _)| bytes.get(at..)?.starts_with(wanted).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces with their places, and whether the end is torn.
    fn pieces(text: &str, limit: usize) -> (Vec<(String, u64, u64, bool)>, bool) {
        let mut all = Vec::new();
        for capacity in [1, 7, 4_096] {
            let mut seen = Vec::new();
            let mut reader = io::BufReader::with_capacity(capacity, text.as_bytes());
            let result = elements::<()>(&mut reader, limit, |piece| {
                let end = usize::try_from(piece.prefix.end).unwrap();
                let mut prefix = Prefix::default();
                prefix.extend(&text.as_bytes()[..end]);
                assert_eq!(piece.prefix.digest(), prefix.digest());
                assert!(piece.is_too_long || text.as_bytes()[..end].ends_with(piece.bytes));
                let text = String::from_utf8_lossy(piece.bytes).into_owned();
                seen.push((text, piece.line, piece.column, piece.is_too_long));
                Ok(())
            });
            let is_torn = matches!(result, Err(SplitError::Torn { .. }));
            assert!(is_torn || result.is_ok());
            all.push((seen, is_torn));
        }
        assert!(all.iter().all(|seen| *seen == all[0]));
        all.remove(0)
    }

    fn texts(text: &str) -> Vec<String> {
        pieces(text, 1_000)
            .0
            .into_iter()
            .map(|piece| piece.0)
            .collect()
    }

    #[test]
    fn events_are_found_in_every_layout() {
        let (one, two) = (
            "<Event x='1'><A>1 > 0</A></Event>",
            "<Event>\n<B/>\n</Event>",
        );
        for text in [
            format!("{one}\n{two}\n"),
            format!("{one}{two}"),
            format!(
                "\u{feff}<?xml version='1.0'?>\r\n<!DOCTYPE x>\n<Events xmlns='y'>\n  {one}\n\t{two}</Events>\n"
            ),
            format!("\0\0<!-- <Event> > --><Events>{one}<!-- > -->{two}</Events>"),
        ] {
            assert_eq!(texts(&text), [one, two], "{text}");
            assert!(!pieces(&text, 1_000).1, "{text}");
        }
        let special =
            "<Event><A><![CDATA[</Event><Event>]]></A><!-- </Event> --><?x </Event>?></Event >";
        assert_eq!(texts(&format!("{special}<Event/>")), [special, "<Event/>"]);
        let found = pieces("\n  <Event>\n</Event> <Event/>", 1_000).0;
        assert_eq!((found[0].1, found[0].2), (2, 3));
        assert_eq!((found[1].1, found[1].2), (3, 10));
    }

    #[test]
    fn what_is_no_event_is_given_out_too() {
        for (text, expected) in [
            ("junk\n<Event/>", vec!["junk\n", "<Event/>"]),
            (
                "<Event/><Other>1</Other>\n<Event/>",
                vec!["<Event/>", "<Other>1</Other>\n", "<Event/>"],
            ),
            ("<Event><A>1<Event/>", vec!["<Event><A>1", "<Event/>"]),
            ("<?damaged x?>\n<Event/>", vec!["<?damaged x?>", "<Event/>"]),
            ("<Event/>end", vec!["<Event/>", "end"]),
            // Text that was not escaped.
            (
                "<Event><A>x <!-- y</A></Event>\n<Event>1</Event>\n<Event>--></Event>",
                vec![
                    "<Event><A>x <!-- y</A></Event>\n",
                    "<Event>1</Event>",
                    "<Event>--></Event>",
                ],
            ),
            (
                "<Event><A>x <? y</A></Event><Event a='1'><B/></Event><Event>?></Event>",
                vec![
                    "<Event><A>x <? y</A></Event>",
                    "<Event a='1'><B/></Event>",
                    "<Event>?></Event>",
                ],
            ),
            ("<Event><!-- <Event/>", vec!["<Event><!-- ", "<Event/>"]),
            ("<Eventing/><Event/>", vec!["<Eventing/>", "<Event/>"]),
        ] {
            assert_eq!(texts(text), expected, "{text}");
        }
    }

    #[test]
    fn a_file_may_go_on_wherever_it_ends() {
        let text = "<?xml version='1.0'?><Events>\n<Event><A>é</A></Event>\n<Event/></Events>\n";
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let (found, is_torn) = pieces(&text[..end], 1_000);
            let whole = ["<Event><A>é</A></Event>", "<Event/>"];
            assert!(
                found
                    .iter()
                    .zip(whole)
                    .all(|(piece, whole)| piece.0 == whole),
                "{end}"
            );
            let is_in_event = text[..end]
                .rfind("<Event>")
                .is_some_and(|at| !text[at..end].contains("</Event>"));
            assert!(is_torn || !is_in_event, "{end}");
        }
    }

    #[test]
    fn a_comment_that_is_not_closed_is_torn_and_an_end_may_lie_in_two_steps() {
        let (found, is_torn) = pieces("<Event/><!-- <Event/>\n<Event/>", 1_000);
        assert_eq!((found.len(), is_torn), (1, true));
        // The step ends between the dashes and the bracket.
        let step = usize::try_from(LONGEST_STEP).unwrap();
        let text = format!("<!--{}--><Event/>", "x".repeat(step - 6));
        assert_eq!(texts(&text), ["<Event/>"]);
    }

    #[test]
    fn long_events_are_cut() {
        let text = format!("<Event>{}</Event><Event/>", "<A/>".repeat(600));
        let (found, _) = pieces(&text, 500);
        assert_eq!(found.len(), 2);
        assert!(found[0].3 && found[0].0.len() <= SHOWN && !found[1].3);
    }
}
