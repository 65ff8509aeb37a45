//! Binary XML, the form of events in EVTX files, to text.
//!
//! ```text
//! fragment   = %x0F major minor flags *content %x00
//! content    = element / template / value / substitution / CDATA / references
//! element    = (%x01 / %x41) [dependency] size name [attributes] (%x03 / %x02 *content %x04)
//! attributes = size *((%x06 / %x46) name *(value / substitution / references))
//! template   = %x0C version id offset [definition] count *(size type %x00) *value
//! value      = (%x05 / %x45) type text          substitution = (%x0D / %x0E) index type
//! name       = offset [next hash count *UTF-16 NUL]
//! ```
//!
//! Offsets are in bytes from the start of the chunk. Definitions and names stand where they are used first.
//!
//! Values become text as Windows writes them. An element whose only content is an array stands once for each value. Line ends in
//! values become references, so that an event is one line.
//!
//! Sources: [MS-EVEN6] 2.2.12 to 2.2.19, <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-even6/>;
//! "Windows XML Event Log (EVTX) format" of the project libevtx, <https://github.com/libyal/libevtx>.
//!
//! [MS-EVEN6]: https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-even6/

mod value;

use value::Kind;

/// The longest text of a record. A record has at most 64 KiB, and few values make more than 3 times their size.
const LONGEST: usize = 512 * 1024;
/// Tokens of a record. Templates can use one another, so that their number says nothing of the record's size.
const MOST_TOKENS: u32 = 64 * 1024;
/// How deep elements and templates may lie in one another.
const DEEPEST: u32 = 48;

type Result<T> = std::result::Result<T, &'static str>;

const CUT: &str = "it ends too early";

/// Writes the binary XML of `chunk` from `at` to `end` as text.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub(crate) fn text(chunk: &[u8], at: usize, end: usize) -> Result<String> {
    let mut writer = Writer {
        chunk,
        out: String::new(),
        tokens: 0,
    };
    let mut cursor = Cursor { chunk, at, end };
    writer.content(&mut cursor, &Context::default(), DEEPEST)?;
    Ok(writer.out)
}

/// A place in a chunk, and the end of what may be read.
#[derive(Clone, Copy)]
struct Cursor<'c> {
    chunk: &'c [u8],
    at: usize,
    end: usize,
}

impl<'c> Cursor<'c> {
    fn take(&mut self, count: usize) -> Result<&'c [u8]> {
        let end = self.at.checked_add(count).ok_or(CUT)?;
        if end > self.end {
            return Err(CUT);
        }
        let bytes = self.chunk.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| CUT)
    }

    fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn offset(&mut self) -> Result<usize> {
        usize::try_from(self.u32()?).map_err(|_| CUT)
    }

    fn peek(&self) -> Option<u8> {
        self.chunk
            .get(self.at)
            .copied()
            .filter(|_| self.at < self.end)
    }

    /// Reads UTF-16 with its length before it.
    fn utf16(&mut self) -> Result<&'c [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count) * 2)
    }

    /// Reads a name, which stands here or at another place.
    fn name(&mut self) -> Result<String> {
        let offset = self.offset()?;
        if offset == self.at {
            let name = read_name(self)?;
            self.take(2)?;
            return Ok(name);
        }
        let mut other = Cursor {
            chunk: self.chunk,
            at: offset,
            end: self.chunk.len(),
        };
        read_name(&mut other)
    }
}

fn read_name(at: &mut Cursor<'_>) -> Result<String> {
    at.take(6)?;
    let name = value::utf16(at.utf16()?);
    let is_name = |c: char| c.is_alphanumeric() || "_-.:".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err("a name is damaged");
    }
    Ok(name)
}

/// A value of a template's instance.
#[derive(Clone, Copy)]
struct Value {
    kind: Kind,
    at: usize,
    size: usize,
}

/// What the content belongs to.
#[derive(Default)]
struct Context<'v> {
    /// The values of the instance; nothing outside of a template.
    values: Option<&'v [Value]>,
}

