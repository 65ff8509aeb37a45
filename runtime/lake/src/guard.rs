//! Readers of Parquet panic on some damaged objects. What they say then is an error here, of the object.
//!
//! ```text
//! reader ──panics──▶ caught where it was polled ──▶ Broken ──▶ the object cannot be read
//! ```

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::Pin;
use std::task::{Context, Poll};

use datafusion::common::DataFusionError;
use futures::Stream;

/// A reader that panicked, with what it said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged in a way that its reader does not expect ({0})")]
pub struct Broken(String);

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does some work that may panic.
///
/// # Errors
/// [`Broken`] where it did. What it was working on is not to be used again.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Broken> {
    let before = IS_GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(before);
    outcome.map_err(|payload| Broken(said(&*payload)))
}

/// Waits for work that may panic.
///
/// # Errors
/// [`Broken`] where it did, as an error of the work.
pub async fn guarded<T, E: From<DataFusionError>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(move |context| {
        catch(|| work.as_mut().poll(context)).unwrap_or_else(|broken| {
            Poll::Ready(Err(DataFusionError::External(Box::new(broken)).into()))
        })
    })
    .await
}

/// A stream of what may panic: it ends with [`Broken`] then.
#[derive(Debug)]
pub struct Guarded<S>(Option<S>);

impl<S> Guarded<S> {
    /// Guards a stream.
    pub fn new(stream: S) -> Self {
        Self(Some(stream))
    }
}

impl<S, T> Stream for Guarded<S>
where
    S: Stream<Item = Result<T, DataFusionError>> + Unpin,
{
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        catch(|| Pin::new(stream).poll_next(context)).unwrap_or_else(|broken| {
            self.0 = None;
            Poll::Ready(Some(Err(DataFusionError::External(Box::new(broken)))))
        })
    }
}

/// Keeps panics that are caught here from being printed; all others are told as before.
pub fn print_no_caught_panics() {
    let print = take_hook();
    set_hook(Box::new(move |panic| {
        if IS_GUARDED.get() {
            tracing::debug!(%panic, "a reader broke off");
        } else {
            print(panic);
        }
    }));
}

fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it said nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn panics_become_errors() {
        let work = async { panic!("at {}", 7) };
        let outcome: Result<(), DataFusionError> = guarded(work).await;
        assert_eq!(
            outcome.unwrap_err().find_root().to_string(),
            "External error: it is damaged in a way that its reader does not expect (at 7)"
        );
        let items = futures::stream::iter(0..5).map(|number| {
            assert!(number < 2, "number {number}");
            Ok::<_, DataFusionError>(number)
        });
        let items: Vec<_> = Guarded::new(items).collect().await;
        assert_eq!(items.len(), 3, "two, and the error");
        assert!(
            items[2]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("number 2")
        );
        assert_eq!(
            guarded(async { Ok::<_, DataFusionError>(1) })
                .await
                .unwrap(),
            1
        );
    }
}
