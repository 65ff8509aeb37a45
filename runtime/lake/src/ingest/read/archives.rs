//! Archives: each member is read as a file of its own.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use yagura_core::shown::one_line;

use super::Reading;
use crate::ingest::IngestError;
use crate::ingest::archive::{Failure, Kind, in_a_file, tar, zip};
use crate::ingest::source::{Input, Listed, unpacked};

impl Reading<'_> {
    /// Reads the members of an archive, each as a file.
    pub(super) fn archive(
        &mut self,
        input: &Input,
        kind: Kind,
        name: &str,
        depth: usize,
    ) -> Result<(), IngestError> {
        // Members are counted once, as a part of the file that holds them.
        let read = match self.archives {
            0 => Arc::clone(&self.read),
            _ => Arc::default(),
        };
        let mut bytes = unpacked(input, name, read, &Arc::default())?;
        self.archives += 1;
        let done = self.members(&mut bytes, input.size(), kind, name, depth);
        self.archives -= 1;
        let Err(source) = done? else {
            return Ok(());
        };
        let error = match source.kind() {
            io::ErrorKind::UnexpectedEof => IngestError::Truncated {
                file: name.to_owned(),
                line: 0,
            },
            _ => IngestError::Read {
                file: name.to_owned(),
                line: 0,
                source,
            },
        };
        if self.options.strict {
            return Err(error);
        }
        self.report.failed.push(error);
        Ok(())
    }

    /// Reads the members of an archive, and returns what ended its reading.
    pub(super) fn members(
        &mut self,
        bytes: &mut dyn Read,
        size: u64,
        kind: Kind,
        name: &str,
        depth: usize,
    ) -> Result<io::Result<()>, IngestError> {
        let mut each = |member: String, content: Result<File, Failure>| {
            let full = format!("{name}!{}", one_line(&member));
            let listed = Listed {
                path: member.into(),
                is_from_folder: true,
            };
            let error = match content {
                Ok(file) => return self.input(Input::Copy(file), &full, &listed, depth),
                Err(Failure::Encrypted) => IngestError::Unsupported {
                    file: full,
                    found: "encrypted",
                    next: "extract it with its password",
                },
                Err(Failure::Read(source)) => IngestError::Read {
                    file: full,
                    line: 0,
                    source,
                },
            };
            if self.options.strict {
                return Err(error);
            }
            self.report.failed.push(error);
            Ok(())
        };
        Ok(match kind {
            Kind::Tar => tar(bytes, size, &mut each)?,
            Kind::Zip => match in_a_file(bytes, size) {
                Ok(file) => zip(file, &mut each)?,
                Err(error) => Err(error),
            },
        })
    }
}
