//! Gzip without compression (RFC 1952 around stored blocks of RFC 1951): what clients take for a compressed layer,
//! made fast and the same every time.

use std::io::{self, Write};

/// The most bytes that a stored block may hold.
const BLOCK: usize = 65_535;

/// Wraps what is written to it; [`Gzip::finish`] must be called at the end.
pub(crate) struct Gzip<W: Write> {
    out: W,
    pending: Vec<u8>,
    crc: u32,
    length: u32,
    table: [u32; 256],
}

impl<W: Write> Gzip<W> {
    pub(crate) fn new(mut out: W) -> io::Result<Gzip<W>> {
        // Magic, deflate, no flags, no time, no hints, unknown system.
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])?;
        Ok(Gzip { out, pending: Vec::with_capacity(BLOCK), crc: !0, length: 0, table: table() })
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.block(true)?;
        self.out.write_all(&(!self.crc).to_le_bytes())?;
        self.out.write_all(&self.length.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn block(&mut self, last: bool) -> io::Result<()> {
        let length = self.pending.len() as u16;
        self.out.write_all(&[u8::from(last)])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&(!length).to_le_bytes())?;
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() == BLOCK {
            self.block(false)?;
        }
        let part = &bytes[..bytes.len().min(BLOCK - self.pending.len())];
        for byte in part {
            self.crc = self.table[((self.crc ^ u32::from(*byte)) & 255) as usize] ^ (self.crc >> 8);
        }
        self.length = self.length.wrapping_add(part.len() as u32);
        self.pending.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    for (index, entry) in table.iter_mut().enumerate() {
        *entry =
            (0..8).fold(index as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
    }
    table
}
