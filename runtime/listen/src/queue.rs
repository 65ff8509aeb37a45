//! Lines that wait for their object, bounded in bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What a chunk takes beside its lines, about.
const OVERHEAD: usize = 128;

/// Lines of objects.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) lines: Vec<u8>,
    pub(crate) messages: u64,
    /// The room in the queue, until the lines are in an object.
    _room: OwnedSemaphorePermit,
}

/// The end of the queue where lines come in.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    room: Arc<Semaphore>,
    all: u32,
    chunks: mpsc::UnboundedSender<Chunk>,
}

impl Queue {
    /// Returns a queue for so many bytes, and the end where chunks come out.
    pub(crate) fn new(bytes: usize) -> (Self, mpsc::UnboundedReceiver<Chunk>) {
        let (chunks, receiver) = mpsc::unbounded_channel();
        let all = u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let room = Arc::new(Semaphore::new(all as usize));
        let queue = Self { room, all, chunks };
        (queue, receiver)
    }

    fn size(&self, lines: &[u8]) -> u32 {
        // A single chunk that is larger than the queue waits until it is empty.
        u32::try_from(lines.len() + OVERHEAD)
            .unwrap_or(u32::MAX)
            .min(self.all)
    }

    /// Adds lines, as soon as there is room.
    pub(crate) async fn send(&self, lines: Vec<u8>, messages: u64) {
        let size = self.size(&lines);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await;
        // Nobody closes the semaphore.
        if let Ok(room) = room {
            self.put(lines, messages, room);
        }
    }

    /// Adds lines if there is room, and says whether there was.
    pub(crate) fn try_send(&self, lines: Vec<u8>, messages: u64) -> bool {
        let size = self.size(&lines);
        match Arc::clone(&self.room).try_acquire_many_owned(size) {
            Ok(room) => self.put(lines, messages, room),
            Err(_) => false,
        }
    }

    fn put(&self, lines: Vec<u8>, messages: u64, room: OwnedSemaphorePermit) -> bool {
        let chunk = Chunk {
            lines,
            messages,
            _room: room,
        };
        self.chunks.send(chunk).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_takes_nothing_until_there_is_room() {
        let (queue, mut chunks) = Queue::new(1_000);
        assert!(queue.try_send(vec![b'x'; 500], 1));
        assert!(!queue.try_send(vec![b'x'; 500], 1));
        let first = chunks.recv().await.unwrap();
        assert!(
            !queue.try_send(vec![b'x'; 500], 1),
            "the lines are in no object yet"
        );
        drop(first);
        // Larger than the queue: it fits alone.
        queue.send(vec![b'x'; 5_000], 2).await;
        assert!(!queue.try_send(vec![b'x'], 1));
        assert_eq!(chunks.recv().await.unwrap().messages, 2);
    }
}