impl Context<'_> {
    /// Returns the value of a substitution. A value that is not there is as one without content.
    fn value(&self, index: u16) -> Result<Value> {
        let values = self
            .values
            .ok_or("a substitution stands outside of a template")?;
        let none = Value {
            kind: Kind::NULL,
            at: 0,
            size: 0,
        };
        Ok(values.get(usize::from(index)).copied().unwrap_or(none))
    }
}

struct Writer<'c> {
    chunk: &'c [u8],
    out: String,
    tokens: u32,
}

impl<'c> Writer<'c> {
    fn token(&mut self, cursor: &mut Cursor<'_>) -> Result<u8> {
        self.tokens += 1;
        if self.tokens > MOST_TOKENS {
            return Err("it has more than 65,536 parts");
        }
        if self.out.len() > LONGEST {
            return Err("its text is longer than 512 KiB");
        }
        cursor.u8()
    }

    /// Writes content up to the end of a fragment or of an element.
    fn content(
        &mut self,
        cursor: &mut Cursor<'c>,
        context: &Context<'_>,
        depth: u32,
    ) -> Result<()> {
        let depth = depth
            .checked_sub(1)
            .ok_or("its parts lie too deep in one another")?;
        while cursor.at < cursor.end {
            match self.token(cursor)? {
                0x00 | 0x04 => return Ok(()),
                token @ (0x01 | 0x41) => self.element(token, cursor, context, depth)?,
                0x0c => self.template(cursor, depth)?,
                0x0f => {
                    cursor.take(3)?;
                }
                0x0a => {
                    cursor.name()?;
                }
                0x0b => {
                    cursor.utf16()?;
                }
                token => self.piece(token, cursor, context, depth)?,
            }
        }
        Ok(())
    }

    /// Writes a piece of text, in an element or an attribute.
    fn piece(
        &mut self,
        token: u8,
        cursor: &mut Cursor<'c>,
        context: &Context<'_>,
        depth: u32,
    ) -> Result<()> {
        match token {
            0x05 | 0x45 => {
                if cursor.u8()? != 1 {
                    return Err("a value is not text");
                }
                let text = value::utf16(cursor.utf16()?);
                value::escape(&text, &mut self.out);
            }
            0x07 | 0x47 => {
                let text = value::utf16(cursor.utf16()?);
                value::escape(&text, &mut self.out);
            }
            0x08 | 0x48 => {
                let code = cursor.u16()?;
                self.out.push_str(&format!("&#{code};"));
            }
            0x09 | 0x49 => {
                let name = cursor.name()?;
                self.out.push_str(&format!("&{name};"));
            }
            0x0d | 0x0e => {
                let value = context.value(cursor.u16()?)?;
                cursor.u8()?;
                self.value(value, depth)?;
            }
            _ => return Err("it has a part of an unknown kind"),
        }
        Ok(())
    }

    fn value(&mut self, value: Value, depth: u32) -> Result<()> {
        let end = value.at + value.size;
        if value.kind == Kind::BINARY_XML {
            let chunk = self.chunk;
            let mut cursor = Cursor {
                chunk,
                at: value.at,
                end,
            };
            return self.content(&mut cursor, &Context::default(), depth);
        }
        let bytes = self.chunk.get(value.at..end).ok_or(CUT)?;
        for (nth, item) in value.kind.items(bytes).enumerate() {
            if nth > 0 {
                self.out.push(',');
            }
            value.kind.write(item, &mut self.out);
            if self.out.len() > LONGEST {
                break;
            }
        }
        Ok(())
    }

