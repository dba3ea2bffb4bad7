//! A bound on how much is done at once. What is beyond it is refused at once and never queued.
//!
//! Tower's `load_shed` over `concurrency_limit` says the same of calls; but there a call is over with its answer, and a log that comes as a
//! stream has only begun then. Here the place is handed out with the answer, and who streams keeps it.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, Service, ServiceExt};

/// An answer and the place that its making took: a stream keeps it to its end.
pub(crate) struct Held<T> {
    pub(crate) answer: T,
    pub(crate) place: OwnedSemaphorePermit,
}

/// All places are taken.
#[derive(Debug, thiserror::Error)]
#[error("all places are taken")]
pub(crate) struct Full;

/// A service with so many places.
#[derive(Clone, Debug)]
pub(crate) struct Shed<S> {
    service: S,
    places: Arc<Semaphore>,
}

impl<S> Shed<S> {
    pub(crate) fn new(service: S, places: usize) -> Self {
        Self { service, places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))) }
    }
}

impl<S, R> Service<R> for Shed<S>
where
    S: Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
{
    type Response = Held<S::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Never waits: whether there is a place is seen when it is needed.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let place = self.places.clone().try_acquire_owned();
        let service = self.service.clone();
        async move {
            let place = place.map_err(|_| Full)?;
            let answer = service.oneshot(request).await?;
            Ok(Held { answer, place })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_the_bound_is_refused_until_a_place_is_given_back() {
        let shed = Shed::new(tower::service_fn(|()| async { Ok::<_, BoxError>(()) }), 1);
        let held = shed.clone().oneshot(()).await.expect("a place");
        assert!(shed.clone().oneshot(()).await.is_err_and(|error| error.is::<Full>()));
        drop(held);
        assert!(shed.oneshot(()).await.is_ok());
    }
}