    fn element(
        &mut self,
        token: u8,
        cursor: &mut Cursor<'c>,
        context: &Context<'_>,
        depth: u32,
    ) -> Result<()> {
        // Elements outside of templates may lack the number of the substitution on which they depend.
        let mut without = *cursor;
        without.take(4)?;
        if context.values.is_some() || without.name().is_err() {
            cursor.take(2)?;
        }
        cursor.take(4)?;
        let start = self.out.len();
        let name = cursor.name()?;
        self.out.push('<');
        self.out.push_str(&name);
        if token & 0x40 != 0 {
            cursor.take(4)?;
            while let Some(0x06 | 0x46) = cursor.peek() {
                self.attribute(cursor, context, depth)?;
            }
        }
        match self.token(cursor)? {
            0x03 => {
                self.out.push_str("/>");
                return Ok(());
            }
            0x02 => self.out.push('>'),
            _ => return Err("the start of an element is damaged"),
        }
        if let Some(value) = only_array(cursor, context) {
            cursor.take(5)?;
            let tag = self.out.split_off(start);
            return self.repeat(value, &tag, &name);
        }
        self.content(cursor, context, depth)?;
        self.close(&name);
        Ok(())
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Writes an element for each value of an array.
    fn repeat(&mut self, value: Value, tag: &str, name: &str) -> Result<()> {
        let bytes = self.chunk.get(value.at..value.at + value.size).ok_or(CUT)?;
        let mut items = value.kind.items(bytes).peekable();
        if items.peek().is_none() {
            self.out.push_str(tag);
            self.close(name);
        }
        for item in items {
            self.out.push_str(tag);
            value.kind.write(item, &mut self.out);
            self.close(name);
            if self.out.len() > LONGEST {
                break;
            }
        }
        Ok(())
    }

    /// Writes an attribute, unless its value is a substitution without a value.
    fn attribute(
        &mut self,
        cursor: &mut Cursor<'c>,
        context: &Context<'_>,
        depth: u32,
    ) -> Result<()> {
        self.token(cursor)?;
        let name = cursor.name()?;
        let start = self.out.len();
        self.out.push_str(&format!(" {name}=\""));
        let mut is_null = true;
        while let Some(0x05 | 0x45 | 0x07..=0x09 | 0x47..=0x49 | 0x0d | 0x0e) = cursor.peek() {
            let token = self.token(cursor)?;
            let substituted = match token {
                0x0d | 0x0e => Some(context.value(Cursor { ..*cursor }.u16()?)?),
                _ => None,
            };
            if substituted.is_some_and(|value| value.kind == Kind::BINARY_XML) {
                return Err("an attribute holds elements");
            }
            is_null &= substituted.is_some_and(|value| value.kind == Kind::NULL || value.size == 0);
            self.piece(token, cursor, context, depth)?;
        }
        if is_null {
            self.out.truncate(start);
        } else {
            self.out.push('"');
        }
        Ok(())
    }

    fn template(&mut self, cursor: &mut Cursor<'c>, depth: u32) -> Result<()> {
        // A version and the template's number.
        cursor.take(5)?;
        let offset = cursor.offset()?;
        let is_here = offset == cursor.at;
        let mut definition = Cursor {
            chunk: self.chunk,
            at: offset,
            end: self.chunk.len(),
        };
        // The next one's offset and the template's GUID.
        definition.take(20)?;
        let size = definition.offset()?;
        let begin = definition.at;
        definition.take(size)?;
        if is_here {
            cursor.take(definition.at - offset)?;
        }
        let values = values(cursor)?;
        let mut inside = Cursor {
            chunk: self.chunk,
            at: begin,
            end: begin + size,
        };
        let context = Context {
            values: Some(&values),
        };
        self.content(&mut inside, &context, depth)
    }
}

/// Reads the values of a template's instance.
fn values(cursor: &mut Cursor<'_>) -> Result<Vec<Value>> {
    let count = cursor.offset()?;
    let mut kinds = Cursor { ..*cursor };
    cursor.take(count.checked_mul(4).ok_or(CUT)?)?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let size = usize::from(kinds.u16()?);
        let kind = Kind::new(kinds.u8()?);
        kinds.take(1)?;
        values.push(Value {
            kind,
            at: cursor.at,
            size,
        });
        cursor.take(size)?;
    }
    Ok(values)
}

/// Returns the array that is the only content of an element.
fn only_array(cursor: &Cursor<'_>, context: &Context<'_>) -> Option<Value> {
    let mut ahead = *cursor;
    let is_substitution = matches!(ahead.u8().ok()?, 0x0d | 0x0e);
    let index = ahead.u16().ok()?;
    ahead.u8().ok()?;
    let is_end = ahead.u8().ok()? == 0x04;
    let value = context.value(index).ok()?;
    (is_substitution && is_end && value.kind.is_array()).then_some(value)
}
